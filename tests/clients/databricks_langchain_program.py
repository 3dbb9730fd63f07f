"""ChatDatabricks and DatabricksEmbeddings of databricks-langchain, as its documentation uses them.

Needs DATABRICKS_HOST and DATABRICKS_TOKEN; prints one line of JSON for each thing tried. The endpoints are those of
``test_matrix.py``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from databricks_langchain import ChatDatabricks, DatabricksEmbeddings

chat = ChatDatabricks(endpoint="matrix-chat", temperature=0.5)


def invoke() -> None:
    answer = chat.invoke([("system", "be brief"), ("human", "hello")])
    assert answer.content == "heard hello at 0.5", answer


def stream() -> None:
    chunks = list(chat.stream("hello"))
    assert "".join(chunk.content for chunk in chunks) == "heard hello", chunks


def ainvoke() -> None:
    answer = asyncio.run(chat.ainvoke("hello"))
    assert answer.content == "heard hello at 0.5", answer


def of_an_agent() -> None:
    answer = ChatDatabricks(endpoint="matrix-agent").invoke("hello")
    assert "heard hello" in str(answer.content), answer


def of_responses() -> None:
    answer = ChatDatabricks(endpoint="matrix-responses", use_responses_api=True).invoke("hello")
    assert "heard hello" in str(answer.content), answer


def of_responses_streamed() -> None:
    chunks = list(ChatDatabricks(endpoint="matrix-responses", use_responses_api=True).stream("hello"))
    assert "heard " in str(chunks[0].content), chunks


def embeddings() -> None:
    embedder = DatabricksEmbeddings(endpoint="matrix-texts")
    assert embedder.embed_documents(["a", "bc"]) == [[1, 0.5], [2, 0.5]]
    assert embedder.embed_query("abc") == [3, 0.5]


CASES: dict[str, Callable[[], None]] = {
    "ChatDatabricks.invoke": invoke,
    "ChatDatabricks.stream": stream,
    "ChatDatabricks.ainvoke": ainvoke,
    "ChatDatabricks.invoke of a ChatAgent": of_an_agent,
    "ChatDatabricks.invoke with use_responses_api": of_responses,
    "ChatDatabricks.stream with use_responses_api": of_responses_streamed,
    "DatabricksEmbeddings": embeddings,
}

for name, case in CASES.items():
    try:
        case()
    except Exception as error:  # noqa: BLE001 - what does not work is what this finds out
        print(json.dumps({"case": name, "error": f"{type(error).__name__}: {error}"}))
    else:
        print(json.dumps({"case": name, "error": None}))
