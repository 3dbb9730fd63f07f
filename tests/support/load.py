"""Load and looks for the tests of reliability: a prober aimed at an endpoint, and which processes an endpoint has."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from support import proc
from support.prober import Prober, Report, Sample
from support.registry import short_folder
from support.server import Answer, Server, copy_registry

SECONDS_FOR_A_FULL_RUN = 3600


def counts(short: int, full: int) -> list[Any]:
    """Parameters of a promise: how often in ``make test``, and how often in ``make soak``."""
    soak = [pytest.mark.slow, pytest.mark.timeout(SECONDS_FOR_A_FULL_RUN)]
    return [pytest.param(short, id="short"), pytest.param(full, id="full", marks=soak)]


def rows(*rows: object) -> dict[str, object]:
    return {"dataframe_records": list(rows)}


def tell(number: int) -> dict[str, object]:
    """Has the probe tell who it is; its answer carries the request's number."""
    return rows({"do": "tell", "value": number})


def probing(
    server: Server,
    endpoint: str,
    work: Callable[[Prober], object],
    *,
    per_second: float,
    body: Callable[[int], object] = tell,
) -> Report:
    """What came back from the endpoint under constant load while ``work`` ran, in a thread of its own."""

    async def run() -> Report:
        url = f"{server.url}/serving-endpoints/{endpoint}/invocations"
        prober = Prober(url, server.token or "", per_second=per_second, body=body)
        return await prober.during(asyncio.to_thread(work, prober))

    return asyncio.run(run())


def asking(server: Server, path: str, count: int, body: Callable[[int], object] = tell) -> Report:
    """What came back from so many requests to ``path``."""

    async def run() -> Report:
        return await Prober(server.url + path, server.token or "", body=body).exactly(count)

    return asyncio.run(run())


def told(sample: Sample) -> dict[str, Any]:
    """What the probe said; fails when the answer belongs to another request."""
    (prediction,) = sample.json["predictions"]
    assert prediction["value"] == sample.number, sample
    return dict(prediction)


def at_once(count: int, ask: Callable[[int], Answer]) -> list[Answer]:
    """So many requests at the same time, each on a connection of its own."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(ask, range(count)))


def worker_pids(server: Server, *endpoints: str) -> list[int]:
    """The processes that serve these endpoints, or all of them: those whose output goes to an endpoint's log."""
    marks = [f"/{server.get(name)['id']}/" for name in endpoints] or ["/logs/endpoints/"]
    found = []
    for pid in server.pids():
        with contextlib.suppress(OSError):
            log = os.readlink(f"/proc/{pid}/fd/1")
            if log.endswith("/server.log") and any(mark in log for mark in marks):
                found.append(pid)
    return found


def has_workers(server: Server, endpoint: str, count: int) -> list[int]:
    """Its workers once there are exactly so many; empty until then."""
    pids = worker_pids(server, endpoint)
    return pids if len(pids) == count else []


def started(server: Server, endpoint: str, served: str = "probe-1") -> int:
    """How many workers of the probe have loaded it, ever."""
    return server.logs(endpoint, served).count("probe: loaded")


def resident_bytes(pid: int) -> int:
    """Zero when it is gone."""
    fields = proc.read(pid, "statm").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") if fields else 0


@contextlib.contextmanager
def running(models: Server, *options: str, **variables: str) -> Iterator[Server]:
    """A server of its own with the models of another one."""
    with short_folder() as folder:
        (folder / "d").mkdir()
        copy_registry(models.data_dir, folder / "d")
        server = Server(folder / "d", *options, **variables)
        try:
            yield server.start(registry=True)
            server.stop()
        finally:
            server.kill_all()
