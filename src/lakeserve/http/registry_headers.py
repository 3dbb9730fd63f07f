"""What the registry's process gets to see of a request's headers.

MLflow's own server checks Host and Origin against addresses of its own, and must see neither our tokens nor names that a client
chose for the way in between. Who may call it has been decided before. The address under which the client knows us goes along in
a header of our own, because the registry hands out URLs to itself.
"""

from __future__ import annotations

from lakeserve.http.asgi import Header

_KEPT_BACK = frozenset((b"host", b"origin", b"referer", b"authorization", b"cookie", b"forwarded"))
_NOT_FROM_OUTSIDE = (b"x-forwarded-", b"x-lakeserve-")


def for_registry(headers: list[Header]) -> list[Header]:
    kept = [(k, v) for k, v in headers if k not in _KEPT_BACK and not k.startswith(_NOT_FROM_OUTSIDE)]
    return [(b"host", b"localhost"), (b"x-lakeserve-base-url", _base_url(headers)), *kept]


def _base_url(headers: list[Header]) -> bytes:
    told = dict(headers)
    scheme = b"https" if told.get(b"x-forwarded-proto") == b"https" else b"http"
    # The guard has checked the Host header.
    return scheme + b"://" + told.get(b"host", b"localhost")
