"""Logs of served entities as files: ``logs/endpoints/<endpoint id>/<fingerprint>/{build,server}.log``.

Readers get the tail only. A server log that has grown past its cap is cut back to its tail in place: workers append
(``O_APPEND``), so they go on writing at the new end.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from lakeserve.ports.clock import Clock

_TAIL_BYTES = 512 * 1024
_CAP_BYTES = 16 * 1024 * 1024


class FileLogs:
    def __init__(self, root: Path, clock: Clock) -> None:
        self._root = root
        self._clock = clock

    def server_log(self, endpoint_id: str, fingerprint: str) -> Path:
        return self._folder(endpoint_id, fingerprint) / "server.log"

    def append_build(self, endpoint_id: str, fingerprint: str, line: str) -> None:
        moment = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        with (self._folder(endpoint_id, fingerprint) / "build.log").open("a", encoding="utf-8") as file:
            file.write(f"[{moment}] {line}\n")

    def read_build(self, endpoint_id: str, fingerprint: str) -> str:
        return _tail(self._path(endpoint_id, fingerprint) / "build.log")

    def read_server(self, endpoint_id: str, fingerprint: str) -> str:
        return _tail(self._path(endpoint_id, fingerprint) / "server.log")

    def remove(self, endpoint_id: str) -> None:
        shutil.rmtree(self._root / endpoint_id, ignore_errors=True)

    def cut_back(self) -> None:
        """Bring every server log under the cap; called now and then."""
        for path in self._root.glob("*/*/server.log"):
            if path.stat().st_size > _CAP_BYTES:
                tail = _tail(path)
                with path.open("r+b") as file:
                    file.truncate(0)
                with path.open("ab") as file:
                    file.write(tail.encode())

    def _path(self, endpoint_id: str, fingerprint: str) -> Path:
        return self._root / endpoint_id / fingerprint

    def _folder(self, endpoint_id: str, fingerprint: str) -> Path:
        path = self._path(endpoint_id, fingerprint)
        path.mkdir(parents=True, exist_ok=True)
        return path


def _tail(path: Path) -> str:
    """The last whole lines of the file, at most ``_TAIL_BYTES``."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            start = max(0, size - _TAIL_BYTES)
            file.seek(start)
            data = file.read(_TAIL_BYTES)
    except FileNotFoundError:
        return ""
    if start:
        data = data.partition(b"\n")[2]
    return data.decode(errors="replace")
