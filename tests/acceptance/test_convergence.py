"""The whole tree killed in the middle of a change: what was acknowledged comes true without another call, no orphans."""

from __future__ import annotations

import random
import sys
import threading
from contextlib import suppress

import pytest

from support import proc
from support.server import Answer, Server, poll
from support.serving import Factory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds the tree's processes in /proc")


class Rounds:
    """One data directory through many lives."""

    def __init__(self, new_server: Factory, seed: int) -> None:
        self.new_server = new_server
        self.random = random.Random(seed)
        self.server: Server = new_server().start(registry=True)

    def interrupt(self, change: object, *arguments: object, **options: object) -> Answer | None:
        """Ask for a change, kill everything at a random moment of it, start again. The answer, if it came in time."""
        assert callable(change)
        answers: list[Answer] = []

        def ask() -> None:
            with suppress(Exception):  # the server goes away under it
                answers.append(change(*arguments, **options))

        asking = threading.Thread(target=ask, daemon=True)
        moment = threading.Event()
        asking.start()
        moment.wait(self.random.choice((0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 2.5)) * self.random.random())
        acknowledged = list(answers)
        living = self.server.pids()
        self.server.kill_all()
        asking.join(10)
        poll(lambda: not [pid for pid in living if proc.lives(pid)], limit_s=2)
        self.server = self.new_server(data_dir=self.server.data_dir).start(registry=True)
        return acknowledged[0] if acknowledged else (answers[0] if answers else None)

    def one_create(self, name: str) -> None:
        answer = self.interrupt(self.server.create, name)
        found = {each["name"] for each in self.server.ask("GET", "/api/2.0/serving-endpoints").json["endpoints"]}
        if answer is not None:
            assert answer.status == 200, answer.body
            assert name in found
        if name in found:
            self.server.recovered(name)
            assert self.server.value(name, "version") == 1
            self.server.delete(name)

    def one_update(self, name: str, version: str) -> None:
        before = self.server.get(name)["config"]
        answer = self.interrupt(self.server.update, name, version=version)
        endpoint = self.server.recovered(name)
        wanted = endpoint["config"]["served_entities"][0]["entity_version"]
        if answer is not None:
            assert answer.status == 200, answer.body
            assert endpoint["config"]["config_version"] == before["config_version"] + 1
            assert wanted == version
        else:
            assert endpoint["config"]["config_version"] - before["config_version"] in (0, 1)
        assert self.server.value(name, "version") == int(wanted)

    def one_delete(self, name: str) -> None:
        answer = self.interrupt(self.server.delete_answer, name)
        found = {each["name"] for each in self.server.ask("GET", "/api/2.0/serving-endpoints").json["endpoints"]}
        if answer is not None:
            assert name not in found
        if name in found:
            self.server.recovered(name)
            self.server.delete(name)

    def nothing_is_left(self) -> None:
        """Once every endpoint is deleted, only the fixed members and perhaps a zygote live."""
        for each in self.server.ask("GET", "/api/2.0/serving-endpoints").json["endpoints"]:
            self.server.delete(each["name"])
        poll(lambda: len(self.server.pids()) <= 5, self.server.pids, 20)
        self.server.stop()


def run(new_server: Factory, seed: int, rounds: int) -> None:
    print(f"seed {seed}")
    life = Rounds(new_server, seed)
    life.server.deploy("kept")
    for number in range(rounds):
        life.one_create(f"new-{number}")
        life.one_update("kept", "21"[number % 2])
        life.server.create(f"gone-{number}")
        life.one_delete(f"gone-{number}")
    life.nothing_is_left()


def test_killed_in_the_middle(new_server: Factory) -> None:
    run(new_server, seed=20, rounds=1)


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("seed", range(5))
def test_killed_in_the_middle_many_times(new_server: Factory, seed: int) -> None:
    run(new_server, seed=seed, rounds=12)
