"""Completions and embeddings without a signature: the model gets every field that reaches it, and tells which. Logged as code."""

from __future__ import annotations

from typing import Any

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Texts(PythonModel):
    def predict(self, context: Any, model_input: Any, params: Any = None) -> dict[str, Any]:
        fields = sorted(model_input)
        texts = model_input["input"] if "input" in fields else model_input["prompt"]
        texts = [texts] if isinstance(texts, str) else list(texts)
        if "input" in fields:
            data = [{"object": "embedding", "index": i, "embedding": [len(text), 0.5]} for i, text in enumerate(texts)]
            return {"object": "list", "model": ",".join(fields), "data": data}
        choices = [{"index": i, "text": f"{text}!", "finish_reason": "stop"} for i, text in enumerate(texts)]
        return {"id": "c1", "object": "text_completion", "created": 1, "model": ",".join(fields), "choices": choices}


set_model(Texts())
