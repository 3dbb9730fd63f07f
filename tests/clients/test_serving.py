"""Unmodified clients against a running server, each as a program of its own: the official SDK, oldest and newest, and MLflow's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.clients import client_python
from support.registry import environment
from support.server import TOKEN, Server

SDKS: dict[str, Callable[[], Path]] = {
    "newest": lambda: Path(sys.executable),
    "0.27.0": lambda: client_python("databricks-sdk==0.27.0"),
}


def run(python: Path, program: str, *arguments: str, **variables: str) -> None:
    path = Path(__file__).with_name(f"{program}_program.py")
    env = {name: value for name, value in environment().items() if not name.startswith(("DATABRICKS_", "MLFLOW_"))}
    done = subprocess.run(
        [str(python), "-I", str(path), *arguments],
        env=env | variables,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "ok"


@pytest.mark.parametrize("sdk", SDKS)
def test_the_official_sdk(server: Server, sdk: str) -> None:
    run(SDKS[sdk](), "serving", server.url, TOKEN, "sdk-" + sdk.replace(".", "-"))


def test_mlflow_s_deployment_client(server: Server) -> None:
    run(Path(sys.executable), "deployments", DATABRICKS_HOST=server.url, DATABRICKS_TOKEN=TOKEN)
