"""The drawing of the life cycle shows the table that the code runs on."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from lakeserve.domain.lifecycle import TRANSITIONS, Event, Phase

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def drawing() -> Iterator[ModuleType]:
    sys.path.insert(0, str(ROOT))
    yield importlib.import_module("spec.lifecycle")
    sys.path.remove(str(ROOT))


def test_page_is_up_to_date(drawing: ModuleType) -> None:
    assert drawing.PAGE.read_text() == drawing.render(), "run: python -m spec"


def test_every_transition_is_an_arrow(drawing: ModuleType) -> None:
    arrows = [line for line in drawing.render().splitlines() if " --> " in line]
    assert len(arrows) == len(TRANSITIONS) + 1


def test_another_table_is_another_drawing(drawing: ModuleType) -> None:
    fewer = {pair: target for pair, target in TRANSITIONS.items() if pair != (Phase.SERVING, Event.STOP)}
    assert drawing.render(fewer) != drawing.render()
