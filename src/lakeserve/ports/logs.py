"""Where the build logs and the server logs of served entities lie."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Logs(Protocol):
    def server_log(self, endpoint_id: str, fingerprint: str) -> Path:
        """The file that the workers of this deployment write to; its folder exists."""

    def append_build(self, endpoint_id: str, fingerprint: str, line: str) -> None: ...

    def read_build(self, endpoint_id: str, fingerprint: str) -> str: ...

    def read_server(self, endpoint_id: str, fingerprint: str) -> str:
        """The most recent lines; "" when there are none."""

    def remove(self, endpoint_id: str) -> None:
        """Forget the logs of a deleted endpoint."""

    def keep(self, endpoint_ids: frozenset[str]) -> None:
        """Forget the logs of every other endpoint: of one that was deleted while no controller was there to finish it."""
