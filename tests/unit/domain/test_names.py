from __future__ import annotations

import pytest

from lakeserve.domain import names
from lakeserve.domain.errors import InvalidParameterValue


@pytest.mark.parametrize("name", ["a", "A9", "fraud", "fraud-model_2", "a" * 63, "databricks", "9to5"])
def test_endpoint_name_accepted(name: str) -> None:
    names.check_endpoint_name(name)


@pytest.mark.parametrize("name", ["", "-a", "a-", "_a", "a_", "a.b", "a b", "ä", "a" * 64, "a\n", "a/b"])
def test_endpoint_name_of_wrong_shape(name: str) -> None:
    with pytest.raises(InvalidParameterValue, match=r"^Endpoint name must be maximum 63"):
        names.check_endpoint_name(name)


@pytest.mark.parametrize("name", ["databricks-llama", "Databricks-x"])
def test_endpoint_name_reserved(name: str) -> None:
    with pytest.raises(InvalidParameterValue, match="reserved for built-in endpoints"):
        names.check_endpoint_name(name)


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (names.check_served_entity_name, ["a", "fraud-3", "_x", "A" * 255], ["", "a.b", "a b", "a:b", "é", "A" * 256]),
        (
            names.check_model_name,
            ["fraud", "main.risk.fraud", "my model", "ümlaut"],
            ["", "a/b", "a:b", "a\tb", "m" * 256],
        ),
        (
            names.check_model_version,
            ["1", "12", "@champion", "@a.b-c_d"],
            ["", "0", "03", "1.0", "-1", "latest", "@", "@a b"],
        ),
        (names.check_variable_name, ["A", "_a", "OPENAI_API_KEY", "a1"], ["", "1A", "A-B", "A B", "A=B", "Ä"]),
    ],
)
def test_alphabets(check, good: list[str], bad: list[str]) -> None:
    for name in good:
        check(name)
    for name in bad:
        with pytest.raises(InvalidParameterValue):
            check(name)


def test_a_long_name_is_cut_in_the_message() -> None:
    with pytest.raises(InvalidParameterValue) as caught:
        names.check_served_entity_name("." * 5000)
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    ("entity_name", "version", "expected"),
    [
        ("main.risk.fraud", "3", "fraud-3"),
        ("fraud", "12", "fraud-12"),
        ("my model", "1", "my-model-1"),
        ("main.risk.ümlaut!", "2", "-mlaut--2"),
        ("ends.with.", "1", "ends-with--1"),
    ],
)
def test_default_served_entity_name(entity_name: str, version: str, expected: str) -> None:
    assert names.default_served_entity_name(entity_name, version) == expected
    names.check_served_entity_name(expected)


def test_default_served_entity_name_is_never_too_long() -> None:
    name = names.default_served_entity_name("m" * 300, "17")
    names.check_served_entity_name(name)
    assert name.endswith("-17")
