"""Uploads a file that the SDK sends in parts, reads it back, and sees that an interrupted upload is not there."""

from __future__ import annotations

import hashlib
import io
import sys
from typing import Any

from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import NotFound

SIZE, PATH = int(sys.argv[1]), sys.argv[2]


class Stream(io.RawIOBase):
    """Bytes that are made up as they are read, so that this program stays small."""

    def __init__(self, size: int, stop_at: int | None = None) -> None:
        self.size, self.stop_at, self.given = size, stop_at, 0
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def read(self, count: int = -1) -> bytes:
        if self.stop_at is not None and self.given >= self.stop_at:
            raise ConnectionError("the disk that is read from is gone")
        count = self.size - self.given if count < 0 else min(count, self.size - self.given)
        piece = (self.given.to_bytes(8, "big") * (count // 8 + 1))[:count]
        self.given += count
        self.digest.update(piece)
        return piece


def main() -> None:
    files: Any = WorkspaceClient().files
    stream = Stream(SIZE)
    files.upload(PATH, stream, overwrite=True)
    digest = hashlib.sha256()
    contents = files.download(PATH).contents
    while piece := contents.read(1024 * 1024):
        digest.update(piece)
    assert files.get_metadata(PATH).content_length == SIZE
    assert digest.digest() == stream.digest.digest()
    try:
        # Its parallel way waits forever for a stream that fails.
        files.upload(PATH + ".half", Stream(2 * SIZE, stop_at=SIZE + 1), overwrite=True, use_parallel=False)
    except ConnectionError:
        pass
    else:
        raise AssertionError("the upload was not interrupted")
    try:
        files.get_metadata(PATH + ".half")
    except NotFound:
        print('"ok"')


main()
