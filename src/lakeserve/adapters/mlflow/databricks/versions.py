"""Model versions as Unity Catalog has them, kept in MLflow's own store: files of their own, and ready only once these are there.

MLflow's store knows a version's status and the place of its files but has no call to set either, so this module writes those
two columns through the store's own session. Whoever looks at the version by another way, a plain client or a deployment,
therefore sees the same.

Blocks; runs in threads.
"""

from __future__ import annotations

import inspect
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow.entities.model_registry import ModelVersionTag
from mlflow.exceptions import MlflowException
from mlflow.server import handlers

from lakeserve.adapters.mlflow.answers import Refused
from lakeserve.adapters.mlflow.databricks.artifact_uris import to_plain
from lakeserve.adapters.mlflow.databricks.asgi import invalid
from lakeserve.adapters.mlflow.databricks.places import PENDING
from lakeserve.adapters.mlflow.source import Source

_READY = "READY"
_FOLDER = "registered"
"""Beside the folders of experiments, whose names are numbers."""

_MAX_TAGS = 100


class CatalogVersions:
    def __init__(self, source: Source, artifacts: Path) -> None:
        self._source = source
        self._artifacts = artifacts

    def located(self, name: str, version: str) -> tuple[Path, str]:
        """
        :raises Refused: no such version, or its files are not on this machine.
        """
        return self._source.located(name, version)

    def create(self, name: str, given: Mapping[str, Any]) -> str:
        """A version without files, which is not ready; its number.

        It is made with the place of its files as its source, so that one left behind by a crash in here is no version of
        something else.

        :raises Refused: no such model, or the registry refuses.
        """
        place = f"mlflow-artifacts:/{_FOLDER}/{secrets.token_hex(16)}"
        with _refusing():
            store = handlers._get_model_registry_store()
            made = store.create_model_version(
                name,
                place,
                run_id=given.get("run_id") or None,
                tags=_tags(given.get("tags")),
                description=given.get("description"),
            )
        self._change(name, str(made.version), source=to_plain(str(given["source"])), status=PENDING)
        return str(made.version)

    def finalize(self, name: str, version: str) -> None:
        """From now on its files do not change; again is as good as once.

        :raises Refused: no such version, or it has no files.
        """
        folder, status = self.located(name, version)
        if status == _READY:
            return
        if not (folder / "MLmodel").is_file():
            raise Refused(400, "INVALID_STATE", f"Version {version} of model '{name}' has no MLmodel file yet.")
        self._change(name, version, status=_READY)

    def forget(self, folder: Path) -> None:
        """Remove the files of a version that was deleted, if they are its own and not a run's."""
        if folder.parent == (self._artifacts / _FOLDER).resolve():
            shutil.rmtree(folder, ignore_errors=True)

    def _change(self, name: str, version: str, **columns: str) -> None:
        with _refusing():
            store: Any = handlers._get_model_registry_store()
            with _session(store) as session:
                row = store._get_sql_model_version(session, name, version)
                for column, value in columns.items():
                    setattr(row, column, value)


def _session(store: Any) -> Any:
    maker = store.ManagedSessionMaker
    # Releases before 3.9 do not tell reading from writing.
    return maker(read_only=False) if "read_only" in inspect.signature(maker).parameters else maker()


def _tags(given: object) -> list[ModelVersionTag]:
    if given is None:
        return []
    if not isinstance(given, list) or len(given) > _MAX_TAGS or not all(isinstance(one, dict) for one in given):
        raise invalid(f"'tags' must be a list of at most {_MAX_TAGS} keys and values.")
    return [ModelVersionTag(str(one.get("key", "")), str(one.get("value", ""))) for one in given]


@contextmanager
def _refusing() -> Iterator[None]:
    """MLflow's refusals as ours, with its status and code."""
    try:
        yield
    except MlflowException as error:
        raise Refused(error.get_http_status_code(), error.error_code, error.message) from error
