"""Secrets: values that are kept for others to use, in scopes that say who may.

A scope holds secrets by key and grants by the id of an account or a group. Permissions are ordered: READ < WRITE < MANAGE; members
of ``admins`` have MANAGE on every scope. Names of scopes and keys that differ only in case are the same name.

A served entity uses a secret by naming it as the whole value of an environment variable::

    {"OPENAI_API_KEY": "{{secrets/llm/openai}}"}      scope llm, key openai

The text is what is stored and shown. What it stands for is looked up when a worker is started, and handed to that worker alone.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple, NoReturn

from lakeserve.domain.errors import BadRequest, InvalidParameterValue
from lakeserve.domain.principal import Principal

MAX_SCOPES: Final = 1000
MAX_SECRETS: Final = 1000
"""In one scope."""

MAX_VALUE_BYTES: Final = 128 * 1024
_MAX_NAME = 128
_SCOPE_NAME = re.compile(r"[A-Za-z0-9@._-]+")
_KEY = re.compile(r"[A-Za-z0-9._-]+")
_REFERENCE = re.compile(r"\{\{\s*secrets/([^/{}]+)/([^/{}]+?)\s*\}\}")


class Secret:
    """A value that is shown to nobody by accident: whatever prints, formats, logs or pickles it gets no byte of it."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """The value itself. Whoever calls this answers for where it goes."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(hidden)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a secret is not copied or pickled")


class Permission(StrEnum):
    READ = "READ"
    WRITE = "WRITE"
    MANAGE = "MANAGE"

    def covers(self, needed: Permission) -> bool:
        return _ORDER.index(self) >= _ORDER.index(needed)


_ORDER = (Permission.READ, Permission.WRITE, Permission.MANAGE)


@dataclass(frozen=True, slots=True)
class Scope:
    """``grants`` are by id of an account or a group; ``created_at`` is epoch milliseconds."""

    name: str
    grants: Mapping[str, Permission] = field(default_factory=dict)
    created_at: int = 0

    def allows(self, principal: Principal, needed: Permission) -> bool:
        if principal.is_admin:
            return True
        ids = (principal.id, *(group.id for group in principal.memberships))
        return any(self.grants[each].covers(needed) for each in ids if each in self.grants)


class Reference(NamedTuple):
    """What an environment variable names in the place of a value."""

    scope: str
    key: str


class ResourceLimitExceeded(BadRequest):
    """As many scopes or secrets as there can be. The secrets API alone has this code; MLflow's clients never meet it."""

    code = "RESOURCE_LIMIT_EXCEEDED"


class MalformedRequest(BadRequest):
    """Not exactly one value for a secret. The secrets API alone has this code, as above."""

    code = "MALFORMED_REQUEST"


def fold(name: str) -> str:
    """What two names of scopes or keys that mean the same have in common. They are ASCII."""
    return name.lower()


def check_scope_name(name: str) -> None:
    """
    :raises InvalidParameterValue: no scope can have the name.
    """
    if len(name) > _MAX_NAME or not _SCOPE_NAME.fullmatch(name):
        raise InvalidParameterValue(
            f"A scope's name must be 1 to {_MAX_NAME} letters, digits, dashes, underscores, periods and @."
        )


def check_secret(key: str, value: Secret) -> None:
    """
    :raises InvalidParameterValue: the key is no name for a secret, or the value is too long.
    """
    if len(key) > _MAX_NAME or not _KEY.fullmatch(key):
        raise InvalidParameterValue(
            f"A secret's key must be 1 to {_MAX_NAME} letters, digits, dashes, underscores and periods."
        )
    if len(value.reveal()) > MAX_VALUE_BYTES:
        raise InvalidParameterValue(f"A secret's value must have at most {MAX_VALUE_BYTES} bytes.")


def references(variables: Mapping[str, str]) -> dict[str, Reference]:
    """The variables whose whole value names a secret. Any other value is just text, also if it contains a reference."""
    found = {name: _REFERENCE.fullmatch(value) for name, value in variables.items()}
    return {name: Reference(match[1], match[2]) for name, match in found.items() if match is not None}
