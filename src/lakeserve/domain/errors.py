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
other code into a 500 and tries again, and databricks-sdk picks the exception's class by them before it looks at the status.

Dialects only render; they never choose a status. Texts must not contain the phrases that make the SDKs retry for
five minutes; ``RETRY_PHRASES`` lists them and a test reads every text against it.
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
    """A request that cannot be understood, or that does not fit the state of what it is about."""

    status = 400
    code = "BAD_REQUEST"


class PayloadTooLarge(BadRequest):
    """A body over the limit (Databricks documents 16 MB for custom models)."""

    status = 413

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"Request size cannot exceed {limit_bytes} bytes.")


class UnsupportedMediaType(BadRequest):
    """A body of a kind that nobody here reads."""

    status = 415


class MethodNotAllowed(BadRequest):
    """The path is there, but not for this method."""

    status = 405


class RequestTimeout(BadRequest):
    """The client did not send its request in time."""

    status = 408


class InvalidParameterValue(LakeserveError):
    """A field breaks a rule of the API."""

    status = 400
    code = "INVALID_PARAMETER_VALUE"


class Unauthenticated(LakeserveError):
    """No credential, or one that is not known or has ended."""

    status = 401
    code = "UNAUTHENTICATED"


class PermissionDenied(LakeserveError):
    """The caller is known, and may not do this."""

    status = 403
    code = "PERMISSION_DENIED"


class ResourceDoesNotExist(LakeserveError):
    """What the request names is not there."""

    status = 404
    code = "RESOURCE_DOES_NOT_EXIST"


class RouteNotFound(ResourceDoesNotExist):
    """No such path. Not RESOURCE_DOES_NOT_EXIST, so that a client can tell a missing feature from a missing object."""

    code = "NOT_FOUND"


class EndpointNotFound(LakeserveError):
    """The endpoint that was queried is not there, or has nothing deployed. Code and words are those of Databricks."""

    status = 404
    code = "ENDPOINT_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__(
            "The given endpoint does not exist, please retry after checking the specified model and version deployment exists."
        )


class ResourceAlreadyExists(LakeserveError):
    """The name is in use."""

    status = 409
    code = "RESOURCE_ALREADY_EXISTS"


class ResourceConflict(LakeserveError):
    """Something else is under way that excludes this, such as another update."""

    status = 409
    code = "RESOURCE_CONFLICT"


class TooManyRequests(LakeserveError):
    """The queue of the served entity is full."""

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
    """A part of the API that lakeserve does not have."""

    status = 501
    code = "NOT_IMPLEMENTED"


class TemporarilyUnavailable(LakeserveError):
    """It cannot be done at the moment, and nothing has been done."""

    status = 503
    code = "TEMPORARILY_UNAVAILABLE"
    log_level = logging.WARNING
    default_retry_after = 2


class ModelTimeout(LakeserveError):
    """The model took longer than the execution limit."""

    status = 504
    code = "DEADLINE_EXCEEDED"

    def __init__(self) -> None:
        super().__init__("Timed out while evaluating the model. Verify that the model evaluates within the timeout.")
