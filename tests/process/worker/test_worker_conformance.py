"""A worker answers as MLflow's own scoring does: same status, same JSON value, same error code, case by case."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import pytest
from harness import Answer, Peer, RunningWorker, Zygote, make_spec
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server

from models import FEATURES, Models

JSON = "application/json"
CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"
UNEXPECTED = "Encountered an unexpected error while evaluating the model. Verify that the input is compatible"


def split(*rows: list[Any], columns: list[str] | None = None, **more: Any) -> dict[str, Any]:
    names = ["a", "b"][: len(rows[0]) if rows else 2] if columns is None else columns
    return {"dataframe_split": {"columns": names, "data": list(rows), **more}}


def records(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"dataframe_records": list(rows)}


IRIS = [[5.1, 3.5, 1.4, 0.2], [6.0, 2, 4, 1]]
PAIRS = [[1, 2.5], [3, 4]]
USER = {"role": "user", "content": "hi"}

CASES: list[tuple[str, Any]] = [
    # The formats, over the signature that the fast path takes.
    ("sklearn:logistic", split(*IRIS, columns=FEATURES)),
    ("sklearn:logistic", records(*(dict(zip(FEATURES, row, strict=True)) for row in IRIS))),
    ("sklearn:logistic", {"inputs": [dict(zip(FEATURES, row, strict=True)) for row in IRIS]}),
    ("sklearn:logistic", {"instances": [dict(zip(FEATURES, row, strict=True)) for row in IRIS]}),
    ("sklearn:logistic", {"inputs": {name: [1.0, 2.0] for name in FEATURES}}),
    ("sklearn:logistic", split([float("nan"), 1, 2, 3], columns=FEATURES)),
    ("sklearn:forest", split(*IRIS, columns=FEATURES)),
    ("sklearn:regression", split(*IRIS, columns=FEATURES)),
    ("sklearn:regression", split(*IRIS, columns=FEATURES, index=[0, 1])),
    ("echo:doubles", split(*PAIRS)),
    ("echo:doubles", split(*PAIRS, index=[0, 1])),
    ("echo:doubles", split(*PAIRS, index=["x", "y"])),
    ("echo:doubles", split(*PAIRS, index=[7, 5])),
    ("echo:doubles", split(*PAIRS, index=[True, False])),
    ("echo:doubles", split(*PAIRS, index=[0])),
    ("echo:doubles", split(*PAIRS, columns=["b", "a"])),
    ("echo:doubles", split([1, 2, 3], columns=["a", "x", "b"])),
    ("echo:doubles", split([1], columns=["a"])),
    ("echo:doubles", split(*PAIRS, columns=["a", "a"])),
    ("echo:doubles", split(*PAIRS, columns=[])),
    ("echo:doubles", {"dataframe_split": {"data": PAIRS}}),
    ("echo:doubles", {"dataframe_split": {"columns": ["a", "b"]}}),
    ("echo:doubles", split(*PAIRS, colour="mauve")),
    ("echo:doubles", {"dataframe_split": PAIRS}),
    ("echo:doubles", split()),
    ("echo:doubles", split([1, 2], [3])),
    ("echo:doubles", split([1, None])),
    ("echo:doubles", split(["5.1", 2])),
    ("echo:doubles", split(["five", 2])),
    ("echo:doubles", split([True, 2])),
    ("echo:doubles", split([[1], 2])),
    ("echo:doubles", split([float("nan"), float("inf")])),
    ("echo:doubles", split([2**53 + 1, 10**400])),
    ("echo:doubles", split([2**64, 2**63])),
    ("echo:doubles", b'{"dataframe_split": {"columns": ["a", "b"], "data": [[-0, -0.0], [1e400, 1E-400]]}}'),
    ("echo:doubles", b'{"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2]]}, "dataframe_split": 5}'),
    ("echo:doubles", records({"a": 1, "b": 2}, {"b": 4, "a": 3})),
    ("echo:doubles", records({"a": 1, "b": 2}, {"a": 3})),
    ("echo:doubles", records({"a": 1, "b": 2, "c": 3})),
    ("echo:doubles", {"dataframe_records": {"a": 1}}),
    ("echo:doubles", records()),
    ("echo:doubles", {"inputs": PAIRS}),
    ("echo:doubles", {"inputs": 1}),
    ("echo:doubles", {"instances": PAIRS}),
    ("echo:doubles", {"instances": [{"a": 1, "b": 2}, {"a": 3}]}),
    ("echo:doubles", {"inputs": {"a": [1, 2], "b": [3]}}),
    ("echo:doubles", {**split(*PAIRS), "inputs": 1}),
    ("echo:doubles", {**split(*PAIRS), "params": {"x": 1}}),
    ("echo:doubles", {**split(*PAIRS), "params": None}),
    ("echo:doubles", {**split(*PAIRS), "client_request_id": "7", "databricks_options": {}, "whatever": 1}),
    ("echo:doubles", {**split(*PAIRS), "signature_name": "x"}),
    ("echo:doubles", {"signature_name": "x", "inputs": [{"a": 1, "b": 2}]}),
    ("echo:doubles", {}),
    ("echo:doubles", {"data": [1]}),
    ("echo:doubles", [1, 2]),
    ("echo:doubles", "text"),
    ("echo:doubles", None),
    ("echo:doubles", b""),
    ("echo:doubles", b"{"),
    ("echo:doubles", b"not json"),
    ("echo:doubles", json.dumps(split(*PAIRS)).encode("utf-16")),
    ("echo:doubles", {**split(*PAIRS), "messages": [USER]}),
    ("echo:one_double", {"inputs": [1, 2]}),
    ("echo:one_double", split([1])),
    ("echo:one_double", records({"a": 1})),
    # The other numeric types.
    ("echo:floats", split([1.1, 1e300], [16777217, 2**53 + 1])),
    ("echo:floats", split([1, 2])),
    ("echo:floats", {"inputs": [{"a": 1.1, "b": 2}]}),
    ("echo:longs", split([1, 2], [2**62 + 1, -(2**63)])),
    ("echo:longs", split([1.5, 1.0])),
    ("echo:longs", split(["7", True])),
    ("echo:longs", split([2**63, 1])),
    ("echo:longs", split([None, 1])),
    ("echo:integers", split([1, -(2**31)], [2**31 - 1, 0])),
    ("echo:integers", split([2**31, 1])),
    ("echo:integers", {"inputs": [{"a": 1, "b": 2}]}),
    ("echo:mixed", split([1, "x", True], columns=["n", "s", "flag"])),
    ("echo:mixed", split([1, None, None], columns=["n", "s", "flag"])),
    ("echo:mixed", split(["1", 5, "false"], columns=["n", "s", "flag"])),
    ("echo:mixed", {"inputs": [{"n": 1, "s": None, "flag": False}]}),
    ("echo:optional", split([1], columns=["a"])),
    ("echo:optional", split([1, None], columns=["a", "b"])),
    ("echo:unnamed", split([1, 2])),
    ("echo:unnamed", {"dataframe_split": {"data": PAIRS}}),
    ("echo:unnamed", {"inputs": PAIRS}),
    ("echo:binary", split(["aGVsbG8="], columns=["data"])),
    ("echo:binary", split(["aGVsbG8"], columns=["data"])),
    ("echo:binary", {"inputs": [{"data": "aGVsbG8="}]}),
    ("echo:datetime", split(["2024-01-02"], ["2024-01-02T03:04:05.000000006"], columns=["at"])),
    ("echo:datetime", split([None], columns=["at"])),
    ("echo:datetime", split([5], columns=["at"])),
    ("echo:datetime", split(["2024-01-02T03:04:05Z"], columns=["at"])),
    ("echo:datetime", split(["soon"], columns=["at"])),
    ("echo:nested", {"inputs": [{"list": [1, 2], "object": {"x": 1}}]}),
    ("echo:nested", records({"list": [1, 2], "object": {"x": 1, "y": "z"}, "map": {"k": "v"}, "any": [1, "x"]})),
    ("echo:nested", records({"list": [1, 2], "object": {"x": 1, "unknown": 2}})),
    ("echo:nested", records({"list": [1, 2], "object": {}})),
    ("echo:nested", {"instances": [{"list": [1, 2], "object": {"x": 1}}]}),
    ("echo:tensor", {"inputs": [[1, 2], [3, 4]]}),
    ("echo:tensor", {"inputs": [[1, 2, 3]]}),
    ("echo:tensor", {"dataframe_split": {"data": PAIRS}}),
    ("echo:named_tensors", {"inputs": {"x": [1.5, 2], "y": [1, 2]}}),
    ("echo:named_tensors", {"instances": [{"x": 1, "y": 2}, {"x": 3, "y": 4}]}),
    ("echo:none", {"inputs": [1, 2]}),
    ("echo:none", {"inputs": {"a": [1], "b": "x"}}),
    ("echo:none", {"inputs": "text"}),
    ("echo:none", split([1, "x"])),
    ("echo:none", {"messages": [USER], "temperature": 1}),
    ("echo:none", {"prompt": "hi"}),
    ("echo:none", {"input": ["hi"]}),
    # Params.
    ("echo:params", {**split([1]), "params": {"temperature": 1, "top": 5, "words": ["a"], "since": "2024-05-06"}}),
    ("echo:params", split([1])),
    ("echo:params", {**split([1]), "params": {"unknown": 1}}),
    ("echo:params", {**split([1]), "params": {"temperature": None}}),
    ("echo:params", {**split([1]), "params": {"temperature": "1"}}),
    ("echo:params", {**split([1]), "params": {"top": 2.0}}),
    ("echo:params", {**split([1]), "params": {"words": "x"}}),
    ("echo:params", {**split([1]), "params": [1]}),
    ("echo:chat_params", {"messages": [USER], "temperature": 0.1}),
    ("echo:chat_params", {"messages": [USER], "stream": True}),
    ("echo:chat_params", {"messages": "hi"}),
    # Type hints.
    ("typed", {"inputs": [{"name": "tea", "count": 2}, {"name": "milk"}]}),
    ("typed", {"inputs": [{"count": 2}]}),
    ("typed", {"inputs": {"name": "tea"}}),
    ("typed", records({"name": "tea"})),
    # Agents.
    ("responses", {"input": [USER]}),
    ("responses", {"input": [{"role": "user"}]}),
    ("responses", {"input": 5}),
    ("chat", {"messages": [USER]}),
    ("chat", {"messages": [USER], "temperature": 0.3, "unknown": 1}),
    ("chat", {"messages": []}),
    # Predictions of every kind.
    *(
        ("returns", {"inputs": kind})
        for kind in (
            "frame", "series", "unnamed_series", "array", "float32", "nan", "bool_array", "text_array", "object_array", "uint64",
            "scalar_array", "empty_array", "datetimes", "nanoseconds", "bytes", "bytes_array", "timestamp", "date", "none", "list",
            "tuple", "numpy_scalar", "ordered", "text", "value_error", "key_error", "mlflow_error",
        )
    ),
]  # fmt: skip

OTHER_TYPES: list[tuple[str, str, bytes]] = [
    ("echo:doubles", "application/json; charset=utf-8", json.dumps(split(*PAIRS)).encode()),
    ("echo:doubles", "application/json;charset=UTF-8", json.dumps(split(*PAIRS)).encode()),
    ("echo:doubles", 'application/json; charset="utf-8"', json.dumps(split(*PAIRS)).encode()),
    ("echo:doubles", "application/json; charset=latin-1", json.dumps(split(*PAIRS)).encode()),
    ("echo:doubles", "application/json; format=pandas-split", json.dumps(split(*PAIRS)).encode()),
    ("echo:doubles", "Application/JSON", json.dumps(split(*PAIRS)).encode()),
    ("echo:doubles", "text/plain", b"1,2"),
    ("echo:doubles", CSV, b"a,b\n1,2.5\n3,4\n"),
    ("echo:doubles", CSV, b"a\n1\n"),
    ("echo:doubles", CSV, b"a,b\nx,y\n"),
    ("echo:doubles", CSV, b""),
    ("echo:doubles", CSV, b"a,b\n\xff,1\n"),
    ("echo:none", CSV, "n,s\n1,zażółć\n".encode()),
    ("echo:doubles", PARQUET, b"not parquet"),
    ("echo:none", PARQUET, pd.DataFrame({"x": [1, 2]}).to_parquet()),
]


@pytest.fixture(scope="module")
def peer_of(shared_zygote: Zygote, models: Models, folder: Any) -> Iterator[Callable[[str], Peer]]:
    """One worker a model, for all cases of it."""
    workers: list[RunningWorker] = []
    peers: dict[str, Peer] = {}

    def find(model: str) -> Peer:
        if model not in peers:
            workers.append(shared_zygote.fork(make_spec(folder, models.path(model))))
            peers[model] = workers[-1].ready_peer()
        return peers[model]

    yield find
    for worker in workers:
        worker.kill()


@pytest.fixture(scope="module")
def stock(models: Models) -> Callable[[str, str, bytes], tuple[int, Any]]:
    """MLflow's own answer."""
    loaded: dict[str, Any] = {}

    def ask(name: str, content_type: str, body: bytes) -> tuple[int, Any]:
        model = loaded.setdefault(name, None) or loaded.update({name: models.load(name)}) or loaded[name]
        try:
            result = scoring_server.invocations(body, content_type, model, model.metadata.get_input_schema())
        except MlflowException as error:
            return error.get_http_status_code(), {"error_code": error.error_code, "message": error.message}
        if result.status != 200:
            return result.status, {"error_code": "BAD_REQUEST", "message": result.response}
        return 200, json.loads(result.response)

    return ask


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("model", "body"), CASES, ids=[f"{i}-{model}" for i, (model, _) in enumerate(CASES)])
def test_answers_json_as_mlflow_does(model: str, body: Any, peer_of: Any, stock: Any) -> None:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    assert_same(peer_of(model).ask(sent), *stock(model, JSON, sent))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("model", "content_type", "body"), OTHER_TYPES)
def test_answers_other_types_as_mlflow_does(
    model: str, content_type: str, body: bytes, peer_of: Any, stock: Any
) -> None:
    assert_same(peer_of(model).ask(body, content_type), *stock(model, content_type, body))


def assert_same(answer: Answer, status: int, value: Any) -> None:
    assert answer.status == status, answer
    assert answer.content_type == JSON
    if status == 200:
        # As text, where NaN equals NaN and 1 is not 1.0.
        assert json.dumps(answer.json) == json.dumps(value)
        return
    assert set(answer.json) == {"error_code", "message"}
    assert answer.json["error_code"] == value["error_code"]
    if "Verify that the serialized input Dataframe" in value["message"]:
        assert answer.json["message"].startswith(UNEXPECTED)
    elif len(value["message"]) <= 2000:
        # MLflow prints sets, in an order of each process's own.
        assert sorted(answer.json["message"]) == sorted(value["message"])


@pytest.mark.parametrize(
    ("signature", "body", "columns"),
    [
        ("longs", split([1.5, "7"]), {"a": ["int64", ["1"]], "b": ["int64", ["7"]]}),
        ("longs", split([2**63, 1]), {"a": ["int64", ["-9223372036854775808"]], "b": ["int64", ["1"]]}),
        ("integers", split([2**31, 1]), {"a": ["int32", ["-2147483648"]], "b": ["int32", ["1"]]}),
        ("floats", split([1e300, 0.5]), {"a": ["float32", ["inf"]], "b": ["float32", ["0.5"]]}),
        ("doubles", split([None, "5.1"]), {"a": ["float64", ["nan"]], "b": ["float64", ["5.1"]]}),
        ("doubles", split([2**53 + 1, True]), {"a": ["float64", ["9007199254740992.0"]], "b": ["float64", ["1.0"]]}),
        ("binary", split(["aGVs\nbG8="], columns=["data"]), {"data": ["object", ["b'hello'"]]}),
        (
            "datetime",
            split(["2024-01-02T03:04:05.000000006"], columns=["at"]),
            {"at": ["datetime64[ns]", ["Timestamp('2024-01-02 03:04:05.000000006')"]]},
        ),
        (
            "datetime",
            split([5], columns=["at"]),
            {"at": ["datetime64[ns]", ["Timestamp('1970-01-01 00:00:00.000000005')"]]},
        ),
    ],
)
def test_values_that_surprise_stay_as_mlflow_has_them(signature: str, body: Any, columns: Any, peer_of: Any) -> None:
    answer = peer_of(f"echo:{signature}").ask(body)
    assert answer.json["predictions"]["input"]["frame"] == columns


def test_strings_are_not_decoded_where_mlflow_does_not(peer_of: Any) -> None:
    answer = peer_of("echo:binary").ask({"inputs": [{"data": "aGVsbG8="}]})
    assert "aGVsbG8=" in json.dumps(answer.json)


def test_floats_are_written_whole(peer_of: Any) -> None:
    values = [0.1, 1e22, 1e-7, 123456789.123456789, 5e-324]
    answer = peer_of("echo:doubles").ask(split(*[[value, value] for value in values]))
    assert answer.json["predictions"]["input"]["frame"]["a"][1] == [repr(value) for value in values]


def test_csv_frames_arrive_with_the_schema_types(peer_of: Any) -> None:
    text = io.StringIO()
    pd.DataFrame({"a": [1], "b": [2]}).to_csv(text, index=False)
    answer = peer_of("echo:doubles").ask(text.getvalue().encode(), CSV)
    assert answer.json["predictions"]["input"]["frame"] == {"a": ["float64", ["1.0"]], "b": ["float64", ["2.0"]]}
