"""Identity and permissions with the official SDK, unmodified, oldest and newest, against a running server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.clients import client_python
from support.server import Server

PROGRAMS = {name: Path(__file__).with_name(f"{name}_program.py") for name in ("identity", "login")}
SDKS: dict[str, Callable[[], Path]] = {
    "newest": lambda: Path(sys.executable),
    "0.27.0": lambda: client_python("databricks-sdk==0.27.0"),
}


@pytest.mark.parametrize("sdk", SDKS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_the_official_sdk(server: Server, program: str, sdk: str) -> None:
    done = subprocess.run(
        [str(SDKS[sdk]()), "-I", str(PROGRAMS[program]), server.url, server.token or ""],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stdout + done.stderr + server.told()
