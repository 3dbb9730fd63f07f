"""The controller process: the store, the reconcilers and the control API.

There is one, and it is the only process that opens the database (docs/decisions/0001).
"""

from __future__ import annotations

import asyncio
import os

import uvicorn

from lakeserve.adapters.local.clock import RandomIds, SystemClock
from lakeserve.adapters.local.commands import Commands
from lakeserve.adapters.local.environments import UvEnvironments
from lakeserve.adapters.local.launcher import Launcher
from lakeserve.adapters.local.logs import FileLogs
from lakeserve.adapters.local.process_stats import LocalProcessStats
from lakeserve.adapters.local.routing_feed import FeedServer
from lakeserve.adapters.local.workers import LocalWorkers
from lakeserve.adapters.local.zygotes import Zygotes
from lakeserve.adapters.mlflow.client import RegistryModels
from lakeserve.adapters.sql.database import Database, sqlite_url
from lakeserve.adapters.sql.directory import SqlDirectoryStore
from lakeserve.adapters.sql.store import SqlEndpointStore, SqlTokenStore
from lakeserve.bootstrap import process
from lakeserve.bootstrap.secrets import open_secrets
from lakeserve.control.credentials import Credentials
from lakeserve.control.deployment import Parts
from lakeserve.control.descriptions import Descriptions
from lakeserve.control.directory import DirectoryChanges
from lakeserve.control.endpoints import Endpoints
from lakeserve.control.login import Logins
from lakeserve.control.metrics import Metrics, Sampler
from lakeserve.control.oauth import AccessTokens, ClientSecrets
from lakeserve.control.permissions import Permissions
from lakeserve.control.reconciler import Reconcilers
from lakeserve.control.references import References
from lakeserve.control.tokens import PersonalTokens, TokenManagement
from lakeserve.control.usage import UsageBook
from lakeserve.domain.scaling import ScalingLimits
from lakeserve.http.control import ControlSettings, Identity, Services, create_app
from lakeserve.ports.clock import Clock, Ids
from lakeserve.ports.secrets import Resolve
from lakeserve.ports.store import DirectoryStore
from lakeserve.settings import Settings

_GRACEFUL_S = 2


async def controller(settings: Settings) -> None:
    clock, ids = SystemClock(), RandomIds()
    database = await Database.open(sqlite_url(settings.data_dir / "lakeserve.db"))
    launcher = await Launcher.connect(settings.socket("supervisor"))
    usage = UsageBook(clock)
    feed = FeedServer(usage)
    await feed.start(settings.socket("routing"))
    directory = SqlDirectoryStore(database)
    credentials = Credentials(SqlTokenStore(database), directory, feed, clock, ids)
    await credentials.install_admin(settings.admin_name, settings.admin_digest)
    secrets = await open_secrets(settings, database, credentials, clock)
    references = References(secrets, credentials)
    models = RegistryModels(settings.socket("registry"), settings.data_dir)
    logs = FileLogs(settings.data_dir / "logs", clock)
    store = SqlEndpointStore(database)
    parts = _parts(settings, launcher, models, references.resolve, logs, clock)
    reconcilers = Reconcilers(store, feed, parts, usage)
    usage.on_queued = reconcilers.on_queued
    await reconcilers.start()
    endpoints = Endpoints(
        store=store,
        models=models,
        references=references,
        logs=logs,
        clock=clock,
        ids=ids,
        reconcilers=reconcilers,
    )
    stats = LocalProcessStats(os.getppid())
    sampler = Sampler(stats, reconcilers.workers, clock)
    app = create_app(
        Services(
            principals=lambda: credentials.principals,
            clock=clock,
            identity=_identity(credentials, directory, Permissions(store, credentials, reconcilers), clock, ids),
            endpoints=endpoints,
            secrets=secrets,
            metrics=Metrics(endpoints, usage, sampler, stats, reconcilers.workers),
            descriptions=Descriptions(endpoints, models),
        ),
        ControlSettings(settings.workspace_id, settings.limits.control_bytes),
    )
    chores = [
        asyncio.create_task(logs.watch_sizes(), name="log sizes"),
        asyncio.create_task(reconcilers.look_around(), name="autoscaling"),
        asyncio.create_task(sampler.run(), name="process samples"),
    ]
    config = process.config(app, graceful_s=_GRACEFUL_S, uds=str(settings.socket("control")))
    await uvicorn.Server(config).serve()
    for chore in chores:
        chore.cancel()
    await reconcilers.close()
    await asyncio.gather(feed.close(), launcher.close(), models.close(), database.close(), return_exceptions=True)


def _identity(
    credentials: Credentials, store: DirectoryStore, permissions: Permissions, clock: Clock, ids: Ids
) -> Identity:
    return Identity(
        directory=DirectoryChanges(store, credentials, clock, ids),
        tokens=PersonalTokens(credentials),
        token_management=TokenManagement(credentials),
        secrets=ClientSecrets(credentials),
        access=AccessTokens(credentials),
        logins=Logins(credentials, clock),
        permissions=permissions,
    )


def _parts(
    settings: Settings, launcher: Launcher, models: RegistryModels, resolve: Resolve, logs: FileLogs, clock: SystemClock
) -> Parts:
    supervisor_pid = os.getppid()
    zygotes = Zygotes(
        launcher,
        run_dir=settings.run_dir,
        log_dir=settings.data_dir / "logs" / "zygotes",
        environment=settings.environment,
        supervisor_pid=supervisor_pid,
        keep_s=settings.limits.zygote_s,
    )
    workers = LocalWorkers(
        launcher,
        zygotes,
        run_dir=settings.run_dir,
        environment=settings.environment,
        supervisor_pid=supervisor_pid,
        choice=settings.worker_start,
        memory_bytes=settings.limits.worker_bytes,
    )
    return Parts(
        models=models,
        resolve=resolve,
        environments=UvEnvironments(
            settings.data_dir, Commands(launcher, settings.run_dir), environ=settings.environment
        ),
        workers=workers,
        logs=logs,
        clock=clock,
        env_manager=settings.env_manager,
        execution_s=settings.limits.execution_s,
        load_s=settings.limits.load_s,
        drain_s=settings.limits.drain_s,
        scaling=ScalingLimits(settings.limits.scale_down_s, settings.limits.scale_to_zero_s),
    )


if __name__ == "__main__":
    process.run(controller)
