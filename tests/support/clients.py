"""Interpreters and folders of Node's packages, each with one exact client release, so that tests can run real clients of any age.

An environment is built with uv under ``.cache/clients`` the first time it is asked for and kept. Parallel test workers
that want the same one wait for the first to build it; a build that was cut short has no marker and is made again.
"""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_CACHE = ROOT / ".cache" / "clients"
_UV = Path(sys.executable).with_name("uv")
_BUILD_LIMIT_S = 600


def client_python(*requirements: str) -> Path:
    """The interpreter of an environment that holds exactly ``requirements`` and what they need.

    >>> client_python("databricks-sdk==0.27.0")
    """
    home = _CACHE / re.sub(r"[^A-Za-z0-9.-]+", "-", "_".join(requirements))
    python = home / "bin" / "python"
    marker = home / "complete"
    if marker.exists():
        return python
    with _exclusive(home.with_name(home.name + ".lock")):
        if not marker.exists():
            shutil.rmtree(home, ignore_errors=True)
            _run("venv", "--quiet", "--python", sys.executable, str(home))
            _run("pip", "install", "--quiet", "--python", str(python), *requirements)
            marker.touch()
    return python


def client_packages(*packages: str) -> Path:
    """A folder whose ``node_modules`` holds exactly these packages of npm's registry and what they need.

    >>> client_packages("@databricks/ai-sdk-provider@0.5.1", "ai@6.0.326")
    """
    home = _CACHE / ("npm" + re.sub(r"[^A-Za-z0-9.-]+", "-", "_".join(packages)))
    marker = home / "complete"
    with _exclusive(home.with_name(home.name + ".lock")):
        if not marker.exists():
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir()
            (home / "package.json").write_text('{"private": true}')
            _done(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *packages], cwd=home)
            marker.touch()
    return home


def run_client(python: Path, script: str, *, stdin: str = "") -> str:
    """What ``script`` prints, run by ``python`` without anything of this environment."""
    done = subprocess.run(
        [str(python), "-I", "-c", script], input=stdin, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _run(*arguments: str) -> None:
    _done([str(_UV), *arguments])


def _done(command: list[str], cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=_BUILD_LIMIT_S, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:2])} failed:\n{done.stdout}{done.stderr}")


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
