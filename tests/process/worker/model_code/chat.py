"""A ChatModel that repeats the last message."""

from mlflow.models import set_model
from mlflow.pyfunc import ChatModel
from mlflow.types.llm import ChatCompletionChunk, ChatCompletionResponse


class Chat(ChatModel):
    def predict(self, context, messages, params):
        text = f"{messages[-1].content} at {params.temperature}"
        return ChatCompletionResponse.from_dict(
            {
                "created": 1,
                "model": "chat",
                "choices": [{"index": 0, "message": {"role": "assistant", "content": text}}],
            }
        )

    def predict_stream(self, context, messages, params):
        for word in messages[-1].content.split():
            yield ChatCompletionChunk.from_dict(
                {
                    "created": 1,
                    "model": "chat",
                    "choices": [{"index": 0, "delta": {"role": "assistant", "content": word}}],
                }
            )


set_model(Chat())
