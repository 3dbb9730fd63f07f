"""Every client of the matrix, unmodified, in an environment with that release alone, against a running server."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.client_matrix import RUNS, Client, Release, note
from support.clients import client_packages, client_python
from support.registry import environment, short_folder
from support.server import TOKEN, Server, log_served_models

ENDPOINTS = {
    "matrix-chat": "chat_model",
    "matrix-agent": "chat_agent",
    "matrix-parts": "chat_parts",
    "matrix-responses": "responses_agent",
    "matrix-texts": "texts",
}


@pytest.fixture(scope="module")
def agents(server: Server) -> Iterator[Server]:
    with short_folder() as folder:
        log_served_models(server, folder, "support.log_agents")
    for name, model in ENDPOINTS.items():
        assert server.create(name, model).status == 200
    for name in ENDPOINTS:
        server.ready(name)
    yield server
    for name in ENDPOINTS:
        server.delete(name)


def command(client: Client, release: Release) -> tuple[list[str], Path]:
    """What runs the client's program, and in which folder."""
    program = Path(__file__).with_name(client.program)
    if client.of_node:
        if shutil.which("npm") is None:
            pytest.skip("there is no Node on this machine")
        return ["node", str(program)], client_packages(*client.requirements(release))
    return [str(client_python(*client.requirements(release))), "-I", str(program)], program.parent


def results(client: Client, output: str) -> dict[str, str | None]:
    """Each case with its error. A program that tries only one thing ends with ``ok``."""
    lines = output.splitlines()
    if lines[-1] == "ok":
        return dict.fromkeys(client.cases)
    tried = [json.loads(line) for line in lines if line.startswith('{"case"')]
    return {each["case"]: each["error"] for each in tried}


@pytest.mark.parametrize(
    ("client", "release"), RUNS, ids=[f"{client.name}-{release.version}" for client, release in RUNS]
)
def test_the_client(agents: Server, client: Client, release: Release) -> None:
    argv, folder = command(client, release)
    env = {name: value for name, value in environment().items() if not name.startswith(("DATABRICKS_", "MLFLOW_"))}
    if client.by_environment:
        env |= {"DATABRICKS_HOST": agents.url, "DATABRICKS_TOKEN": TOKEN}
    else:
        argv += [agents.url, TOKEN, *client.more]
    done = subprocess.run(argv, env=env, cwd=folder, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = results(client, done.stdout)
    note(client, release, found)
    assert tuple(found) == client.cases
    failed = {case: error for case, error in found.items() if error is not None}
    assert failed.keys() == release.gaps.keys(), failed
