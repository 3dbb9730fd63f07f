"""A streamed prediction as server-sent events: only ``data:`` lines, which is all that MLflow's own client reads.

The first chunk is taken from the model before anything is sent: models check their input when they are first asked, and an
error then is an ordinary answer with a status. A later one can only be told inside the stream, as its last event.
"""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.utils.proto_json_utils import NumpyEncoder

from lakeserve_worker.answers import Failure, cut, of_mlflow, of_model, of_result

DONE = b"data: [DONE]\n\n"


class Stream:
    """An iterator over whole events. ``close`` ends the model's generator early."""

    def __init__(self, chunks: Any) -> None:
        """
        :raises Exception: whatever the model raises before its first chunk.
        """
        self._chunks = iter(chunks)
        self.predict_ms = 0.0
        first = self._next_chunk()
        self._events = self._run(first)

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> bytes:
        return next(self._events)

    def close(self) -> None:
        self._events.close()
        close = getattr(self._chunks, "close", None)
        if close is not None:
            try:
                close()
            # The model's clean-up is foreign code; the answer is over, so nobody is left to tell.
            except Exception as error:  # noqa: BLE001
                of_model(error)

    def _next_chunk(self) -> tuple[Any, ...]:
        """One chunk as a 1-tuple; none at the end."""
        began = time.perf_counter()
        try:
            return (next(self._chunks),)
        except StopIteration:
            return ()
        finally:
            self.predict_ms += (time.perf_counter() - began) * 1000

    def _run(self, chunk: tuple[Any, ...]) -> Generator[bytes, None, None]:
        try:
            while chunk:
                try:
                    event = _event(chunk[0])
                except (TypeError, ValueError, RecursionError) as error:
                    yield _error_event(of_result(error))
                    break
                yield event
                chunk = self._next_chunk()
        except MlflowException as error:
            yield _error_event(of_mlflow(error))
        # The boundary of a request: the model's exceptions are told to the client, in the stream.
        except Exception as error:  # noqa: BLE001
            yield _error_event(of_model(error))
        yield DONE


def _event(chunk: Any) -> bytes:
    dump = getattr(chunk, "model_dump", None)
    text = json.dumps(chunk if dump is None else dump(), cls=NumpyEncoder)
    return b"data: " + text.encode() + b"\n\n"


def _error_event(failure: Failure) -> bytes:
    kind = "invalid_request_error" if failure.status < 500 else "server_error"
    return _event({"error": {"message": cut(failure.message), "type": kind, "code": failure.error_code}})
