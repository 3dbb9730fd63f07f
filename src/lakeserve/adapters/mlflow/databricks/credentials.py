"""Artifacts by signed URLs: how MLflow 2 reads and writes them, and MLflow 3 when the Files API fails it.

``artifacts/credentials-for-read|write`` for a run, and ``credentials-for-download|upload`` for a logged model
(``DatabricksMlflowArtifactsService``). The kind of URL is told as Google's, since to those clients send every file whole.
"""

from __future__ import annotations

import re
from typing import Any

from lakeserve.adapters.mlflow.answers import Refused
from lakeserve.adapters.mlflow.databricks import asgi
from lakeserve.adapters.mlflow.databricks.artifact_uris import EXPERIMENT, LOGGED_MODEL, RUN
from lakeserve.adapters.mlflow.databricks.asgi import AsgiApp, Receive, Scope, Send, invalid, text
from lakeserve.adapters.mlflow.databricks.files import FilesApi

_PREFIX = "/api/2.0/mlflow/"
_ROUTE = re.compile(
    rf"{_PREFIX}(?:artifacts/credentials-for-(?P<run>read|write)"
    rf"|logged-models/(?P<model_id>{LOGGED_MODEL})/artifacts/credentials-for-(?P<model>download|upload))"
)
_OF_RUN = re.compile(rf"mlflow-artifacts:/({EXPERIMENT})/({RUN})/artifacts")
_OF_MODEL = re.compile(rf"mlflow-artifacts:/({EXPERIMENT})/models/({LOGGED_MODEL})/artifacts")
_READS = frozenset(("read", "download"))
_MAX_PATHS = 2000
_KIND = "GCP_SIGNED_URL"


def is_route(scope: Scope) -> bool:
    return scope["method"] == "POST" and _ROUTE.fullmatch(scope["path"]) is not None


class Credentials:
    def __init__(self, mlflow_app: AsgiApp, files_api: FilesApi) -> None:
        self._mlflow = mlflow_app
        self._files = files_api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        :raises Refused: told to the client by the caller.
        :raises ClientGone: nobody waits for an answer.
        """
        route = _ROUTE.fullmatch(scope["path"])
        given = await asgi.arguments(scope, receive)
        if route is not None and route["model"]:
            await asgi.reply(send, 200, await self._of_model(scope, route["model_id"], route["model"], given))
        elif route is not None:
            await asgi.reply(send, 200, await self._of_run(scope, text(given, "run_id"), route["run"], given))

    async def _of_run(self, scope: Scope, run: str, verb: str, given: dict[str, Any]) -> dict[str, Any]:
        told = await self._ask(scope, "runs/get", {"run_id": run})
        found = _OF_RUN.fullmatch(str(told["run"]["info"].get("artifact_uri")))
        if found is None:
            raise invalid(f"The artifacts of run '{run}' are not kept by this server.")
        root = f"/WorkspaceInternal/Mlflow/Artifacts/{found[1]}/Runs/{found[2]}/artifacts"
        infos = [{"run_id": run, **await self._info(scope, verb, root, path)} for path in _paths(given.get("path"))]
        return {"credential_infos": infos}

    async def _of_model(self, scope: Scope, model: str, verb: str, given: dict[str, Any]) -> dict[str, Any]:
        told = await self._ask(scope, f"logged-models/{model}", {})
        found = _OF_MODEL.fullmatch(str(told["model"]["info"].get("artifact_uri")))
        if found is None:
            raise invalid(f"The artifacts of logged model '{model}' are not kept by this server.")
        root = f"/WorkspaceInternal/Mlflow/Artifacts/{found[1]}/LoggedModels/{found[2]}/artifacts"
        infos = [await self._info(scope, verb, root, path) for path in _paths(given.get("paths"))]
        return {"credentials": [{"model_id": model, "credential_info": info} for info in infos]}

    async def _info(self, scope: Scope, verb: str, root: str, path: str) -> dict[str, Any]:
        url = await self._files.url_for("get" if verb in _READS else "put", f"{root}/{path}", scope)
        return {"path": path, "signed_uri": url, "headers": [], "type": _KIND}

    async def _ask(self, scope: Scope, route: str, given: dict[str, str]) -> dict[str, Any]:
        status, answer = await asgi.ask(self._mlflow, scope, "GET", _PREFIX + route, given)
        if status != 200:
            raise Refused(status, str(answer.get("error_code", "INTERNAL_ERROR")), str(answer.get("message", "")))
        return answer


def _paths(given: object) -> list[str]:
    paths = [given] if isinstance(given, str) else given
    if not isinstance(paths, list) or len(paths) > _MAX_PATHS or not all(isinstance(one, str) for one in paths):
        raise invalid(f"The paths must be a list of at most {_MAX_PATHS} texts.")
    return paths
