"""What the sampler makes of its samples, on a clock and of processes that the test decides."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from lakeserve.control.metrics import Sampler
from lakeserve.domain.metrics import Consumption
from lakeserve.ports.process_stats import Machine, ProcessSample
from lakeserve.ports.workers import Worker
from support.clock import ManualClock

DEPLOYMENT = ("e1", "f1")


class Processes:
    """A machine of four CPUs and 1,000 bytes."""

    def __init__(self) -> None:
        self.samples: dict[int, ProcessSample] = {}
        self.known = True

    def machine(self) -> Machine | None:
        return Machine(4, 1000) if self.known else None

    def sample(self, pids: Collection[int]) -> Mapping[int, ProcessSample]:
        return {pid: self.samples[pid] for pid in pids if pid in self.samples}

    def server(self) -> Mapping[int, str]:
        return {}


class Bench:
    def __init__(self) -> None:
        self.processes = Processes()
        self.workers: list[Worker] = []
        self.clock = ManualClock()
        self.sampler = Sampler(self.processes, lambda: self.workers, self.clock)

    def start(self, pid: int, fingerprint: str = "f1") -> None:
        self.workers.append(Worker(f"w-{pid}", f"/w-{pid}", fingerprint, "e1", pid))

    async def look(self, **used: tuple[float, int]) -> None:
        """Five seconds later the processes, ``p<pid>``, have used so much CPU time and hold so much memory."""
        self.clock.now += 5
        self.processes.samples = {int(name[1:]): ProcessSample(*sample) for name, sample in used.items()}
        await self.sampler.look()

    def percents(self) -> tuple[float, float] | None:
        found = self.sampler.consumption(DEPLOYMENT)
        return None if found is None else (round(found.cpu_percent, 3), round(found.memory_percent, 3))


async def test_the_workers_of_a_deployment_are_added_up() -> None:
    bench = Bench()
    bench.start(1)
    bench.start(2)
    bench.start(3, fingerprint="another")
    await bench.look(p1=(100.0, 100), p2=(7.0, 50), p3=(0.0, 900))
    # Of four CPUs for five seconds, two and a half and a half of one.
    await bench.look(p1=(110.0, 100), p2=(12.0, 50), p3=(20.0, 900))
    cpu, memory = bench.percents() or (0, 0)
    assert (cpu, memory) == (75.0, 15.0)
    assert bench.sampler.consumption(("e1", "another")) == Consumption(100.0, 90.0)


async def test_the_first_look_at_a_worker_counts_no_time() -> None:
    bench = Bench()
    bench.start(1)
    await bench.look(p1=(1000.0, 100))
    assert bench.percents() == (0.0, 10.0)
    bench.start(2)
    await bench.look(p1=(1000.0, 100), p2=(500.0, 100))
    assert bench.percents() == (0.0, 15.0)


async def test_the_last_minute_counts() -> None:
    bench = Bench()
    bench.start(1)
    await bench.look(p1=(0.0, 100))
    await bench.look(p1=(20.0, 100))
    for _ in range(11):
        await bench.look(p1=(20.0, 100))
    assert bench.percents() == (round(100 / 12, 3), 10.0)
    await bench.look(p1=(20.0, 100))
    assert bench.percents() == (0.0, 10.0)


async def test_a_deployment_that_sleeps_fades_and_is_forgotten() -> None:
    bench = Bench()
    bench.start(1)
    await bench.look(p1=(0.0, 100))
    bench.workers.clear()
    await bench.look()
    assert bench.percents() == (0.0, 5.0)
    for _ in range(12):
        await bench.look()
    assert bench.percents() is None


async def test_nothing_is_told_where_nothing_can_be_measured() -> None:
    bench = Bench()
    bench.processes.known = False
    await bench.sampler.run()
    assert bench.percents() is None
