"""Streams: whole events in chunks, errors before the first as answers and after it as events, and an early end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import Peer, RunningWorker, wait_until

from lakeserve_worker import protocol

DONE = b"data: [DONE]\n\n"


def body(*contents: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content} for content in contents], "stream": True, **more}


def values(chunks: list[bytes]) -> list[Any]:
    """The chunks' JSON, after checking that they are data lines that end with DONE."""
    assert chunks[-1] == DONE
    for chunk in chunks:
        assert chunk.startswith(b"data: ")
        assert chunk.endswith(b"\n\n")
        assert chunk.count(b"\n") == 2
    return [json.loads(chunk[len(b"data: ") :]) for chunk in chunks[:-1]]


@pytest.fixture(scope="module")
def peer(module_fork: Callable[[str], RunningWorker]) -> Peer:
    return module_fork("streams").ready_peer()


def test_each_chunk_is_one_event(peer: Peer) -> None:
    chunks = peer.events(body("a", "text", "pydantic", "żółć"))
    assert values(chunks) == [{"delta": "a"}, "plain", {"text": "p"}, {"delta": "żółć"}]


def test_an_empty_stream_is_just_its_end(peer: Peer) -> None:
    assert peer.events(body()) == [DONE]


def test_layer_keys_are_not_model_input(peer: Peer) -> None:
    [value] = values(peer.events(body("input", client_request_id="c", usage_context={})))
    assert set(value["input"]) == {"messages"}


def test_an_error_before_the_first_chunk_is_an_answer(peer: Peer) -> None:
    answer = peer.ask(body("fail"))
    assert answer.status == 400
    assert "the muse left" in answer.json["message"]
    answer = peer.ask(body("refuse"))
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    answer = peer.ask({"messages": "hi", "stream": True})
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize(
    ("content", "kind", "code", "text"),
    [
        ("fail", "invalid_request_error", "BAD_REQUEST", "the muse left"),
        ("refuse", "invalid_request_error", "INVALID_PARAMETER_VALUE", "not this one"),
        ("set", "server_error", "INTERNAL_ERROR", "type set is not JSON"),
    ],
)
def test_a_later_error_is_the_last_event(content: str, kind: str, code: str, text: str, peer: Peer) -> None:
    first, last = values(peer.events(body("a", content, "b")))
    assert first == {"delta": "a"}
    assert set(last) == {"error"}
    assert (last["error"]["type"], last["error"]["code"]) == (kind, code)
    assert text in last["error"]["message"]


def test_the_connection_serves_on_after_a_stream(peer: Peer) -> None:
    peer.events(body("a", "fail"))
    assert peer.ask({"messages": [{"role": "user", "content": "x"}]}).status in (200, 500)
    assert values(peer.events(body("a"))) == [{"delta": "a"}]


def test_a_peer_that_leaves_closes_the_models_generator(fork: Any, tmp_path: Path) -> None:
    marker = tmp_path / "closed"
    worker = fork("streams", environment={"MODEL_CLOSED_MARKER": str(marker)})
    with worker.ready_peer() as leaving:
        leaving.send(json.dumps(body(*["big"] * 1000)).encode())
        assert leaving.read().kind == protocol.CHUNK
    wait_until(marker.exists, "the generator's clean-up")
    with worker.ready_peer() as peer:
        assert values(peer.events(body("a"))) == [{"delta": "a"}]


def test_agents_stream_their_own_events(module_fork: Any) -> None:
    with module_fork("responses").ready_peer() as peer:
        events = values(peer.events({"input": "hello there", "stream": True}))
    assert [(event["type"], event["delta"]) for event in events] == [
        ("response.output_text.delta", "hello"),
        ("response.output_text.delta", "there"),
    ]
    with module_fork("chat").ready_peer() as peer:
        events = values(peer.events(body("one two")))
    assert [event["choices"][0]["delta"]["content"] for event in events] == ["one", "two"]


def test_a_classic_body_can_be_streamed_too(peer: Peer) -> None:
    [value] = values(peer.events({"inputs": {"messages": [{"role": "user", "content": "input"}]}, "stream": True}))
    assert value["input"]["messages"] == [{"role": "user", "content": "input"}]


def test_hello_tells_what_can_be_streamed(module_fork: Any) -> None:
    told = {}
    for model in ("streams", "responses", "chat", "echo:none"):
        with module_fork(model).peer() as peer:
            hello = peer.hello()
        told[model] = (hello["streamable"], hello["task"])
    assert told == {
        "streams": (True, None),
        "responses": (True, "agent/v1/responses"),
        "chat": (True, "agent/v1/chat"),
        "echo:none": (False, None),
    }
