"""Unity Catalog's model registry: ``/api/2.0/mlflow/unity-catalog/…`` (MLflow's ``UcModelRegistryService``).

Most of its calls are MLflow's own under another prefix, with aliases and names told in another way; those are put to MLflow's
app from inside, so that both registries are one. Making a version is not: its files are copied to the registry, and it is ready
once they are (:mod:`.versions`).

Lineage is accepted, as clients send it with every load, and not kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from lakeserve.adapters.mlflow.answers import UNUSABLE, Refused, does_not_exist
from lakeserve.adapters.mlflow.databricks import asgi
from lakeserve.adapters.mlflow.databricks.artifact_uris import to_databricks
from lakeserve.adapters.mlflow.databricks.asgi import AsgiApp, Receive, Scope, Send, invalid, text
from lakeserve.adapters.mlflow.databricks.files import no_route
from lakeserve.adapters.mlflow.databricks.spool import Spool

PREFIX = "/api/2.0/mlflow/unity-catalog/"
_MLFLOW = "/api/2.0/mlflow/"
_SDK_FILES = "registered-models:is-databricks-sdk-models-artifact-repository-enabled"
_NAME = re.compile(r"[^./:\s]+\.[^./:\s]+\.[^./:\s]+")
_VERSION = re.compile(r"[0-9]{1,9}")
_MAX_NAME = 256

# Asked of MLflow as they come. The last part is what the answer holds: one, a list of them, or nothing.
_SAME = {
    ("POST", "registered-models/create"): "registered_model",
    ("GET", "registered-models/get"): "registered_model",
    ("DELETE", "registered-models/delete"): None,
    ("GET", "registered-models/search"): "registered_models",
    ("POST", "registered-models/set-tag"): None,
    ("DELETE", "registered-models/delete-tag"): None,
    ("POST", "registered-models/alias"): None,
    ("GET", "registered-models/alias"): "model_version",
    ("DELETE", "registered-models/alias"): None,
    ("PATCH", "registered-models/update"): "registered_model",
    ("PATCH", "model-versions/update"): "model_version",
    ("GET", "model-versions/get"): "model_version",
    ("GET", "model-versions/search"): "model_versions",
    ("DELETE", "model-versions/delete"): None,
    ("POST", "model-versions/set-tag"): None,
    ("DELETE", "model-versions/delete-tag"): None,
}
_MODEL_KEYS = ("name", "creation_timestamp", "last_updated_timestamp", "user_id", "description", "tags")
_VERSION_KEYS = (*_MODEL_KEYS, "version", "run_id", "status", "status_message")


class Versions(Protocol):
    """:class:`.versions.CatalogVersions`. All block."""

    def located(self, name: str, version: str) -> tuple[Path, str]: ...

    def create(self, name: str, given: Mapping[str, Any]) -> str: ...

    def finalize(self, name: str, version: str) -> None: ...

    def forget(self, folder: Path) -> None: ...


class UnityCatalog:
    def __init__(self, mlflow_app: AsgiApp, versions: Versions, spool: Spool) -> None:
        self._mlflow = mlflow_app
        self._versions = versions
        self._spool = spool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        :raises Refused: told to the client by the caller.
        :raises ClientGone: nobody waits for an answer.
        """
        call = (scope["method"], scope["path"].removeprefix(PREFIX))
        given = await asgi.arguments(scope, receive)
        if call == ("GET", _SDK_FILES):
            await asgi.reply(send, 200, {"is_databricks_sdk_models_artifact_repository_enabled": True})
            return
        if not call[1].endswith("/search"):
            _check_name(text(given, "name"))
        if "version" in given or call[1] in _OF_A_VERSION:
            given["version"] = _version(given)
        await asgi.reply(send, 200, await self._answer(scope, call, given))

    async def _answer(self, scope: Scope, call: tuple[str, str], given: dict[str, Any]) -> dict[str, Any]:
        match call:
            case "PATCH", "registered-models/update" if given.get("new_name"):
                return await self._rename(scope, given)
            case "DELETE", "registered-models/delete" | "model-versions/delete":
                return await self._delete(scope, call, given)
            case "POST", "model-versions/create":
                return await self._create(scope, given)
            case "POST", "model-versions/finalize":
                await self._spool.run(self._versions.finalize, given["name"], given["version"])
                return await self._same(scope, ("GET", "model-versions/get"), given)
            case "GET", "model-versions/get-download-uri":
                await self._located(given)
                return {"artifact_uri": _files_path(given["name"], given["version"])}
            case "POST", "model-versions/generate-temporary-credentials":
                await self._located(given)
                # "Ask for signed URLs": there is no cloud to have credentials for.
                return {"credentials": {"storage_mode": "DEFAULT_STORAGE"}}
            case "POST", "model-versions/emit-lineage":
                await self._located(given)
                return {}
            case _ if call in _SAME:
                return await self._same(scope, call, given)
        raise no_route(scope)

    async def _located(self, given: Mapping[str, Any]) -> tuple[Path, str]:
        return await self._spool.run(self._versions.located, given["name"], given["version"])

    async def _create(self, scope: Scope, given: dict[str, Any]) -> dict[str, Any]:
        text(given, "source")
        version = await self._spool.run(self._versions.create, given["name"], given)
        return await self._same(scope, ("GET", "model-versions/get"), {"name": given["name"], "version": version})

    async def _rename(self, scope: Scope, given: dict[str, Any]) -> dict[str, Any]:
        _check_name(text(given, "new_name"))
        names = {"name": given["name"], "new_name": given["new_name"]}
        answer = await self._ask(scope, "POST", "registered-models/rename", names)
        return _rendered("registered_model", answer)

    async def _delete(self, scope: Scope, call: tuple[str, str], given: dict[str, Any]) -> dict[str, Any]:
        """Their files too, once MLflow has forgotten them."""
        if "version" in given:
            numbers = [given["version"]]
        else:
            wanted = {"filter": f"name='{given['name']}'", "max_results": 10_000}
            found = await self._ask(scope, "GET", "model-versions/search", wanted)
            numbers = [one["version"] for one in found.get("model_versions", ())]
        folders = []
        for number in numbers:
            try:
                folders.append((await self._located({"name": given["name"], "version": str(number)}))[0])
            except Refused as refused:
                if refused.code != UNUSABLE:
                    raise
                # Registered from somewhere that is not ours to tidy.
        answer = await self._same(scope, call, given)
        for folder in folders:
            await self._spool.run(self._versions.forget, folder)
        return answer

    async def _same(self, scope: Scope, call: tuple[str, str], given: Mapping[str, Any]) -> dict[str, Any]:
        method, route = call
        try:
            answer = await self._ask(scope, method, route, given)
        except Refused as refused:
            if call == ("GET", "registered-models/alias") and refused.code == "INVALID_PARAMETER_VALUE":
                # MLflow's store calls an unknown alias invalid; clients of Unity Catalog wait for "not found".
                raise does_not_exist(str(refused)) from None
            raise
        return _rendered(_SAME[call], answer)

    async def _ask(self, scope: Scope, method: str, route: str, given: Mapping[str, Any]) -> dict[str, Any]:
        status, answer = await asgi.ask(self._mlflow, scope, method, _MLFLOW + route, given)
        if status != 200:
            raise Refused(status, str(answer.get("error_code", "INTERNAL_ERROR")), str(answer.get("message", "")))
        return answer


_OF_A_VERSION = frozenset(
    f"model-versions/{verb}"
    for verb in (
        "get", "update", "delete", "finalize", "get-download-uri", "generate-temporary-credentials", "set-tag",
        "delete-tag", "emit-lineage",
    )
)  # fmt: skip


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > _MAX_NAME or "'" in name:
        # The client adds a hint of its own to a text with these words.
        raise invalid(
            f"'{name}' is not the name of a registered model: specify all three levels, catalog.schema.model."
        )


def _version(given: Mapping[str, Any]) -> str:
    version = str(given.get("version", ""))
    if not _VERSION.fullmatch(version):
        raise invalid("'version' must be the number of a model version.")
    return version


def _files_path(name: str, version: str) -> str:
    return f"/Models/{name.replace('.', '/')}/{version}"


def _rendered(kind: str | None, answer: Mapping[str, Any]) -> dict[str, Any]:
    if kind is None:
        return {}
    if kind in ("registered_model", "model_version"):
        one = answer[kind]
        return {kind: _model(one) if kind == "registered_model" else _model_version(one)}
    render = _model if kind == "registered_models" else _model_version
    # Names of fewer levels, as plain clients may give them, cannot be said here.
    many = [render(one) for one in answer.get(kind, ()) if _NAME.fullmatch(one["name"])]
    token = answer.get("next_page_token")
    return {kind: many, **({"next_page_token": token} if token else {})}


def _model(told: Mapping[str, Any]) -> dict[str, Any]:
    aliases = [{"alias": one["alias"], "version": str(one["version"])} for one in told.get("aliases", ())]
    return {**{key: told[key] for key in _MODEL_KEYS if key in told}, "aliases": aliases}


def _model_version(told: Mapping[str, Any]) -> dict[str, Any]:
    source = str(told.get("source", ""))
    model_id = told.get("model_id") or (source.removeprefix("models:/") if source.startswith("models:/m-") else "")
    return {
        **{key: told[key] for key in _VERSION_KEYS if key in told},
        "source": to_databricks(source),
        "storage_location": _files_path(told["name"], str(told["version"])),
        "aliases": [{"alias": alias, "version": str(told["version"])} for alias in told.get("aliases", ())],
        **({"model_id": model_id} if model_id else {}),
    }
