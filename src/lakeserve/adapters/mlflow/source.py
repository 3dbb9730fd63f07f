"""Asking a registry through MLflow's own client: what a version is, and its files.

The same code serves the embedded registry (the client works on its database directly, in this process) and an external one. Only
the place of ``mlflow-artifacts:`` differs: in the embedded case it is a folder of ours, so that this process never
has to ask itself over HTTP.

Runs in threads: MLflow's client blocks.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import mlflow
import mlflow.artifacts
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from lakeserve.adapters.mlflow.answers import Refused, does_not_exist, unavailable, unusable, without_credentials
from lakeserve.adapters.mlflow.model_files import UnsafePath, copy_model, inside, whole_or_absent

_MAX_NAME = 256


class Source:
    def __init__(self, uri: str, *, artifacts: Path | None = None) -> None:
        """``artifacts`` is where ``mlflow-artifacts:/`` lies, when this process serves it."""
        self._uri = uri
        self._artifacts = artifacts
        # MLflow follows model URIs through these globals whatever a call is given.
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        self._kept_client: MlflowClient | None = None

    def resolve(self, name: str, version: str) -> dict[str, str]:
        """
        :raises Refused: no such model, version or alias; or the registry cannot be asked.
        """
        found = self._version(name, version)
        return {"name": found.name, "version": str(found.version), "uid": _uid(found)}

    def located(self, name: str, version: str) -> tuple[Path, str]:
        """The folder on this machine that holds a version's files, which need not be there yet, and its status.

        :raises Refused: as for :meth:`resolve`, or the files lie elsewhere.
        """
        found = self._version(name, version)
        title = f"Version {found.version} of registered model '{found.name}'"
        with _translated(title):
            local = self._local(
                self._followed(self._client().get_model_version_download_uri(found.name, found.version))
            )
        if local is None:
            raise unusable(f"The files of {title[0].lower()}{title[1:]} are not on this machine.")
        return local, str(found.status)

    def fetch(self, name: str, version: str, destination: Path) -> None:
        """Put the files into ``destination``, which then is whole; or leave it absent.

        :raises Refused: as for :meth:`resolve`, or the files cannot be had.
        """
        found = self._version(name, version)
        title = f"Version {found.version} of registered model '{found.name}'"
        if found.status != "READY":
            raise unusable(f"{title} is not ready: its status is {found.status}.")
        with _translated(title):
            uri = self._followed(self._client().get_model_version_download_uri(found.name, found.version))
            local = self._local(uri)
            if local is not None and not local.is_dir():
                raise unusable(f"{title} has no files: there is no folder {local} on this machine.")
            with whole_or_absent(destination) as folder:
                if local is not None:
                    copy_model(local, folder)
                else:
                    self._download(uri, found, folder)

    def _client(self) -> MlflowClient:
        if self._kept_client is None:
            path = self._uri.removeprefix("sqlite:///")
            if path != self._uri and not Path(path.partition("?")[0]).is_file():
                # SQLite would create the file, and an empty registry hides a wrong path.
                raise unavailable(f"There is no registry at {self._uri}.")
            self._kept_client = MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
        return self._kept_client

    def _version(self, name: str, version: str) -> Any:
        unknown = does_not_exist(f"Registered model '{name}' does not exist.")
        if not name or len(name) > _MAX_NAME or "/" in name or ":" in name:
            raise unknown
        alias = version.removeprefix("@") if version.startswith("@") else None
        if alias is None and not (version.isascii() and version.isdecimal() and len(version) < 10):
            raise does_not_exist(f"Version {version} of registered model '{name}' does not exist.")
        try:
            if alias is None:
                return self._client().get_model_version(name, version)
            return self._client().get_model_version_by_alias(name, alias)
        except MlflowException as error:
            if not _says_absent(error):
                raise _failed(error) from error
        if not self._has_model(name):
            raise unknown
        if alias is None:
            raise does_not_exist(f"Version {version} of registered model '{name}' does not exist.")
        raise does_not_exist(f"Registered model '{name}' has no alias '{alias}'.")

    def _has_model(self, name: str) -> bool:
        try:
            self._client().get_registered_model(name)
        except MlflowException as error:
            if _says_absent(error):
                return False
            raise _failed(error) from error
        return True

    def _followed(self, uri: str) -> str:
        """From the names of logged models and runs to where their files lie."""
        scheme, _, rest = uri.partition(":/")
        if scheme == "models" and rest.startswith("m-"):
            return str(self._client().get_logged_model(rest.strip("/")).artifact_location)
        if scheme == "runs":
            run, _, path = rest.strip("/").partition("/")
            return f"{self._client().get_run(run).info.artifact_uri.rstrip('/')}/{path}"
        return uri

    def _local(self, uri: str) -> Path | None:
        if uri.startswith("mlflow-artifacts:") and self._artifacts is not None:
            rest = uri.removeprefix("mlflow-artifacts:")
            if rest.startswith("//"):
                rest = rest[2:].partition("/")[2]
            return inside(self._artifacts, rest)
        if uri.startswith("file:"):
            return Path(unquote(urlsplit(uri).path))
        return Path(uri) if uri.startswith("/") else None

    def _download(self, uri: str, version: Any, folder: Path) -> None:
        # An external registry may have its own way to hand out files (credentials for each version), found by the model's name.
        asked = uri if self._artifacts is not None else f"models:/{version.name}/{version.version}"
        got = Path(
            mlflow.artifacts.download_artifacts(
                artifact_uri=asked, dst_path=str(folder), tracking_uri=self._uri, registry_uri=self._uri
            )
        )
        if got.resolve() != folder.resolve():
            for entry in got.iterdir():
                shutil.move(entry, folder)


def _uid(version: Any) -> str:
    """Tells a version from a later one that got its number after it was deleted."""
    identity = [version.name, str(version.version), version.creation_timestamp, version.source, version.run_id]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]


@contextmanager
def _translated(title: str) -> Iterator[None]:
    try:
        yield
    except MlflowException as error:
        raise _failed(error) from error
    except UnsafePath as error:
        raise unusable(f"{title} cannot be used. {error}") from error
    except OSError as error:
        raise unusable(f"The files of {title[0].lower()}{title[1:]} cannot be had: {error}.") from error


def _says_absent(error: MlflowException) -> bool:
    # An unknown alias is "invalid" for the SQL store, and a malformed one is unknown all the same.
    return error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND")


def _failed(error: MlflowException) -> Refused:
    text = without_credentials(" ".join(str(error).split()))[:500]
    silent = re.search(r"API request to (\w+://[^/\s]+)\S* failed with exception", text)
    if silent:
        return unavailable(f"The model registry at {silent[1]} does not answer.")
    if _says_absent(error):
        return unusable(f"The model's files cannot be had: {text}")
    return unavailable(f"The model registry cannot be asked: {text}")
