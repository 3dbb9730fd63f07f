"""Logs stay under their cap while a process prints as fast as it likes, and never hold it up."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from lakeserve.adapters.local.clock import SystemClock
from lakeserve.adapters.local.logs import FileLogs
from support.server import poll

MIB = 1024 * 1024
CAP = 16 * MIB
RATE = 50 * MIB
TOTAL = 200 * MIB

# As a worker does: standard output is the log, opened to append. 50 MiB in a second; how long the slowest write took goes to
# standard error.
PRINTER = f"""
import json, os, sys, time
line = b"x" * 1023 + b"\\n"
slowest, written, began = 0.0, 0, time.monotonic()
while written < {TOTAL}:
    before = time.monotonic()
    written += os.write(1, line * 64)
    slowest = max(slowest, time.monotonic() - before)
    time.sleep(max(0.0, began + written / {RATE} - time.monotonic()))
os.write(1, b"the last line\\n")
json.dump(slowest, sys.stderr)
"""


@pytest.fixture
def logs(tmp_path: Path) -> FileLogs:
    return FileLogs(tmp_path, SystemClock())


async def test_a_model_that_prints_200_mb(logs: FileLogs) -> None:
    path = logs.server_log("e1", "f1")
    watch = asyncio.create_task(logs.watch_sizes())
    with path.open("ab") as log:
        printer = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PRINTER, stdout=log, stderr=subprocess.PIPE
        )
    largest = 0
    ended = asyncio.create_task(printer.communicate())
    while not ended.done():
        await asyncio.wait([ended], timeout=0.01)
        largest = max(largest, path.stat().st_size)
    slowest = json.loads(ended.result()[1])
    # Over the cap by no more than what is printed between two looks, each of which may be late on a busy machine.
    assert largest < CAP + 2 * RATE, largest
    assert slowest < 1.0, slowest
    await asyncio.to_thread(poll, lambda: path.stat().st_size <= CAP, limit_s=5)
    watch.cancel()
    assert logs.read_server("e1", "f1").endswith("x\nthe last line\n")


def test_what_is_left_begins_with_a_whole_line_and_says_what_happened(logs: FileLogs) -> None:
    path = logs.server_log("e1", "f1")
    path.write_bytes(b"".join(b"line %d\n" % number for number in range(3_000_000)))
    assert path.stat().st_size > CAP
    assert logs.cut_back()
    notice, first, *rest = logs.read_server("e1", "f1").splitlines()
    assert notice.startswith("[lakeserve] ")
    numbers = [int(line.removeprefix("line ")) for line in (first, *rest)]
    assert numbers == list(range(numbers[0], 3_000_000))
    assert not logs.cut_back()


def test_a_line_that_never_ends_is_cut_too(logs: FileLogs) -> None:
    path = logs.server_log("e1", "f1")
    path.write_bytes(b"x" * (CAP + 1))
    logs.cut_back()
    assert path.stat().st_size < MIB
    assert logs.read_server("e1", "f1").endswith("xxx")


@pytest.mark.parametrize("place", ["gateway-0.log", "zygotes/abc.log", "endpoints/e/f/build.log"])
def test_every_log_of_the_server_is_watched(logs: FileLogs, tmp_path: Path, place: str) -> None:
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"line\n" * (CAP // 4))
    assert logs.cut_back()
    assert path.stat().st_size < MIB
