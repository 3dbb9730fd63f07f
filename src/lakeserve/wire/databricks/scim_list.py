"""SCIM's lists: filter, order, page, and which attributes to show. Works on rendered resources.

A filter is comparisons joined by ``and`` and ``or``, of which ``and`` binds tighter: ``userName eq "ada@example.com"``. Comparisons
of text do not regard case.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lakeserve.domain.errors import InvalidParameterValue

DEFAULT_COUNT = 100
MAX_COUNT = 10_000

_LIST_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
_COMPARISON = re.compile(
    r'\s*([A-Za-z$][\w$.]*)\s+(eq|ne|co|sw|ew)\s+("(?:[^"\\]|\\.)*"|true|false|\d+)\s*', re.IGNORECASE
)
_JOINT = re.compile(r"\s*(and|or)\s", re.IGNORECASE)
_MAX_FILTER = 4096
_COMPARE: Mapping[str, Callable[[str, str], bool]] = {
    "eq": lambda found, wanted: found == wanted,
    "ne": lambda found, wanted: found != wanted,
    "co": lambda found, wanted: wanted in found,
    "sw": lambda found, wanted: found.startswith(wanted),
    "ew": lambda found, wanted: found.endswith(wanted),
}

Resource = dict[str, Any]
Test = Callable[[Resource], bool]


def render_list(resources: Iterable[Resource], query: Mapping[str, str]) -> dict[str, Any]:
    """
    :raises InvalidParameterValue: a query parameter is not understood.
    """
    found = list(resources)
    if text := query.get("filter"):
        test = parse_filter(text)
        found = [resource for resource in found if test(resource)]
    if attribute := query.get("sortBy"):
        descending = query.get("sortOrder", "").lower() == "descending"
        found.sort(key=lambda resource: sorted(_values(resource, attribute)), reverse=descending)
    first = max(_whole(query, "startIndex", 1), 1)
    count = min(max(_whole(query, "count", DEFAULT_COUNT), 0), MAX_COUNT)
    page = [project(resource, query) for resource in found[first - 1 : first - 1 + count]]
    return {
        "schemas": [_LIST_SCHEMA],
        "totalResults": len(found),
        "startIndex": first,
        "itemsPerPage": len(page),
        "Resources": page,
    }


def project(resource: Resource, query: Mapping[str, str]) -> Resource:
    """Only the ``attributes`` asked for, or all without the ``excludedAttributes``; always the id."""
    wanted, unwanted = _names(query.get("attributes")), _names(query.get("excludedAttributes"))
    return {
        name: value
        for name, value in resource.items()
        if name in ("schemas", "id") or ((not wanted or name.lower() in wanted) and name.lower() not in unwanted)
    }


def parse_filter(text: str) -> Test:
    """
    :raises InvalidParameterValue: it is not understood.
    """
    alternatives: list[list[Test]] = [[]]
    position = 0
    while len(text) <= _MAX_FILTER:
        comparison = _COMPARISON.match(text, position)
        if comparison is None:
            break
        alternatives[-1].append(_test(*comparison.groups()))
        position = comparison.end()
        if position == len(text):
            return lambda resource: any(all(test(resource) for test in tests) for tests in alternatives)
        joint = _JOINT.match(text, position)
        if joint is None:
            break
        if joint[1].lower() == "or":
            alternatives.append([])
        position = joint.end()
    raise InvalidParameterValue(
        f'The filter {text[:100]} is not understood; an example is: userName eq "ada@example.com".'
    )


def _test(attribute: str, operator: str, literal: str) -> Test:
    wanted = re.sub(r"\\(.)", r"\1", literal[1:-1]) if literal.startswith('"') else literal
    compare, wanted = _COMPARE[operator.lower()], wanted.casefold()
    combine = all if operator.lower() == "ne" else any
    return lambda resource: combine(compare(found, wanted) for found in _values(resource, attribute))


def _values(value: Any, attribute: str) -> list[str]:
    """The texts at a path; several where it leads through a list."""
    if not attribute:
        if isinstance(value, dict):
            return _values(value.get("value"), "")
        if isinstance(value, list):
            return [text for each in value for text in _values(each, "")]
        return [] if value is None else [str(value).casefold()]
    if isinstance(value, list):
        return [text for each in value for text in _values(each, attribute)]
    name, _, rest = attribute.partition(".")
    if not isinstance(value, dict):
        return []
    return [text for key, each in value.items() if key.lower() == name.lower() for text in _values(each, rest)]


def _names(text: str | None) -> set[str]:
    return {name.strip().partition(".")[0].lower() for name in (text or "").split(",") if name.strip()}


def _whole(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name)
    if text is None or text == "":
        return default
    if not re.fullmatch(r"-?\d{1,9}", text):
        raise InvalidParameterValue(f"{name} must be a whole number.")
    return int(text)
