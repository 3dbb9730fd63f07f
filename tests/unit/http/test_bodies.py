"""Request bodies: bounded one by one and together, and never half of one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lakeserve.domain.errors import BadRequest, PayloadTooLarge, TemporarilyUnavailable
from lakeserve.http.body import ByteBudget, ClientGone, expected_size, read_body
from support.asgi_client import Exchange
from support.clock import settle, virtual


async def read(limit: int, *parts: bytes, leaves: bool = False, **headers: str) -> tuple[bytes, int]:
    """The body, and how many of its parts were left unread."""
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    it = Exchange("POST", "/", sent, parts, leaves)
    it._messages = it._sent()
    try:
        return await read_body(it.scope, it._receive, limit), len(it._messages)
    except BadRequest as error:
        error.add_note(f"unread: {len(it._messages)}")
        raise


@pytest.mark.parametrize("parts", [(), (b"",), (b"abc",), (b"a", b"", b"bc")])
async def test_reads_the_whole_body(parts: tuple[bytes, ...]) -> None:
    assert await read(3, *parts) == (b"".join(parts), 0)


async def test_a_declared_length_over_the_limit_is_refused_unread() -> None:
    with pytest.raises(PayloadTooLarge, match="cannot exceed 3 bytes") as refused:
        await read(3, b"abcd", content_length="4")
    assert refused.value.status == 413
    assert refused.value.__notes__ == ["unread: 1"]


async def test_chunks_are_read_no_further_than_the_limit() -> None:
    with pytest.raises(PayloadTooLarge) as refused:
        await read(3, b"ab", b"cd", b"ef", b"gh", transfer_encoding="chunked")
    assert refused.value.__notes__ == ["unread: 2"]


@pytest.mark.parametrize("parts", [(), (b"abc",)])
async def test_half_a_body_is_none(parts: tuple[bytes, ...]) -> None:
    with pytest.raises(ClientGone):
        await read(10, *parts, leaves=True)


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate", "br", "identity, gzip"])
async def test_compressed_bodies_are_refused(encoding: str) -> None:
    with pytest.raises(BadRequest, match="Content-Encoding"):
        await read(10, b"abc", content_encoding=encoding)


async def test_no_encoding_is_an_encoding() -> None:
    for encoding in ("identity", " Identity ", ""):
        assert await read(10, b"abc", content_encoding=encoding) == (b"abc", 0)


def test_what_a_body_may_become() -> None:
    def scope(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
        return Exchange(headers=list(headers)).scope

    assert expected_size(scope(), 100) == 0
    assert expected_size(scope((b"content-length", b"7")), 100) == 7
    assert expected_size(scope((b"transfer-encoding", b"chunked")), 100) == 100
    with pytest.raises(PayloadTooLarge):
        expected_size(scope((b"content-length", b"101")), 100)


# All of them together


async def holding(budget: ByteBudget, size: int, until: asyncio.Event, order: list[int] | None = None) -> None:
    async with budget.hold(size):
        if order is not None:
            order.append(size)
        await until.wait()


@virtual
async def test_together_they_hold_no_more_than_the_budget_first_come_first_served() -> None:
    budget, order = ByteBudget(10, 60.0), list[int]()
    ends = [asyncio.Event() for _ in range(4)]
    tasks = []
    for size, end in zip((6, 7, 1, 4), ends, strict=True):
        tasks.append(asyncio.create_task(holding(budget, size, end, order)))
        await settle()
    assert order == [6], "a small one does not overtake: large ones would never get their turn"
    ends[0].set()
    await settle()
    assert order == [6, 7, 1]
    for end in ends:
        end.set()
    await asyncio.gather(*tasks)
    assert order == [6, 7, 1, 4]
    assert budget.free == 10


@virtual
async def test_who_waits_too_long_is_refused_and_takes_nothing() -> None:
    budget, end = ByteBudget(10, 60.0), asyncio.Event()
    first = asyncio.create_task(holding(budget, 10, end))
    await settle()
    with pytest.raises(TemporarilyUnavailable):
        await holding(budget, 1, end)
    end.set()
    await first
    assert budget.free == 10


@virtual
async def test_one_larger_than_all_of_it_gets_all_of_it() -> None:
    budget, end = ByteBudget(10, 60.0), asyncio.Event()
    end.set()
    await holding(budget, 1_000, end)
    assert budget.free == 10


@virtual
async def test_who_leaves_in_the_moment_of_being_let_in_takes_nothing() -> None:
    budget, end = ByteBudget(10, 60.0), asyncio.Event()
    first = asyncio.create_task(holding(budget, 10, end))
    await settle()
    leaving = asyncio.create_task(holding(budget, 10, asyncio.Event()))
    behind = asyncio.create_task(holding(budget, 10, end))
    await settle()
    end.set()
    await first
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    await behind
    assert budget.free == 10
