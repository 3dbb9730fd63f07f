"""What a request comes to: an answer's bytes, and how an error is told.

Errors have one shape, ``{"error_code", "message"}``, whatever MLflow would have sent (plain text for some, stack traces and
classification for others). A traceback goes to the worker's log. Messages are cut in the middle: MLflow echoes the whole
input at one end of some, and has the reason at the other.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from mlflow.exceptions import MlflowException

from lakeserve_worker import process

if TYPE_CHECKING:
    from lakeserve_worker.streaming import Stream

JSON = "application/json"
MAX_MESSAGE = 2000


class Answer(NamedTuple):
    """``events`` is set instead of ``body`` for a stream."""

    status: int
    content_type: str
    body: bytes
    predict_ms: float
    events: Stream | None = None


class Failure(NamedTuple):
    status: int
    error_code: str
    message: str

    def answer(self, predict_ms: float = 0.0) -> Answer:
        body = json.dumps({"error_code": self.error_code, "message": cut(self.message)}).encode()
        return Answer(self.status, JSON, body, predict_ms)


class Refused(Exception):
    """Our own refusal of a request, before MLflow sees it."""

    def __init__(self, message: str, status: int = 400, error_code: str = "BAD_REQUEST") -> None:
        super().__init__(message)
        self.failure = Failure(status, error_code, message)


def of_mlflow(error: MlflowException) -> Failure:
    trace = getattr(error, "json_kwargs", {}).get("stack_trace")
    if trace:
        process.log(str(trace))
    return Failure(int(error.get_http_status_code()), str(error.error_code), str(error.message))


def of_model(error: BaseException) -> Failure:
    """An exception out of the model's own code. It may well be the input's fault, so the client is told to look there.

    Clients retry on the phrase "Encountered an Unexpected Error" in its capitalised form; this one they do not.
    """
    process.log_exception("the model raised an exception:", error)
    return Failure(
        400,
        "BAD_REQUEST",
        "Encountered an unexpected error while evaluating the model. Verify that the input is compatible with the model"
        f" for inference. Error '{cut(describe(error))}'",
    )


def of_result(error: Exception) -> Failure:
    process.log_exception("the prediction could not be serialised:", error)
    return Failure(500, "INTERNAL_ERROR", f"The model's prediction could not be turned into JSON. {describe(error)}")


def describe(error: BaseException) -> str:
    """Its text, or its type when it has none."""
    try:
        return str(error) or type(error).__name__
    # The exception's class is the model's own code, too.
    except Exception:  # noqa: BLE001
        return type(error).__name__


def cut(message: str) -> str:
    if len(message) <= MAX_MESSAGE:
        return message
    half = MAX_MESSAGE // 2 - 3
    return f"{message[:half]} ... {message[-half:]}"
