"""Chat in the shapes of OpenAI without a signature, so that messages may come in parts. Logged as code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Parrot(PythonModel):
    def predict(self, context: Any, model_input: Any, params: Any = None) -> dict[str, Any]:
        message = {"role": "assistant", "content": f"heard {_said(model_input)}"}
        usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return _answer("chat.completion", choice) | {"usage": usage}

    def predict_stream(self, context: Any, model_input: Any, params: Any = None) -> Iterator[dict[str, Any]]:
        for word in ("heard ", _said(model_input)):
            choice = {"index": 0, "delta": {"role": "assistant", "content": word}, "finish_reason": None}
            yield _answer("chat.completion.chunk", choice)
        yield _answer("chat.completion.chunk", {"index": 0, "delta": {}, "finish_reason": "stop"})


def _answer(kind: str, choice: dict[str, Any]) -> dict[str, Any]:
    return {"id": "c1", "object": kind, "created": 1, "model": "parrot", "choices": [choice]}


def _said(model_input: Any) -> str:
    content = model_input["messages"][-1]["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


set_model(Parrot())
