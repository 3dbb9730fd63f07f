"""Where a path of the Files API lies on this machine, and whether it may be written.

    /WorkspaceInternal/Mlflow/Artifacts/<exp>/Runs/<run>/…          MLflow's own folder of that run
    /WorkspaceInternal/Mlflow/Artifacts/<exp>/LoggedModels/<id>/…   and of that logged model
    /Models/<catalog>/<schema>/<model>/<version>/…                  the files of that version, wherever it was registered from
    /Volumes/<catalog>/<schema>/<volume>/…                          a folder of ours

A version's files can be written until it is finalized, and never again: what is deployed must be what was registered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lakeserve.adapters.mlflow.answers import Refused, does_not_exist
from lakeserve.adapters.mlflow.databricks.artifact_uris import EXPERIMENT, LOGGED_MODEL, RUN
from lakeserve.adapters.mlflow.databricks.asgi import invalid
from lakeserve.adapters.mlflow.model_files import UnsafePath, inside

PENDING = "PENDING_REGISTRATION"
_MAX_PATH = 4096
_MAX_SEGMENT_BYTES = 255
_RUN = re.compile(rf"/WorkspaceInternal/Mlflow/Artifacts/({EXPERIMENT})/Runs/({RUN})(/.*)?")
_LOGGED_MODEL = re.compile(rf"/WorkspaceInternal/Mlflow/Artifacts/({EXPERIMENT})/LoggedModels/({LOGGED_MODEL})(/.*)?")
_VERSION = re.compile(r"/Models/([^/.]+)/([^/.]+)/([^/.]+)/([0-9]{1,9})(/.*)?")
_VOLUME = re.compile(r"/Volumes/([^/]+/[^/]+/[^/]+)(/.*)?")


class Versions(Protocol):
    """Model versions in the registry. Blocks."""

    def located(self, name: str, version: str) -> tuple[Path, str]:
        """Its folder on this machine, which need not be there yet, and its status."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """``root`` is the folder that the path belongs to; the API neither removes it nor leaves it."""

    file: Path
    root: Path
    writable: bool


class Places:
    def __init__(self, versions: Versions, *, artifacts: Path, volumes: Path) -> None:
        self._versions = versions
        self._artifacts = artifacts
        self._volumes = volumes

    def find(self, path: str) -> Place:
        """Blocks.

        :raises Refused: there is no such place, or the path leads out of it.
        """
        path = checked(path)
        root, rest, writable = self._root(path)
        try:
            return Place(inside(root, rest or ""), root, writable)
        except UnsafePath as error:
            raise invalid(str(error)) from error

    def _root(self, path: str) -> tuple[Path, str, bool]:
        if found := _RUN.fullmatch(path):
            return self._artifacts / found[1] / found[2], found[3], True
        if found := _LOGGED_MODEL.fullmatch(path):
            return self._artifacts / found[1] / "models" / found[2], found[3], True
        if found := _VERSION.fullmatch(path):
            folder, status = self._versions.located(f"{found[1]}.{found[2]}.{found[3]}", found[4])
            return folder, found[5], status == PENDING
        if found := _VOLUME.fullmatch(path):
            return self._volumes / found[1], found[2], True
        raise does_not_exist(f"There is no such path: {path}")


def checked(path: str) -> str:
    """The path without ``dbfs:`` before it and slashes after it.

    :raises Refused: it is not absolute, or has parts that could lead elsewhere.
    """
    path = path.removeprefix("dbfs:").rstrip("/")
    segments = path.split("/")
    if not path.startswith("/") or len(path) > _MAX_PATH or any(not _is_plain(one) for one in segments[1:]):
        raise invalid("The path must be absolute, at most 4096 characters long, and without empty, '.' or '..' parts.")
    return path


def writable(place: Place) -> Path:
    """
    :raises Refused: what lies there does not change any more, or is a root.
    """
    if not place.writable:
        raise Refused(403, "PERMISSION_DENIED", "This model version is registered; its files do not change any more.")
    if place.file == place.root.resolve():
        raise invalid("The path must lead to something in its folder.")
    return place.file


def _is_plain(segment: str) -> bool:
    return (
        segment not in ("", ".", "..")
        and "\0" not in segment
        and len(segment.encode("utf-8", "surrogatepass")) <= _MAX_SEGMENT_BYTES
    )
