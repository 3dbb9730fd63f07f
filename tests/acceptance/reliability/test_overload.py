"""Promise 8: what is too much is refused at once and in time, the memory is bounded by bytes, and the neighbours do not notice."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import aiohttp
import pytest

from support import proc
from support.load import at_once, counts, has_workers, probing, rows
from support.prober import Prober
from support.server import Answer, Server, poll

MIB = 1024 * 1024
WORKERS = 4
QUEUE = 16 * WORKERS
TOO_MANY = (429, "RESOURCE_EXHAUSTED")
TOO_LATE = (503, "TEMPORARILY_UNAVAILABLE")
GROWTH_LIMIT = 256 * MIB
"""What a gateway may grow by under any of this. It was told to hold 64 MiB of bodies; a body is copied on its way to a worker."""


def test_a_full_queue_refuses_and_nothing_starts_late(
    restless: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    restless.deploy("noisy")
    restless.deploy("quiet")
    poll(lambda: has_workers(restless, "noisy", WORKERS))
    extra = QUEUE + 20

    def work(_: Prober) -> None:
        go, ran = tmp_path / "go", tmp_path / "ran"
        with ThreadPoolExecutor(WORKERS) as pool:
            held = [pool.submit(note, restless, ran, number, go) for number in range(WORKERS)]
            poll(lambda: ran.exists() and len(ran.read_text().split()) == WORKERS)
            answers = at_once(extra, lambda number: note(restless, ran, WORKERS + number, go))
            go.touch()
            assert [each.result().status for each in held] == [200] * WORKERS
        errors = Counter(answer.error for answer in answers)
        assert errors == {TOO_MANY: extra - QUEUE, TOO_LATE: QUEUE}
        assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers)
        assert restless.act("noisy", "echo", value=1).status == 200
        assert len(ran.read_text().split()) == WORKERS, "what was refused for being late has not been run"

    report = probing(restless, "quiet", work, per_second=20)
    assert not report.failed, report.explain()
    restless.delete("noisy")
    restless.delete("quiet")
    with capsys.disabled():
        print(f" [{extra - QUEUE} refused at once, {QUEUE} in time; quiet endpoint: {report.summary()}]", end="")


@pytest.mark.parametrize("connections", counts(200, 1000))
def test_many_connections_with_large_bodies(
    restless: Server, connections: int, capsys: pytest.CaptureFixture[str]
) -> None:
    restless.deploy("heavy")
    statuses, grown = flood(restless, connections, 150 * 1024)
    restless.delete("heavy")
    assert statuses.keys() <= {200, 429, 503}, statuses
    assert statuses[200] >= WORKERS
    assert grown < GROWTH_LIMIT
    with capsys.disabled():
        print(f" [{connections} of 150 KB: {dict(statuses)}, gateway +{grown / MIB:.0f} MiB]", end="")


@pytest.mark.parametrize("requests", counts(12, 50))
def test_the_largest_bodies_at_the_same_time(
    restless: Server, requests: int, capsys: pytest.CaptureFixture[str]
) -> None:
    restless.deploy("heavy")
    statuses, grown = flood(restless, requests, 15 * MIB)
    assert statuses.keys() <= {200, 429, 503, 504}, statuses
    assert statuses[200] >= 1
    assert grown < GROWTH_LIMIT
    refused, more = flood(restless, requests, 17 * MIB)
    restless.delete("heavy")
    assert refused == {413: requests}
    assert more < GROWTH_LIMIT
    with capsys.disabled():
        print(f" [{requests} of 15 MiB: {dict(statuses)}, gateway +{grown / MIB:.0f} MiB]", end="")


def note(server: Server, ran: Path, number: int, go: Path) -> Answer:
    return server.query("noisy", rows({"do": "note", "file": str(ran), "value": number, "until": str(go)}))


def flood(server: Server, requests: int, size: int) -> tuple[Counter[int], int]:
    """The statuses of so many requests of that size at once, and how far the gateway's memory grew beyond where it was."""
    (gateway,) = server.pids_of("lakeserve.bootstrap.gateway")
    before = memory(gateway, "VmRSS")
    Path(f"/proc/{gateway}/clear_refs").write_text("5")  # the peak counts from here
    statuses = asyncio.run(_flood(server, requests, json.dumps(rows({"do": "tell", "fill": "x" * size})).encode()))
    return statuses, memory(gateway, "VmHWM") - before


async def _flood(server: Server, requests: int, body: bytes) -> Counter[int]:
    url = f"{server.url}/serving-endpoints/heavy/invocations"
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}

    async def one(session: aiohttp.ClientSession) -> int:
        async with session.post(url, data=BytesIO(body), headers=headers) as response:
            await response.read()
            return response.status

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        return Counter(await asyncio.gather(*(one(session) for _ in range(requests))))


def memory(pid: int, field: str) -> int:
    """Bytes, as the kernel counts them."""
    (line,) = [line for line in proc.read(pid, "status").decode().splitlines() if line.startswith(field + ":")]
    return int(line.split()[1]) * 1024
