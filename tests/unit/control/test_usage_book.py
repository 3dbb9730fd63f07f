"""What all gateways count, added up."""

from __future__ import annotations

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from lakeserve.control.usage import UsageBook
from lakeserve.domain.usage import EntityUsage
from support.clock import ManualClock

KEY = ("endpoint", "wine-3")
OTHER = ("another", "wine-3")


def usage(requests: int = 0, in_flight: int = 0, queued: int = 0) -> EntityUsage:
    made = EntityUsage(in_flight=in_flight, queued=queued)
    for _ in range(requests):
        made.answered(200, 10.0)
    return made


class Gateways:
    """Gateways that count, report and are started again, and what the book should say."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.queued: list[set[str]] = []
        self.book = UsageBook(self.clock, self.queued.append)
        for name in ("g1", "g2"):
            self.book.report(name, [])

    def report(self, gateway: str, **counts: int) -> None:
        self.book.report(gateway, [(KEY, usage(**counts))])


def test_totals_are_sums_of_differences() -> None:
    it = Gateways()
    it.report("g1", requests=3)
    it.report("g2", requests=2)
    it.report("g1", requests=5)
    assert it.book.total(KEY).requests == 7
    assert it.book.total(KEY).latency.count == 7
    assert it.book.total(OTHER).requests == 0


def test_a_gateway_that_is_started_again_begins_at_zero_and_nothing_is_forgotten() -> None:
    it = Gateways()
    it.report("g1", requests=3, in_flight=2)
    it.book.gone("g1")
    assert it.book.activity(KEY).in_flight == 0
    it.book.report("g3", [])
    it.report("g3", requests=1)
    assert it.book.total(KEY).requests == 4


@given(st.lists(st.tuples(st.sampled_from(["g1", "g2", "g3"]), st.integers(0, 5), st.booleans()), max_size=20))
def test_totals_are_what_all_lives_of_all_gateways_counted(history: list[tuple[str, int, bool]]) -> None:
    it = Gateways()
    counted = dict.fromkeys(("g1", "g2", "g3"), 0)
    lives = dict.fromkeys(counted, 0)
    total = 0
    for gateway, more, restarted in history:
        if restarted:
            it.book.gone(f"{gateway}.{lives[gateway]}")
            lives[gateway] += 1
            counted[gateway] = 0
        counted[gateway] += more
        total += more
        it.book.report(f"{gateway}.{lives[gateway]}", [(KEY, usage(counted[gateway]))])
        assert it.book.total(KEY).requests == total


def test_what_is_going_on_is_added_up_and_idle_time_is_since_the_last_of_it() -> None:
    it = Gateways()
    assert it.book.activity(KEY).idle_s == inf
    it.report("g1", in_flight=1, queued=2)
    it.report("g2", in_flight=3)
    activity = it.book.activity(KEY)
    assert (activity.in_flight, activity.queued, activity.idle_s) == (4, 2, 0.0)
    it.report("g1", requests=3)
    it.report("g2", requests=3)
    it.clock.now += 50
    assert it.book.activity(KEY).idle_s == 50.0
    it.report("g1", requests=3)
    assert it.book.activity(KEY).idle_s == 50.0, "a report of nothing new is no request"
    it.report("g1", requests=4)
    assert it.book.activity(KEY).idle_s == 0.0


def test_the_last_minute_is_the_last_minute_to_within_five_seconds() -> None:
    it = Gateways()
    for second in range(300):
        it.report("g1", requests=second + 1)
        recent = it.book.last_minute(KEY).requests
        assert min(second + 1, 60) <= recent <= min(second + 1, 66)
        it.clock.now += 1
    it.clock.now += 66
    assert it.book.last_minute(KEY).requests == 0
    assert it.book.total(KEY).requests == 300


def test_the_past_that_is_kept_is_bounded() -> None:
    it = Gateways()
    for step in range(2_000):
        it.report("g1", requests=step % 50)
        it.clock.now += 0.5
    assert len(it.book._past[KEY]) <= 20


def test_who_waits_is_said_at_once() -> None:
    it = Gateways()
    it.report("g1", in_flight=4)
    assert it.queued == []
    it.book.report("g1", [(KEY, usage(queued=1)), (OTHER, usage(in_flight=1)), (("third", "x"), usage(queued=2))])
    assert it.queued == [{"endpoint", "third"}]


def test_a_deleted_endpoint_is_forgotten() -> None:
    it = Gateways()
    it.report("g1", requests=3, in_flight=1)
    it.book.report("g2", [(OTHER, usage(requests=2))])
    it.book.forget("endpoint")
    assert it.book.total(KEY).requests == 0
    assert it.book.activity(KEY) == it.book.activity(("never", "seen"))
    assert it.book.total(OTHER).requests == 2
