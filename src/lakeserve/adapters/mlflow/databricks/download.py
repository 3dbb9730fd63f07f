"""A file as an answer: whole or one range of it, piece by piece from the disk.

The SDK goes on with a broken download by asking for the rest, ``Range`` and ``If-Unmodified-Since`` together.
"""

from __future__ import annotations

import os
import re
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from typing import IO

from lakeserve.adapters.mlflow.answers import Refused, does_not_exist
from lakeserve.adapters.mlflow.databricks.asgi import Scope, Send, header
from lakeserve.adapters.mlflow.databricks.spool import PIECE_BYTES, Spool

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


async def answer(spool: Spool, file: Path, scope: Scope, send: Send) -> None:
    """To GET and HEAD.

    :raises Refused: no such file; or it has changed since the client saw it, or is shorter than the client believes.
    """
    try:
        opened = await spool.run(file.open, "rb")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise does_not_exist("There is no file at this path.") from None
    with opened:
        stat = os.fstat(opened.fileno())
        _check_unmodified(header(scope, b"if-unmodified-since"), int(stat.st_mtime))
        start, end = _range(header(scope, b"range"), stat.st_size)
        partial = (start, end) != (0, stat.st_size)
        headers = [
            (b"content-type", b"application/octet-stream"),
            (b"last-modified", formatdate(stat.st_mtime, usegmt=True).encode()),
            (b"accept-ranges", b"bytes"),
            (b"content-length", str(end - start).encode()),
        ]
        if partial:
            headers.append((b"content-range", f"bytes {start}-{end - 1}/{stat.st_size}".encode()))
        await send({"type": "http.response.start", "status": 206 if partial else 200, "headers": headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
        else:
            opened.seek(start)
            await _send_pieces(spool, opened, end - start, send)


async def _send_pieces(spool: Spool, opened: IO[bytes], left: int, send: Send) -> None:
    while left > 0:
        piece = await spool.run(opened.read, min(left, PIECE_BYTES))
        if not piece:
            # Shorter than it was: an answer without its end makes the server cut the connection, which the client sees.
            return
        left -= len(piece)
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _check_unmodified(since: str, modified_s: int) -> None:
    try:
        limit = parsedate_to_datetime(since).timestamp() if since else None
    except ValueError:
        return  # as HTTP has it: a date that cannot be read is no condition
    if limit is not None and modified_s > limit:
        raise Refused(412, "PRECONDITION_FAILED", "The file has changed.")


def _range(asked: str, size: int) -> tuple[int, int]:
    """(start, end) of what to send; more than one range, or none that can be read, is the whole."""
    found = _RANGE.fullmatch(asked)
    if found is None or not (found[1] or found[2]):
        return 0, size
    if not found[1]:
        start, end = max(size - int(found[2]), 0), size
    else:
        start, end = int(found[1]), min(int(found[2]) + 1, size) if found[2] else size
    if start >= end:
        raise Refused(416, "OUT_OF_RANGE", f"The file has {size} bytes.")
    return start, end
