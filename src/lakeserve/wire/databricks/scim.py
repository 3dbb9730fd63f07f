"""Users, service principals and groups as SCIM resources: the part of SCIM that Databricks clients use.

Attributes that the server has no use for (entitlements, roles, names, an external id) are kept and given back. Those that only the
server may set are taken from no request, and a password is not kept anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lakeserve.domain.directory import Account, AccountFields, Directory, Group, GroupFields
from lakeserve.domain.errors import InvalidParameterValue
from lakeserve.domain.principal import USERS, Kind, Membership, Principal

_CORE = "urn:ietf:params:scim:schemas:core:2.0:"
_USER_SCHEMA = _CORE + "User"
_SCHEMAS = {Kind.USER: _USER_SCHEMA, Kind.SERVICE_PRINCIPAL: _CORE + "ServicePrincipal"}
_NAMES = {Kind.USER: "userName", Kind.SERVICE_PRINCIPAL: "applicationId"}
_FOLDERS = {Kind.USER: "Users", Kind.SERVICE_PRINCIPAL: "ServicePrincipals"}
_NOT_KEPT = frozenset(
    (
        "schemas",
        "id",
        "meta",
        "groups",
        "members",
        "userName",
        "applicationId",
        "displayName",
        "active",
        "password",
    )
)


def _is_objects(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


# Attributes that clients read by their type: one of another shape would make every list that it is in unreadable.
_SHAPES = (
    ("emails", "a list of objects", _is_objects),
    ("entitlements", "a list of objects", _is_objects),
    ("roles", "a list of objects", _is_objects),
    ("name", "an object", lambda value: isinstance(value, dict)),
    ("externalId", "text", lambda value: isinstance(value, str)),
)


def render_me(principal: Principal) -> dict[str, Any]:
    """The caller as a user, which is how Databricks clients ask who they are.

    ``emails`` is there for people only: a service principal's ``userName`` is its application id.
    """
    user: dict[str, Any] = {
        "schemas": [_USER_SCHEMA],
        "id": principal.id,
        "userName": principal.name,
        "displayName": principal.display_name or principal.name,
        "active": True,
        "groups": _groups(principal.memberships),
    }
    if "@" in principal.name:
        user["emails"] = _emails(principal.name)
    return user


def render_account(account: Account, directory: Directory) -> dict[str, Any]:
    rendered = {
        **account.extra,
        "schemas": [_SCHEMAS[account.kind]],
        "id": account.id,
        _NAMES[account.kind]: account.name,
        "displayName": account.display_name or account.name,
        "active": account.active,
        "groups": _groups(directory.memberships(account.id)),
    }
    if account.kind is Kind.USER and "@" in account.name:
        rendered.setdefault("emails", _emails(account.name))
    return rendered


def render_group(group: Group, directory: Directory) -> dict[str, Any]:
    # Everybody is in this one, and nobody is listed in it.
    members = directory.accounts if group.id == USERS else group.members
    return {
        **group.extra,
        "schemas": [_CORE + "Group"],
        "id": group.id,
        "displayName": group.name,
        "members": [_member(member, directory) for member in sorted(members)],
        "groups": _groups(directory.memberships(group.id)),
        "meta": {"resourceType": "WorkspaceGroup"},
    }


def parse_account(kind: Kind, document: Mapping[str, Any]) -> AccountFields:
    """
    :raises InvalidParameterValue: an attribute is not of its kind.
    """
    return AccountFields(
        name=_text(document, _NAMES[kind]),
        display_name=_text(document, "displayName"),
        active=_flag(document.get("active")),
        extra=_extra(document),
    )


def parse_group(document: Mapping[str, Any]) -> GroupFields:
    """
    :raises InvalidParameterValue: an attribute is not of its kind.
    """
    members = document.get("members") or []
    if not isinstance(members, list):
        raise InvalidParameterValue("members must be a list.")
    return GroupFields(
        _text(document, "displayName"), frozenset(_member_id(each) for each in members), _extra(document)
    )


def editable_account(account: Account, directory: Directory) -> dict[str, Any]:
    """What a PATCH is applied to."""
    document = render_account(account, directory)
    # The shown name may be the user name's, and the shown address too: a change of something else must not make them stick.
    document["displayName"] = account.display_name
    if "emails" not in account.extra:
        document.pop("emails", None)
    return document


def editable_group(group: Group) -> dict[str, Any]:
    """What a PATCH is applied to."""
    return {
        **group.extra,
        "displayName": group.name,
        "members": [{"value": member} for member in sorted(group.members)],
    }


def _groups(memberships: Iterable[Membership]) -> list[dict[str, Any]]:
    return [
        {
            "value": group.id,
            "display": group.name,
            "type": "direct" if group.direct else "indirect",
            "$ref": f"Groups/{group.id}",
        }
        for group in memberships
    ]


def _member(member: str, directory: Directory) -> dict[str, Any]:
    account = directory.accounts.get(member)
    if account is not None:
        display = account.display_name or account.name
        return {"value": member, "display": display, "$ref": f"{_FOLDERS[account.kind]}/{member}"}
    group = directory.groups.get(member)
    return {"value": member, "display": group.name if group else "", "$ref": f"Groups/{member}"}


def _member_id(member: object) -> str:
    value = member.get("value") if isinstance(member, dict) else None
    if not isinstance(value, str) or not value:
        raise InvalidParameterValue("Each of members must be an object with the member's id as its value.")
    return value


def _emails(address: str) -> list[dict[str, Any]]:
    return [{"type": "work", "value": address, "primary": True}]


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidParameterValue(f"{name} must be text.")
    return value


def _flag(value: object) -> bool | None:
    """Also as text, and as the one value of a list, which is what clients in the field send for ``active``."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        value = value[0].get("value")
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if value is not None and not isinstance(value, bool):
        raise InvalidParameterValue("active must be true or false.")
    return value


def _extra(document: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in document.items() if name not in _NOT_KEPT and value is not None}
    for name, expected, is_so in _SHAPES:
        if name in kept and not is_so(kept[name]):
            raise InvalidParameterValue(f"{name} must be {expected}.")
    return kept
