"""What the registry's process gets to see of a request's headers.

MLflow's own server checks Host and Origin against addresses of its own, and must see neither our tokens nor names that a client
chose for the way in between. Who may call it has been decided before.
"""

from __future__ import annotations

from lakeserve.http.asgi import Header

_KEPT_BACK = frozenset((b"host", b"origin", b"referer", b"authorization", b"cookie", b"forwarded"))


def for_registry(headers: list[Header]) -> list[Header]:
    kept = [(k, v) for k, v in headers if k not in _KEPT_BACK and not k.startswith(b"x-forwarded-")]
    return [(b"host", b"localhost"), *kept]
