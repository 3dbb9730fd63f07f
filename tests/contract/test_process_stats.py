"""The process statistics, of real processes that use what the test knows."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lakeserve.adapters.local.process_stats import LocalProcessStats
from lakeserve.ports.process_stats import ProcessStats

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

MIB = 1024 * 1024
SPEND = "import time\nwhile time.process_time() < 0.5: pass\n"
HOLD = "held = b'x' * (64 << 20)\n"
FORK = "import os\nfor _ in range(3):\n    if os.fork() == 0: input(); os._exit(0)\n"
WAIT = "print('there', flush=True)\ninput()\n"


@pytest.fixture
def stats() -> ProcessStats:
    return LocalProcessStats(os.getpid())


@contextmanager
def child(script: str, *argv: str) -> Iterator[int]:
    """A child that has run the script and waits."""
    with subprocess.Popen(
        [sys.executable, "-c", script + WAIT, *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"there\n"
        try:
            yield process.pid
        finally:
            process.kill()


def test_the_machine(stats: ProcessStats) -> None:
    machine = stats.machine()
    assert machine is not None
    assert machine.cpus == len(os.sched_getaffinity(0))
    assert 256 * MIB < machine.memory_bytes < 2**60


def test_cpu_time_and_memory_of_a_child(stats: ProcessStats) -> None:
    with child(SPEND + HOLD) as pid:
        sample = stats.sample([pid])[pid]
    assert 0.45 < sample.cpu_s < 5
    assert 64 * MIB < sample.memory_bytes < 128 * MIB


def test_shared_memory_is_divided(stats: ProcessStats) -> None:
    with child(HOLD + FORK) as pid:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        samples = stats.sample([pid, *map(int, children)])
    assert len(samples) == 4
    assert sum(sample.memory_bytes for sample in samples.values()) < 160 * MIB


def test_those_that_have_ended_are_left_out(stats: ProcessStats) -> None:
    with child("") as pid:
        assert set(stats.sample([pid])) == {pid}
    assert stats.sample([pid]) == {}


def test_what_the_processes_of_the_server_are(stats: ProcessStats) -> None:
    with child("", "lakeserve.bootstrap.gateway") as gateway, child("", "something") as command:
        found = stats.server()
    assert found[os.getpid()] == "supervisor"
    assert found[gateway] == "gateway"
    assert found[command] == "command"


def test_a_machine_without_proc_measures_nothing(tmp_path: Path) -> None:
    stats = LocalProcessStats(os.getpid(), tmp_path)
    assert stats.machine() is None
    assert stats.sample([os.getpid()]) == {}
    assert stats.server() == {}
