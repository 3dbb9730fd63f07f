"""A model's folder on disk: copied whole, and checked so that nothing in it leads outside.

Files are copied, not hard-linked: MLflow writes over an artifact in place when it is uploaded again, and a model that is being
served must not change under its workers.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath


class UnsafePath(Exception):
    """A path leads out of the folder it must stay in. The text names it."""


def inside(root: Path, relative: str) -> Path:
    """``root/relative``, which lies in ``root`` also after all links are followed.

    :raises UnsafePath: it does not.
    """
    parts = PurePosixPath(relative.lstrip("/")).parts
    if ".." in parts or "\0" in relative:
        raise UnsafePath(f"The path {relative!r} leads out of its folder.")
    path = root.joinpath(*parts).resolve()
    if not path.is_relative_to(root.resolve()):
        raise UnsafePath(f"The path {relative!r} leads out of its folder.")
    return path


def check_links(folder: Path) -> None:
    """
    :raises UnsafePath: a link in the folder leads out of it, or nowhere.
    """
    root = folder.resolve()
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            if path.is_symlink() and not _stays(path, root):
                raise UnsafePath(f"The link {path.relative_to(folder)} leads out of the model's folder.")


def _stays(link: Path, root: Path) -> bool:
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):
        return False
    # A link to a folder around it would be copied without end.
    return target.is_relative_to(root) and not link.parent.resolve().is_relative_to(target)


def copy_model(source: Path, destination: Path) -> None:
    """Copy a folder; links inside it become what they lead to.

    :raises UnsafePath: a link leads out of it.
    """
    check_links(source)
    shutil.copytree(source, destination, copy_function=shutil.copy, dirs_exist_ok=True)


@contextmanager
def whole_or_absent(destination: Path) -> Iterator[Path]:
    """A folder to fill, renamed to ``destination`` at the end; what another put there meanwhile is left as it is."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{destination.name}.partial-", dir=destination.parent))
    try:
        yield partial
        try:
            partial.rename(destination)
        except OSError:
            if not destination.is_dir():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
