"""URLs that carry their own permission: one action on one path, until a time, under an HMAC of ours.

Clients fetch them without an Authorization header (the SDK's ``mixins/files.py``), so the gateway lets their route through and this
module alone decides. The key lies in the data directory, readable by us only; a URL outlives a restart, never an hour.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from lakeserve.adapters.mlflow.answers import Refused
from lakeserve.adapters.mlflow.databricks.asgi import invalid

PREFIX = "/api/2.0/fs-signed/"
MAX_LIFE_S = 3600
_DEFAULT_LIFE_S = 900
_MAX_TOKEN = 16 * 1024


class Expired(Exception):
    """It was ours, and its time is over."""


@dataclass(frozen=True, slots=True)
class Grant:
    """``action``: get, put, part or abort; ``session`` and ``part`` belong to uploads in parts."""

    action: str
    path: str
    expires_s: int
    session: str = ""
    part: int = 0


class Signer:
    def __init__(self, key_file: Path) -> None:
        self._key = _key(key_file)

    def token(self, grant: Grant) -> str:
        claim = json.dumps(list(asdict(grant).values())).encode()
        return f"{_encode(claim)}.{_encode(self._digest(claim))}"

    def grant(self, token: str, now_s: float) -> Grant:
        """
        :raises Refused: not one of ours.
        :raises Expired: its time is over.
        """
        claim, _, digest = token.partition(".")
        try:
            told, given = _decode(claim), _decode(digest)
        except (ValueError, binascii.Error):
            told, given = b"", b""
        if len(token) > _MAX_TOKEN or not hmac.compare_digest(given, self._digest(told)):
            raise Refused(403, "PERMISSION_DENIED", "This URL was not signed by this server.")
        grant = Grant(*json.loads(told))
        if now_s >= grant.expires_s:
            raise Expired
        return grant

    def _digest(self, claim: bytes) -> bytes:
        return hmac.digest(self._key, claim, "sha256")


def expiry(asked: object, now_s: float) -> int:
    """When a URL ends for which a client asked with ``expire_time`` (RFC 3339); in Unix seconds.

    :raises Refused: that is no time, or is over already.
    """
    if not asked:
        return int(now_s) + _DEFAULT_LIFE_S
    try:
        moment = datetime.fromisoformat(str(asked))
    except ValueError:
        raise invalid("'expire_time' must be a time such as 2030-01-31T12:00:00Z.") from None
    given = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if given <= now_s:
        raise invalid("'expire_time' must lie in the future.")
    return int(min(given, now_s + MAX_LIFE_S))


def _key(file: Path) -> bytes:
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        key = file.read_bytes()
        if len(key) == hashlib.sha256().digest_size:
            return key
    except FileNotFoundError:
        pass
    key = secrets.token_bytes(hashlib.sha256().digest_size)
    fresh = file.with_name(f"{file.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
        opened.write(key)
    fresh.replace(file)
    return key


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(told: str) -> bytes:
    return base64.b64decode(told.encode() + b"=" * (-len(told) % 4), altchars=b"-_", validate=True)
