"""What can be seen from outside of a process that is beyond help, on real processes and any clock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakeserve.adapters.local.vigil import Vigil
from support.server import poll

MIB = 1024 * 1024


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_all_is_well(child: subprocess.Popen[bytes]) -> None:
    vigil = Vigil(child.pid, 1024 * MIB)
    assert [vigil.complaint(now) for now in (0.0, 100.0, 1_000.0)] == [None] * 3


def test_one_that_stays_stopped_is_complained_of_after_three_seconds(child: subprocess.Popen[bytes]) -> None:
    vigil = Vigil(child.pid, 1024 * MIB)
    os.kill(child.pid, signal.SIGSTOP)
    poll(lambda: state(child.pid) == "T")
    assert [vigil.complaint(now) for now in (10.0, 12.9)] == [None, None]
    assert "stopped" in (vigil.complaint(13.0) or "")


def test_one_that_goes_on_again_starts_over(child: subprocess.Popen[bytes]) -> None:
    vigil = Vigil(child.pid, 1024 * MIB)
    for begin in (10.0, 20.0):
        os.kill(child.pid, signal.SIGSTOP)
        poll(lambda: state(child.pid) == "T")
        assert [vigil.complaint(begin + after) for after in (0.0, 2.0)] == [None, None]
        os.kill(child.pid, signal.SIGCONT)
        poll(lambda: state(child.pid) != "T")
        assert vigil.complaint(begin + 4.0) is None


def test_one_that_is_too_large_is_complained_of_at_once(child: subprocess.Popen[bytes]) -> None:
    assert Vigil(child.pid, 1 * MIB).complaint(0.0) == "was ended because it used more than 1 MiB of memory"


def test_one_that_has_ended_is_somebody_elses_business(child: subprocess.Popen[bytes]) -> None:
    vigil = Vigil(child.pid, 1 * MIB)
    child.kill()
    child.wait()
    assert vigil.complaint(0.0) is None
