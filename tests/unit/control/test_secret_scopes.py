"""Scopes, their secrets and who may what: through the use cases, on the stores in memory and with real encryption."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from lakeserve.adapters.encryption.aes_gcm import AesGcmSealer
from lakeserve.adapters.local.clock import RandomIds
from lakeserve.adapters.memory.publisher import MemoryPublisher
from lakeserve.adapters.memory.secrets import MemorySecretStore
from lakeserve.adapters.memory.store import MemoryDirectoryStore, MemoryTokenStore
from lakeserve.control.credentials import Credentials
from lakeserve.control.directory import DirectoryChanges
from lakeserve.control.references import References
from lakeserve.control.secrets import Secrets
from lakeserve.domain.directory import AccountFields, GroupFields
from lakeserve.domain.errors import (
    InternalError,
    InvalidParameterValue,
    LakeserveError,
    PermissionDenied,
    ResourceAlreadyExists,
    ResourceDoesNotExist,
)
from lakeserve.domain.principal import Kind, Principal, token_digest
from lakeserve.domain.secrets import (
    MAX_SCOPES,
    MAX_SECRETS,
    Permission,
    ResourceLimitExceeded,
    Scope,
    Secret,
)
from lakeserve.ports.secrets import SealedSecret, SecretKey, SecretUnusable
from support.clock import ManualClock
from support.endpoints import an_entity

READ, WRITE, MANAGE = Permission.READ, Permission.WRITE, Permission.MANAGE


@dataclass
class Office:
    clock: ManualClock
    store: MemorySecretStore
    credentials: Credentials
    directory: DirectoryChanges
    secrets: Secrets
    references: References

    async def user(self, name: str) -> Principal:
        account = await self.directory.create_account(Kind.USER, AccountFields(name))
        return self.principal(account.id)

    def principal(self, account_id: str) -> Principal:
        principal = self.credentials.directory.principal(account_id)
        assert principal is not None
        return principal

    @property
    def root(self) -> Principal:
        return self.principal("1")


@pytest.fixture
async def office() -> Office:
    clock, ids, directory, store = ManualClock(), RandomIds(), MemoryDirectoryStore(), MemorySecretStore()
    credentials = Credentials(MemoryTokenStore(), directory, MemoryPublisher(), clock, ids)
    await credentials.install_admin("root@example.com", token_digest("first"))
    secrets = Secrets(store, AesGcmSealer(bytes(32), "secrets"), credentials, clock)
    changes = DirectoryChanges(directory, credentials, clock, ids)
    return Office(clock, store, credentials, changes, secrets, References(secrets, credentials))


async def test_the_creator_manages_a_scope(office: Office) -> None:
    ada, bob = await office.user("ada@example.com"), await office.user("bob@example.com")
    await office.secrets.create_scope(ada, "LLM", None)

    assert await office.secrets.grants(ada, "llm") == {"ada@example.com": MANAGE}
    assert [scope.name for scope in await office.secrets.scopes()] == ["LLM"]
    with pytest.raises(PermissionDenied, match=r"bob@example\.com does not have READ permission on secret scope LLM"):
        await office.secrets.keys(bob, "llm")


async def test_everybody_manages_a_scope_if_that_is_asked_for(office: Office) -> None:
    ada, bob = await office.user("ada@example.com"), await office.user("bob@example.com")
    await office.secrets.create_scope(ada, "open", "users")

    assert await office.secrets.grants(bob, "open") == {"users": MANAGE}
    with pytest.raises(InvalidParameterValue, match="users"):
        await office.secrets.create_scope(ada, "other", "bob@example.com")


async def test_scope_names_are_taken_once_and_there_is_an_end_to_them(office: Office) -> None:
    await office.secrets.create_scope(office.root, "llm", None)
    with pytest.raises(ResourceAlreadyExists):
        await office.secrets.create_scope(office.root, "LLM", None)
    with pytest.raises(InvalidParameterValue):
        await office.secrets.create_scope(office.root, "a/b", None)
    for number in range(MAX_SCOPES - 1):
        await office.store.add_scope(Scope(f"s{number}"))
    with pytest.raises(ResourceLimitExceeded):
        await office.secrets.create_scope(office.root, "more", None)
    with pytest.raises(ResourceAlreadyExists):
        await office.secrets.create_scope(office.root, "llm", None)


@pytest.mark.parametrize("has", [None, READ, WRITE, MANAGE])
async def test_what_each_permission_is_good_for(office: Office, has: Permission | None) -> None:
    ada = await office.user("ada@example.com")
    await office.secrets.create_scope(office.root, "llm", None)
    await office.secrets.put(office.root, "llm", "k", Secret(b"v"))
    if has is not None:
        await office.secrets.grant(office.root, "llm", "ada@example.com", has)
    it = office.secrets
    calls = {
        "get": (READ, it.get(ada, "llm", "k")),
        "keys": (READ, it.keys(ada, "llm")),
        "check": (READ, it.check_readable(ada, "llm", "k")),
        "put": (WRITE, it.put(ada, "llm", "k2", Secret(b""))),
        "delete": (WRITE, it.delete(ada, "llm", "k2")),
        "grants": (MANAGE, it.grants(ada, "llm")),
        "grant_of": (MANAGE, it.grant_of(ada, "llm", "root@example.com")),
        "grant": (MANAGE, it.grant(ada, "llm", "users", READ)),
        "revoke": (MANAGE, it.revoke(ada, "llm", "users")),
        "delete scope": (MANAGE, it.delete_scope(ada, "llm")),
    }
    allowed = set()
    for name, (_, call) in calls.items():
        try:
            await call
        except PermissionDenied:
            continue
        allowed.add(name)
    assert allowed == {name for name, (needed, _) in calls.items() if has is not None and has.covers(needed)}


async def test_an_administrator_may_everything_in_the_scopes_of_others(office: Office) -> None:
    ada = await office.user("ada@example.com")
    await office.secrets.create_scope(ada, "llm", None)
    await office.secrets.put(office.root, "llm", "k", Secret(b"v"))
    await office.secrets.revoke(office.root, "llm", "ada@example.com")

    with pytest.raises(PermissionDenied):
        await office.secrets.get(ada, "llm", "k")
    await office.secrets.delete_scope(office.root, "llm")


async def test_a_value_is_kept_sealed_and_given_back(office: Office) -> None:
    await office.secrets.create_scope(office.root, "LLM", None)
    await office.secrets.put(office.root, "llm", "OpenAI", Secret(b"\0 canary \xff"))

    assert await office.secrets.get(office.root, "Llm", "openai") == ("OpenAI", Secret(b"\0 canary \xff"))
    stored = await office.store.any_secret()
    assert stored is not None
    assert b"canary" not in stored.sealed
    assert await office.secrets.keys(office.root, "llm") == [SecretKey("OpenAI", stored.updated_at)]


async def test_a_value_is_replaced_and_deleted(office: Office) -> None:
    await office.secrets.create_scope(office.root, "llm", None)
    for value in (b"old", b"new"):
        await office.secrets.put(office.root, "llm", "k", Secret(value))
    assert await office.secrets.get(office.root, "llm", "K") == ("k", Secret(b"new"))

    await office.secrets.delete(office.root, "llm", "k")
    for gone in (office.secrets.get(office.root, "llm", "k"), office.secrets.delete(office.root, "llm", "k")):
        with pytest.raises(ResourceDoesNotExist, match="Secret k does not exist in scope llm"):
            await gone


async def test_what_was_swapped_in_the_database_is_refused(office: Office) -> None:
    await office.secrets.create_scope(office.root, "mine", None)
    await office.secrets.create_scope(office.root, "theirs", None)
    for scope in ("mine", "theirs"):
        await office.secrets.put(office.root, scope, "k", Secret(scope.encode()))
    theirs = await office.store.get("theirs", "k")
    assert theirs is not None
    await office.store.put(replace(theirs, scope="mine"))

    with pytest.raises(InternalError, match="cannot be decrypted"):
        await office.secrets.get(office.root, "mine", "k")


async def test_a_scope_is_full_at_a_thousand(office: Office) -> None:
    await office.secrets.create_scope(office.root, "llm", None)
    for number in range(MAX_SECRETS):
        await office.store.put(SealedSecret("llm", f"k{number}", b"", 0))
    with pytest.raises(ResourceLimitExceeded):
        await office.secrets.put(office.root, "llm", "more", Secret(b""))
    await office.secrets.put(office.root, "llm", "K7", Secret(b"again"))
    with pytest.raises(InvalidParameterValue):
        await office.secrets.put(office.root, "llm", "a b", Secret(b""))


async def test_grants_are_to_users_groups_and_service_principals_by_name(office: Office) -> None:
    ada = await office.user("ada@example.com")
    robot = await office.directory.create_account(Kind.SERVICE_PRINCIPAL, AccountFields())
    await office.directory.create_group(GroupFields("risk", frozenset({ada.id})))
    await office.secrets.create_scope(office.root, "llm", None)
    for name, permission in (("ADA@example.com", READ), (robot.name, WRITE), ("risk", READ), ("risk", WRITE)):
        await office.secrets.grant(office.root, "llm", name, permission)

    assert await office.secrets.grants(office.root, "llm") == {
        "root@example.com": MANAGE,
        "ada@example.com": READ,
        robot.name: WRITE,
        "risk": WRITE,
    }
    assert await office.secrets.grant_of(office.root, "llm", "Risk") == ("risk", WRITE)
    await office.secrets.put(office.principal(ada.id), "llm", "k", Secret(b""))

    await office.secrets.revoke(office.root, "llm", "risk")
    with pytest.raises(PermissionDenied):
        await office.secrets.put(office.principal(ada.id), "llm", "k", Secret(b""))
    for call in (office.secrets.revoke(office.root, "llm", "risk"), office.secrets.grant_of(office.root, "llm", "x")):
        with pytest.raises(ResourceDoesNotExist):
            await call
    with pytest.raises(InvalidParameterValue, match="There is no user"):
        await office.secrets.grant(office.root, "llm", "nobody", READ)


async def test_whoever_gets_the_name_of_somebody_who_has_gone_gets_none_of_their_rights(office: Office) -> None:
    ada = await office.user("ada@example.com")
    await office.secrets.create_scope(ada, "llm", None)
    await office.directory.delete_account(Kind.USER, ada.id)
    other = await office.user("ada@example.com")

    assert await office.secrets.grants(office.root, "llm") == {}
    with pytest.raises(PermissionDenied):
        await office.secrets.keys(other, "llm")


async def test_a_scope_that_is_not_there_is_missing_for_everybody(office: Office) -> None:
    ada = await office.user("ada@example.com")
    for call in (
        office.secrets.delete_scope(ada, "none"),
        office.secrets.put(ada, "none", "k", Secret(b"")),
        office.secrets.get(ada, "none", "k"),
        office.secrets.keys(ada, "none"),
        office.secrets.delete(ada, "none", "k"),
        office.secrets.grant(ada, "none", "users", READ),
        office.secrets.grants(ada, "none"),
        office.secrets.revoke(ada, "none", "users"),
    ):
        with pytest.raises(ResourceDoesNotExist, match="Scope none does not exist"):
            await call


async def test_a_scope_of_an_old_name_starts_empty(office: Office) -> None:
    await office.secrets.create_scope(office.root, "llm", None)
    await office.secrets.put(office.root, "llm", "k", Secret(b"v"))
    await office.secrets.delete_scope(office.root, "llm")
    await office.secrets.create_scope(office.root, "LLM", None)

    assert await office.secrets.keys(office.root, "llm") == []


# References


async def _prepared(office: Office) -> Principal:
    """Ada, who may read scope llm with its secret k."""
    ada = await office.user("ada@example.com")
    await office.secrets.create_scope(office.root, "llm", None)
    await office.secrets.put(office.root, "llm", "k", Secret("größe".encode()))
    await office.secrets.grant(office.root, "llm", ada.name, READ)
    return ada


async def test_a_config_may_refer_to_what_its_creator_may_read(office: Office) -> None:
    ada, bob = await _prepared(office), await office.user("bob@example.com")
    entity = an_entity(environment_vars={"PLAIN": "{{x}}", "KEY": "{{secrets/LLM/K}}"})

    await office.references.check(ada, [an_entity(), entity])
    with pytest.raises(PermissionDenied):
        await office.references.check(bob, [an_entity(), entity])
    for missing in ("{{secrets/none/k}}", "{{secrets/llm/none}}", "{{secrets/no name/k}}"):
        with pytest.raises(ResourceDoesNotExist):
            await office.references.check(ada, [an_entity(environment_vars={"KEY": missing})])


async def test_references_are_resolved_by_the_rights_of_the_creator(office: Office) -> None:
    ada = await _prepared(office)
    entity = an_entity(environment_vars={"PLAIN": "x", "KEY": "{{secrets/llm/k}}"}, creator=ada.name, creator_id=ada.id)
    assert await office.references.resolve(entity) == {"PLAIN": "x", "KEY": "größe"}
    assert entity.environment_vars["KEY"] == "{{secrets/llm/k}}"

    await office.secrets.revoke(office.root, "llm", ada.name)
    with pytest.raises(SecretUnusable, match=r"KEY refers to secret k in scope llm, .* does not have READ permission"):
        await office.references.resolve(entity)


async def test_a_creator_who_is_gone_has_no_rights_also_if_the_name_is_used_again(office: Office) -> None:
    ada = await _prepared(office)
    entity = an_entity(environment_vars={"KEY": "{{secrets/llm/k}}"}, creator=ada.name, creator_id=ada.id)
    await office.directory.change_account(Kind.USER, ada.id, lambda _: AccountFields(active=False))
    with pytest.raises(SecretUnusable, match=r"ada@example\.com.* is not an active account"):
        await office.references.resolve(entity)

    await office.directory.delete_account(Kind.USER, ada.id)
    await office.user("ada@example.com")
    await office.secrets.grant(office.root, "llm", "ada@example.com", READ)
    with pytest.raises(SecretUnusable):
        await office.references.resolve(entity)


async def test_without_references_nobody_is_asked(office: Office) -> None:
    entity = an_entity(environment_vars={"A": "1"}, creator="gone", creator_id="99")
    assert await office.references.resolve(entity) == {"A": "1"}


@pytest.mark.parametrize(
    ("value", "told"),
    [(b"canary\xff", "not UTF-8 text"), (b"canary\0", "a NUL character"), (b"canary" * 6000, "longer than the 32768")],
)
async def test_what_no_variable_can_hold_is_said_without_the_value(office: Office, value: bytes, told: str) -> None:
    await _prepared(office)
    await office.secrets.put(office.root, "llm", "k", Secret(value))
    entity = an_entity(environment_vars={"KEY": "{{secrets/llm/k}}"}, creator_id="1")
    with pytest.raises(SecretUnusable, match=told) as caught:
        await office.references.resolve(entity)
    assert "canary" not in str(caught.value)
    assert not isinstance(caught.value.__cause__, (UnicodeDecodeError, LakeserveError))
