"""Scoring of rows by a scikit-learn model: lakeserve against ``mlflow models serve``, one core for the servers of each.

Both serve the same version of the same registered model, in the same environment, and get the same bytes as bodies.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench import compare, models
from bench.peers import Peer, present
from bench.peers.lakeserve import Lakeserve
from bench.peers.mlflow import MlflowServe
from bench.results import P50, RATE, SERVING, Aim, CaseResult
from bench.room import Room

_AIMS = {1: (Aim(RATE, 3.0), Aim(P50, 0.5)), 1000: (Aim(RATE, 2.0),)}


@dataclass(frozen=True, slots=True)
class _Case:
    model: str
    rows: int
    connections: int

    @property
    def name(self) -> str:
        return f"{self.model}-{self.rows}x{self.connections}"

    @property
    def title(self) -> str:
        return f"{self.model}, {_many(self.rows, 'row')}, {_many(self.connections, 'connection')}"


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


class Scoring:
    """The cases of one model, ``iris`` (4 columns, logistic regression) or ``wine`` (13 columns, scaled before)."""

    def __init__(self, model: str) -> None:
        self.name = model
        self._cases = [_Case(model, rows, connections) for rows in (1, 1000) for connections in (1, 8)]
        self.case_names: Sequence[str] = [case.name for case in self._cases]

    def run(self, room: Room) -> Iterator[CaseResult]:
        wanted = [case for case in self._cases if room.wanted(case.name)]
        if not wanted:
            return
        folder = room.folder / f"registry-{self.name}"
        folder.mkdir()
        room.say(f"{self.name}: training and registering the model")
        model = models.registered(self.name, folder)
        peers = present([Lakeserve(model), MlflowServe(model)], room)
        yield from self._measure(wanted, model, peers, room)

    def _measure(
        self, cases: list[_Case], model: models.RegisteredModel, peers: list[Peer], room: Room
    ) -> Iterator[CaseResult]:
        with contextlib.ExitStack() as stack:
            servings = {}
            for peer in peers:
                room.say(f"{self.name}: starting {peer.name}")
                servings[peer.name] = stack.enter_context(peer.serve(room))
            for case in cases:
                room.say(f"{case.title}: {room.pace.rounds} rounds of {room.pace.seconds:g} s for each")
                found = compare.exchanges(servings, model.bodies(case.rows))
                ours, *theirs = compare.closed_loop(servings, found, case.connections, room)
                yield CaseResult(case.name, case.title, SERVING, ours, theirs, _AIMS[case.rows])
