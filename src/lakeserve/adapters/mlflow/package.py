"""Reading a model's package: ``MLmodel``, the Python it was logged under, its requirements.

``python_env.yaml`` and ``conda.yaml`` are read as text throughout, because YAML takes an unquoted ``3.10`` for the number 3.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from lakeserve.adapters.mlflow.example import request_example
from lakeserve.adapters.mlflow.model_files import UnsafePath, check_links
from lakeserve.ports.models import ModelPackage, ModelUnusable

_MAX_FILE_BYTES = 8 * 1024 * 1024
_PATH_KEYS = ("data", "model_path", "code", "python_model")


def read_package(folder: Path, title: str) -> ModelPackage:
    """``title`` names the model in error texts, at the start of a sentence.

    :raises ModelUnusable: it is no MLflow model that can be served.
    """
    if not (folder / "MLmodel").is_file():
        raise ModelUnusable(f"{title} is not an MLflow model: it has no MLmodel file.")
    mlmodel = _mapping(folder / "MLmodel", title, yaml.CSafeLoader)
    flavors = mlmodel.get("flavors")
    pyfunc = flavors.get("python_function") if isinstance(flavors, dict) else None
    if not isinstance(pyfunc, dict):
        raise ModelUnusable(f"{title} cannot be served: its MLmodel file has no python_function flavor.")
    _check_paths(pyfunc, title)
    requirements = folder / "requirements.txt"
    return ModelPackage(
        path=folder,
        python_version=_python_version(folder, title) or _text(pyfunc.get("python_version")),
        requirements_file=requirements if requirements.is_file() else None,
        mlmodel=mlmodel,
        example=request_example(folder, mlmodel),
    )


def check_package(folder: Path, title: str) -> None:
    """What has to hold before files that were fetched are kept.

    :raises ModelUnusable: it does not.
    """
    try:
        check_links(folder)
    except UnsafePath as error:
        raise ModelUnusable(f"{title} cannot be used. {error}") from error
    read_package(folder, title)


def _mapping(file: Path, title: str, loader: type[Any]) -> Mapping[str, Any]:
    try:
        if file.stat().st_size > _MAX_FILE_BYTES:
            raise ModelUnusable(f"{title} cannot be used: its {file.name} file is too large.")
        content = yaml.load(file.read_bytes(), Loader=loader)  # noqa: S506 - one of the two safe loaders
    except (OSError, yaml.YAMLError, UnicodeError) as error:
        raise ModelUnusable(f"{title} cannot be used: its {file.name} file cannot be read.") from error
    if not isinstance(content, dict):
        raise ModelUnusable(f"{title} cannot be used: its {file.name} file does not hold a mapping.")
    return content


def _check_paths(pyfunc: Mapping[str, Any], title: str) -> None:
    for path in _paths(pyfunc):
        pure = PurePosixPath(path)
        if ".." in pure.parts or pure.is_absolute():
            raise ModelUnusable(
                f"{title} cannot be used: the path {path!r} in its MLmodel file leads out of the model's folder."
            )


def _paths(pyfunc: Mapping[str, Any]) -> Iterator[str]:
    artifacts = pyfunc.get("artifacts")
    described = artifacts.values() if isinstance(artifacts, dict) else ()
    for value in (*(pyfunc.get(key) for key in _PATH_KEYS), *(a.get("path") for a in described if isinstance(a, dict))):
        if isinstance(value, str):
            yield value


def _python_version(folder: Path, title: str) -> str | None:
    if (folder / "python_env.yaml").is_file():
        return _text(_mapping(folder / "python_env.yaml", title, yaml.CBaseLoader).get("python"))
    if (folder / "conda.yaml").is_file():
        dependencies = _mapping(folder / "conda.yaml", title, yaml.CBaseLoader).get("dependencies")
        for dependency in dependencies if isinstance(dependencies, list) else ():
            if isinstance(dependency, str) and dependency.replace(" ", "").startswith("python="):
                return _text(dependency.replace(" ", "").removeprefix("python").lstrip("="))
    return None


def _text(value: object) -> str | None:
    return str(value).strip() or None if value is not None else None
