"""Units of concurrency, the queue in front of them, and the limit on how long a model may take."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.registry import short_folder
from support.server import Answer, Server, copy_registry, poll

SMALL = 4
PER_UNIT = 1


@pytest.fixture(scope="module")
def limited(server: Server) -> Iterator[Server]:
    """Small limits: one waiting request for each unit, two seconds for a model."""
    with short_folder() as folder:
        (folder / "d").mkdir()
        copy_registry(server.data_dir, folder / "d")
        small = Server(folder / "d", LAKESERVE_LIMIT_QUEUE_PER_UNIT=str(PER_UNIT), LAKESERVE_LIMIT_EXECUTION_S="3")
        try:
            small.start(registry=True)
            yield small
            small.stop()
        finally:
            small.kill_all()


class Callers:
    """Requests under way, each in a thread; a model that waits for a file holds its unit."""

    def __init__(self, server: Server, endpoint: str, folder: Path) -> None:
        self.server = server
        self.endpoint = endpoint
        self.folder = folder
        self.go_on = folder / "go on"
        self.answers: list[Answer] = []
        self.threads: list[threading.Thread] = []

    def add(self, number: int) -> None:
        for _ in range(number):
            began = self.folder / f"began-{len(self.threads)}"
            thread = threading.Thread(target=self._call, args=(began,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _call(self, began: Path) -> None:
        row = {"do": "wait", "began": str(began), "until": str(self.go_on), "value": 1}
        self.answers.append(self.server.query(self.endpoint, {"dataframe_records": [row]}))

    @property
    def running(self) -> int:
        return len(list(self.folder.glob("began-*")))

    def end(self) -> list[int]:
        self.go_on.touch()
        for thread in self.threads:
            thread.join(30)
        return sorted(answer.status for answer in self.answers)


def test_four_at_once_four_in_line_and_no_more(server: Server, limited: Server, tmp_path: Path) -> None:
    limited.deploy("queue")
    poll(lambda: len({limited.value("queue", "pid") for _ in range(16)}) == SMALL)
    callers = Callers(limited, "queue", tmp_path)
    callers.add(SMALL * (1 + PER_UNIT) + 1)
    poll(lambda: callers.answers and callers.running == SMALL)
    (refused,) = callers.answers
    assert refused.error == (429, "RESOURCE_EXHAUSTED")
    assert refused.json["message"] == (
        "Too many concurrent requests. Consider increasing the provisioned concurrency of the served entity."
    )
    assert int(refused.headers["retry-after"]) >= 1
    assert callers.end() == [*([200] * SMALL * (1 + PER_UNIT)), 429]
    assert limited.value("queue", "echo", value=1) == 1
    limited.delete("queue")


def test_a_model_that_hangs_is_ended_and_the_next_request_works(limited: Server) -> None:
    limited.deploy("hang", workload_size=None, min_provisioned_concurrency=1, max_provisioned_concurrency=1)
    answer = limited.act("hang", "hang")
    assert answer.error == (504, "DEADLINE_EXCEEDED")
    assert answer.json["message"].startswith("Timed out while evaluating the model.")
    assert limited.value("hang", "echo", value=1) == 1
    limited.delete("hang")


def test_a_hanging_model_does_not_hold_up_its_siblings(limited: Server) -> None:
    limited.deploy("siblings")
    poll(lambda: len({limited.value("siblings", "pid") for _ in range(16)}) == SMALL)
    hanging = threading.Thread(target=limited.act, args=("siblings", "hang"), daemon=True)
    hanging.start()
    while hanging.is_alive():
        assert limited.value("siblings", "echo", value=1) == 1
    limited.delete("siblings")
