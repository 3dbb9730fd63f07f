"""What the registry process and its client say to each other: the routes, the refusals and the caps."""

from __future__ import annotations

import re

RESOLVE = "/_lakeserve/models/resolve"
FETCH = "/_lakeserve/models/fetch"
INTERNAL_PREFIX = "/_lakeserve/"

MAX_BODY_BYTES = 64 * 1024
"""More than any question or answer between the two can need."""

DOES_NOT_EXIST = "RESOURCE_DOES_NOT_EXIST"
UNUSABLE = "MODEL_UNUSABLE"
UNAVAILABLE = "TEMPORARILY_UNAVAILABLE"

_CREDENTIALS = re.compile(r"(?P<scheme>[A-Za-z][\w+.\-]*://)[^/\s@'\"]+@")


class Refused(Exception):
    """The registry process answers with this status, code and text."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def does_not_exist(message: str) -> Refused:
    return Refused(404, DOES_NOT_EXIST, message)


def unusable(message: str) -> Refused:
    return Refused(422, UNUSABLE, message)


def unavailable(message: str) -> Refused:
    return Refused(503, UNAVAILABLE, message)


def without_credentials(text: str) -> str:
    """The text with the user and password of every address in it taken out."""
    return _CREDENTIALS.sub(r"\g<scheme>", text)
