"""Every error reaches Databricks clients in their shape, and none makes them try again by accident."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest
from databricks.sdk.errors import platform

from lakeserve.domain import errors
from lakeserve.domain.errors import RETRY_PHRASES, LakeserveError
from lakeserve.wire.databricks.errors import render_error

# What MLflow's deployment client can turn back into a status; any other code becomes a 500 and is tried again.
MLFLOW_KNOWS = {
    "INTERNAL_ERROR",
    "NOT_IMPLEMENTED",
    "TEMPORARILY_UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "REQUEST_LIMIT_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "CANCELLED",
    "ABORTED",
    "RESOURCE_CONFLICT",
    "ALREADY_EXISTS",
    "NOT_FOUND",
    "ENDPOINT_NOT_FOUND",
    "RESOURCE_DOES_NOT_EXIST",
    "PERMISSION_DENIED",
    "UNAUTHENTICATED",
    "BAD_REQUEST",
    "RESOURCE_ALREADY_EXISTS",
    "INVALID_PARAMETER_VALUE",
}
TRIED_AGAIN_BY_SDKS = {429, 503}


def descendants(kind: type[LakeserveError]) -> Iterator[type[LakeserveError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from descendants(child)


KINDS = sorted(
    {kind for kind in descendants(LakeserveError) if kind.__module__ == errors.__name__}, key=lambda k: k.__name__
)


def build(kind: type[LakeserveError]) -> LakeserveError:
    """An instance, whatever the class wants to know."""
    known = {"message": "Told.", "limit_bytes": 16}
    parameters = list(inspect.signature(kind).parameters.values())
    wanted = [each.name for each in parameters if each.default is each.empty]
    return kind(**{name: known[name] for name in wanted})


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_renders(kind: type[LakeserveError]) -> None:
    error = build(kind)
    status, body, headers = render_error(error)
    assert status == kind.status
    assert 400 <= status < 600
    assert body == {"error_code": kind.code, "message": error.message}
    assert kind.code in MLFLOW_KNOWS
    assert body["message"].endswith(".")
    assert ("Retry-After" in headers) == (status in TRIED_AGAIN_BY_SDKS)
    assert all(value.isdigit() for value in headers.values())


def test_retry_after_of_one_error_wins() -> None:
    assert render_error(errors.TooManyRequests("Busy.", retry_after=7))[2] == {"Retry-After": "7"}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_text_of_ours_makes_clients_try_again(kind: type[LakeserveError]) -> None:
    assert not [phrase for phrase in RETRY_PHRASES if phrase in build(kind).message + (kind.__doc__ or "")]


@pytest.mark.parametrize("phrase", [*RETRY_PHRASES, "Timed out after ", "deadline exceeded"])
def test_a_quoted_phrase_is_disarmed_and_stays_readable(phrase: str) -> None:
    quoted = f"The model raised: {phrase} in step 2, {phrase}"
    message = render_error(errors.BadRequest(quoted))[1]["message"]
    assert not [each for each in (*RETRY_PHRASES, "Timed out after ", "deadline exceeded") if each in message]
    assert message.lower() == quoted.lower()


def test_the_sdk_picks_the_same_class_by_code_as_by_status() -> None:
    for kind in KINDS:
        by_code = platform.ERROR_CODE_MAPPING.get(kind.code)
        by_status = platform.STATUS_CODE_MAPPING.get(kind.status)
        assert by_status is not None or kind.status in {405, 408, 413, 415, 502}
        assert by_code is None or by_status is None or issubclass(by_code, by_status)
