"""What several gateways' reports add up to: in all, in the last minute, and now."""

from __future__ import annotations

import pytest

from lakeserve.control.usage import UsageBook
from lakeserve.domain.usage import EntityUsage
from support.clock import ManualClock

KEY = ("e1", "wine-1")


def counted(requests: int, *, in_flight: int = 0, queued: int = 0) -> EntityUsage:
    usage = EntityUsage(in_flight=in_flight, queued=queued)
    for _ in range(requests):
        usage.answered(200, 10.0)
    return usage


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def book(clock: ManualClock) -> UsageBook:
    return UsageBook(clock)


def met(book: UsageBook, *gateways: str) -> None:
    for gateway in gateways:
        book.report(gateway, [])


def test_gateways_are_added_up(book: UsageBook) -> None:
    met(book, "a", "b")
    book.report("a", [(KEY, counted(3, in_flight=1))])
    book.report("b", [(KEY, counted(2, in_flight=2, queued=1))])
    book.report("a", [(KEY, counted(5, in_flight=1))])
    assert book.total(KEY).requests == 7
    assert book.total(KEY).latency.count == 7
    assert book.last_minute(KEY).requests == 7
    assert (book.activity(KEY).in_flight, book.activity(KEY).queued) == (3, 1)


def test_a_gateway_that_is_gone_leaves_its_totals_and_takes_what_it_held(book: UsageBook) -> None:
    met(book, "a")
    book.report("a", [(KEY, counted(3, in_flight=4))])
    book.gone("a")
    assert book.total(KEY).requests == 3
    assert book.activity(KEY).in_flight == 0


def test_the_last_minute_slides(book: UsageBook, clock: ManualClock) -> None:
    met(book, "a")
    for second in range(1, 121):
        clock.now += 1
        book.report("a", [(KEY, counted(second))])
    assert 60 <= book.last_minute(KEY).requests <= 70
    assert book.total(KEY).requests == 120
    clock.now += 70
    assert book.last_minute(KEY).requests == 0


def test_what_was_before_a_new_controller_is_not_of_its_last_minute(book: UsageBook, clock: ManualClock) -> None:
    book.report("a", [(KEY, counted(1000))])
    assert book.total(KEY).requests == 1000
    assert book.last_minute(KEY).requests == 0
    clock.now += 1
    book.report("a", [(KEY, counted(1004))])
    book.report("b", [(KEY, counted(500))])
    clock.now += 1
    book.report("b", [(KEY, counted(503))])
    assert book.total(KEY).requests == 1507
    assert book.last_minute(KEY).requests == 7
    clock.now += 70
    assert book.last_minute(KEY).requests == 0


def test_those_who_wait_are_told_of(book: UsageBook) -> None:
    waiting: list[set[str]] = []
    book.on_queued = waiting.append
    met(book, "a")
    book.report("a", [(KEY, counted(1)), (("e2", "x"), counted(0, queued=2))])
    assert waiting == [{"e2"}]


def test_a_deleted_endpoint_is_forgotten(book: UsageBook) -> None:
    met(book, "a")
    book.report("a", [(KEY, counted(1, in_flight=1))])
    book.forget("e1")
    assert book.total(KEY).requests == 0
    assert book.activity(KEY).idle_s == float("inf")
