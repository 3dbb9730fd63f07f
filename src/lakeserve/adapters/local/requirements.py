"""What makes two models share an environment: the key of an environment, computed from what would be installed.

The key covers the Python minor version, the platform, the requirements with everything they refer to on this disk (other
requirement files, constraints, local packages), a uv lock if the model brings one, and where packages come from. Comments,
blank lines and the order of lines do not change it, nor do credentials in an index address, which rotate.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path

from lakeserve.adapters.local.uv_tool import redact

FORMAT = "1"
"""Change it when environments are built in another way, so that old ones are not taken for new ones."""

_MAX_DEPTH = 8
_BESIDE = ("constraints.txt", "uv.lock", "pyproject.toml")
_COMMENT = re.compile(r"(^|\s+)#.*$")
_REFERENCE = re.compile(r"^(?:-r|-c|--requirement|--constraint)(?:\s+|=|(?=[^\s=]))(?P<path>\S.*)$")
_EDITABLE = re.compile(r"^(?:-e|--editable)(?:\s+|=)")
_WHERE_FROM = re.compile(
    r"^UV_.*(INDEX|FIND_LINKS|PRERELEASE|RESOLUTION|EXCLUDE_NEWER|CONSTRAINT|OVERRIDE|BINARY|BUILD|CONFIG_FILE|TORCH)"
)


def minor_of(version: str | None) -> str | None:
    """``3.11`` of ``3.11.7``; None when the text does not start with two numbers."""
    match = re.match(r"\s*(\d+)\.(\d+)", version or "")
    return f"{match[1]}.{match[2]}" if match else None


def environment_key(requirements: Path, minor: str, environ: Mapping[str, str]) -> str:
    """Sixty-four hexadecimal digits that name the environment for this file under this Python.

    ``environ`` is what uv will be run with.

    :raises OSError: the requirements cannot be read.
    """
    digest = hashlib.sha256()
    for part in _parts(requirements, minor, environ):
        # The length keeps neighbouring parts apart, whatever they hold.
        digest.update(f"{len(part)}:".encode() + part)
    return digest.hexdigest()


def _parts(requirements: Path, minor: str, environ: Mapping[str, str]) -> Iterator[bytes]:
    for text in (FORMAT, minor, sysconfig.get_platform(), platform.libc_ver()[0]):
        yield text.encode()
    for name in sorted(environ):
        if _WHERE_FROM.match(name):
            yield f"{name}={redact(environ[name])}".encode()
    yield from _file_parts(requirements, depth=0)
    for name in _BESIDE:
        beside = requirements.parent / name
        if beside.is_file():
            yield name.encode()
            yield beside.read_bytes()


def _file_parts(path: Path, *, depth: int) -> Iterator[bytes]:
    for line in sorted(normalised_lines(path.read_text(encoding="utf-8", errors="replace"))):
        yield line.encode()
        if depth >= _MAX_DEPTH:
            continue
        reference = _REFERENCE.match(line)
        if reference:
            referred = path.parent / reference["path"].strip()
            # One that is missing is uv's to complain about, with its own words in the build log.
            if referred.is_file():
                yield from _file_parts(referred, depth=depth + 1)
        else:
            yield from _local_package_parts(path.parent, line)


def normalised_lines(text: str) -> Iterator[str]:
    """The lines that say something: continuations joined, comments and blanks dropped."""
    for raw in re.sub(r"\\\r?\n", " ", text).splitlines():
        line = " ".join(_COMMENT.sub("", raw).split())
        if line:
            yield line


def _local_package_parts(base: Path, line: str) -> Iterator[bytes]:
    """The content of a package that a line names by its place on this disk."""
    target = _EDITABLE.sub("", line).split(";")[0].split(" --")[0].strip()
    target = re.sub(r"^[\w.\-]+(\[[\w,.\- ]*\])?\s*@\s*", "", target)
    target = re.sub(r"^file:(//)?", "", target)
    if "://" in target or ("/" not in target and not target.endswith((".whl", ".gz", ".zip"))):
        return
    place = base / re.sub(r"\[[\w,.\- ]*\]$", "", target)
    files = [place] if place.is_file() else _tree(place) if place.is_dir() else []
    for file in files:
        yield os.fsencode(file.relative_to(place.parent))
        yield hashlib.sha256(file.read_bytes()).digest()


def _tree(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
