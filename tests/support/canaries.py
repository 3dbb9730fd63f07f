"""Unique texts that are planted as secrets, and the search for them in everything that a running server leaves or shows."""

from __future__ import annotations

import base64
import urllib.parse
from collections.abc import Iterable, Iterator
from pathlib import Path

from support import proc
from support.server import Server


def forms(secret: bytes) -> set[bytes]:
    """How a text can be found in other bytes: as it is, in hexadecimal, in a URL, and in base64 wherever it begins there."""
    found = {secret, secret.hex().encode(), secret.hex().upper().encode(), urllib.parse.quote(secret).encode()}
    for before in range(3):
        # The first and the last characters also depend on the neighbours.
        whole = base64.b64encode(b"\0" * before + secret).rstrip(b"=")
        inner = whole[4 if before else 0 : -2]
        found |= {inner, inner.replace(b"+", b"-").replace(b"/", b"_")}
    return found


class Canaries:
    """Names to secrets. ``allowed`` are places, such as a file, where one of them has to be."""

    def __init__(self) -> None:
        self._forms: dict[str, set[bytes]] = {}

    def plant(self, name: str, secret: str | bytes) -> None:
        text = secret.encode() if isinstance(secret, str) else secret
        assert len(text) >= 16, f"{name} is too short to be found by"
        self._forms[name] = forms(text)

    def __len__(self) -> int:
        return len(self._forms)

    def in_bytes(self, content: bytes) -> list[str]:
        return [name for name, those in self._forms.items() if any(form in content for form in those)]

    def found(self, places: Iterable[tuple[str, bytes]], allowed: Iterable[tuple[str, str]] = ()) -> list[str]:
        """What is found where it must not be: ``canary in place``."""
        fine = set(allowed)
        return [
            f"{name} in {place}"
            for place, content in places
            for name in self.in_bytes(content)
            if (place, name) not in fine
        ]


def files(*folders: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below: databases with their journals, logs, whatever was left."""
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                yield str(path.relative_to(folder)), path.read_bytes()


def command_lines(server: Server) -> Iterator[tuple[str, bytes]]:
    for pid in server.pids():
        yield f"cmdline of {pid}", proc.read(pid, "cmdline")


def environments(server: Server, part: str) -> Iterator[tuple[str, bytes]]:
    """What the processes with that in their command line were started with."""
    for pid in server.pids_of(part):
        yield f"environ of {part}", proc.read(pid, "environ")
