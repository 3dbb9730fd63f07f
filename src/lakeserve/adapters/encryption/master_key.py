"""The master key: 32 random bytes in a file of its own, base64 on one line, readable by its owner alone.

It is made at the first start. After that it must be there: secrets that it sealed cannot be read with any other key, so a missing
or changed file is a reason not to start, never one to make a new key.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import secrets
from pathlib import Path

KEY_BYTES = 32


class MasterKeyUnusable(Exception):
    """One sentence for the operator: which file, what is wrong, what to do."""


def load(path: Path) -> bytes | None:
    """The key; None when there is no such file.

    :raises MasterKeyUnusable: the file cannot be read, others may read it, or it holds no key.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(1024)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise MasterKeyUnusable(f"The master key {path} cannot be read: {error.strerror}.") from None
    if mode & 0o077:
        raise MasterKeyUnusable(f"The master key {path} must be closed to others: chmod 600 it.")
    with contextlib.suppress(binascii.Error, ValueError):
        key = base64.b64decode(text.strip(), validate=True)
        if len(key) == KEY_BYTES:
            return key
    raise MasterKeyUnusable(f"The master key {path} must hold {KEY_BYTES} bytes in base64 on one line.")


def create(path: Path) -> bytes:
    """A new key, on disk before it is given out. A file that is there already is never replaced.

    :raises MasterKeyUnusable: the file cannot be written, or is there.
    """
    key = secrets.token_bytes(KEY_BYTES)
    fresh = path.with_name(path.name + ".new")
    try:
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(base64.b64encode(key) + b"\n")
            file.flush()
            os.fsync(descriptor)
        os.link(fresh, path)
        fresh.unlink()
        _sync(path.parent)
    except OSError as error:
        raise MasterKeyUnusable(f"The master key {path} cannot be written: {error.strerror}.") from None
    return key


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
