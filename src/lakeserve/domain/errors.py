"""Every refusal and failure that a client can be told about, decided once.

    LakeserveError
    ├── BadRequest                400  BAD_REQUEST
    │   ├── PayloadTooLarge       413
    │   ├── UnsupportedMediaType  415
    │   ├── MethodNotAllowed      405
    │   └── RequestTimeout        408
    ├── InvalidParameterValue     400  INVALID_PARAMETER_VALUE
    ├── Unauthenticated           401  UNAUTHENTICATED
    ├── PermissionDenied          403  PERMISSION_DENIED
    ├── ResourceDoesNotExist      404  RESOURCE_DOES_NOT_EXIST   (control plane)
    │   └── RouteNotFound         404  NOT_FOUND
    ├── EndpointNotFound          404  ENDPOINT_NOT_FOUND        (data plane)
    ├── ResourceAlreadyExists     409  RESOURCE_ALREADY_EXISTS
    ├── ResourceConflict          409  RESOURCE_CONFLICT
    ├── TooManyRequests           429  RESOURCE_EXHAUSTED
    ├── InternalError             500  INTERNAL_ERROR
    │   └── WorkerLost            502
    ├── NotImplementedYet         501  NOT_IMPLEMENTED
    ├── TemporarilyUnavailable    503  TEMPORARILY_UNAVAILABLE
    └── ModelTimeout              504  DEADLINE_EXCEEDED

A class carries its status, its error code, the level it is logged at, and after how many seconds a client may try again
(None: the client gains nothing by trying again). The codes are those that the official clients know: MLflow turns any
other code into a 500 and tries again (serving-api.md 7.4), and both SDKs pick the exception's class by them (7.2).

Dialects only render; they never choose a status. Texts must not contain the phrases that make the SDKs retry for
five minutes (7.3); ``RETRY_PHRASES`` lists them and a test reads every text against it.
"""

from __future__ import annotations

import logging
from typing import ClassVar

RETRY_PHRASES = (
    "com.databricks.backend.manager.util.UnknownWorkerEnvironmentException",
    "does not have any associated worker environments",
    "There is no worker environment with id",
    "Unknown worker environment",
    "ClusterNotReadyException",
    "Unexpected error",
    "Please try again later or try a faster operation.",
    "RPC token bucket limit has been exceeded",
)


class LakeserveError(Exception):
    """Base of everything a client is told. Raise a subclass."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "INTERNAL_ERROR"
    log_level: ClassVar[int] = logging.INFO
    default_retry_after: ClassVar[int | None] = None

    def __init__(self, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after if retry_after is not None else self.default_retry_after


class BadRequest(LakeserveError):
    status = 400
    code = "BAD_REQUEST"


class PayloadTooLarge(BadRequest):
    """A body over the limit of its kind of endpoint (16 MiB custom models; serving-api.md 12)."""

    status = 413

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"Request size cannot exceed {limit_bytes} bytes.")


class UnsupportedMediaType(BadRequest):
    status = 415


class MethodNotAllowed(BadRequest):
    status = 405


class RequestTimeout(BadRequest):
    """The client did not send its request in time."""

    status = 408


class InvalidParameterValue(LakeserveError):
    status = 400
    code = "INVALID_PARAMETER_VALUE"


class Unauthenticated(LakeserveError):
    status = 401
    code = "UNAUTHENTICATED"


class PermissionDenied(LakeserveError):
    status = 403
    code = "PERMISSION_DENIED"


class ResourceDoesNotExist(LakeserveError):
    status = 404
    code = "RESOURCE_DOES_NOT_EXIST"


class RouteNotFound(ResourceDoesNotExist):
    """No such path. Not RESOURCE_DOES_NOT_EXIST, so that a client can tell a missing feature from a missing object."""

    code = "NOT_FOUND"


class EndpointNotFound(LakeserveError):
    """The data plane's answer for an endpoint that is not there or has nothing deployed (serving-api.md 13)."""

    status = 404
    code = "ENDPOINT_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__(
            "The given endpoint does not exist, please retry after checking the specified model and version deployment exists."
        )


class ResourceAlreadyExists(LakeserveError):
    status = 409
    code = "RESOURCE_ALREADY_EXISTS"


class ResourceConflict(LakeserveError):
    status = 409
    code = "RESOURCE_CONFLICT"


class TooManyRequests(LakeserveError):
    status = 429
    code = "RESOURCE_EXHAUSTED"
    default_retry_after = 1


class InternalError(LakeserveError):
    """A bug of ours or a broken part behind us: logged whole, told to the client without inner details."""

    status = 500
    code = "INTERNAL_ERROR"
    log_level = logging.ERROR


class WorkerLost(InternalError):
    """The model's process ended while it held the request. Not 503: the SDKs would run the request again by themselves."""

    status = 502
    log_level = logging.WARNING

    def __init__(self) -> None:
        super().__init__("The model's process ended while evaluating the request. The served entity's logs say why.")


class NotImplementedYet(LakeserveError):
    status = 501
    code = "NOT_IMPLEMENTED"


class TemporarilyUnavailable(LakeserveError):
    status = 503
    code = "TEMPORARILY_UNAVAILABLE"
    log_level = logging.WARNING
    default_retry_after = 2


class ModelTimeout(LakeserveError):
    status = 504
    code = "DEADLINE_EXCEEDED"

    def __init__(self) -> None:
        super().__init__("Timed out while evaluating the model. Verify that the model evaluates within the timeout.")
