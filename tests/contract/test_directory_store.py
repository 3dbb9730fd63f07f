"""What every directory store does, whatever it is made of."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakeserve.domain.directory import BUILT_IN, Account, Group, name_key
from lakeserve.domain.principal import ADMINS, Kind
from lakeserve.ports.store import DirectoryStore, NameTaken
from support import endpoints as any_
from support.stores import KINDS, Stores

ADA = Account("7", Kind.USER, "ada@example.com", "Ada", created_at=2)
ROBOT = Account("8", Kind.SERVICE_PRINCIPAL, "f3b0a1de-0000-4000-8000-1234567890ab", active=False, created_at=1)
RISK = Group("9", "risk", frozenset({"7", "8"}))


@pytest.fixture
def store(stores: Stores) -> DirectoryStore:
    return stores.directory


async def test_an_empty_store_has_the_built_in_groups(store: DirectoryStore) -> None:
    assert await store.read() == BUILT_IN
    assert await store.remove("nobody") is False


async def test_accounts_and_groups_are_kept_with_everything_oldest_first(store: DirectoryStore) -> None:
    extra = {"roles": [{"value": "größe"}], "deep": {"n": [1, None, True]}}
    for account in (replace(ADA, extra=extra), ROBOT):
        await store.put_account(account)
    await store.put_group(replace(RISK, extra=extra))

    directory = await store.read()
    assert list(directory.accounts.values()) == [ROBOT, replace(ADA, extra=extra)]
    assert directory.groups == {**BUILT_IN.groups, "9": replace(RISK, extra=extra)}


async def test_a_put_of_the_same_id_replaces(store: DirectoryStore) -> None:
    await store.put_account(ADA)
    await store.put_account(replace(ADA, display_name="A. L.", active=False))
    await store.put_group(RISK)
    await store.put_group(replace(RISK, name="fraud", members=frozenset({"8", "10"})))

    directory = await store.read()
    assert directory.accounts == {"7": replace(ADA, display_name="A. L.", active=False)}
    assert directory.groups["9"] == replace(RISK, name="fraud", members=frozenset({"8", "10"}))


async def test_members_of_a_built_in_group_are_kept(store: DirectoryStore) -> None:
    admins = replace(BUILT_IN.groups[ADMINS], members=frozenset({"7"}))
    await store.put_group(admins)

    assert (await store.read()).groups[ADMINS] == admins


@pytest.mark.parametrize("name", ["ada@example.com", "ADA@Example.com"])
async def test_names_of_accounts_are_unique_whatever_the_case(store: DirectoryStore, name: str) -> None:
    await store.put_account(ADA)

    with pytest.raises(NameTaken):
        await store.put_account(replace(ROBOT, name=name))
    assert (await store.read()).accounts == {"7": ADA}


async def test_names_of_groups_are_unique_whatever_the_case(store: DirectoryStore) -> None:
    await store.put_group(replace(RISK, name="Größe"))

    with pytest.raises(NameTaken):
        await store.put_group(Group("10", "GRÖSSE", frozenset({"7"})))
    assert (await store.read()).groups["9"].name == "Größe"
    assert "10" not in (await store.read()).groups


async def test_who_is_removed_is_in_no_group_any_more(store: DirectoryStore) -> None:
    await store.put_account(ADA)
    await store.put_group(RISK)
    await store.put_group(Group("10", "all", frozenset({"7", "9"})))

    assert await store.remove("7") is True
    assert await store.remove("9") is True
    assert await store.remove("9") is False

    directory = await store.read()
    assert directory.accounts == {}
    assert directory.groups == {**BUILT_IN.groups, "10": Group("10", "all")}


async def test_the_name_of_who_is_removed_is_free(store: DirectoryStore) -> None:
    await store.put_account(ADA)
    await store.remove("7")
    await store.put_account(replace(ADA, id="70"))

    assert list((await store.read()).accounts) == ["70"]


def _by_key(entry: Account | Group) -> str:
    return name_key(entry.name)


def _by_id(entry: Account | Group) -> str:
    return entry.id


@pytest.mark.parametrize("kind", sorted(KINDS))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    accounts=st.lists(any_.accounts, max_size=3, unique_by=(_by_id, _by_key)),
    groups=st.lists(any_.groups, max_size=3, unique_by=(_by_id, _by_key)),
)
def test_every_value_comes_back_as_it_went_in(kind: str, accounts: list[Account], groups: list[Group]) -> None:
    async def round_trip() -> None:
        with TemporaryDirectory() as folder:
            async with KINDS[kind](Path(folder)) as stores:
                for account in accounts:
                    await stores.directory.put_account(account)
                for group in groups:
                    await stores.directory.put_group(group)
                directory = await stores.directory.read()
                assert directory.accounts == {account.id: account for account in accounts}
                assert directory.groups == {**BUILT_IN.groups, **{group.id: group for group in groups}}

    asyncio.run(round_trip())
