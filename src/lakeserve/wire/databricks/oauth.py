"""OAuth as Databricks' SDKs and command line speak it (serving-api.md 8): metadata, the token endpoint's form, its answers."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from lakeserve.domain.oauth import OAuthProblem, OAuthRefused

_FORM = "application/x-www-form-urlencoded"
_MAX_FIELDS = 32
CLIENT_CREDENTIALS = "client_credentials"


@dataclass(frozen=True, slots=True)
class TokenRequest:
    client_id: str
    client_secret: str
    scope: str


def render_server_metadata(base_url: str) -> dict[str, Any]:
    issuer = f"{base_url.rstrip('/')}/oidc"
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/v1/authorize",
        "token_endpoint": f"{issuer}/v1/token",
        "grant_types_supported": [CLIENT_CREDENTIALS],
        "response_types_supported": [],
        "scopes_supported": ["all-apis"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    }


def parse_token_request(headers: Mapping[str, str], body: bytes) -> TokenRequest:
    """
    :raises OAuthRefused: it is no form, gives something twice, or asks for what this server does not grant.
    """
    form = _form(headers, body)
    grant = form.get("grant_type")
    if not grant:
        raise OAuthRefused(OAuthProblem.INVALID_REQUEST, "grant_type is required.")
    if grant != CLIENT_CREDENTIALS:
        raise OAuthRefused(
            OAuthProblem.UNSUPPORTED_GRANT_TYPE, f"The grant type must be {CLIENT_CREDENTIALS}, not {grant[:80]}."
        )
    if form.get("authorization_details"):
        # A token that may do more than was asked for would be worse than none.
        raise OAuthRefused(OAuthProblem.INVALID_REQUEST, "authorization_details is not supported.")
    client_id, client_secret = _client(headers.get("authorization"), form)
    return TokenRequest(client_id, client_secret, form.get("scope", ""))


def render_token(text: str, expires_in: int) -> dict[str, Any]:
    return {"access_token": text, "token_type": "Bearer", "expires_in": expires_in, "scope": "all-apis"}


def render_refusal(refused: OAuthRefused) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Status, JSON body and headers."""
    told = {"error": refused.problem.value, "error_description": refused.description}
    if refused.problem is OAuthProblem.INVALID_CLIENT:
        return 401, told, {"www-authenticate": 'Basic realm="lakeserve"'}
    return 400, told, {}


def _form(headers: Mapping[str, str], body: bytes) -> dict[str, str]:
    if headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise OAuthRefused(OAuthProblem.INVALID_REQUEST, f"The request must be of type {_FORM}.")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except ValueError:
        raise OAuthRefused(OAuthProblem.INVALID_REQUEST, "The request's form cannot be read.") from None
    if len(dict(pairs)) < len(pairs):
        raise OAuthRefused(OAuthProblem.INVALID_REQUEST, "A parameter was given twice.")
    return dict(pairs)


def _client(authorization: str | None, form: Mapping[str, str]) -> tuple[str, str]:
    """The client's id and secret, from one place."""
    posted = form.get("client_id"), form.get("client_secret")
    if authorization is None:
        if not posted[0] or not posted[1]:
            raise OAuthRefused(OAuthProblem.INVALID_CLIENT, "The client must give its id and its secret.")
        return posted[0], posted[1]
    client_id, client_secret = _basic(authorization)
    if posted[1] is not None or posted[0] not in (None, client_id):
        raise OAuthRefused(OAuthProblem.INVALID_REQUEST, "The client must give its id and its secret in one place.")
    return client_id, client_secret


def _basic(authorization: str) -> tuple[str, str]:
    scheme, _, encoded = authorization.partition(" ")
    try:
        client_id, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        colon = ""
    if scheme.lower() != "basic" or not colon:
        raise OAuthRefused(OAuthProblem.INVALID_CLIENT, "The client must authenticate with HTTP Basic.")
    # RFC 6749 has both form-encoded first. Ids and secrets of ours look the same either way.
    return unquote_plus(client_id), unquote_plus(secret)
