"""Secrets with the official SDK, unmodified, oldest and newest, against a running server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.clients import client_python
from support.registry import short_folder
from support.server import Server

PROGRAM = Path(__file__).with_name("secrets_program.py")
SDKS: dict[str, Callable[[], Path]] = {
    "newest": lambda: Path(sys.executable),
    "0.27.0": lambda: client_python("databricks-sdk==0.27.0"),
}


@pytest.fixture(scope="module")
def plain_server() -> Iterator[Server]:
    """A running server without any models."""
    with short_folder() as folder:
        running = Server(folder / "d")
        try:
            yield running.start()
            running.stop()
        finally:
            running.kill_all()


@pytest.mark.parametrize("sdk", SDKS)
def test_the_official_sdk(plain_server: Server, sdk: str) -> None:
    done = subprocess.run(
        [str(SDKS[sdk]()), "-I", str(PROGRAM), plain_server.url, plain_server.token or ""],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stdout + done.stderr + plain_server.told()
