"""Models by way of the registry process: asked over its Unix socket, and kept in a folder cache.

``data_dir/models/<name and version>-<uid>/`` holds a version's files. The registry process fills ``….fetched`` beside it; it gets
its final name by rename once its links and its ``MLmodel`` are found to be in order, so what has that name is whole, was checked,
and does not change. One process fetches (the controller); within it, those who want the same version share one fetch.

This module must not import mlflow, not even through others: the controller imports it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import aiohttp

from lakeserve.adapters.mlflow.answers import DOES_NOT_EXIST, FETCH, MAX_BODY_BYTES, RESOLVE
from lakeserve.adapters.mlflow.package import check_package, read_package
from lakeserve.ports.models import ModelNotFound, ModelPackage, ModelUnusable, ModelVersion, RegistryUnavailable

_ASK_LIMIT_S = 60.0
_FETCH_LIMIT_S = 1800.0
_REMEMBERED = 10_000
_NOT_ANSWERING = "The model registry does not answer. It may still be starting."


class RegistryModels:
    """Implements :class:`lakeserve.ports.models.Models`."""

    def __init__(
        self, socket: Path, data_dir: Path, *, ask_limit_s: float = _ASK_LIMIT_S, fetch_limit_s: float = _FETCH_LIMIT_S
    ) -> None:
        self._socket = socket
        self._folder = data_dir / "models"
        self._ask_limit_s = ask_limit_s
        self._fetch_limit_s = fetch_limit_s
        self._session: aiohttp.ClientSession | None = None
        self._fetches: dict[Path, asyncio.Task[None]] = {}
        self._uids: dict[tuple[str, str], str] = {}

    async def close(self) -> None:
        for task in tuple(self._fetches.values()):
            task.cancel()
        await asyncio.gather(*self._fetches.values(), return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def resolve(self, name: str, version: str) -> ModelVersion:
        status, answer = await self._ask(RESOLVE, {"name": name, "version": version}, self._ask_limit_s)
        if status != 200:
            raise _not_there(status, answer)
        found = ModelVersion(name=answer["name"], version=answer["version"], uid=answer["uid"])
        self._remember(found)
        return found

    async def fetch(self, model: ModelVersion) -> ModelPackage:
        if not model.uid:
            model = replace(model, uid=self._uids.get((model.name, model.version), ""))
        place = await asyncio.to_thread(self._cached, model)
        if place is None:
            if not model.uid:
                model = await self.resolve(model.name, model.version)
            place = self._place(model)
            await self._shared_fetch(model, place)
        return await asyncio.to_thread(read_package, place, _title(model))

    def _remember(self, found: ModelVersion) -> None:
        """So that a ``fetch`` by name and number means the version that was looked up last, not an older one in the cache."""
        self._uids.pop((found.name, found.version), None)
        self._uids[found.name, found.version] = found.uid
        if len(self._uids) > _REMEMBERED:
            del self._uids[next(iter(self._uids))]

    def _place(self, model: ModelVersion) -> Path:
        return self._folder / f"{_digest(model.name, model.version)[:32]}-{_digest(model.uid)[:16]}"

    def _cached(self, model: ModelVersion) -> Path | None:
        """Where the files are already; of a version without a uid, those that came last."""
        if model.uid:
            place = self._place(model)
            return place if _is_whole(place) else None
        names = self._folder.glob(f"{_digest(model.name, model.version)[:32]}-*")
        places = [place for place in names if "." not in place.name and _is_whole(place)]
        return max(places, key=lambda place: place.stat().st_mtime_ns, default=None)

    async def _shared_fetch(self, model: ModelVersion, place: Path) -> None:
        task = self._fetches.get(place)
        if task is None:
            task = self._fetches[place] = asyncio.create_task(self._fetch(model, place))
            task.add_done_callback(lambda done: self._fetched(place, done))
        # Goes on when this caller leaves: the next one finds the files.
        await asyncio.shield(task)

    def _fetched(self, place: Path, task: asyncio.Task[None]) -> None:
        del self._fetches[place]
        if not task.cancelled():
            task.exception()  # looked at, also when every caller has left

    async def _fetch(self, model: ModelVersion, place: Path) -> None:
        if await asyncio.to_thread(_is_whole, place):
            return
        fetched = place.with_name(f"{place.name}.fetched")
        await asyncio.to_thread(_clear, fetched)
        question = {"name": model.name, "version": model.version, "destination": str(fetched)}
        status, answer = await self._ask(FETCH, question, self._fetch_limit_s)
        if status in (400, 422):
            raise ModelUnusable(answer["message"])
        if status != 200:
            raise _not_there(status, answer)
        try:
            await asyncio.to_thread(_accept, fetched, place, _title(model))
        except OSError as error:
            raise ModelUnusable(f"The files of {_title(model)} cannot be kept: {error}.") from error

    async def _ask(self, route: str, question: dict[str, str], limit_s: float) -> tuple[int, dict[str, str]]:
        if self._session is None:
            connector = aiohttp.UnixConnector(path=str(self._socket))
            self._session = aiohttp.ClientSession("http://localhost", connector=connector, trust_env=False)
        try:
            async with (
                asyncio.timeout(limit_s),
                self._session.post(route, json=question, timeout=_NO_TIMEOUT) as response,
            ):
                answer = json.loads(await _read(response))
                if not isinstance(answer, dict):
                    raise RegistryUnavailable(_NOT_ANSWERING)
                return response.status, answer
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # TimeoutError is an OSError; ValueError is an answer that is no JSON, as of a process that is ending.
            raise RegistryUnavailable(_NOT_ANSWERING) from error


_NO_TIMEOUT = aiohttp.ClientTimeout(total=None)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = b""
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise ValueError("The registry's answer is too long.")
    return body


def _not_there(status: int, answer: dict[str, str]) -> Exception:
    message = str(answer.get("message", _NOT_ANSWERING))
    if status == 404 and answer.get("error_code") == DOES_NOT_EXIST:
        return ModelNotFound(message)
    return RegistryUnavailable(message)


def _is_whole(place: Path) -> bool:
    """There, and nobody tidied it away in part."""
    return (place / "MLmodel").is_file()


def _clear(fetched: Path) -> None:
    """Remove what an earlier fetch left when it or its process was ended."""
    for left in (fetched, *fetched.parent.glob(f"{fetched.name}.partial-*")):
        shutil.rmtree(left, ignore_errors=True)


def _accept(fetched: Path, place: Path, title: str) -> None:
    try:
        check_package(fetched, title)
    except ModelUnusable:
        shutil.rmtree(fetched, ignore_errors=True)
        raise
    # Its time is that of the original; from now on it says which of several came last.
    os.utime(fetched)
    shutil.rmtree(place, ignore_errors=True)
    fetched.rename(place)


def _title(model: ModelVersion) -> str:
    return f"Version {model.version} of registered model '{model.name}'"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
