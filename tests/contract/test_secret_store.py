"""What every secret store does, whatever it is made of."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakeserve.domain.secrets import Permission, Scope
from lakeserve.ports.secrets import SealedSecret, SecretKey, SecretStore
from lakeserve.ports.store import NameTaken
from support.stores import KINDS, Stores

LLM = Scope("LLM", {"7": Permission.MANAGE, "users": Permission.READ}, 5)
OPENAI = SealedSecret("LLM", "OpenAI", b"\0\xff sealed", 6)


@pytest.fixture
def store(stores: Stores) -> SecretStore:
    return stores.secrets


async def test_an_empty_store_has_nothing(store: SecretStore) -> None:
    assert await store.scopes() == []
    assert await store.scope("llm") is None
    assert await store.set_grants("llm", {}) is False
    assert await store.remove_scope("llm") is False
    assert await store.put(OPENAI) is False
    assert await store.get("llm", "openai") is None
    assert await store.keys("llm") == []
    assert await store.remove("llm", "openai") is False
    assert await store.any_secret() is None


async def test_a_scope_is_kept_and_found_whatever_the_case(store: SecretStore) -> None:
    await store.add_scope(LLM)

    assert await store.scope("llm") == LLM
    assert await store.scope("Llm") == LLM
    assert await store.scope("ll") is None
    with pytest.raises(NameTaken):
        await store.add_scope(Scope("llm"))
    assert await store.scopes() == [LLM]


async def test_scopes_are_listed_oldest_first_and_by_name_within_a_millisecond(store: SecretStore) -> None:
    for name, created_at in (("c", 3), ("z", 1), ("B", 2), ("a", 2)):
        await store.add_scope(Scope(name, created_at=created_at))

    assert [scope.name for scope in await store.scopes()] == ["z", "a", "B", "c"]


async def test_grants_are_replaced(store: SecretStore) -> None:
    await store.add_scope(LLM)
    await store.add_scope(Scope("other", {"7": Permission.READ}))

    assert await store.set_grants("llm", {"8": Permission.WRITE}) is True

    assert await store.scope("llm") == replace(LLM, grants={"8": Permission.WRITE})
    assert await store.scope("other") == Scope("other", {"7": Permission.READ})


async def test_what_a_caller_changes_later_changes_nothing_stored(store: SecretStore) -> None:
    grants = {"7": Permission.READ}
    await store.add_scope(Scope("a", grants))
    grants["8"] = Permission.MANAGE

    assert await store.scope("a") == Scope("a", {"7": Permission.READ})


async def test_a_secret_is_kept_and_replaced_under_the_name_it_first_had(store: SecretStore) -> None:
    await store.add_scope(LLM)

    assert await store.put(OPENAI) is True
    assert await store.get("llm", "OPENAI") == OPENAI
    assert await store.any_secret() == OPENAI

    assert await store.put(SealedSecret("llm", "openai", b"new", 9)) is True
    assert await store.get("LLM", "openai") == replace(OPENAI, sealed=b"new", updated_at=9)
    assert await store.keys("llm") == [SecretKey("OpenAI", 9)]


async def test_keys_are_those_of_the_scope_by_name(store: SecretStore) -> None:
    for scope in ("a", "ab"):
        await store.add_scope(Scope(scope))
        for number, key in enumerate(("z", "B", "a")):
            await store.put(SealedSecret(scope, f"{key}.{scope}", b"s", number))

    assert await store.keys("A") == [SecretKey("a.a", 2), SecretKey("B.a", 1), SecretKey("z.a", 0)]


async def test_a_removed_secret_is_gone(store: SecretStore) -> None:
    await store.add_scope(LLM)
    await store.put(OPENAI)

    assert await store.remove("llm", "openai") is True
    assert await store.remove("llm", "openai") is False
    assert await store.get("llm", "openai") is None
    assert await store.scope("llm") == LLM


async def test_a_removed_scope_takes_its_secrets_with_it(store: SecretStore) -> None:
    for scope in ("LLM", "other"):
        await store.add_scope(Scope(scope))
        await store.put(replace(OPENAI, scope=scope))

    assert await store.remove_scope("llm") is True
    assert await store.remove_scope("llm") is False
    await store.add_scope(Scope("llm"))

    assert await store.get("llm", "openai") is None
    assert await store.keys("llm") == []
    assert await store.any_secret() == replace(OPENAI, scope="other")


async def test_scopes_of_one_name_at_once_leave_one(store: SecretStore) -> None:
    made = await asyncio.gather(
        *(store.add_scope(Scope("llm", created_at=number)) for number in range(8)), return_exceptions=True
    )

    assert [type(each) for each in made].count(NameTaken) == 7
    assert len(await store.scopes()) == 1


names = st.text("abcXYZ._-019", min_size=1, max_size=20)


@pytest.mark.parametrize("kind", sorted(KINDS))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    grants=st.dictionaries(names, st.sampled_from(Permission), max_size=3),
    secrets=st.lists(st.tuples(names, st.binary(max_size=200)), max_size=4, unique_by=lambda item: item[0].lower()),
)
def test_every_value_comes_back_as_it_went_in(
    kind: str, grants: dict[str, Permission], secrets: list[tuple[str, bytes]]
) -> None:
    async def round_trip() -> None:
        with TemporaryDirectory() as folder:
            async with KINDS[kind](Path(folder)) as stores:
                await stores.secrets.add_scope(Scope("s", grants, 1))
                for key, sealed in secrets:
                    assert await stores.secrets.put(SealedSecret("s", key, sealed, 2))
                assert await stores.secrets.scope("s") == Scope("s", grants, 1)
                for key, sealed in secrets:
                    assert await stores.secrets.get("s", key) == SealedSecret("s", key, sealed, 2)

    asyncio.run(round_trip())
