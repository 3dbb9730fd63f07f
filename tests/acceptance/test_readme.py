"""Every command and snippet of the README and the tutorial is run as it stands, in the order of the page, by one shell.

Blocks marked ``sh`` and ``python`` are run, python ones as a script of their own. A block marked ``console`` shows what is typed
where the server runs; here the test has started it. What a comment in a snippet says is printed must be printed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.registry import environment
from support.server import Server
from support.serving import Factory

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
TUTORIAL = ROOT / "docs" / "tutorial" / "first-endpoint.md"
HOWTOS = sorted((ROOT / "docs" / "howto").glob("*.md"))

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LIMIT_S = 300

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="finds the tree's processes in /proc"),
    pytest.mark.timeout(_LIMIT_S + 100),
]


def script(page: Path) -> str:
    """The page's blocks as one shell script."""
    parts = ["set -euo pipefail"]
    for language, block in _BLOCK.findall(page.read_text()):
        assert language in ("sh", "python", "console", "ini"), language
        if language == "sh":
            parts.append(block)
        elif language == "python":
            parts.append(f"python - <<'END_OF_SNIPPET'\n{block}END_OF_SNIPPET")
    return "\n".join(parts)


@pytest.fixture
def live(new_server: Factory) -> Iterator[Server]:
    """With an empty registry, and environments that need no building: those are shown by ``make demo``."""
    server = new_server(models=False, LAKESERVE_ENV_MANAGER="local").start(registry=True)
    yield server
    server.stop()


def run(page: Path, server: Server, folder: Path, before: str = "") -> str:
    """What the page's commands print, run as a user would who stands in the project's folder."""
    (folder / "demo").mkdir()
    shutil.copy(ROOT / "demo" / "train.py", folder / "demo")
    (folder / ".venv").symlink_to(ROOT / ".venv")
    assert server.token is not None
    whole = (before + script(page)).replace("http://127.0.0.1:8080", server.url).replace("dapi…", server.token)
    done = subprocess.run(
        ["bash", "-c", whole], cwd=folder, env=environment() | {"MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True, text=True, timeout=_LIMIT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{server.told()}"
    return done.stdout


def exports() -> str:
    """The README's commands that set up the second terminal."""
    block = next(block for language, block in _BLOCK.findall(README.read_text()) if language == "sh")
    assert "export DATABRICKS_HOST" in block
    return str(block)


@pytest.mark.slow
def test_readme(live: Server, tmp_path: Path) -> None:
    said = run(README, live, tmp_path)
    assert "registered main.default.wine version 1" in said
    assert "wine-1 [0, 0]" in said
    assert re.search(r'\{"predictions": ?\[0\]\}', said)
    assert "{'predictions': [2]}" in said
    assert [f"{{'number': {n}}}" in said for n in range(3)] == [True] * 3
    assert re.search(r'data: \{"number": ?2\}\s+data: \[DONE\]', said)


@pytest.mark.slow
def test_tutorial(live: Server, tmp_path: Path) -> None:
    said = run(TUTORIAL, live, tmp_path, exports())
    assert "DEPLOYMENT_READY" in said
    split = re.search(r"\{'challenger': (\d+), 'current': (\d+)\}", said)
    assert split is not None
    assert 8 <= int(split[1]) <= 12
    assert int(split[1]) + int(split[2]) == 40
    assert "200 challenger" in said
    assert "INVALID_PARAMETER_VALUE" in said or "BAD_REQUEST" in said
    assert "provisioned_concurrent_requests_total" in said
    assert '"openapi":"3.1.0"' in said
    assert said.rstrip().endswith("[]")
    assert live.ask("GET", "/api/2.0/serving-endpoints").json == {"endpoints": []}


def snippets(page: Path) -> str:
    return "".join(block for language, block in _BLOCK.findall(page.read_text()) if language == "python")


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in HOWTOS if snippets(page)], ids=lambda page: page.stem)
def test_snippets_of_the_howtos_run(page: Path, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Those of a page one after another; with a server that has a ``wine`` endpoint if they ask one."""
    variables, text = {}, snippets(page)
    if "WorkspaceClient" in text:
        server: Server = request.getfixturevalue("new_server")(LAKESERVE_ENV_MANAGER="local").start(registry=True)
        server.deploy("wine", "wine")
        variables = {"DATABRICKS_HOST": server.url, "DATABRICKS_TOKEN": server.token or ""}
        text = text.replace("http://127.0.0.1:8080", server.url)
    (tmp_path / "snippets.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "snippets.py"], cwd=tmp_path, env=environment() | variables,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_commands_that_the_readme_begins_with_are_there() -> None:
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert targets is not None
    named = set(re.findall(r"\bmake (\w+) ", README.read_text())) | set(re.findall(r"`make (\w+)`", README.read_text()))
    assert {"demo", "test"} <= named <= set(targets[1].split())
