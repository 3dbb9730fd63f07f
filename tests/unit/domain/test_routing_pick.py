"""Which served entity a request goes to."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeserve.domain.principal import AccessList
from lakeserve.domain.routing import EndpointRoutes, EntityRoute


def routes(*shares: int) -> EndpointRoutes:
    entities = tuple(EntityRoute(f"e{n}", f"f{n}", share, (), 4) for n, share in enumerate(shares))
    return EndpointRoutes("id", "wine", AccessList(), entities)


def picked(to: EndpointRoutes, points: int) -> Counter[str]:
    """How often each entity is picked by ``points`` draws that lie evenly in [0, 1)."""
    chosen = [to.pick((n + 0.5) / points) for n in range(points)]
    return Counter(entity.name for entity in chosen if entity is not None)


@pytest.mark.parametrize("shares", [(100,), (90, 10), (1, 99), (33, 33, 34), (50, 0, 50), (100, 0), (0, 0, 100)])
def test_every_share_is_exact(shares: tuple[int, ...]) -> None:
    assert picked(routes(*shares), 10_000) == Counter({f"e{n}": share * 100 for n, share in enumerate(shares) if share})


@pytest.mark.parametrize("shares", [(), (0,), (0, 0)])
def test_without_any_share_nothing_is_picked(shares: tuple[int, ...]) -> None:
    assert all(routes(*shares).pick(point) is None for point in (0.0, 0.5, 0.999999))


@given(st.lists(st.integers(0, 100), min_size=1, max_size=10).filter(any), st.floats(0, 1, exclude_max=True))
def test_somebody_with_a_share_is_picked_whatever_the_sum(shares: list[int], point: float) -> None:
    chosen = routes(*shares).pick(point)
    assert chosen is not None
    assert chosen.percentage > 0


@given(st.lists(st.integers(0, 100), min_size=2, max_size=6).filter(any))
def test_shares_are_relative_to_their_sum(shares: list[int]) -> None:
    total = sum(shares)
    assert picked(routes(*shares), total) == Counter({f"e{n}": share for n, share in enumerate(shares) if share})


def test_the_ends_of_the_draw() -> None:
    to = routes(0, 30, 70, 0)
    first, last = to.pick(0.0), to.pick(0.9999999999999999)
    assert first is not None
    assert last is not None
    assert (first.name, last.name) == ("e1", "e2")


def test_an_entity_is_found_by_name_whatever_its_share() -> None:
    to = routes(100, 0)
    assert to.entity("e1") == to.entities[1]
    assert to.entity("e9") is None
