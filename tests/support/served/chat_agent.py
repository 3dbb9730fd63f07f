"""An agent that says what it was told, and which fields it was given. Logged as code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mlflow.models import set_model
from mlflow.pyfunc import ChatAgent
from mlflow.types.agent import ChatAgentChunk, ChatAgentMessage, ChatAgentResponse


class Parrot(ChatAgent):
    def predict(self, messages: list[ChatAgentMessage], context: Any = None, custom_inputs: Any = None) -> Any:
        said = ChatAgentMessage(role="assistant", content=f"heard {messages[-1].content}", id="m1")
        return ChatAgentResponse(messages=[said])

    def predict_stream(self, messages: Any, context: Any = None, custom_inputs: Any = None) -> Iterator[ChatAgentChunk]:
        for word in ("heard ", messages[-1].content):
            yield ChatAgentChunk(delta=ChatAgentMessage(role="assistant", content=word, id="m1"))


set_model(Parrot())
