"""``make demo`` does what it says, leaves nothing behind, and cleans up when it is interrupted."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.registry import environment, short_folder
from support.server import poll

RUN = Path(__file__).resolve().parents[2] / "demo" / "run.py"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds the tree's processes in /proc")


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


def start(folder: Path) -> subprocess.Popen[str]:
    """The demo with all its files, the server's data among them, in ``folder``."""
    with (folder / "out").open("w") as output:
        return subprocess.Popen(
            [sys.executable, "-u", str(RUN)], env=environment() | {"TMPDIR": str(folder)}, stdout=output, stderr=output, text=True
        )  # fmt: skip


def processes_of(folder: Path) -> list[int]:
    """Those that were started with the folder somewhere in their environment: all of the tree has it in its settings."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if bytes(folder) in (entry / "environ").read_bytes() and int(entry.name) != os.getpid():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_demo_keeps_every_promise(folder: Path) -> None:
    demo = start(folder)
    try:
        status = demo.wait(580)
    finally:
        demo.kill()
    said = (folder / "out").read_text()
    assert status == 0, said
    assert "Everything was as promised." in said
    assert re.search(r"all but it +\d+\.\d MB", said)
    assert "served_model_name wine-1, predictions [0, 2]" in said
    assert "served_model_name wine-2, predictions [0, 2]" in said
    assert processes_of(folder) == []
    assert [path.name for path in folder.iterdir()] == ["out"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_an_interrupted_demo_ends_its_server(folder: Path, number: signal.Signals) -> None:
    demo = start(folder)
    try:
        poll(lambda: "It answers at" in (folder / "out").read_text(), (folder / "out").read_text)
        assert len(processes_of(folder)) > 3
        demo.send_signal(number)
        assert demo.wait(30) != 0
    finally:
        demo.kill()
    said = (folder / "out").read_text()
    assert "Traceback" not in said
    assert processes_of(folder) == []
    assert [path.name for path in folder.iterdir()] == ["out"]
