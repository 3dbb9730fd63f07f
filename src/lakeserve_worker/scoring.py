"""One request in, one answer out: MLflow's own scoring functions, with the hosted product's manners around them.

MLflow decides what a body means and what the model gets; it is called with a stand-in for the model that takes the time and
remembers how far things came, because its errors do not tell a bad input from a result that cannot be serialised.
What is added: one shape of errors, a missing content type, keys of the serving layer that are not model input, streams.
"""

from __future__ import annotations

import inspect
import json
import time
from typing import Any, Callable

from mlflow.exceptions import MlflowException

from lakeserve_worker import answers, fastpath, protocol, stock
from lakeserve_worker.answers import JSON, Answer, Refused
from lakeserve_worker.streaming import Stream

LAYER_KEYS = ("client_request_id", "usage_context", "databricks_options", "stream")
"""Top-level keys meant for the serving layer, not for the model."""

LLM_KEYS = ("messages", "prompt", "input")
"""Any of them at the top level makes the body itself the model's input."""

MAX_BODY = protocol.MAX_FRAME - 64 * 1024

CSV = "text/csv"
RESPONSES = "agent/v1/responses"


class Observed:
    """Stands in for the model inside MLflow's scoring."""

    def __init__(self, model: Any) -> None:
        self.metadata = model.metadata
        self._model = model
        self.reset()

    def reset(self) -> None:
        self.predict_ms = 0.0
        self.returned = False
        self.error: Exception | None = None

    def predict(self, data: Any, params: Any = None) -> Any:
        return self.watch(self._model.predict, data, params=params)

    def watch(self, predict: Callable[..., Any], data: Any, **params: Any) -> Any:
        began = time.perf_counter()
        try:
            result = predict(data, **params)
            self.returned = True
        except MlflowException:
            raise
        except Exception as error:
            self.error = error
            raise
        finally:
            self.predict_ms = (time.perf_counter() - began) * 1000
        return result


class ObservedBeforeParams(Observed):
    """MLflow asks ``predict`` for its parameters; that of MLflow before 2.6 has no ``params``."""

    def predict(self, data: Any) -> Any:  # type: ignore[override]
        return self.watch(self._model.predict, data)


class Scorer:
    """A loaded model, and what its metadata says about how to ask it."""

    def __init__(self, model: Any) -> None:
        takes_params = "params" in inspect.signature(model.predict).parameters
        self._observed = (Observed if takes_params else ObservedBeforeParams)(model)
        self._model = model
        self._fast = fastpath.build(model)
        self._schema = model.metadata.get_input_schema()
        self._params = _names_of_params(model.metadata)
        names = self._schema.input_names() if self._schema is not None and self._schema.has_input_names() else ()
        self._layer_keys = tuple(key for key in LAYER_KEYS if key not in self._params and key not in names)
        flavors = model.metadata.flavors
        self.streamable = bool(flavors.get("python_function", {}).get("streamable")) and hasattr(
            model, "predict_stream"
        )
        self.task = task_of(getattr(model.metadata, "metadata", None), flavors)

    def score(self, content_type: str, body: bytes) -> Answer:
        """SystemExit and KeyboardInterrupt of the model pass; every other exception becomes an answer."""
        self._observed.reset()
        try:
            answer = self._score(content_type or JSON, body)
            if len(answer.body) > MAX_BODY:
                raise Refused("The model's prediction is too large to be answered.", 500, "INTERNAL_ERROR")
            return answer
        # The boundary of a request.
        except Exception as error:  # noqa: BLE001
            return self._failure(error).answer(self._observed.predict_ms)

    def _score(self, content_type: str, body: bytes) -> Answer:
        if not is_json(content_type):
            return self._ask(content_type, _decode(body) if content_type.startswith(CSV) else body)
        frame = None if self._fast is None else self._fast.frame(body)
        if frame is not None:
            return self._ask_fast(self._fast, frame)
        parsed = _parse(body)
        if not isinstance(parsed, dict):
            # MLflow has the words for what is wrong with it.
            return self._ask(content_type, body)
        if parsed.get("stream") is True and "stream" not in self._params:
            return self._stream(self._model_input(parsed))
        return self._ask(content_type, self._model_input(parsed))

    def _model_input(self, parsed: dict[str, Any]) -> dict[str, Any]:
        if any(key in parsed for key in LLM_KEYS):
            for key in self._layer_keys:
                parsed.pop(key, None)
            if self.task == RESPONSES and isinstance(parsed.get("input"), str):
                parsed["input"] = [{"role": "user", "content": parsed["input"]}]
        return parsed

    def _ask(self, content_type: str, data: Any) -> Answer:
        result = stock.invocations(data, content_type, self._observed, self._schema)
        if result.status != 200:
            return answers.Failure(result.status, "BAD_REQUEST", result.response).answer()
        return Answer(200, result.mimetype, result.response.encode(), self._observed.predict_ms)

    def _ask_fast(self, path: Any, frame: Any) -> Answer:
        try:
            predictions = self._observed.watch(path.predict, frame)
        except MlflowException as error:
            error.message = f"Failed to predict data '{frame}'. \nError: {error.message}"
            raise
        return Answer(200, JSON, fastpath.dump(predictions), self._observed.predict_ms)

    def _stream(self, parsed: dict[str, Any]) -> Answer:
        if not self.streamable:
            raise Refused('This model does not support streaming. Send the request without "stream": true.')
        data, params = stock.parse(parsed, self._model.metadata, self._schema)
        try:
            stream = Stream(self._model.predict_stream(data, params=params))
        except MlflowException:
            raise
        except Exception as error:
            self._observed.error = error
            raise
        return Answer(200, "text/event-stream", b"", 0.0, stream)

    def _failure(self, error: Exception) -> answers.Failure:
        if isinstance(error, Refused):
            return error.failure
        if self._observed.error is not None:
            return answers.of_model(self._observed.error)
        if isinstance(error, MlflowException):
            return answers.of_mlflow(error)
        if self._observed.returned:
            return answers.of_result(error)
        return answers.Failure(400, "BAD_REQUEST", f"Invalid input. {type(error).__name__}: {answers.describe(error)}")


def is_json(content_type: str) -> bool:
    """Whether MLflow would read the body as JSON, as opposed to another format or a refusal."""
    if content_type == JSON:
        return True
    mime, *parameters = (part.strip() for part in content_type.split(";"))
    return mime == JSON and all(parameter.lower() == "charset=utf-8" for parameter in parameters)


def _parse(body: bytes) -> Any:
    """The JSON value; None where MLflow should refuse the text in its own words.

    :raises Refused: text that MLflow, or some version of it, would not survive.
    """
    try:
        return json.loads(body)
    except json.JSONDecodeError:
        return None
    except RecursionError as error:
        raise Refused("Invalid input. The JSON is nested too deeply.") from error
    except ValueError as error:
        raise Refused(
            f"Invalid input. Ensure that input is a valid JSON formatted string. Error: '{error!r}'"
        ) from error


def _decode(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise Refused(
            f"Invalid input. Ensure that input is a valid UTF-8 encoded string. Error: '{error!r}'"
        ) from error


def _names_of_params(metadata: Any) -> frozenset[str]:
    schema = metadata.get_params_schema() if hasattr(metadata, "get_params_schema") else None
    return frozenset(param.name for param in schema.params) if schema is not None else frozenset()


def task_of(metadata: Any, flavors: dict[str, Any]) -> str | None:
    """``agent/v1/chat``, ``llm/v1/embeddings``, …: from the model's metadata, or from that of the flavor that made it."""
    candidates = [metadata]
    for flavor in flavors.values():
        if isinstance(flavor, dict):
            candidates += [flavor.get("metadata"), {"task": flavor.get("inference_task")}, flavor]
    for candidate in candidates:
        task = candidate.get("task") if isinstance(candidate, dict) else None
        if isinstance(task, str) and task.startswith(("agent/", "llm/")):
            return task
    return None
