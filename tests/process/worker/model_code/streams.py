"""Streams what its input lists, and can fail at any point of it."""

import os

import pydantic
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Chunk(pydantic.BaseModel):
    text: str


class Streams(PythonModel):
    def predict(self, context, model_input, params=None):
        return {"whole": model_input, "params": params}

    def predict_stream(self, context, model_input, params=None):
        try:
            for item in model_input["messages"]:
                yield produce(item, model_input, params)
        finally:
            marker = os.environ.get("MODEL_CLOSED_MARKER")
            if marker:
                with open(marker, "a") as file:
                    file.write("closed\n")


def produce(item, model_input, params):
    content = item["content"]
    if content == "fail":
        raise ValueError("the muse left")
    if content == "refuse":
        raise MlflowException.invalid_parameter_value("not this one")
    if content == "set":
        return {1, 2}
    if content == "pydantic":
        return Chunk(text="p")
    if content == "input":
        return {"input": model_input, "params": params}
    if content == "text":
        return "plain"
    if content == "big":
        return {"delta": "x" * 100_000}
    return {"delta": content}


set_model(Streams())
