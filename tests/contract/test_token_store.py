"""What every token store does, whatever it is made of."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakeserve.ports.store import Token, TokenKind, TokenStore
from support import endpoints as any_
from support.endpoints import a_token
from support.stores import KINDS, Stores


@pytest.fixture
def store(stores: Stores) -> TokenStore:
    return stores.tokens


async def test_an_empty_store_lists_nothing(store: TokenStore) -> None:
    assert await store.list() == []
    assert await store.remove("nothing") is False


async def test_a_token_is_kept_with_everything(store: TokenStore) -> None:
    token = a_token(kind=TokenKind.ACCESS, owner="42", comment="laptop \N{GRINNING FACE}", created_at=5, expires_at=6)

    await store.put(token)

    assert await store.list() == [token]


async def test_a_token_of_the_same_digest_replaces(store: TokenStore) -> None:
    await store.put(a_token("a", comment="old", expires_at=1))
    await store.put(a_token("b"))
    await store.put(a_token("a", owner="2", comment="new"))

    assert await store.list() == [a_token("a", owner="2", comment="new"), a_token("b")]


async def test_expiry_is_kept_and_not_judged(store: TokenStore) -> None:
    tokens = [a_token("a", expires_at=0), a_token("b", expires_at=None), a_token("c", expires_at=2**53)]
    for token in tokens:
        await store.put(token)

    assert await store.list() == tokens


async def test_the_list_is_oldest_first_and_by_digest_within_a_millisecond(store: TokenStore) -> None:
    for digest, created_at in (("c", 3), ("z", 1), ("b", 2), ("a", 2)):
        await store.put(a_token(digest, created_at=created_at))

    assert [token.digest for token in await store.list()] == ["z", "a", "b", "c"]


async def test_a_removed_token_is_gone(store: TokenStore) -> None:
    await store.put(a_token("a"))
    await store.put(a_token("b"))

    assert await store.remove("a") is True
    assert await store.remove("a") is False
    assert await store.list() == [a_token("b")]


async def test_puts_of_one_digest_at_once_leave_one(store: TokenStore) -> None:
    tokens = [a_token("a", comment=str(number)) for number in range(8)]

    await asyncio.gather(*(store.put(token) for token in tokens))

    (left,) = await store.list()
    assert left in tokens


@pytest.mark.parametrize("kind", sorted(KINDS))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tokens=st.lists(any_.tokens, max_size=4, unique_by=(lambda token: token.digest, lambda token: token.id)))
def test_every_value_comes_back_as_it_went_in(kind: str, tokens: list[Token]) -> None:
    async def round_trip() -> None:
        with TemporaryDirectory() as folder:
            async with KINDS[kind](Path(folder)) as stores:
                for token in tokens:
                    await stores.tokens.put(token)
                expected = sorted(tokens, key=lambda token: (token.created_at, token.digest))
                assert await stores.tokens.list() == expected

    asyncio.run(round_trip())
