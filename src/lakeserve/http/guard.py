"""The first look at a request, before routing: what no honest client sends is refused here.

Framing (lengths, chunks, line ends) is the parser's business; llhttp is strict about it. What is left are questions on
which a guard and a router could disagree, so both must look at the same thing: the path below is decoded once, here, and
everything after uses it.
"""

from __future__ import annotations

import re

from lakeserve.domain.errors import BadRequest, PermissionDenied
from lakeserve.http.asgi import Scope

_HOST = re.compile(rb"[A-Za-z0-9._-]{1,255}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")
_ONCE = frozenset((b"host", b"origin", b"authorization", b"content-type", b"content-length", b"transfer-encoding"))
_READING = frozenset(("GET", "HEAD", "OPTIONS"))
# Control characters, backslashes, empty segments except a last one, and segments of one or two dots.
_BAD_PATH = re.compile(r"[\x00-\x1f\x7f\\]|//|/\.\.?(?:/|\Z)")


def check(scope: Scope, *, max_headers: int, max_header_bytes: int) -> str:
    """The request's decoded path, without a trailing slash.

    :raises BadRequest: a request that parts of the way could read differently.
    :raises PermissionDenied: a browser sends it for a page of another origin, with credentials that it knows from here.
    """
    headers = scope["headers"]
    size = 0
    once: dict[bytes, bytes] = {}
    repeated: set[bytes] = set()
    for name, value in headers:
        size += len(name) + len(value)
        if name in _ONCE:
            if name in once:
                repeated.add(name)
            once[name] = value
    if len(headers) > max_headers or size > max_header_bytes:
        raise BadRequest("The request's headers are too large.")
    if b"host" in repeated or not _HOST.fullmatch(once.get(b"host", b"")):
        raise BadRequest("The request must have one valid Host header.")
    if once.get(b"transfer-encoding", b"chunked").lower() != b"chunked":
        raise BadRequest("The only Transfer-Encoding that is supported is chunked.")
    if repeated:
        raise BadRequest("A header that may be given once was given twice.")
    origin = once.get(b"origin")
    if origin is not None and scope["method"] not in _READING and origin.partition(b"://")[2] != once[b"host"]:
        raise PermissionDenied("Requests from pages of another origin are refused.")
    path: str = scope["path"]
    if not path.startswith("/") or _BAD_PATH.search(path):
        raise BadRequest("The request's path is not valid.")
    return path.rstrip("/") or "/"
