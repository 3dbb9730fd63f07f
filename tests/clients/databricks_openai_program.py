"""Chat, responses and embeddings with databricks-openai, which finds host and token by the SDK: ``HOST TOKEN``.

Prints one line of JSON for each thing tried. The endpoints are those of ``test_matrix.py``.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable

from databricks.sdk import WorkspaceClient
from databricks_openai import AsyncDatabricksOpenAI, DatabricksOpenAI

HOST, TOKEN = sys.argv[1:]
HELLO = [{"role": "user", "content": "hello"}]

workspace = WorkspaceClient(host=HOST, token=TOKEN)
client = DatabricksOpenAI(workspace_client=workspace)


def chat() -> None:
    answer = client.chat.completions.create(model="matrix-chat", messages=HELLO, temperature=0.5)
    assert answer.choices[0].message.content == "heard hello at 0.5", answer


def chat_streamed() -> None:
    chunks = list(client.chat.completions.create(model="matrix-chat", messages=HELLO, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "heard hello", chunks


def chat_async() -> None:
    async def ask() -> object:
        other = AsyncDatabricksOpenAI(workspace_client=workspace)
        answer = await other.chat.completions.create(model="matrix-chat", messages=HELLO, temperature=0.5)
        return answer.choices[0].message.content

    assert asyncio.run(ask()) == "heard hello at 0.5"


def responses() -> None:
    answer = client.responses.create(model="matrix-responses", input=HELLO)
    assert answer.output_text == "heard hello", answer


def responses_streamed() -> None:
    events = list(client.responses.create(model="matrix-responses", input=HELLO, stream=True))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == "heard hello", events


def embeddings() -> None:
    answer = client.embeddings.create(model="matrix-texts", input=["a", "bc"])
    assert [each.embedding for each in answer.data] == [[1, 0.5], [2, 0.5]], answer


CASES: dict[str, Callable[[], None]] = {
    "chat.completions": chat,
    "chat.completions, streamed": chat_streamed,
    "chat.completions, AsyncDatabricksOpenAI": chat_async,
    "responses": responses,
    "responses, streamed": responses_streamed,
    "embeddings": embeddings,
}

for name, case in CASES.items():
    try:
        case()
    except Exception as error:  # noqa: BLE001 - what does not work is what this finds out
        print(json.dumps({"case": name, "error": f"{type(error).__name__}: {error}"}))
    else:
        print(json.dumps({"case": name, "error": None}))
