"""The direct path gives what MLflow gives, over bodies that are nearly right; and it is taken when it should be."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lakeserve_worker import fastpath, stock
from lakeserve_worker.scoring import Scorer
from models import FEATURES, SIGNATURES, Models

JSON = "application/json"
NUMERIC = ("doubles", "floats", "longs", "integers", "one_double")

numbers = st.one_of(
    st.integers(-5, 5),
    st.integers(),
    st.sampled_from(
        [2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 2**64, 10**400]
    ),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-10, 10, width=32),
)
strange = st.one_of(
    st.none(), st.booleans(), st.text(max_size=3), st.sampled_from(["1", "1.5", "nan", ""]), st.lists(st.integers(), max_size=2),
    st.floats(), st.just({}),
)  # fmt: skip
cells = st.one_of(*[numbers] * 12, strange)
plain_rows = st.lists(st.lists(st.integers(-5, 5) | st.floats(-10, 10), min_size=2, max_size=2), min_size=1, max_size=4)
rows = plain_rows | st.lists(
    st.one_of(*[st.lists(cells, min_size=2, max_size=2)] * 9, st.lists(cells, max_size=3)), max_size=4
)
columns = st.sampled_from([["a", "b"]] * 8 + [["b", "a"], ["a"], ["a", "a"], ["a", "b", "c"], [], None, "ab", [1, 2]])
extras = st.sampled_from(
    [{}] * 8
    + [
        {"client_request_id": "1"},
        {"params": {}},
        {"params": {"x": 1}},
        {"inputs": 1},
        {"messages": []},
        {"other": True},
    ]
)
layers = st.sampled_from(["dataframe_records", "inputs", "instances"])


@st.composite
def splits(draw: st.DrawFn) -> dict[str, Any]:
    table = {"columns": draw(columns), "data": draw(rows)}
    count = len(table["data"])
    index = draw(
        st.sampled_from([None] * 6 + [list(range(count)), list(range(count + 1)), [0.0] * count, ["x"] * count])
    )
    if index is not None or draw(st.integers(0, 20)) == 0:
        table["index"] = index
    if draw(st.integers(0, 20)) == 0:
        table["extra"] = 1
    return {"dataframe_split": table, **draw(extras)}


@st.composite
def named(draw: st.DrawFn) -> dict[str, Any]:
    keys = draw(st.sampled_from([("a", "b")] * 8 + [("b", "a"), ("a",), ("a", "b", "c"), ()]))
    records: list[Any] = [dict(zip(keys, [*row, 1, 2, 3], strict=False)) for row in draw(rows)]
    if records and draw(st.integers(0, 10)) == 0:
        records.append(draw(st.sampled_from([{"b": 1, "a": 2}, {"a": 1}, {}, 5, [1, 2], None])))
    return {draw(layers): records, **draw(extras)}


bodies = st.one_of(splits(), named(), st.sampled_from([{}, [], 5, None, {"dataframe_split": []}]))


@pytest.fixture(scope="module")
def scorers(models: Models) -> dict[str, tuple[Scorer, Scorer]]:
    """Each model twice: with its fast path, and without."""
    pairs = {}
    for signature in NUMERIC:
        model = models.load(f"echo:{signature}")
        direct, usual = Scorer(model), Scorer(model)
        assert direct._fast is not None
        usual._fast = None
        pairs[signature] = (direct, usual)
    return pairs


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(signature=st.sampled_from(NUMERIC), body=bodies)
@example(signature="floats", body={"dataframe_split": {"columns": ["a", "b"], "data": [[2**24 + 1, 2**53 + 1]]}})
@example(signature="floats", body={"dataframe_split": {"columns": ["a", "b"], "data": [[1e39, float("nan")]]}})
@example(signature="doubles", body={"dataframe_split": {"columns": ["a", "b"], "data": [[0, -0.0], [1, True]]}})
@example(signature="longs", body={"dataframe_split": {"columns": ["a", "b"], "data": [[2**63 - 1, -(2**63)]]}})
def test_both_ways_agree(signature: str, body: Any, scorers: dict[str, tuple[Scorer, Scorer]]) -> None:
    assert_agree(json.dumps(body).encode(), *scorers[signature])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("signature", NUMERIC)
@pytest.mark.parametrize(
    "text",
    [
        "[-0, -0.0]", "[1e400, 1]", "[1E5, 1e-5]", "[0.1, 100000000000000000000000]", "[5e-324, 2.2250738585072011e-308]",
        "[9007199254740993, 9007199254740992.9]", "[NaN, Infinity]", "[18446744073709551616, -18446744073709551616]", "[1,]",
        '["1", 1]', "[1, 2, 3]", "[null, 1]", "[01, 1]", "[1.0, 2]", "[\t1 ,\n2 ]", "[true, 1]",
    ],
)  # fmt: skip
def test_both_ways_agree_on_spellings(text: str, signature: str, scorers: Any) -> None:
    for table in (
        f'{{"dataframe_split": {{"columns": ["a", "b"], "data": [{text}]}}}}',
        f'\ufeff{{"dataframe_split": {{"columns": ["a", "b"], "data": [{text}]}}}}',
        f'{{"dataframe_split": {{"columns": ["\\u0061", "b"], "data": [[1, 2]], "data": [{text}]}}}}',
        f'{{"dataframe_split": {{"columns": ["a", "b\ud800"], "data": [{text}]}}}}',
    ):
        assert_agree(table.encode("utf-8", "surrogatepass"), *scorers[signature])


def assert_agree(body: bytes, direct: Scorer, usual: Scorer) -> None:
    ours, theirs = direct.score(JSON, body), usual.score(JSON, body)
    assert (ours.status, ours.content_type) == (theirs.status, theirs.content_type)
    assert json.dumps(json.loads(ours.body)) == json.dumps(json.loads(theirs.body))


@pytest.mark.parametrize("signature", NUMERIC)
def test_plain_numbers_take_the_direct_way(signature: str, scorers: Any) -> None:
    path = scorers[signature][0]._fast
    names = list(SIGNATURES[signature].inputs.input_names())
    row = list(range(len(names)))
    table = {"columns": names, "data": [row, row]}
    record = dict(zip(names, row, strict=True))
    for body in (
        {"dataframe_split": table},
        {"dataframe_split": {**table, "index": [0, 1]}, "client_request_id": "x"},
        {"dataframe_records": [record]},
        {"inputs": [record]},
        {"instances": [record]},
    ):
        frame = path.frame(json.dumps(body).encode())
        assert frame is not None, body
        assert list(frame.columns) == names


@pytest.mark.parametrize("signature", sorted(set(SIGNATURES) - set(NUMERIC)))
def test_other_signatures_have_no_direct_way(signature: str, models: Models) -> None:
    assert fastpath.build(models.load(f"echo:{signature}")) is None


@pytest.mark.parametrize("kind", ["logistic", "forest", "regression"])
def test_real_models_answer_alike(kind: str, models: Models) -> None:
    direct, usual = Scorer(models.load(f"sklearn:{kind}")), Scorer(models.load(f"sklearn:{kind}"))
    assert direct._fast is not None
    usual._fast = None
    for count in (1, 7, 500):
        rows = np.random.default_rng(count).normal(size=(count, 4)).tolist()
        body = json.dumps({"dataframe_split": {"columns": FEATURES, "data": rows}}).encode()
        assert direct._fast.frame(body) is not None
        # To the last bit: a float's shortest text tells it exactly.
        assert json.loads(direct.score(JSON, body).body) == json.loads(usual.score(JSON, body).body)


@pytest.mark.parametrize(
    "prediction",
    [
        np.array([0.1, 1e22, 5e-324, -0.0, 1e16]),
        np.array([0.1, 3.4e38], dtype=np.float32),
        np.array([0.1], dtype=np.float16),
        np.array([float("nan"), float("inf")]),
        np.array([[1, -(2**63)]]),
        np.array([2**64 - 1], dtype=np.uint64),
        np.array([True, False]),
        np.array(["a", "zażółć", "\ud800", '"\n']),
        np.array(["a", "b"], dtype=object),
        np.array(["a", None, 1, float("nan")], dtype=object),
        np.array([]),
        np.array(7),
        np.array([], dtype=object),
        np.array(["2024-01-01"], dtype="datetime64[D]"),
        [1, 2.5, None],
        {"a": np.float32(0.1)},
        None,
    ],
    ids=repr,
)
def test_answers_are_written_alike(prediction: Any) -> None:
    assert json.dumps(json.loads(fastpath.dump(prediction))) == json.dumps(json.loads(stock.dump(prediction)))


def test_without_orjson_the_standard_library_does(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastpath, "orjson", None)
    monkeypatch.setattr(fastpath, "_loads", json.loads)
    scorer = Scorer(models.load("sklearn:regression"))
    body = json.dumps({"dataframe_split": {"columns": FEATURES, "data": [[1, 2, 3, float("nan")]]}}).encode()
    assert scorer._fast is not None
    frame = scorer._fast.frame(body)
    assert frame is not None
    assert np.isnan(frame.iloc[0, 3])
    assert fastpath.dump(np.array([0.1])) == b'{"predictions": [0.1]}'
