"""SCIM's PATCH: operations on a resource's JSON, as RFC 7644 (3.5.2) has them and as Databricks clients send them.

A path names an attribute (``displayName``), a part of one (``name.givenName``), or the elements of a list that have a value
(``members[value eq "4711"]``). Without a path, the value is an object of attributes.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from lakeserve.domain.errors import InvalidParameterValue

MAX_OPERATIONS = 1000

_NAME = r"[A-Za-z$][\w$:.-]*"
_PATH = re.compile(rf'(?P<name>{_NAME})(\[\s*(?P<key>[A-Za-z$]+)\s+eq\s+"(?P<value>[^"]*)"\s*\])?(\.(?P<after>\w+))?')
_LISTS = frozenset(("members", "entitlements", "roles", "emails", "groups"))


def patched(document: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """``document`` after the operations of a PATCH request.

    :raises InvalidParameterValue: an operation is not understood.
    """
    operations = body.get("Operations")
    if not isinstance(operations, list) or not operations or len(operations) > MAX_OPERATIONS:
        raise InvalidParameterValue(f"Operations must be a list of 1 to {MAX_OPERATIONS} operations.")
    result = copy.deepcopy(dict(document))
    for operation in operations:
        if not isinstance(operation, dict):
            raise InvalidParameterValue("Each of Operations must be an object.")
        _apply(result, operation)
    return result


def _apply(document: dict[str, Any], operation: dict[str, Any]) -> None:
    verb = str(operation.get("op", "")).lower()
    path, value = operation.get("path"), operation.get("value")
    if verb not in ("add", "remove", "replace"):
        raise InvalidParameterValue("op must be add, remove or replace.")
    if path is None or path == "":
        if verb == "remove" or not isinstance(value, dict):
            raise InvalidParameterValue("An operation without a path needs an object as its value, and cannot remove.")
        for name, each in value.items():
            _change(document, verb, name, each)
        return
    found = _PATH.fullmatch(path) if isinstance(path, str) else None
    if found is None:
        raise InvalidParameterValue(f"The path {str(path)[:100]} is not understood.")
    if found["key"] is not None:
        _change_elements(document, verb, found, value)
    else:
        _change(document, verb, found["name"], value)


def _change(document: dict[str, Any], verb: str, name: str, value: Any) -> None:
    outer, dot, inner = name.partition(".")
    if dot and not name.startswith("urn:"):
        part = document.setdefault(outer, {})
        if not isinstance(part, dict):
            raise InvalidParameterValue(f"{outer} has no part {inner}.")
        _change(part, verb, inner, value)
    elif verb == "remove":
        _remove(document, name, value)
    elif verb == "add" and isinstance(value, list) and isinstance(document.get(name, []), list):
        document[name] = _with_added(document.get(name, []), value)
    elif verb == "add" and name in _LISTS and isinstance(value, dict):
        document[name] = _with_added(document.get(name, []), [value])
    else:
        # Clients leave out a value that is false or empty, the official SDK first of all.
        document[name] = _empty(name) if value is None else value


def _remove(document: dict[str, Any], name: str, value: Any) -> None:
    if isinstance(value, list) and isinstance(document.get(name), list):
        gone = {_key(each) for each in value}
        document[name] = [each for each in document[name] if _key(each) not in gone]
    else:
        document.pop(name, None)


def _change_elements(document: dict[str, Any], verb: str, found: re.Match[str], value: Any) -> None:
    elements = document.get(found["name"], [])
    if not isinstance(elements, list):
        raise InvalidParameterValue(f"{found['name']} is not a list.")
    if verb == "remove" and not found["after"]:
        document[found["name"]] = [each for each in elements if not _matches(each, found)]
    elif verb != "remove" and found["after"]:
        for each in elements:
            if _matches(each, found):
                each[found["after"]] = value
    else:
        raise InvalidParameterValue("Elements that have a value can be removed, or one part of them replaced.")


def _matches(element: Any, found: re.Match[str]) -> bool:
    return isinstance(element, dict) and element.get(found["key"]) == found["value"]


def _with_added(present: list[Any], added: list[Any]) -> list[Any]:
    known = {_key(each) for each in present}
    return [*present, *(each for each in added if _key(each) not in known)]


def _key(element: Any) -> str:
    return str(element.get("value", element)) if isinstance(element, dict) else str(element)


def _empty(name: str) -> Any:
    return False if name == "active" else [] if name in _LISTS else None
