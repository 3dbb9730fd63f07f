"""Logs as files: of served entities in ``endpoints/<endpoint id>/<fingerprint>/{build,server}.log``, of the server's own processes
beside ``endpoints``.

Readers get the tail only. A log that has grown past its cap is cut back to its tail in place: every writer appends (``O_APPEND``),
so it goes on at the new end, is never held up, and needs to know nothing. What is written at the very moment of a cut may be lost.

How far a file can get past its cap is what a model prints between two looks. They are a second apart, and a tenth of that once a
file had to be cut, so a model that prints 10 GB takes what it prints in its first second, and a tenth of it from then on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from lakeserve.ports.clock import Clock

_TAIL_BYTES = 512 * 1024
_CAP_BYTES = 16 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024
_CALM_S = 1.0
_BUSY_S = 0.1
_NOTICE = b"[lakeserve] The log grew past its limit; its older lines were removed here.\n"


class FileLogs:
    """``folder`` is where all logs of the server lie."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder_of_all = folder
        self._root = folder / "endpoints"
        self._clock = clock

    def server_log(self, endpoint_id: str, fingerprint: str) -> Path:
        return self._folder(endpoint_id, fingerprint) / "server.log"

    def append_build(self, endpoint_id: str, fingerprint: str, line: str) -> None:
        moment = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        with (self._folder(endpoint_id, fingerprint) / "build.log").open("a", encoding="utf-8") as file:
            file.write(f"[{moment}] {line}\n")

    def read_build(self, endpoint_id: str, fingerprint: str) -> str:
        return _tail(self._path(endpoint_id, fingerprint) / "build.log").decode(errors="replace")

    def read_server(self, endpoint_id: str, fingerprint: str) -> str:
        return _tail(self._path(endpoint_id, fingerprint) / "server.log").decode(errors="replace")

    def remove(self, endpoint_id: str) -> None:
        shutil.rmtree(self._root / endpoint_id, ignore_errors=True)

    def keep(self, endpoint_ids: frozenset[str]) -> None:
        with contextlib.suppress(FileNotFoundError):
            for folder in list(self._root.iterdir()):
                if folder.name not in endpoint_ids:
                    self.remove(folder.name)

    async def watch_sizes(self) -> None:
        """Forever: keep every log under the cap."""
        while True:
            cut = await asyncio.to_thread(self.cut_back)
            await asyncio.sleep(_BUSY_S if cut else _CALM_S)

    def cut_back(self) -> bool:
        """Bring every log under the cap, once. Whether any was over it."""
        found = False
        for path in self._all():
            # A file may go at any moment, and one that cannot be cut must not keep the others from it.
            with contextlib.suppress(OSError):
                if path.stat().st_size > _CAP_BYTES:
                    found = True
                    _cut(path)
        return found

    def _all(self) -> Iterator[Path]:
        for pattern in ("*.log", "*/*.log", "*/*/*/*.log"):
            yield from self._folder_of_all.glob(pattern)

    def _path(self, endpoint_id: str, fingerprint: str) -> Path:
        return self._root / endpoint_id / fingerprint

    def _folder(self, endpoint_id: str, fingerprint: str) -> Path:
        path = self._path(endpoint_id, fingerprint)
        path.mkdir(parents=True, exist_ok=True)
        return path


def _cut(path: Path) -> None:
    """Put the tail over the beginning, then let the file end behind it: a reader always finds something, also when this process
    ends in the middle. Only what is written in the instant before the truncation is lost."""
    with path.open("r+b", buffering=0) as file:
        # Less than readers get, so that they see the notice, too.
        tail, read_to = _tail_of(file, _TAIL_BYTES // 2)
        kept = os.pwrite(file.fileno(), _NOTICE + tail, 0)
        while (more := os.pread(file.fileno(), _CHUNK_BYTES, read_to)) and kept < _TAIL_BYTES:
            read_to += len(more)
            kept += os.pwrite(file.fileno(), more, kept)
        file.truncate(kept)


def _tail(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return _tail_of(file, _TAIL_BYTES)[0]
    except FileNotFoundError:
        return b""


def _tail_of(file: IO[bytes], limit: int) -> tuple[bytes, int]:
    """The last whole lines, at most ``limit`` bytes, and where they end; the end of a line that is longer than that."""
    start = max(0, file.seek(0, os.SEEK_END) - limit)
    file.seek(start)
    data = file.read(limit)
    end = start + len(data)
    return (data.partition(b"\n")[2] or data if start else data), end
