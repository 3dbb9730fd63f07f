"""The unmodified OpenAI client, and the SDK's query in the same words, against models of MLflow's kinds behind a running server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.service.serving import ChatMessage, ChatMessageRole
from openai import BadRequestError, NotFoundError, OpenAI, PermissionDeniedError

from support.registry import short_folder
from support.server import TOKEN, Server, log_served_models, poll

KINDS = ("chat_model", "chat_agent", "responses_agent", "texts")
HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def agents(server: Server) -> Iterator[Server]:
    """Endpoints with the names of their models; hyphens for underscores."""
    with short_folder() as folder:
        log_served_models(server, folder, "support.log_agents")
    for kind in KINDS:
        assert server.create(kind, kind).status == 200
    for kind in KINDS:
        server.ready(kind)
    yield server
    for kind in KINDS:
        server.delete(kind)


@pytest.fixture(scope="module")
def client(agents: Server) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{agents.url}/serving-endpoints", api_key=TOKEN, max_retries=0) as made:
        yield made


def test_chat(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="chat_model", messages=HELLO, temperature=0.5)  # type: ignore[arg-type]
    assert answer.choices[0].message.content == "heard hello at 0.5"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 3
    raw = client.chat.completions.with_raw_response.create(model="chat_model", messages=HELLO)  # type: ignore[arg-type]
    assert raw.headers["served-model-name"] == "chat_model-1"
    assert raw.headers["x-databricks-request-id"]


def test_chat_streamed(client: OpenAI) -> None:
    stream = client.chat.completions.create(model="chat_model", messages=HELLO, stream=True)  # type: ignore[arg-type]
    chunks = list(stream)
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "heard hello"


def test_a_chat_agent(client: OpenAI) -> None:
    """MLflow's agents answer chat in a shape of their own, which reaches the client as it is."""
    answer = client.chat.completions.create(model="chat_agent", messages=HELLO)  # type: ignore[arg-type]
    assert answer.to_dict()["messages"][0]["content"] == "heard hello"  # type: ignore[index]
    stream = client.chat.completions.create(model="chat_agent", messages=HELLO, stream=True)  # type: ignore[arg-type]
    assert "".join(chunk.to_dict()["delta"]["content"] for chunk in stream) == "heard hello"  # type: ignore[index]


def test_completions_take_messages(agents: Server) -> None:
    """Databricks' provider for the AI SDK asks agents this way."""
    answer = agents.ask("POST", "/serving-endpoints/completions", {"model": "chat_agent", "messages": HELLO})
    assert answer.status == 200, answer.body
    assert answer.json["messages"][0]["content"] == "heard hello"
    neither = agents.ask("POST", "/serving-endpoints/completions", {"model": "chat_agent"})
    assert neither.error == (400, "BAD_REQUEST")
    assert neither.json["message"] == "prompt or messages is required."


@pytest.mark.parametrize("asked", ["hello", HELLO])
def test_responses(client: OpenAI, asked: object) -> None:
    answer = client.responses.create(model="responses_agent", input=asked)  # type: ignore[call-overload]
    assert answer.output_text == "heard hello"


def test_responses_streamed(client: OpenAI) -> None:
    events = list(client.responses.create(model="responses_agent", input="hello", stream=True))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "heard hello"
    assert events[-1].type == "response.output_item.done"


def test_completions_and_embeddings_do_not_meet_the_endpoint_s_name(client: OpenAI) -> None:
    completion = client.completions.create(model="texts", prompt="hello", max_tokens=5)
    assert completion.choices[0].text == "hello!"
    assert completion.model == "max_tokens,prompt"
    embeddings = client.embeddings.create(model="texts", input=["a", "bc"], encoding_format="float")
    assert [each.embedding for each in embeddings.data] == [[1, 0.5], [2, 0.5]]
    assert embeddings.model == "encoding_format,input"


def test_the_list_of_models_is_what_the_caller_may_query(client: OpenAI, agents: Server) -> None:
    found = {model.id: model for model in client.models.list()}
    assert set(KINDS) <= found.keys()
    shown = client.models.retrieve("texts")
    assert shown == found["texts"]
    assert shown.object == "model"
    assert shown.created * 1000 <= agents.get("texts")["creation_timestamp"] < (shown.created + 1) * 1000


def test_errors(client: OpenAI, agents: Server) -> None:
    with pytest.raises(NotFoundError) as missing:
        client.chat.completions.create(model="nobody", messages=HELLO)  # type: ignore[arg-type]
    assert missing.value.body["error_code"] == "ENDPOINT_NOT_FOUND"  # type: ignore[index]
    with pytest.raises(BadRequestError, match="does not support streaming"):
        client.completions.create(model="texts", prompt="hello", stream=True)
    path = "/serving-endpoints/chat/completions"
    for body, told in (
        ({"messages": []}, "model is required; give the name of a serving endpoint."),
        ({"model": 3, "messages": []}, "model is required; give the name of a serving endpoint."),
        ({"model": "chat_model"}, "messages is required."),
        ([], "The request body must be a JSON object."),
        (b"{", "The request body is not valid JSON."),
        (b'{"model":"texts","messages":' + b"[" * 900 + b"]" * 900 + b"}", "The request body is nested too deeply."),
    ):
        answer = agents.ask("POST", path, body)
        assert answer.error == (400, "BAD_REQUEST")
        assert answer.json["message"] == told
    assert agents.ask("POST", path, b"{", token=None).error == (401, "UNAUTHENTICATED")
    assert agents.ask("GET", path).status == 405


def test_somebody_without_rights(agents: Server) -> None:
    user = agents.ask("POST", "/api/2.0/preview/scim/v2/Users", {"userName": "stranger@openai"}).json
    body = {"application_id": "stranger@openai", "lifetime_seconds": 600}
    token = agents.ask("POST", "/api/2.0/token-management/on-behalf-of/tokens", body).json["token_value"]
    with OpenAI(base_url=f"{agents.url}/serving-endpoints", api_key=token, max_retries=0) as stranger:
        poll(lambda: agents.query("texts", {"prompt": "x"}, token=token).status == 403, limit_s=5)
        assert list(stranger.models.list()) == []
        with pytest.raises(PermissionDeniedError):
            stranger.chat.completions.create(model="chat_model", messages=HELLO)  # type: ignore[arg-type]
    assert agents.ask("DELETE", f"/api/2.0/preview/scim/v2/Users/{user['id']}").status == 204


def test_the_sdk_s_query_with_messages(agents: Server) -> None:
    workspace = WorkspaceClient(host=agents.url, token=TOKEN)
    said = ChatMessage(role=ChatMessageRole.USER, content="hello")
    answer = workspace.serving_endpoints.query("chat_model", messages=[said], temperature=0.25)
    assert answer.choices is not None
    assert answer.choices[0].message is not None
    assert answer.choices[0].message.content == "heard hello at 0.25"
    assert answer.served_model_name == "chat_model-1"
