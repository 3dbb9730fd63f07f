"""Uploads in parts, as the SDK makes them of files from 50 MiB on (``databricks/sdk/mixins/files.py``).

A session is opened for a path; each part comes to a signed URL, in any order and again if need be; completing names the parts,
which become the file in one step. Sessions live in this process: a restart ends them, and the client starts over.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lakeserve.adapters.mlflow.answers import Refused
from lakeserve.adapters.mlflow.databricks.asgi import invalid
from lakeserve.adapters.mlflow.databricks.spool import Spool, install, join

MAX_PARTS = 10_000
_MAX_SESSIONS = 256
_LIFE_S = 24 * 3600.0
_URLS_AT_ONCE = 100


@dataclass(slots=True)
class Session:
    path: str
    overwrite: bool
    opened_s: float
    parts: dict[int, tuple[str, Path]] = field(default_factory=dict)
    """By number: the tag that the client was told, and where the bytes are."""


class Multipart:
    def __init__(self, spool: Spool, now: Callable[[], float]) -> None:
        self._spool = spool
        self._now = now
        self._sessions: dict[str, Session] = {}

    def open(self, path: str, *, overwrite: bool) -> str:
        """
        :raises Refused: too many are open.
        """
        for token, session in tuple(self._sessions.items()):
            if self._now() - session.opened_s > _LIFE_S:
                self.abort(token, session.path)
        if len(self._sessions) >= _MAX_SESSIONS:
            raise Refused(429, "RESOURCE_EXHAUSTED", "Too many uploads in parts are open.")
        token = secrets.token_urlsafe(24)
        self._sessions[token] = Session(path, overwrite, self._now())
        return token

    def session(self, token: str, path: str) -> Session:
        """
        :raises Refused: no such session for this path.
        """
        session = self._sessions.get(token)
        if session is None or session.path != path:
            raise Refused(
                404, "NOT_FOUND", "There is no such upload. It was completed, aborted, or ended by a restart."
            )
        return session

    def add(self, token: str, path: str, number: int, file: Path) -> str:
        """Keep a part in place of an earlier one of its number; its tag."""
        try:
            session = self.session(token, path)
        except Refused:
            file.unlink(missing_ok=True)
            raise
        _, earlier = session.parts.get(number, ("", None))
        tag = secrets.token_hex(16)
        session.parts[number] = (tag, file)
        if earlier is not None:
            earlier.unlink(missing_ok=True)
        return tag

    async def complete(self, token: str, path: str, given: Mapping[str, Any], target: Path) -> None:
        """Make the file of the parts that the client names.

        :raises Refused: a part is not there, or is another than the client means.
        """
        session = self.session(token, path)
        files = [_part(session, told) for told in _listed(given)]
        del self._sessions[token]
        whole = self._spool.fresh()
        try:
            await self._spool.run(join, files, whole)
            await self._spool.run(install, whole, target, overwrite=session.overwrite)
        finally:
            whole.unlink(missing_ok=True)
            _remove(session)

    def abort(self, token: str, path: str) -> None:
        """Forget a session; one that is not there is forgotten already."""
        session = self._sessions.get(token)
        if session is not None and session.path == path:
            del self._sessions[token]
            _remove(session)


def wanted_parts(given: Mapping[str, Any]) -> range:
    """The numbers of the parts for which a client wants URLs.

    :raises Refused: they are out of bounds.
    """
    first, count = given.get("start_part_number"), given.get("count", 1)
    if not isinstance(first, int) or not isinstance(count, int) or not 1 <= first <= MAX_PARTS or count < 1:
        raise invalid(f"'start_part_number' must be from 1 to {MAX_PARTS}, and 'count' at least 1.")
    return range(first, min(first + min(count, _URLS_AT_ONCE), MAX_PARTS + 1))


def _listed(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    parts = given.get("parts")
    if not isinstance(parts, list) or not parts or not all(isinstance(one, dict) for one in parts):
        raise invalid("'parts' must name at least one part.")
    numbers = [one.get("part_number") for one in parts]
    if not all(isinstance(one, int) for one in numbers) or numbers != sorted(set(numbers)):
        raise invalid("'parts' must be in the order of their numbers, each once.")
    return parts


def _part(session: Session, told: Mapping[str, Any]) -> Path:
    tag, file = session.parts.get(told["part_number"], ("", None))
    if file is None or str(told.get("etag", "")).strip('"') != tag:
        raise invalid(f"Part {told['part_number']} has not been uploaded with this etag.")
    return file


def _remove(session: Session) -> None:
    for _, file in session.parts.values():
        file.unlink(missing_ok=True)
