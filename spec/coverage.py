"""Reads ``operations.yaml`` and writes it as ``docs/reference/coverage.md``.

The list is checked while it is read: a wrong entry is an error with its id, not a strange line in the table. Whether the
tests that it names exist, and whether the page is up to date, is checked by ``tests/meta/test_coverage.py``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
OPERATIONS = ROOT / "spec" / "operations.yaml"
PAGE = ROOT / "docs" / "reference" / "coverage.md"

SURFACES = {
    "rest": "REST",
    "openai": "OpenAI-shaped routes",
    "mlflow": "MLflow",
    "apps": "Apps",
    "cli": "Official `databricks` command line",
}
_REQUIRED = {"id", "surface", "group", "call", "status"}
_KNOWN = _REQUIRED | {"sdk", "test"}
_HEAD = """\
# Coverage

Every operation that lakeserve promises, and whether it is there. Made from `spec/operations.yaml` by `python -m spec`;
do not edit. An operation counts as done when the named test proves it.
"""


class WrongOperation(ValueError):
    """An entry of the list that does not keep its rules."""


@dataclass(frozen=True, slots=True)
class Operation:
    """``call`` is a method and a path, or a command; ``test`` is the file that proves a done operation."""

    id: str
    surface: str
    group: str
    call: str
    status: str
    sdk: str | None = None
    test: str | None = None

    @property
    def done(self) -> bool:
        return self.status == "done"


def load(text: str) -> list[Operation]:
    """:raises WrongOperation: naming the entry and what is wrong with it."""
    operations = [_operation(entry) for entry in yaml.safe_load(text)]
    for name, count in Counter(each.id for each in operations).items():
        if count > 1:
            raise WrongOperation(f"{name}: the id is used {count} times")
    return operations


def _operation(entry: Any) -> Operation:
    name = entry.get("id", entry) if isinstance(entry, dict) else entry
    if not isinstance(entry, dict) or not _REQUIRED <= entry.keys() <= _KNOWN:
        raise WrongOperation(f"{name}: an entry has the keys {sorted(_REQUIRED)}, and may have sdk and test")
    if wrong := [key for key, value in entry.items() if not isinstance(value, str) or not value]:
        raise WrongOperation(f"{name}: {', '.join(wrong)} must be text")
    operation = Operation(**entry)
    if operation.surface not in SURFACES:
        raise WrongOperation(f"{name}: surface must be one of {', '.join(SURFACES)}")
    if operation.status not in {"open", "done"}:
        raise WrongOperation(f"{name}: status must be open or done")
    if operation.done and operation.test is None:
        raise WrongOperation(f"{name}: a done operation must name the test that proves it")
    return operation


def render(operations: list[Operation]) -> str:
    """The page: how much of each surface is done, then every operation."""
    parts = [_HEAD, _summary(operations)]
    for surface, title in SURFACES.items():
        rows = [each for each in operations if each.surface == surface]
        parts.append(f"## {title}\n\n{_counts(rows)}\n\n" + _table(rows))
    return "\n".join(parts)


def _summary(operations: list[Operation]) -> str:
    lines = ["| surface | operations | done |", "| --- | ---: | ---: |"]
    for surface, title in SURFACES.items():
        rows = [each for each in operations if each.surface == surface]
        lines.append(f"| {title} | {len(rows)} | {sum(each.done for each in rows)} |")
    lines.append(f"| **all** | **{len(operations)}** | **{sum(each.done for each in operations)}** |")
    return "\n".join(lines) + "\n"


def _counts(rows: list[Operation]) -> str:
    return f"{sum(each.done for each in rows)} of {len(rows)} done."


def _table(rows: list[Operation]) -> str:
    lines = ["| operation | call | SDK method | group | status |", "| --- | --- | --- | --- | --- |"]
    for each in rows:
        method = f"`{each.sdk}`" if each.sdk else ""
        status = f"[done](../../{each.test})" if each.done else "open"
        lines.append(f"| {each.id} | `{each.call}` | {method} | {each.group} | {status} |")
    return "\n".join(lines) + "\n"
