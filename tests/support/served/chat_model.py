"""A chat model in the shapes of OpenAI's chat completions. Logged as code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mlflow.models import set_model
from mlflow.pyfunc import ChatModel
from mlflow.types.llm import (
    ChatChoice,
    ChatChoiceDelta,
    ChatChunkChoice,
    ChatCompletionChunk,
    ChatCompletionResponse,
    ChatMessage,
    ChatParams,
    TokenUsageStats,
)


class Parrot(ChatModel):
    def predict(self, context: Any, messages: list[ChatMessage], params: ChatParams) -> ChatCompletionResponse:
        text = f"heard {messages[-1].content} at {params.temperature}"
        return ChatCompletionResponse(
            choices=[ChatChoice(message=ChatMessage(role="assistant", content=text))],
            usage=TokenUsageStats(prompt_tokens=1, completion_tokens=2, total_tokens=3),
            model="parrot",
        )

    def predict_stream(
        self, context: Any, messages: list[ChatMessage], params: ChatParams
    ) -> Iterator[ChatCompletionChunk]:
        for word in ("heard ", messages[-1].content):
            yield ChatCompletionChunk(
                choices=[ChatChunkChoice(delta=ChatChoiceDelta(role="assistant", content=word))], model="parrot"
            )


set_model(Parrot())
