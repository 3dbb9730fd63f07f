"""From the Authorization header to a principal.

Bearer tokens, and HTTP Basic with the token as the password, whatever the user name: the curl samples of
Databricks' documentation send ``-u token:$TOKEN``, and MLflow's client can send a user name of its own.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from lakeserve.domain.errors import Unauthenticated
from lakeserve.domain.principal import Principal, token_digest

_MISSING = "Credential was not sent or was of an unsupported type for this API."
_UNKNOWN = "Invalid access token."
_MAX_HEADER = 8192


def authenticate(principals: Mapping[str, Principal], authorization: bytes | None, *, now: int) -> Principal:
    """
    ``principals`` is keyed by token digest; ``now`` is epoch milliseconds. A credential that has ended is looked at here and
    not only taken out of the table, so that it ends in time with nobody left to change the table.

    :raises Unauthenticated: no credential, one of another kind, or one that is not known or has ended.
    """
    token = read_token(authorization)
    if token is None:
        raise Unauthenticated(_MISSING)
    # Looking up by digest: how long it takes says nothing about the token.
    principal = principals.get(token_digest(token))
    if principal is None or principal.expired(now):
        raise Unauthenticated(_UNKNOWN)
    return principal


def read_token(authorization: bytes | None) -> str | None:
    """The token of a Bearer or Basic header; None for anything else."""
    if authorization is None or len(authorization) > _MAX_HEADER:
        return None
    scheme, _, value = authorization.partition(b" ")
    try:
        text = value.strip().decode("ascii")
    except UnicodeDecodeError:
        return None
    match scheme.lower():
        case b"bearer":
            return text or None
        case b"basic":
            return _password(text)
    return None


def _password(encoded: str) -> str | None:
    try:
        decoded = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    return decoded.partition(":")[2] or None
