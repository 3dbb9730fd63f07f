"""Finding a Python of a given minor version that really runs.

uv is asked first. What it answers is tried, because a pyenv shim exists for every version that pyenv ever installed and fails when
run, and uv gives up at such a shim. So the installations that pyenv keeps are looked at too.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

from lakeserve.adapters.local.requirements import minor_of

Capture = Callable[[list[str]], Awaitable[tuple[int, list[str]]]]
"""Runs a short command and gives its exit status and the lines that it printed."""

SERVER_MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"

_PROBE = "import sys; print('lakeserve-python', '.'.join(map(str, sys.version_info[:3])))"
_PROBE_LIMIT_S = 20.0


def base_interpreter() -> Path:
    """The interpreter that this process's virtual environment was made from, not the environment's own."""
    base = getattr(sys, "_base_executable", None) or sys.executable
    return Path(base).resolve()


async def find_interpreter(version: str, *, uv: str, capture: Capture, environ: Mapping[str, str]) -> Path | None:
    """An interpreter with the minor version of ``version``; one of exactly that version if uv or pyenv has it."""
    seen: set[Path] = set()
    async for candidate in _candidates(version, uv, capture, environ):
        if candidate not in seen and await _runs_as(candidate, minor_of(version), capture):
            return candidate
        seen.add(candidate)
    return None


async def _candidates(version: str, uv: str, capture: Capture, environ: Mapping[str, str]) -> AsyncIterator[Path]:
    minor = minor_of(version) or version
    for wanted in dict.fromkeys((version, minor)):
        _, lines = await capture([uv, "python", "find", "--no-project", "--no-python-downloads", wanted])
        for line in lines:
            if line.startswith("/"):
                yield Path(line)
    _, lines = await capture([uv, "python", "list", "--only-installed", "--output-format", "json"])
    for path in _listed(lines, minor):
        yield path
    for path in pyenv_interpreters(version, environ):
        yield path


def _listed(lines: list[str], minor: str) -> list[Path]:
    for line in lines:
        if line.startswith("["):
            return [Path(found["path"]) for found in json.loads(line) if minor_of(found.get("version")) == minor]
    return []


def pyenv_interpreters(version: str, environ: Mapping[str, str]) -> list[Path]:
    """pyenv's installations of this minor version: exactly this version first, then the newest."""
    root = environ.get("PYENV_ROOT") or f"{environ.get('HOME', '/nonexistent')}/.pyenv"
    minor = minor_of(version)
    found = [path for path in Path(root).glob(f"versions/{minor}.*/bin/python{minor}") if path.is_file()]
    return sorted(found, key=lambda path: (_folder(path) == version, _patch(path)), reverse=True)


def _folder(path: Path) -> str:
    return path.parent.parent.name


def _patch(path: Path) -> int:
    last = _folder(path).rsplit(".", 1)[-1]
    return int(last) if last.isdecimal() else -1


async def _runs_as(candidate: Path, minor: str | None, capture: Capture) -> bool:
    try:
        async with asyncio.timeout(_PROBE_LIMIT_S):
            status, lines = await capture([str(candidate), "-I", "-c", _PROBE])
    except (TimeoutError, OSError):
        return False
    told = [line.split()[1] for line in lines if line.startswith("lakeserve-python ")]
    return status == 0 and bool(told) and minor_of(told[0]) == minor
