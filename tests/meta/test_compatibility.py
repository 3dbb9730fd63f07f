"""The page of compatibility says of every client in the matrix what the matrix says."""

from __future__ import annotations

from support.client_matrix import CLIENTS, PAGE, expected, render


def test_the_page_is_in_step_with_the_matrix() -> None:
    assert PAGE.read_text() == render(expected()), "run tests/clients/test_matrix.py, then support.client_matrix"


def test_gaps_are_of_cases_that_are_tried() -> None:
    for client in CLIENTS:
        for release in client.releases:
            assert release.gaps.keys() <= set(client.cases), (client.name, release.version)
