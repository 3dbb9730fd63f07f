"""The first look at a request, before routing: what no honest client sends is refused here.

Framing (lengths, chunks, line ends) is the parser's business; llhttp is strict about it. What is left are questions on
which a guard and a router could disagree, so both must look at the same thing: the path below is decoded once, here, and
everything after uses it.
"""

from __future__ import annotations

import re

from lakeserve.domain.errors import BadRequest
from lakeserve.http.asgi import Scope

_HOST = re.compile(rb"[A-Za-z0-9._-]{1,255}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check(scope: Scope, *, max_headers: int, max_header_bytes: int) -> str:
    """The request's decoded path, without a trailing slash.

    :raises BadRequest: a request that parts of the way could read differently.
    """
    headers = scope["headers"]
    if len(headers) > max_headers or sum(len(name) + len(value) for name, value in headers) > max_header_bytes:
        raise BadRequest("The request's headers are too large.")
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
        raise BadRequest("The request must have one valid Host header.")
    if any(
        name in (b"authorization", b"content-type", b"content-length") and _repeated(headers, name)
        for name, _ in headers
    ):
        raise BadRequest("A header that may be given once was given twice.")
    path: str = scope["path"]
    if not path.startswith("/") or _CONTROL.search(path) or "\\" in path:
        raise BadRequest("The request's path is not valid.")
    segments = path.split("/")[1:]
    if any(segment in (".", "..") for segment in segments) or "" in segments[:-1]:
        raise BadRequest("The request's path is not valid.")
    return path.rstrip("/") or "/"


def _repeated(headers: list[tuple[bytes, bytes]], name: bytes) -> bool:
    return sum(1 for key, _ in headers if key == name) > 1
