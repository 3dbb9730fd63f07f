"""Draws the life cycle of an endpoint from :data:`lakeserve.domain.lifecycle.TRANSITIONS` as ``docs/internals/lifecycle.md``.

The page is nothing but the table in another form; ``tests/meta/test_lifecycle_drawing.py`` fails when the two differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lakeserve.domain.lifecycle import TRANSITIONS, Event, Phase

PAGE = Path(__file__).resolve().parents[1] / "docs" / "internals" / "lifecycle.md"

_HEAD = """\
# The life of an endpoint

Made from `TRANSITIONS` in `src/lakeserve/domain/lifecycle.py` by `python -m spec`; do not edit. A phase is derived from the
stored fields and never stored itself. An event that a phase has no arrow for is refused, and changes nothing. Deletion is
possible in every phase and not drawn.
"""
_BETWEEN = """\
The same as a table: the row is the phase, the column the event, and an empty cell a refusal. *All entities ready* and
*an entity failed* are observations of the reconciler and mean something only while an update runs.
"""


def render(transitions: Mapping[tuple[Phase, Event], Phase] = TRANSITIONS) -> str:
    return f"{_HEAD}\n```mermaid\n{_diagram(transitions)}```\n\n{_BETWEEN}\n{_table(transitions)}"


def _diagram(transitions: Mapping[tuple[Phase, Event], Phase]) -> str:
    lines = ["stateDiagram-v2", f"    [*] --> {Phase.EMPTY.name}"]
    lines += [f"    {phase.name}: {phase.value}" for phase in Phase]
    lines += [f"    {source.name} --> {target.name}: {event.value}" for (source, event), target in transitions.items()]
    return "\n".join(lines) + "\n"


def _table(transitions: Mapping[tuple[Phase, Event], Phase]) -> str:
    rows = [["", *(event.value for event in Event)], ["---"] * (len(Event) + 1)]
    for phase in Phase:
        targets = [transitions.get((phase, event)) for event in Event]
        rows.append([phase.value, *(target.value if target else "" for target in targets)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
