"""Personal tokens, and secrets of service principals. The text of one is in the answer that creates it and in no other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from lakeserve.domain.directory import Account
from lakeserve.domain.errors import InvalidParameterValue, NotImplementedYet
from lakeserve.ports.store import Token
from lakeserve.wire.databricks.fields import Flag, Text, Whole, WireModel, read

_ALL = ("all-apis",)
_SECONDS = re.compile(r"([0-9]{1,12})(\.0*)?s")


class CreateToken(WireModel):
    comment: Text = None
    lifetime_seconds: Whole = None
    scopes: list[str] | None = None
    autoscope_enabled: Flag = None


class CreateTokenOnBehalf(CreateToken):
    application_id: Text = None


class TokenFields(WireModel):
    comment: Text = None


class UpdateToken(WireModel):
    token: TokenFields | None = None
    update_mask: Text = None


class RevokeToken(WireModel):
    token_id: Text = None


class CreateSecret(WireModel):
    lifetime: Text = None
    scopes: list[str] | None = None


def parse_create(body: Mapping[str, Any]) -> tuple[str, int | None]:
    """Comment, and lifetime in seconds.

    :raises NotImplementedYet: a token with less than its owner's rights is asked for.
    """
    request = read(CreateToken, body)
    _refuse_scopes(request.scopes, autoscope=bool(request.autoscope_enabled))
    return request.comment or "", request.lifetime_seconds


def parse_create_on_behalf(body: Mapping[str, Any]) -> tuple[str, str, int | None]:
    """Application id or user name, comment, and lifetime in seconds."""
    name = read(CreateTokenOnBehalf, body).application_id
    if name is None:
        raise InvalidParameterValue("application_id is required.")
    return name, *parse_create(body)


def parse_update(body: Mapping[str, Any]) -> str:
    """The new comment.

    :raises NotImplementedYet: anything else is to be changed.
    """
    request = read(UpdateToken, body)
    if request.update_mask != "comment":
        raise NotImplementedYet("Only the comment of a token can be changed: update_mask must be comment.")
    return (request.token.comment if request.token else None) or ""


def parse_delete(body: Mapping[str, Any]) -> str:
    """The token's id."""
    token_id = read(RevokeToken, body).token_id
    if token_id is None:
        raise InvalidParameterValue("token_id is required.")
    return token_id


def parse_create_secret(body: Mapping[str, Any]) -> int | None:
    """The lifetime in seconds, which comes as a protobuf duration: ``3600s``.

    :raises NotImplementedYet: a secret for less than all APIs is asked for.
    """
    request = read(CreateSecret, body)
    _refuse_scopes(request.scopes)
    if request.lifetime is None:
        return None
    found = _SECONDS.fullmatch(request.lifetime)
    if found is None:
        raise InvalidParameterValue("lifetime must be whole seconds, such as 3600s.")
    return int(found[1])


def render_created(text: str, token: Token) -> dict[str, Any]:
    return {"token_value": text, "token_info": render_token(token)}


def render_token(token: Token) -> dict[str, Any]:
    """Times are epoch milliseconds; an expiry of -1 is none."""
    return {
        "token_id": token.id,
        "comment": token.comment,
        "creation_time": token.created_at,
        "expiry_time": -1 if token.expires_at is None else token.expires_at,
    }


def render_tokens(tokens: Iterable[Token]) -> dict[str, Any]:
    return {"token_infos": [render_token(token) for token in tokens]}


def render_managed_token(token: Token, owner: Account) -> dict[str, Any]:
    """As administrators see it."""
    owner_id = int(owner.id)
    return {
        **render_token(token),
        "owner_id": owner_id,
        "created_by_id": owner_id,
        "created_by_username": owner.name,
    }


def render_secret(secret: Token) -> dict[str, Any]:
    created = _instant(secret.created_at)
    rendered = {"id": secret.id, "status": "ACTIVE", "create_time": created, "update_time": created}
    if secret.expires_at is not None:
        rendered["expire_time"] = _instant(secret.expires_at)
    return rendered


def render_created_secret(text: str, secret: Token) -> dict[str, Any]:
    return {**render_secret(secret), "secret": text}


def render_secrets(secrets: Iterable[Token]) -> dict[str, Any]:
    return {"secrets": [render_secret(secret) for secret in secrets]}


def _refuse_scopes(scopes: list[str] | None, *, autoscope: bool = False) -> None:
    # To give more than was asked for would be worse than to give nothing.
    if autoscope or any(scope not in _ALL for scope in scopes or ()):
        raise NotImplementedYet(
            "Credentials that are good for a part of the APIs only cannot be made; leave the scopes out."
        )


def _instant(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
