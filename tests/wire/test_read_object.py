from __future__ import annotations

import re

import orjson
import pytest

from lakeserve.domain.errors import BadRequest
from lakeserve.wire.databricks.bodies import MAX_DEPTH, read_object


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"{}", {}),
        (
            b' {"a": [1, -2.5, null, true, "\xc3\xa4", {"b": "\\ud83d\\ude00"}]} ',
            {"a": [1, -2.5, None, True, "ä", {"b": "😀"}]},
        ),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": 18446744073709551615, "b": -9223372036854775808}', {"a": 2**64 - 1, "b": -(2**63)}),
        (b'{"a":' * (MAX_DEPTH - 1) + b"{}" + b"}" * (MAX_DEPTH - 1), None),
    ],
)
def test_accepted_and_writable_again(raw: bytes, value: object) -> None:
    read = read_object(raw)
    if value is not None:
        assert read == value
    assert orjson.loads(orjson.dumps(read)) == read


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "The request body is empty"),
        (b" \n", "The request body is empty"),
        (b"[]", "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b'"a"', "must be a JSON object"),
        (b'{"a"', "not valid JSON: Expecting ':' delimiter at line 1, column 5"),
        (b"{'a': 1}", "not valid JSON"),
        (b'{"a": 1} x', "not valid JSON"),
        (b'{"a": "\xff"}', "not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        (b'{"a": {"b": 1, "c": 2, "b": 3}}', 'contains the key "b" twice'),
        (b'{"a": NaN}', "contains NaN, which is not JSON"),
        (b'{"a": -Infinity}', "contains -Infinity, which is not JSON"),
        (b'{"a": 1e999}', "a number that is too large"),
        (b'{"a": 18446744073709551616}', "a number that is too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "a number that is too large"),
        (b'{"a": "\\ud800"}', "half of a surrogate pair"),
        (b'{"\\udc00": 1}', "half of a surrogate pair"),
        (b'{"a":' * MAX_DEPTH + b"{}" + b"}" * MAX_DEPTH, "nested deeper than 64 levels"),
        (b'{"a":' + b"[" * 100_000, "nested deeper than 64 levels"),
    ],
)
def test_refused(raw: bytes, told: str) -> None:
    with pytest.raises(BadRequest, match=re.escape(told)):
        read_object(raw)
