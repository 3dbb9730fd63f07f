"""The layer itself: each request to the part that answers it, and refusals rendered in one place."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from lakeserve.adapters.mlflow import embedded
from lakeserve.adapters.mlflow.answers import Refused
from lakeserve.adapters.mlflow.databricks import credentials, files, unity_catalog
from lakeserve.adapters.mlflow.databricks.artifact_uris import Translated, has_databricks_uri
from lakeserve.adapters.mlflow.databricks.asgi import AsgiApp, ClientGone, Message, Receive, Scope, Send, reply
from lakeserve.adapters.mlflow.databricks.credentials import Credentials
from lakeserve.adapters.mlflow.databricks.files import FilesApi
from lakeserve.adapters.mlflow.databricks.places import Places
from lakeserve.adapters.mlflow.databricks.signed_urls import PREFIX as SIGNED
from lakeserve.adapters.mlflow.databricks.signed_urls import Signer
from lakeserve.adapters.mlflow.databricks.spool import Spool
from lakeserve.adapters.mlflow.databricks.unity_catalog import UnityCatalog
from lakeserve.adapters.mlflow.databricks.versions import CatalogVersions
from lakeserve.adapters.mlflow.source import Source

_log = logging.getLogger(__name__)


def with_databricks_routes(mlflow_app: AsgiApp, source: Source, data_dir: Path, now: Callable[[], float]) -> AsgiApp:
    """MLflow's app with these routes in front of it. ``now`` gives Unix seconds."""
    folder, artifacts = data_dir / "registry", embedded.artifacts_folder(data_dir)
    spool = Spool(folder / "uploads")
    versions = CatalogVersions(source, artifacts)
    places = Places(versions, artifacts=artifacts, volumes=folder / "files" / "Volumes")
    files_api = FilesApi(places, spool, Signer(folder / "signed-urls.key"), now)
    return DatabricksRoutes(mlflow_app, files_api, UnityCatalog(mlflow_app, versions, spool))


class DatabricksRoutes:
    def __init__(self, mlflow_app: AsgiApp, files_api: FilesApi, catalog: UnityCatalog) -> None:
        self._mlflow = mlflow_app
        self._files = files_api
        self._credentials = Credentials(mlflow_app, files_api)
        self._catalog = catalog

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http":
            await self._mlflow(scope, receive, send)
        elif path.startswith((files.PREFIX, SIGNED)):
            await _told(self._files, scope, receive, send)
        elif path.startswith(unity_catalog.PREFIX):
            await _told(self._catalog, scope, receive, send)
        elif credentials.is_route(scope):
            await _told(self._credentials, scope, receive, send)
        elif has_databricks_uri(scope):
            await self._mlflow(scope, receive, Translated(send))
        else:
            await self._mlflow(scope, receive, send)


async def _told(app: AsgiApp, scope: Scope, receive: Receive, send: Send) -> None:
    begun = False

    async def noticing(message: Message) -> None:
        nonlocal begun
        begun = True
        await send(message)

    try:
        await app(scope, receive, noticing)
    except ClientGone:
        return
    except Refused as refused:
        answer = {"error_code": refused.code, "message": str(refused)}
        await reply(send, refused.status, answer)
    except Exception:  # noqa: BLE001 - the outermost edge: whatever MLflow's store or the disk raises, the client is told
        _log.exception("%s %s failed", scope["method"], scope["path"])
        if not begun:
            answer = {"error_code": "INTERNAL_ERROR", "message": "The model registry failed. Its log says why."}
            await reply(send, 500, answer)
