"""Bodies on their way to disk: into a file of their own first, under their name only once they are whole.

A body is taken piece by piece, so a file of gigabytes costs this process a megabyte. Whatever ends before the rename, the
client, this process or the machine, leaves nothing under the name; what it left here goes when the process starts again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import IO, ParamSpec, TypeVar

from lakeserve.adapters.mlflow.answers import Refused
from lakeserve.adapters.mlflow.databricks.asgi import ClientGone, Receive, invalid

MAX_FILE_BYTES = 5 * 1024**3
"""What the Files API takes in one request; larger files come in parts."""

PIECE_BYTES = 1024 * 1024
_THREADS = 8
_P = ParamSpec("_P")
_T = TypeVar("_T")


class Spool:
    def __init__(self, folder: Path) -> None:
        """Empties ``folder``, which nobody else uses; it must lie on the file system of all targets."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._folder = folder
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="files")

    async def run(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call what touches the disk in a thread of our own, so that a slow one holds up no other request."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(function, *args, **kwargs))

    def fresh(self) -> Path:
        """A name that is free."""
        return self._folder / secrets.token_hex(16)

    async def take(self, receive: Receive, limit: int = MAX_FILE_BYTES) -> Path:
        """The request's whole body as a file, which the caller installs or removes.

        :raises Refused: it is longer than ``limit`` bytes.
        :raises ClientGone: it never became whole.
        """
        file = self.fresh()
        try:
            with await self.run(file.open, "xb") as opened:
                await self._copy(receive, opened, limit)
        except BaseException:
            file.unlink(missing_ok=True)
            raise
        return file

    async def _copy(self, receive: Receive, opened: IO[bytes], limit: int) -> None:
        held, size, more = bytearray(), 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            body = message.get("body", b"")
            more = message.get("more_body", False)
            size += len(body)
            if size > limit:
                raise Refused(413, "MAX_FILE_SIZE_EXCEEDED", f"A file may have at most {limit} bytes in one request.")
            held += body
            if held and (len(held) >= PIECE_BYTES or not more):
                await self.run(opened.write, bytes(held))
                held.clear()
        await self.run(_to_disk, opened)


def install(file: Path, target: Path, *, overwrite: bool) -> None:
    """Give a whole file its name. Blocks.

    :raises Refused: something is there already that must stay.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise invalid("There is a directory at this path.")
        if overwrite:
            file.replace(target)
        else:
            os.link(file, target)
    except FileExistsError:
        raise already_exists() from None
    except NotADirectoryError:
        raise invalid("A part of the path is a file.") from None
    finally:
        file.unlink(missing_ok=True)


def already_exists() -> Refused:
    return Refused(409, "ALREADY_EXISTS", "There is a file at this path already.")


def join(parts: list[Path], whole: Path) -> None:
    """Put the parts one behind the other, each removed once it is copied. Blocks."""
    with whole.open("xb") as opened:
        for part in parts:
            with part.open("rb") as read:
                shutil.copyfileobj(read, opened, PIECE_BYTES)
            with contextlib.suppress(FileNotFoundError):
                part.unlink()
        _to_disk(opened)


def _to_disk(opened: IO[bytes]) -> None:
    opened.flush()
    os.fsync(opened.fileno())
