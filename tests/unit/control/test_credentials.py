"""Who is known by which credential: through the use cases, on the stores in memory."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakeserve.adapters.local.clock import RandomIds
from lakeserve.adapters.memory.store import MemoryDirectoryStore, MemoryTokenStore
from lakeserve.control.credentials import AT_MOST, PREFIXES, Credentials
from lakeserve.control.directory import DirectoryChanges
from lakeserve.control.login import Logins
from lakeserve.control.oauth import AccessTokens, ClientSecrets
from lakeserve.control.tokens import DEFAULT_LIFETIME_S, PersonalTokens, TokenManagement
from lakeserve.domain.directory import Account, AccountFields, Directory, GroupFields
from lakeserve.domain.errors import BadRequest, InvalidParameterValue, LakeserveError, ResourceDoesNotExist
from lakeserve.domain.oauth import LoginRequest, OAuthProblem, OAuthRefused
from lakeserve.domain.principal import ADMINS, Kind, Principal, token_digest
from lakeserve.domain.routing import EndpointRoutes
from lakeserve.ports.store import StoreTrouble, StoreUnavailable, TokenKind
from support.clock import ManualClock

ROOT = "root@example.com"


class Published:
    """What the gateways would know."""

    def __init__(self) -> None:
        self.principals: dict[str, Principal] = {}

    def publish_principals(self, principals: Iterable[tuple[str, Principal]]) -> None:
        self.principals = dict(principals)

    def publish(self, routes: EndpointRoutes) -> None:
        raise AssertionError

    def withdraw(self, endpoint_name: str, endpoint_id: str) -> None:
        raise AssertionError

    def complete(self) -> None:
        raise AssertionError

    def who(self, token: str, now: int = 0) -> str | None:
        principal = self.principals.get(token_digest(token))
        return None if principal is None or principal.expired(now) else principal.name


@dataclass
class Office:
    clock: ManualClock
    published: Published
    tokens: MemoryTokenStore
    store: MemoryDirectoryStore
    credentials: Credentials
    directory: DirectoryChanges

    async def user(self, name: str) -> Principal:
        account = await self.directory.create_account(Kind.USER, AccountFields(name))
        return self.principal(account.id)

    async def robot(self) -> Account:
        return await self.directory.create_account(Kind.SERVICE_PRINCIPAL, AccountFields())

    def principal(self, account_id: str) -> Principal:
        principal = self.credentials.directory.principal(account_id)
        assert principal is not None
        return principal


def _office() -> Office:
    clock, published, tokens, store, ids = (
        ManualClock(),
        Published(),
        MemoryTokenStore(),
        MemoryDirectoryStore(),
        RandomIds(),
    )
    credentials = Credentials(tokens, store, published, clock, ids)
    return Office(clock, published, tokens, store, credentials, DirectoryChanges(store, credentials, clock, ids))


@pytest.fixture
async def office() -> Office:
    made = _office()
    await made.credentials.install_admin(ROOT, token_digest("first"))
    return made


async def test_the_operator_administers(office: Office) -> None:
    (principal,) = office.published.principals.values()
    assert (principal.name, principal.is_admin, principal.expires_at) == (ROOT, True, None)


async def test_another_start_with_another_token_ends_the_first(office: Office) -> None:
    await office.credentials.install_admin(ROOT, token_digest("second"))

    assert office.published.who("first") is None
    assert office.published.who("second") == ROOT
    assert len(office.credentials.directory.accounts) == 1


async def test_another_start_under_another_name_makes_that_one_the_administrator(office: Office) -> None:
    ada = await office.user("ada@example.com")
    await office.directory.change_account(Kind.USER, ada.id, lambda _: AccountFields(active=False))

    await office.credentials.install_admin("ada@example.com", token_digest("second"))

    assert office.published.who("second") == "ada@example.com"
    assert office.principal(ada.id).is_admin


async def test_everything_is_known_again_after_a_restart(office: Office) -> None:
    ada = await office.user("ada@example.com")
    text, token = await PersonalTokens(office.credentials).create(ada, "laptop", 60)

    again = Credentials(office.tokens, office.store, office.published, office.clock, RandomIds())
    office.published.principals = {}
    await again.install_admin(ROOT, token_digest("first"))

    assert office.published.who(text) == "ada@example.com"
    assert again.of(TokenKind.PERSONAL, ada.id) == [token]


async def test_a_token_is_random_and_only_its_digest_is_kept(office: Office) -> None:
    ada = await office.user("ada@example.com")
    made = [(await PersonalTokens(office.credentials).create(ada, "", None))[0] for _ in range(20)]

    assert len(set(made)) == 20
    assert all(text.startswith("dapi") and len(text) >= len("dapi") + 160 // 4 for text in made)
    kept = repr(await office.tokens.list())
    assert not any(text in kept or text[4:] in kept for text in made)


async def test_a_token_ends_in_time_with_nobody_doing_anything(office: Office) -> None:
    ada = await office.user("ada@example.com")
    text, token = await PersonalTokens(office.credentials).create(ada, "", 60)
    now = office.clock.now_ms()

    assert token.expires_at == now + 60_000
    assert office.published.who(text, now + 59_999) == "ada@example.com"
    assert office.published.who(text, now + 60_000) is None


async def test_what_has_ended_or_belongs_to_nobody_is_forgotten(office: Office) -> None:
    personal = PersonalTokens(office.credentials)
    ada, eve = await office.user("ada@example.com"), await office.user("eve@example.com")
    await personal.create(ada, "short", 60)
    await personal.create(eve, "hers", 6000)
    await office.directory.delete_account(Kind.USER, eve.id)
    office.clock.now += 61

    await personal.create(ada, "new", 60)

    assert [token.comment for token in await office.tokens.list() if token.kind is TokenKind.PERSONAL] == ["new"]


@pytest.mark.parametrize("lifetime_s", [0, -1, DEFAULT_LIFETIME_S + 1])
async def test_lifetimes_that_are_refused(office: Office, lifetime_s: int) -> None:
    with pytest.raises(InvalidParameterValue, match="lifetime"):
        await PersonalTokens(office.credentials).create(await office.user("ada@example.com"), "", lifetime_s)


async def test_a_token_without_a_lifetime_lives_for_two_years(office: Office) -> None:
    _, token = await PersonalTokens(office.credentials).create(await office.user("ada@example.com"), "", None)
    assert token.expires_at == token.created_at + DEFAULT_LIFETIME_S * 1000


async def test_tokens_of_others_do_not_exist(office: Office) -> None:
    personal = PersonalTokens(office.credentials)
    ada, eve = await office.user("ada@example.com"), await office.user("eve@example.com")
    text, token = await personal.create(ada, "", None)

    assert personal.list(eve) == []
    with pytest.raises(ResourceDoesNotExist):
        await personal.delete(eve, token.id)
    with pytest.raises(ResourceDoesNotExist):
        await personal.set_comment(eve, token.id, "mine")
    assert office.published.who(text) == "ada@example.com"
    await personal.delete(ada, token.id)
    assert office.published.who(text) is None


async def test_administrators_manage_everybodys(office: Office) -> None:
    management = TokenManagement(office.credentials)
    ada = await office.user("ada@example.com")
    text, owned = await management.create_for("ADA@example.com", "first", 60)

    assert office.published.who(text) == "ada@example.com"
    assert PersonalTokens(office.credentials).list(ada) == [owned.token]
    assert management.list(owner_name="ada@example.com") == management.list(owner_id=ada.id) == [owned]
    assert management.get(owned.token.id) == owned
    await management.delete(owned.token.id)
    assert office.published.who(text) is None
    with pytest.raises(ResourceDoesNotExist):
        await management.create_for("nobody@example.com", "", None)


@pytest.mark.parametrize("kind", [TokenKind.PERSONAL, TokenKind.CLIENT_SECRET])
async def test_nobody_has_too_many(office: Office, kind: TokenKind) -> None:
    for _ in range(AT_MOST[kind]):
        await office.credentials.issue(kind, "1", lifetime_s=60)
    with pytest.raises(BadRequest, match="At most"):
        await office.credentials.issue(kind, "1", lifetime_s=60)
    office.clock.now += 60
    await office.credentials.issue(kind, "1", lifetime_s=60)


async def test_the_oldest_access_token_makes_room(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(AT_MOST, TokenKind.ACCESS, 2)
    texts = []
    for _ in range(3):
        office.clock.now += 1
        texts.append((await office.credentials.issue(TokenKind.ACCESS, "1", lifetime_s=60))[0])
    assert [office.published.who(text) for text in texts] == [None, ROOT, ROOT]


async def test_a_secret_buys_access_tokens_and_is_none_itself(office: Office) -> None:
    robot = await office.robot()
    secret, kept = await ClientSecrets(office.credentials).create(robot.id, None)
    text, expires_in = await AccessTokens(office.credentials).for_client(robot.name, secret, "all-apis")

    assert secret.startswith(PREFIXES[TokenKind.CLIENT_SECRET])
    assert expires_in == 3600
    assert office.published.who(text) == robot.name
    assert office.published.who(secret) is None
    assert ClientSecrets(office.credentials).list(robot.id) == [kept]


async def test_who_gets_no_access_token_and_all_in_the_same_words(office: Office) -> None:
    secrets, access = ClientSecrets(office.credentials), AccessTokens(office.credentials)
    robot, other, asleep = await office.robot(), await office.robot(), await office.robot()
    secret, kept = await secrets.create(robot.id, None)
    ended, _ = await secrets.create(robot.id, 1)
    theirs, _ = await secrets.create(other.id, None)
    sleeping, _ = await secrets.create(asleep.id, None)
    personal, _ = await TokenManagement(office.credentials).create_for(robot.name, "", None)
    await office.directory.change_account(asleep.kind, asleep.id, lambda _: AccountFields(active=False))
    office.clock.now += 1

    told = set()
    for client_id, text in [
        (robot.name, ended),
        (robot.name, theirs),
        (robot.name, personal),
        (robot.name, ""),
        (robot.name, kept.digest),
        (asleep.name, sleeping),
        (robot.id, secret),
        ("00000000-0000-4000-8000-000000000000", secret),
        (ROOT, "first"),
    ]:
        with pytest.raises(OAuthRefused) as refused:
            await access.for_client(client_id, text, "")
        assert refused.value.problem is OAuthProblem.INVALID_CLIENT
        told.add(str(refused.value))
    assert len(told) == 1
    with pytest.raises(OAuthRefused, match="sql") as scope:
        await access.for_client(robot.name, secret, "all-apis sql")
    assert scope.value.problem is OAuthProblem.INVALID_SCOPE


async def test_leaving_counts_at_once_for_every_credential(office: Office) -> None:
    ada = await office.user("ada@example.com")
    text, _ = await PersonalTokens(office.credentials).create(ada, "", None)
    group = await office.directory.create_group(GroupFields("risk", frozenset({ada.id})))
    assert office.published.principals[token_digest(text)].groups == ("risk", "users")

    await office.directory.change_group(group.id, lambda _: GroupFields("risk"))
    assert office.published.principals[token_digest(text)].groups == ("users",)
    await office.directory.change_account(Kind.USER, ada.id, lambda _: AccountFields(active=False))
    assert office.published.who(text) is None
    await office.directory.change_account(Kind.USER, ada.id, lambda _: AccountFields(active=True))
    assert office.published.who(text) == "ada@example.com"
    await office.directory.delete_account(Kind.USER, ada.id)
    assert office.published.who(text) is None


async def test_who_gets_a_name_anew_gets_nothing_that_belonged_to_it(office: Office) -> None:
    ada = await office.user("ada@example.com")
    text, _ = await PersonalTokens(office.credentials).create(ada, "", None)
    await office.directory.delete_account(Kind.USER, ada.id)
    again = await office.user("ada@example.com")

    assert again.id != ada.id
    assert office.published.who(text) is None


async def test_changes_at_once_are_made_one_after_the_other(office: Office) -> None:
    robots = await asyncio.gather(*(office.robot() for _ in range(8)))
    group = await office.directory.create_group(GroupFields("robots"))

    async def join(robot: Account) -> None:
        await office.directory.change_group(group.id, lambda found: GroupFields(found.name, found.members | {robot.id}))

    await asyncio.gather(*(join(robot) for robot in robots))

    assert office.directory.group(group.id).members == {robot.id for robot in robots}


# Logging in

VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
REQUEST = LoginRequest("databricks-cli", "http://localhost:8020", "all-apis offline_access", "s", CHALLENGE)


async def test_a_login_gives_a_session_that_can_be_renewed(office: Office) -> None:
    logins = Logins(office.credentials, office.clock)
    code = logins.approve(REQUEST, "first")
    assert code is not None
    session = await logins.redeem(code, REQUEST.client_id, REQUEST.redirect_uri, VERIFIER)

    assert office.published.who(session.access_token) == ROOT
    assert session.expires_in == 3600
    assert session.refresh_token is not None
    assert office.published.who(session.refresh_token) is None
    office.clock.now += 3600
    renewed = await logins.refresh(session.refresh_token, REQUEST.client_id)
    assert office.published.who(renewed.access_token, office.clock.now_ms()) == ROOT
    assert office.published.who(session.access_token, office.clock.now_ms()) is None
    assert renewed.refresh_token == session.refresh_token


async def test_a_session_without_offline_access_cannot_be_renewed(office: Office) -> None:
    logins = Logins(office.credentials, office.clock)
    code = logins.approve(replace(REQUEST, scope="all-apis"), "first")
    assert code is not None
    assert (await logins.redeem(code, REQUEST.client_id, REQUEST.redirect_uri, VERIFIER)).refresh_token is None


async def test_a_code_is_good_once_for_a_minute_and_for_who_asked(office: Office) -> None:
    logins = Logins(office.credentials, office.clock)

    async def refused(code: str | None, client: str, redirect: str, verifier: str) -> None:
        assert code is not None
        with pytest.raises(OAuthRefused) as told:
            await logins.redeem(code, client, redirect, verifier)
        assert told.value.problem is OAuthProblem.INVALID_GRANT

    good = (REQUEST.client_id, REQUEST.redirect_uri, VERIFIER)
    await refused(logins.approve(REQUEST, "first"), "other", *good[1:])
    await refused(logins.approve(REQUEST, "first"), good[0], "http://localhost:8021", VERIFIER)
    await refused(logins.approve(REQUEST, "first"), *good[:2], "w" * 43)
    await refused(logins.approve(REQUEST, "first"), *good[:2], CHALLENGE)
    code = logins.approve(REQUEST, "first")
    await logins.redeem(code or "", *good)
    await refused(code, *good)
    late = logins.approve(REQUEST, "first")
    office.clock.now += 60
    await refused(late, *good)
    await refused("", *good)


async def test_only_a_personal_token_logs_in_and_nothing_outlives_it(office: Office) -> None:
    logins = Logins(office.credentials, office.clock)
    ada = await office.user("ada@example.com")
    text, _ = await PersonalTokens(office.credentials).create(ada, "", 600)
    code = logins.approve(REQUEST, text)
    session = await logins.redeem(code or "", REQUEST.client_id, REQUEST.redirect_uri, VERIFIER)

    assert session.expires_in == 600
    for other in ("", "nothing", session.access_token, session.refresh_token or ""):
        assert logins.approve(REQUEST, other) is None
    office.clock.now += 600
    assert logins.approve(REQUEST, text) is None
    with pytest.raises(OAuthRefused, match=r"^Refresh token is invalid$"):
        await logins.refresh(session.refresh_token or "", REQUEST.client_id)


async def test_a_session_ends_with_its_owner(office: Office) -> None:
    logins = Logins(office.credentials, office.clock)
    ada = await office.user("ada@example.com")
    text, _ = await PersonalTokens(office.credentials).create(ada, "", None)
    code = logins.approve(REQUEST, text)
    session = await logins.redeem(code or "", REQUEST.client_id, REQUEST.redirect_uri, VERIFIER)
    await office.directory.change_account(Kind.USER, ada.id, lambda _: AccountFields(active=False))

    assert office.published.who(session.access_token) is None
    with pytest.raises(OAuthRefused):
        await logins.refresh(session.refresh_token or "", REQUEST.client_id)


# Whatever is done, in whatever order: somebody administers, and nobody is more than what the directory says.

CHANGES = st.lists(
    st.tuples(st.sampled_from(["join", "leave", "sleep", "wake", "delete", "token"]), st.integers(0, 3)), max_size=25
)


@settings(max_examples=60, deadline=None)
@given(changes=CHANGES)
def test_somebody_always_administers(changes: list[tuple[str, int]]) -> None:
    asyncio.run(_change_at_will(changes))


async def _change_at_will(changes: list[tuple[str, int]]) -> None:
    office = _office()
    await office.credentials.install_admin(ROOT, token_digest("first"))
    ids = ["1", *[(await office.user(f"u{number}@example.com")).id for number in range(3)]]
    for verb, number in changes:
        with contextlib.suppress(LakeserveError):
            await _one_change(office, verb, ids[number])
        directory = await office.store.read()
        directory.check()
        assert office.credentials.directory == directory
        for principal in office.published.principals.values():
            assert replace(principal, expires_at=None) == directory.principal(principal.id)


async def _one_change(office: Office, verb: str, account_id: str) -> None:
    if verb in ("join", "leave"):
        await office.directory.change_group(
            ADMINS,
            lambda admins: GroupFields(
                admins.name, admins.members | {account_id} if verb == "join" else admins.members - {account_id}
            ),
        )
    elif verb in ("sleep", "wake"):
        await office.directory.change_account(Kind.USER, account_id, lambda _: AccountFields(active=verb == "wake"))
    elif verb == "delete":
        await office.directory.delete_account(Kind.USER, account_id)
    else:
        await office.credentials.issue(TokenKind.PERSONAL, account_id, lifetime_s=60)


class ForgetfulStore(MemoryDirectoryStore):
    """It takes changes, and then cannot be read."""

    broken = False

    async def read(self) -> Directory:
        if self.broken:
            raise StoreUnavailable(StoreTrouble.LOCKED, "cannot be read")
        return await super().read()


async def test_what_was_stored_counts_even_if_the_store_cannot_be_read_just_after() -> None:
    clock, published, store, ids = ManualClock(), Published(), ForgetfulStore(), RandomIds()
    credentials = Credentials(MemoryTokenStore(), store, published, clock, ids)
    await credentials.install_admin(ROOT, token_digest("first"))
    directory = DirectoryChanges(store, credentials, clock, ids)
    ada = await directory.create_account(Kind.USER, AccountFields("ada@example.com"))
    text, _ = await TokenManagement(credentials).create_for(ada.name, "", None)

    store.broken = True
    await directory.change_account(Kind.USER, ada.id, lambda _: AccountFields(active=False))

    assert published.who(text) is None
