"""Where a worker answers better than MLflow's own server: the hosted product's errors and keys."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import Peer, RunningWorker

USER = {"role": "user", "content": "hi"}


@pytest.fixture(scope="module")
def peers(module_fork: Callable[[str], RunningWorker]) -> Callable[[str], Peer]:
    ready: dict[str, Peer] = {}

    def find(model: str) -> Peer:
        if model not in ready:
            ready[model] = module_fork(model).ready_peer()
        return ready[model]

    return find


@pytest.mark.parametrize(
    "kind", ["set", "decimal", "complex", "missing", "tuple_keys", "timedelta", "generator", "circular"]
)
def test_a_prediction_that_is_not_json_is_an_internal_error(kind: str, peers: Any) -> None:
    answer = peers("returns").ask({"inputs": kind})
    assert answer.status == 500
    assert answer.json["error_code"] == "INTERNAL_ERROR"
    assert answer.json["message"].startswith("The model's prediction could not be turned into JSON. ")


def test_a_type_that_is_not_json_is_named(peers: Any) -> None:
    assert "Decimal" in peers("returns").ask({"inputs": "decimal"}).json["message"]


@pytest.mark.parametrize(
    ("kind", "text"),
    [("value_error", "no such colour: mauve"), ("key_error", "'colour'"), ("empty_error", "RuntimeError"),
     ("recursion", "maximum recursion depth exceeded")],
)  # fmt: skip
def test_an_exception_of_the_model_is_told_without_its_traceback(kind: str, text: str, peers: Any) -> None:
    answer = peers("returns").ask({"inputs": kind})
    assert answer.status == 400
    assert answer.json == {"error_code": "BAD_REQUEST", "message": answer.json["message"]}
    assert answer.json["message"].startswith("Encountered an unexpected error while evaluating the model.")
    assert f"Error '{text}" in answer.json["message"]


def test_tracebacks_go_to_the_log(fork: Any) -> None:
    worker = fork("returns")
    worker.ask({"inputs": "value_error"})
    assert "Traceback" in worker.log
    assert "ValueError: no such colour: mauve" in worker.log


def test_messages_are_cut_in_the_middle(peers: Any) -> None:
    message = peers("returns").ask({"inputs": "long_error"}).json["message"]
    assert len(message) <= 2000
    assert message.endswith("x'")
    wrong = json.dumps({"dataframe_split": {"columns": ["x"], "data": [["y" * 100_000]]}}).encode()
    message = peers("echo:doubles").ask(wrong).json["message"]
    assert len(message) <= 2000
    assert "missing inputs" in message


def test_an_mlflow_exception_of_the_model_keeps_its_status(peers: Any) -> None:
    answer = peers("returns").ask({"inputs": "mlflow_error"})
    assert (answer.status, answer.json["error_code"]) == (403, "PERMISSION_DENIED")
    assert answer.json["message"].endswith("not for you")


def test_a_missing_content_type_means_json(peers: Any) -> None:
    body = {"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2]]}}
    assert peers("echo:doubles").ask(body, "").status == 200
    assert peers("echo:none").ask({"inputs": [1]}, "").status == 200


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs": "\xff\xfe\xfd"}',
        b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"inputs": ' + b"1" * 5000 + b"}",
        b"[" * 100_000,
    ],
)
def test_a_body_that_breaks_the_parser_is_a_bad_request(body: bytes, peers: Any) -> None:
    for model in ("echo:doubles", "echo:none"):
        answer = peers(model).ask(body)
        assert (answer.status, answer.json["error_code"]) == (400, "BAD_REQUEST")


def test_keys_of_the_serving_layer_are_not_model_input(peers: Any) -> None:
    extra = {"client_request_id": "c", "usage_context": {"a": "b"}, "databricks_options": {}, "stream": False}
    answer = peers("echo:none").ask({"messages": [USER], "temperature": 1, **extra})
    assert set(answer.json["input"]) == {"messages", "temperature"}


def test_a_layer_key_that_the_model_declares_is_its_own(peers: Any) -> None:
    answer = peers("echo:chat_params").ask({"messages": [USER], "stream": True})
    assert answer.status == 200
    assert answer.json["params"]["stream"] == "bool True"


def test_a_stream_of_a_model_that_cannot_is_refused(peers: Any) -> None:
    for model, body in (("echo:none", {"messages": [USER]}), ("echo:doubles", {"inputs": [{"a": 1, "b": 2}]})):
        answer = peers(model).ask({**body, "stream": True})
        assert (answer.status, answer.json["error_code"]) == (400, "BAD_REQUEST")
        assert "does not support streaming" in answer.json["message"]


def test_a_plain_text_becomes_a_message_for_a_responses_agent(peers: Any) -> None:
    answer = peers("responses").ask({"input": "hello there"})
    assert answer.status == 200
    assert answer.json["output"][0]["content"][0]["text"] == "hello there"


def test_the_time_of_the_prediction_is_told(peers: Any) -> None:
    assert peers("misbehaves").ask({"inputs": "nap"}).predict_ms >= 500
    assert peers("misbehaves").ask({"inputs": "pid"}).predict_ms < 500


def test_a_prediction_beyond_a_frame_is_an_internal_error(peers: Any) -> None:
    answer = peers("misbehaves").ask({"inputs": "enormous"})
    assert (answer.status, answer.json["error_code"]) == (500, "INTERNAL_ERROR")
    assert peers("misbehaves").ask({"inputs": "pid"}).status == 200


def test_agents_are_not_traced_into_a_database_of_their_own(fork: Any) -> None:
    """MLflow traces them unasked, and without a tracking server it would make a database in the working folder."""
    worker = fork("responses")
    assert worker.ask({"input": "hi"}).status == 200
    assert "database" not in worker.log
    assert not Path("/mlflow.db").exists()
