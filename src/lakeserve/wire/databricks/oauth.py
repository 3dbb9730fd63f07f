"""OAuth as Databricks' SDKs and command line speak it: metadata, the token endpoint's form, its answers."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode

from lakeserve.domain.oauth import ALL_APIS, OFFLINE, LoginRequest, OAuthProblem, OAuthRefused

_FORM = "application/x-www-form-urlencoded"
_MAX_FIELDS = 32
CLIENT_CREDENTIALS = "client_credentials"
AUTHORIZATION_CODE = "authorization_code"
REFRESH_TOKEN = "refresh_token"  # noqa: S105 - a grant type, not a token
GRANTS = (CLIENT_CREDENTIALS, AUTHORIZATION_CODE, REFRESH_TOKEN)
# They ask for a token that may do less. One that may do more than was asked for would be worse than none.
_NARROWER = ("authorization_details", "assume_group")


@dataclass(frozen=True, slots=True)
class ClientGrant:
    """A service principal that shows its secret."""

    client_id: str
    client_secret: str
    scope: str


@dataclass(frozen=True, slots=True)
class CodeGrant:
    """A command that shows the code of a login."""

    client_id: str
    code: str
    redirect_uri: str
    verifier: str


@dataclass(frozen=True, slots=True)
class RefreshGrant:
    """A command whose access token ends."""

    client_id: str
    refresh_token: str


def render_server_metadata(base_url: str) -> dict[str, Any]:
    issuer = f"{base_url.rstrip('/')}/oidc"
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/v1/authorize",
        "token_endpoint": f"{issuer}/v1/token",
        "grant_types_supported": list(GRANTS),
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": [ALL_APIS, OFFLINE],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
    }


def parse_token_request(headers: Mapping[str, str], body: bytes) -> ClientGrant | CodeGrant | RefreshGrant:
    """
    :raises OAuthRefused: it is no form, gives something twice, or asks for what this server does not grant.
    """
    form = parse_form(headers, body)
    grant = form.get("grant_type")
    if not grant:
        raise OAuthRefused(OAuthProblem.INVALID_REQUEST, "grant_type is required.")
    if grant not in GRANTS:
        told = f"The grant type must be one of {', '.join(GRANTS)}, not {grant[:80]}."
        raise OAuthRefused(OAuthProblem.UNSUPPORTED_GRANT_TYPE, told)
    for name in _NARROWER:
        if form.get(name):
            raise OAuthRefused(OAuthProblem.INVALID_REQUEST, f"{name} is not supported.")
    if grant == CLIENT_CREDENTIALS:
        return ClientGrant(*_client(headers.get("authorization"), form), form.get("scope", ""))
    client_id = form.get("client_id", "")
    if grant == REFRESH_TOKEN:
        return RefreshGrant(client_id, form.get("refresh_token", ""))
    return CodeGrant(client_id, form.get("code", ""), form.get("redirect_uri", ""), form.get("code_verifier", ""))


def parse_login_request(values: Mapping[str, str]) -> LoginRequest:
    """From the query of the login page, and again from the form on it.

    :raises OAuthRefused: another kind of login is asked for.
    """
    if values.get("response_type") != "code" or values.get("code_challenge_method") != "S256":
        raise OAuthRefused(
            OAuthProblem.INVALID_REQUEST, "The response type must be code, with a challenge of method S256."
        )
    for name in _NARROWER:
        if values.get(name):
            raise OAuthRefused(OAuthProblem.INVALID_REQUEST, f"{name} is not supported.")
    return LoginRequest(
        client_id=values.get("client_id", ""),
        redirect_uri=values.get("redirect_uri", ""),
        scope=values.get("scope", ""),
        state=values.get("state", ""),
        challenge=values.get("code_challenge", ""),
    )


def render_callback(request: LoginRequest, code: str) -> str:
    """Where the browser goes with the code."""
    return f"{request.redirect_uri}?{urlencode({'code': code, 'state': request.state})}"


def render_token(text: str, expires_in: int, refresh_token: str | None = None) -> dict[str, Any]:
    answer = {"access_token": text, "token_type": "Bearer", "expires_in": expires_in, "scope": ALL_APIS}
    if refresh_token is not None:
        answer["refresh_token"] = refresh_token
    return answer


def render_refusal(refused: OAuthRefused) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Status, JSON body and headers."""
    told = {"error": refused.problem.value, "error_description": refused.description}
    if refused.problem is OAuthProblem.INVALID_CLIENT:
        return 401, told, {"www-authenticate": 'Basic realm="lakeserve"'}
    return 400, told, {}


def parse_form(headers: Mapping[str, str], body: bytes) -> dict[str, str]:
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
