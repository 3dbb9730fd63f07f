"""The Files API: ``/api/2.0/fs/…``, and the signed URLs that it hands out.

Any authenticated principal may use it, as is so for MLflow's own routes: who may call is the gateway's business. Clients fall
back to slower ways on a status and hang on a cut connection, so everything is answered.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lakeserve.adapters.mlflow.answers import Refused, does_not_exist
from lakeserve.adapters.mlflow.databricks import asgi, download
from lakeserve.adapters.mlflow.databricks.asgi import Receive, Scope, Send, invalid, reply, text
from lakeserve.adapters.mlflow.databricks.multipart import Multipart, wanted_parts
from lakeserve.adapters.mlflow.databricks.places import Place, Places, checked, writable
from lakeserve.adapters.mlflow.databricks.signed_urls import PREFIX as SIGNED
from lakeserve.adapters.mlflow.databricks.signed_urls import Expired, Grant, Signer, expiry
from lakeserve.adapters.mlflow.databricks.spool import Spool, already_exists, install

PREFIX = "/api/2.0/fs/"
BASE_HEADER = b"x-lakeserve-base-url"
"""How the gateway tells the address under which the client knows this server."""

_FILES, _DIRECTORIES = PREFIX + "files", PREFIX + "directories"
_DOWNLOAD_URL, _UPLOAD_URL = PREFIX + "create-download-url", PREFIX + "create-upload-url"
_PART_URLS, _ABORT_URL = PREFIX + "create-upload-part-urls", PREFIX + "create-abort-upload-url"
_LINKS = frozenset((_DOWNLOAD_URL, _UPLOAD_URL, _PART_URLS, _ABORT_URL))
_MAX_PAGE = 1000
_EXPIRED = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
"""The one form in which the SDK understands that it must ask for a new URL (``_is_url_expired_response``)."""


class FilesApi:
    """``now`` gives Unix seconds."""

    def __init__(self, places: Places, spool: Spool, signer: Signer, now: Callable[[], float]) -> None:
        self._places = places
        self._spool = spool
        self._signer = signer
        self._now = now
        self._multipart = Multipart(spool, now)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        :raises Refused: told to the client by the caller, as everywhere below.
        :raises ClientGone: nobody waits for an answer.
        """
        method, path = scope["method"], scope["path"]
        if path.startswith(SIGNED):
            await self._signed(scope, receive, send)
        elif path.startswith(_FILES + "/"):
            await self._file(method, checked(path.removeprefix(_FILES)), scope, receive, send)
        elif path.startswith(_DIRECTORIES + "/"):
            await self._directory(method, checked(path.removeprefix(_DIRECTORIES)), scope, receive, send)
        elif method == "POST" and path in _LINKS:
            await reply(send, 200, await self._link(path, scope, await asgi.arguments(scope, receive)))
        else:
            raise no_route(scope)

    # Files

    async def _file(self, method: str, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        if method == "POST":
            await self._in_parts(path, scope, receive, send)
            return
        place = await self._find(path)
        if method in ("GET", "HEAD"):
            await download.answer(self._spool, place.file, scope, send)
        elif method == "PUT":
            await self._upload(place, receive, overwrite=_overwrite(asgi.query(scope)))
            await reply(send, 204)
        elif method == "DELETE":
            await self._spool.run(_remove_file, writable(place))
            await reply(send, 204)
        else:
            raise no_route(scope)

    async def _find(self, path: str) -> Place:
        return await self._spool.run(self._places.find, path)

    async def _upload(self, place: Place, receive: Receive, *, overwrite: bool) -> None:
        target = writable(place)
        if not overwrite and target.exists():
            raise already_exists()
        file = await self._spool.take(receive)
        await self._spool.run(install, file, target, overwrite=overwrite)

    # Directories

    async def _directory(self, method: str, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        place = await self._find(path)
        if method == "GET":
            given = await asgi.arguments(scope, receive)
            await reply(send, 200, await self._spool.run(_listing, place.file, path, given))
        elif method == "HEAD":
            if not place.file.is_dir():
                raise _no_directory()
            await reply(send, 200)
        elif method == "PUT":
            await self._spool.run(_make_directory, writable(place))
            await reply(send, 204)
        elif method == "DELETE":
            await self._spool.run(_remove_directory, writable(place))
            await reply(send, 204)
        else:
            raise no_route(scope)

    # Uploads in parts

    async def _in_parts(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        given = await asgi.arguments(scope, receive)
        action = given.get("action")
        target = writable(await self._find(path))
        if action == "initiate-upload":
            overwrite = _overwrite(given)
            if not overwrite and target.exists():
                raise already_exists()
            token = self._multipart.open(path, overwrite=overwrite)
            await reply(send, 200, {"multipart_upload": {"session_token": token}})
        elif action == "complete-upload":
            await self._multipart.complete(text(given, "session_token"), path, given, target)
            await reply(send, 200, {})
        else:
            raise invalid("'action' must be initiate-upload or complete-upload.")

    # Signed URLs

    async def _link(self, route: str, scope: Scope, given: dict[str, Any]) -> dict[str, Any]:
        path = checked(text(given, "path"))
        place = await self._find(path)
        ends = expiry(given.get("expire_time"), self._now())
        if route == _DOWNLOAD_URL:
            if not place.file.is_file():
                raise no_file()
            return self._url(scope, Grant("get", path, ends))
        writable(place)
        if route == _UPLOAD_URL:
            return self._url(scope, Grant("put", path, ends), upload=True)
        session = text(given, "session_token")
        if route == _ABORT_URL:
            return {"abort_upload_url": self._url(scope, Grant("abort", path, ends, session))}
        self._multipart.session(session, path)
        urls = [
            {"part_number": number, **self._url(scope, Grant("part", path, ends, session, number))}
            for number in wanted_parts(given)
        ]
        return {"upload_part_urls": urls}

    async def url_for(self, action: str, path: str, scope: Scope) -> str:
        """A signed URL for ``get`` or ``put``, for as long as the client needs to follow it at once."""
        path = checked(path)
        place = await self._find(path)
        if action == "put":
            writable(place)
        told: str = self._url(scope, Grant(action, path, expiry(None, self._now())))["url"]
        return told

    def _url(self, scope: Scope, grant: Grant, *, upload: bool = False) -> dict[str, Any]:
        base = asgi.header(scope, BASE_HEADER) or "http://localhost"
        headers = [{"name": "Content-Type", "value": "application/octet-stream"}] if upload else []
        return {"url": f"{base}{SIGNED}{self._signer.token(grant)}", "headers": headers}

    async def _signed(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            grant = self._signer.grant(scope["path"].removeprefix(SIGNED), self._now())
        except Expired:
            await reply(send, 403, _EXPIRED, [(b"content-type", b"application/xml")])
            return
        match scope["method"], grant.action:
            case "GET" | "HEAD", "get":
                await download.answer(self._spool, (await self._find(grant.path)).file, scope, send)
            case "PUT", "put":
                await self._upload(await self._find(grant.path), receive, overwrite=True)
                await reply(send, 200)
            case "PUT", "part":
                self._multipart.session(grant.session, grant.path)
                file = await self._spool.take(receive)
                tag = self._multipart.add(grant.session, grant.path, grant.part, file)
                await reply(send, 200, headers=[(b"etag", f'"{tag}"'.encode())])
            case "DELETE", "abort":
                self._multipart.abort(grant.session, grant.path)
                await reply(send, 200)
            case _:
                raise Refused(403, "PERMISSION_DENIED", "This URL was signed for another method.")


def no_route(scope: Scope) -> Refused:
    return Refused(404, "NOT_FOUND", f"No API found for '{scope['method']} {scope['path']}'.")


def no_file() -> Refused:
    return does_not_exist("There is no file at this path.")


def _no_directory() -> Refused:
    return does_not_exist("There is no directory at this path.")


def _overwrite(given: dict[str, Any]) -> bool:
    return str(given.get("overwrite", "")).lower() == "true"


def _remove_file(file: Path) -> None:
    if not file.is_file():
        raise no_file()
    file.unlink()


def _make_directory(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise already_exists() from None


def _remove_directory(folder: Path) -> None:
    if not folder.is_dir():
        raise _no_directory()
    try:
        folder.rmdir()
    except OSError:
        raise Refused(400, "DIRECTORY_NOT_EMPTY", "The directory is not empty.") from None


def _listing(folder: Path, path: str, given: dict[str, Any]) -> dict[str, Any]:
    """One page, in the order of the names; the token is the last name of the page before."""
    if not folder.is_dir():
        raise _no_directory()
    size = _page_size(given.get("page_size"))
    after = _name(given.get("page_token"))
    with os.scandir(folder) as entries:
        left = sorted((entry for entry in entries if entry.name > after), key=lambda entry: entry.name)
    page = {"contents": [_entry(entry, path) for entry in left[:size]]}
    if len(left) <= size:
        return page
    return {**page, "next_page_token": base64.urlsafe_b64encode(os.fsencode(left[size - 1].name)).decode()}


def _entry(entry: os.DirEntry[str], path: str) -> dict[str, Any]:
    told: dict[str, Any] = {"path": f"{path}/{entry.name}", "name": entry.name, "is_directory": entry.is_dir()}
    if not told["is_directory"]:
        stat = entry.stat(follow_symlinks=False)
        told |= {"file_size": stat.st_size, "last_modified": stat.st_mtime_ns // 1_000_000}
    return told


def _page_size(given: object) -> int:
    digits = str(given) if given is not None else str(_MAX_PAGE)
    if not digits.isascii() or not digits.isdecimal() or len(digits) > 9 or int(digits) < 1:
        raise invalid("'page_size' must be a whole number from 1 on.")
    return min(int(digits), _MAX_PAGE)


def _name(token: object) -> str:
    try:
        return os.fsdecode(base64.b64decode(str(token).encode(), altchars=b"-_", validate=True)) if token else ""
    except (ValueError, binascii.Error):
        raise invalid("'page_token' is not one of this listing's.") from None
