"""From the Authorization header to a principal, and from a name to a served entity."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeserve.domain.errors import (
    BadRequest,
    EndpointNotFound,
    LakeserveError,
    PermissionDenied,
    TemporarilyUnavailable,
    Unauthenticated,
)
from lakeserve.domain.principal import AccessList, Level, token_digest
from lakeserve.domain.routing import RoutingTable
from lakeserve.gateway import route
from lakeserve.gateway.authenticate import authenticate, read_token
from support.fakes import ADA, an_entity_route, routes_of


def basic(text: str) -> bytes:
    return b"Basic " + base64.b64encode(text.encode())


@pytest.mark.parametrize(
    ("header", "token"),
    [
        (b"Bearer dapi1", "dapi1"),
        (b"bearer dapi1", "dapi1"),
        (b"BEARER   dapi1  ", "dapi1"),
        (basic("token:dapi1"), "dapi1"),
        (basic("ada@example.com:dapi1"), "dapi1"),
        (basic(":dapi1"), "dapi1"),
        (basic("token:with:colons"), "with:colons"),
        (b"basic " + basic("token:dapi1").removeprefix(b"Basic "), "dapi1"),
        (None, None),
        (b"", None),
        (b"Bearer", None),
        (b"Bearer ", None),
        (b"dapi1", None),
        (b"Digest dapi1", None),
        (b"Bearer\tdapi1", None),
        (b"Bearer d\xc3\xa4pi", None),
        (basic("dapi1"), None),
        (basic("token:"), None),
        (b"Basic !!!!", None),
        (b"Basic " + base64.b64encode(b"token:\xff\xfe"), None),
        (b"Basic " + base64.b64encode(b"token:dapi1")[:-1], None),
        (b"Bearer " + b"x" * 9_000, None),
    ],
)
def test_reads_the_token(header: bytes | None, token: str | None) -> None:
    assert read_token(header) == token


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda text: b"Basic " + text))
def test_reads_any_header_without_an_error(header: bytes) -> None:
    token = read_token(header)
    assert token is None or token


PRINCIPALS = {token_digest("dapi1"): ADA, token_digest("old"): replace(ADA, expires_at=1_000)}


@pytest.mark.parametrize("header", [b"Bearer dapi1", basic("x:dapi1")])
def test_knows_who_calls(header: bytes) -> None:
    assert authenticate(PRINCIPALS, header, now=10**15) is ADA


@pytest.mark.parametrize(
    "header", [None, b"Bearer dapi2", b"Bearer " + token_digest("dapi1").encode(), b"Digest dapi1"]
)
def test_refuses_everybody_else_and_never_repeats_the_credential(header: bytes | None) -> None:
    with pytest.raises(Unauthenticated) as refused:
        authenticate(PRINCIPALS, header, now=0)
    assert refused.value.status == 401
    assert "dapi" not in refused.value.message


def test_a_credential_is_good_until_its_moment() -> None:
    assert authenticate(PRINCIPALS, b"Bearer old", now=999).id == ADA.id
    with pytest.raises(Unauthenticated):
        authenticate(PRINCIPALS, b"Bearer old", now=1_000)


def test_resolves_names_exactly() -> None:
    wine = routes_of("wine", [an_entity_route()])
    table = RoutingTable({"wine": wine})
    assert route.resolve(table, "wine") is wine
    for name in ("Wine", "", "wine "):
        with pytest.raises(EndpointNotFound):
            route.resolve(table, name)


@pytest.mark.parametrize("level", [None, *Level])
def test_asks_for_the_right_to_query(level: Level | None) -> None:
    access = AccessList({ADA.id: level} if level else {})
    endpoint = routes_of("wine", [], access=access)
    if level in (Level.CAN_QUERY, Level.CAN_MANAGE):
        route.authorise(endpoint, ADA)
        return
    with pytest.raises(PermissionDenied) as refused:
        route.authorise(endpoint, ADA)
    assert refused.value.message == "User ada@example.com does not have CAN_QUERY permission on endpoint wine."


TWO = (an_entity_route("a", percentage=100), an_entity_route("b", percentage=0))


@pytest.mark.parametrize(
    ("endpoint", "asked_for", "chosen"),
    [
        (routes_of("wine", TWO), None, "a"),
        (routes_of("wine", TWO), "b", "b"),
        (routes_of("wine", TWO), "c", EndpointNotFound),
        (routes_of("wine", TWO, updating=True), None, "a"),
        (routes_of("wine", TWO[1:]), None, EndpointNotFound),
        (routes_of("wine", []), None, EndpointNotFound),
        (routes_of("wine", [], updating=True), None, TemporarilyUnavailable),
        (routes_of("wine", [], updating=True), "a", TemporarilyUnavailable),
        (routes_of("wine", [], stopped=True), None, BadRequest),
        (routes_of("wine", [], stopped=True), "a", BadRequest),
        (routes_of("wine", [], stopped=True, updating=True), None, TemporarilyUnavailable),
    ],
)
def test_chooses(endpoint: object, asked_for: str | None, chosen: str | type[LakeserveError]) -> None:
    if isinstance(chosen, str):
        assert route.choose(endpoint, asked_for, lambda: 0.5).name == chosen  # type: ignore[arg-type]
        return
    with pytest.raises(chosen):
        route.choose(endpoint, asked_for, lambda: 0.5)  # type: ignore[arg-type]
