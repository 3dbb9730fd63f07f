"""Where models come from: the registry that names them and the files that they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


class ModelNotFound(Exception):
    """The registry answers, and knows no such model, version or alias. The text says which."""


class RegistryUnavailable(Exception):
    """The registry does not answer or is still starting: trying again makes sense."""


class ModelUnusable(Exception):
    """The files are there but are no MLflow model, or cannot be fetched. The text says why."""


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A registered version. ``version`` is a number in text, also when an alias was asked for.

    ``uid`` tells it from a later version that got the same number after this one was deleted. Without it, ``fetch`` means the one
    that was looked up last, else the one whose files were fetched last.
    """

    name: str
    version: str
    uid: str = ""


@dataclass(frozen=True, slots=True)
class ModelPackage:
    """A model's files on this machine, immutable once there.

    ``python_version`` is the full version it was logged under (None when the package does not say);
    ``requirements_file`` is None when the package lists none. ``mlmodel`` is the parsed MLmodel file; ``example`` the body of
    a request that was logged with the model, if any.
    """

    path: Path
    python_version: str | None
    requirements_file: Path | None
    mlmodel: Mapping[str, Any]
    example: Mapping[str, Any] | None = None


class Models(Protocol):
    async def resolve(self, name: str, version: str) -> ModelVersion:
        """Look up ``version``: a number ("3"), or an alias ("@champion").

        :raises ModelNotFound: no such model, version or alias.
        :raises RegistryUnavailable: the registry cannot be asked now.
        """

    async def fetch(self, model: ModelVersion) -> ModelPackage:
        """The model's files, from the local cache when they are there (then the registry is not asked).

        :raises ModelNotFound: the version is gone from the registry and not cached.
        :raises ModelUnusable: not an MLflow model.
        :raises RegistryUnavailable: not cached, and the registry cannot be asked now.
        """
