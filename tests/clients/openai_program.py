"""Chat, responses, completions, embeddings and the list of models with OpenAI's client: ``HOST TOKEN``.

Prints one line of JSON for each thing tried. The endpoints are those of ``test_matrix.py``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

from openai import BadRequestError, NotFoundError, OpenAI

HOST, TOKEN = sys.argv[1:]
HELLO = [{"role": "user", "content": "hello"}]

client = OpenAI(base_url=f"{HOST}/serving-endpoints", api_key=TOKEN, max_retries=0)


def chat() -> None:
    answer = client.chat.completions.create(model="matrix-chat", messages=HELLO, temperature=0.5)
    assert answer.choices[0].message.content == "heard hello at 0.5", answer
    assert answer.usage.total_tokens == 3, answer


def chat_streamed() -> None:
    chunks = list(client.chat.completions.create(model="matrix-chat", messages=HELLO, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "heard hello", chunks


def responses() -> None:
    answer = client.responses.create(model="matrix-responses", input="hello")
    assert answer.output_text == "heard hello", answer


def responses_streamed() -> None:
    events = list(client.responses.create(model="matrix-responses", input="hello", stream=True))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == "heard hello", events


def completions() -> None:
    answer = client.completions.create(model="matrix-texts", prompt="hello")
    assert answer.choices[0].text == "hello!", answer


def embeddings() -> None:
    answer = client.embeddings.create(model="matrix-texts", input=["a", "bc"])
    assert [each.embedding for each in answer.data] == [[1, 0.5], [2, 0.5]], answer


def models() -> None:
    assert {"matrix-chat", "matrix-responses", "matrix-texts"} <= {model.id for model in client.models.list()}
    assert client.models.retrieve("matrix-chat").id == "matrix-chat"


def errors() -> None:
    for model, kind in (("nobody", NotFoundError), ("matrix-texts", BadRequestError)):
        try:
            list(client.completions.create(model=model, prompt="hello", stream=True))
        except kind:
            continue
        raise AssertionError(f"{model} was not refused with {kind.__name__}")


CASES: dict[str, Callable[[], None]] = {
    "chat.completions": chat,
    "chat.completions, streamed": chat_streamed,
    "responses": responses,
    "responses, streamed": responses_streamed,
    "completions": completions,
    "embeddings": embeddings,
    "models.list and models.retrieve": models,
    "errors as the client's own exceptions": errors,
}

for name, case in CASES.items():
    try:
        case()
    except Exception as error:  # noqa: BLE001 - what does not work is what this finds out
        print(json.dumps({"case": name, "error": f"{type(error).__name__}: {error}"}))
    else:
        print(json.dumps({"case": name, "error": None}))
