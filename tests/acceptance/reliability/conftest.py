"""The full versions of the promises run only when they are asked for: ``make soak``, or any other ``-m`` that says slow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.load import running
from support.server import Server

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "slow" in config.option.markexpr:
        return
    full = [item for item in items if _HERE in item.path.parents and item.get_closest_marker("slow")]
    if full:
        config.hook.pytest_deselected(items=full)
        items[:] = [item for item in items if item not in full]


@pytest.fixture(scope="package")
def restless(server: Server) -> Iterator[Server]:
    """A server that gives up workers and requests soon, so that a test need not wait for it."""
    limits = {
        "SCALE_TO_ZERO_S": "1",
        "SCALE_DOWN_S": "2",
        "EXECUTION_S": "2",
        "QUEUE_S": "1",
        "WORKER_BYTES": str(600 * 1024 * 1024),
        "ZYGOTE_S": "2",
        "BODY_BUFFER_BYTES": str(64 * 1024 * 1024),
    }
    with running(server, **{f"LAKESERVE_LIMIT_{name}": value for name, value in limits.items()}) as own:
        yield own


@pytest.fixture(scope="package")
def twins(server: Server) -> Iterator[Server]:
    """A server with two gateways."""
    with running(server, "--gateways", "2") as own:
        yield own
