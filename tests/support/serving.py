"""Fixtures for tests of the running server: one that most tests share, and a factory for those that break theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.registry import short_folder
from support.server import Server, copy_registry, log_served_models


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A running server whose registry holds every model of ``support.log_served_models``. Leave it as you found it."""
    with short_folder() as folder:
        running = Server(folder / "d")
        try:
            running.start(registry=True)
            log_served_models(running, folder)
            yield running
            running.stop()
        finally:
            running.kill_all()


@pytest.fixture(scope="session")
def wine_endpoint(server: Server) -> str:
    """A ready endpoint with the wine model."""
    server.deploy("wine", "wine", workload_size="Small")
    return "wine"


@pytest.fixture(scope="session")
def probe_endpoint(server: Server) -> str:
    """A ready endpoint with version 1 of the probe model."""
    server.deploy("probe")
    return "probe"


Factory = Callable[..., Server]


@pytest.fixture
def new_server(request: pytest.FixtureRequest) -> Iterator[Factory]:
    """Makes servers that are not started yet, each with a data directory of its own and the same models registered."""
    with ExitStack() as stack:

        def make(*options: str, models: bool = True, data_dir: Path | None = None, **more: object) -> Server:
            if data_dir is None:
                data_dir = stack.enter_context(short_folder()) / "d"
                data_dir.mkdir()
                if models:
                    copy_registry(request.getfixturevalue("server").data_dir, data_dir)
            made = Server(data_dir, *options, **more)  # type: ignore[arg-type]
            stack.callback(made.kill_all)
            return made

        yield make
