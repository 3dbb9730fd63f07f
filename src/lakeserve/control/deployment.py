"""One served entity on its way from a registered model to running workers, and kept there.

    fetch the model's files ─▶ its environment ─▶ the first worker ─▶ READY ─▶ the other workers
                                                       ▲                 │ a worker is lost
                                                       └── with back-off ┘

A deployment that has never been ready fails at the first error, and the update that it belongs to with it. One that has
been ready is *proven*: its errors are met by trying again, for as long as it is wanted. The first worker starts alone,
because a model that cannot be loaded should fail once, and because the zygote learns from it what to import for the
others.

The deployment writes no state. It has a ``status`` and ``workers``, and calls ``changed`` when either did; the reconciler
does the rest.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

from lakeserve.control.backoff import Backoff
from lakeserve.domain.endpoint import Deployment, DeploymentState, ServedEntity, Step
from lakeserve.domain.scaling import ScalingLimits
from lakeserve.ports.clock import Clock
from lakeserve.ports.environments import Environment, EnvironmentFailed, Environments
from lakeserve.ports.logs import Logs
from lakeserve.ports.models import ModelNotFound, ModelPackage, Models, ModelUnusable, ModelVersion, RegistryUnavailable
from lakeserve.ports.secrets import Resolve, SecretUnusable
from lakeserve.ports.workers import Worker, WorkerFailed, Workers, WorkerSpec

_log = logging.getLogger(__name__)

ENV_MANAGER = "LAKESERVE_ENV_MANAGER"
"""A variable of a served entity: ``local`` runs it in the server's own environment, ``uv`` in one built for the model."""

_REGISTRY_RETRY_S = 1.0
_SETBACKS = 3

PermanentErrors = (ModelNotFound, ModelUnusable, EnvironmentFailed, SecretUnusable, WorkerFailed)


@dataclass(frozen=True, slots=True)
class Parts:
    """What deployments act through, and their limits in seconds."""

    models: Models
    resolve: Resolve
    environments: Environments
    workers: Workers
    logs: Logs
    clock: Clock
    env_manager: str
    execution_s: float
    load_s: float
    drain_s: float
    scaling: ScalingLimits


class EntityDeployment:
    """Of the entities of one endpoint that have the same fingerprint; usually that is one."""

    def __init__(
        self, parts: Parts, *, endpoint_id: str, endpoint_name: str, entity: ServedEntity, changed: Callable[[], None]
    ) -> None:
        self._parts = parts
        self._endpoint_id = endpoint_id
        self._endpoint_name = endpoint_name
        self._entity = entity
        self._changed = changed
        self._target = 1
        self._proven = False
        self._asleep = False
        self._setbacks = 0
        self._trouble = ""
        self._workers: list[Worker] = []
        self._wake = asyncio.Event()
        self._backoff = Backoff(parts.clock)
        self._background: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._polishing: asyncio.Task[None] | None = None
        self.status = Deployment()

    @property
    def workers(self) -> tuple[Worker, ...]:
        return tuple(self._workers)

    @property
    def target(self) -> int:
        return self._target

    def speak_for(self, entity: ServedEntity) -> None:
        """Another config wants the same: from now on its creator's rights count."""
        self._entity = entity

    @property
    def complete(self) -> bool:
        """Whether it has all the workers that it works towards."""
        return len(self._workers) >= self._target

    @property
    def hopeless(self) -> str | None:
        """Why it does not get all of its workers up, once it has failed to several times in a row."""
        return self._trouble if self._setbacks >= _SETBACKS else None

    @property
    def proven(self) -> bool:
        return self._proven

    def begin(self, *, proven: bool, adopted: list[Worker], target: int) -> None:
        """Start working towards ``target`` workers. ``proven``: it has been ready in an earlier life of the controller."""
        self._proven = proven or bool(adopted)
        self._workers = list(adopted)
        self._target = target
        if self._workers:
            self._backoff.serving()
            self.status = Deployment(DeploymentState.READY, "", Step.SERVING)
        elif self._proven:
            self.status = Deployment(DeploymentState.RECOVERING, "Starting again", Step.QUEUED)
        self._task = asyncio.create_task(self._run(), name=f"deployment {self._endpoint_name}/{self._entity.name}")

    def resize(self, target: int) -> None:
        """Work towards another number of workers. None means to sleep: ready, and woken by the first request."""
        if target == self._target:
            return
        self._target = target
        self._say(f"Scaling to {target}." if target else "Scaling to zero.")
        self._trim()
        self._wake.set()
        self._changed()

    async def end(self) -> None:
        """Stop working, let the workers finish what they hold, and return when they are gone."""
        for task in (self._task, self._polishing):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        workers, self._workers = self._workers, []
        drains = [self._parts.workers.drain(worker, self._parts.drain_s) for worker in workers]
        await asyncio.gather(*drains, *self._background, return_exceptions=True)

    async def on_lost(self, worker: Worker, how: str) -> None:
        """A worker ended unasked."""
        if worker not in self._workers:
            return
        self._workers.remove(worker)
        self._set_back(how)
        self._say(f"{how} A new one takes its place.")
        if not self._workers:
            self._set(DeploymentState.RECOVERING, f"{how} Starting again.", Step.STARTING_WORKERS)
        self._wake.set()
        self._changed()

    # The way there

    async def _run(self) -> None:
        while True:
            try:
                await self._deploy_and_keep()
            except PermanentErrors as error:
                self._say(f"Failed: {error}")
                if not self._proven:
                    self._set(DeploymentState.FAILED, str(error), Step.ENDED)
                    return
                message = str(error)
            except Exception:  # noqa: BLE001
                # The boundary of this task: a bug must not leave an endpoint without anybody who looks after it.
                _log.exception("deployment of %s", self._endpoint_name)
                message = "An internal error occurred; the server's log has details."
                if not self._proven:
                    self._set(DeploymentState.FAILED, message, Step.ENDED)
                    return
            self._set_back(message)
            self._asleep = False
            if not self._workers:
                self._set(DeploymentState.RECOVERING, f"Trying again: {message}", self.status.step)
            await asyncio.sleep(self._backoff.pause_s())

    async def _deploy_and_keep(self) -> None:
        package = await self._fetch()
        environment = await self._environment(package)
        spec = self._spec(package, environment)
        while True:
            self._wake.clear()
            self._trim()
            if self.complete:
                self._setbacks = 0
                await self._wake.wait()
                continue
            if pause_s := self._backoff.pause_s():
                await asyncio.sleep(pause_s)
                continue  # what is wanted may have changed meanwhile
            self._backoff.attempt()
            if self._workers:
                await self._start_several(spec, self._target - len(self._workers))
            else:
                await self._start_first(spec)
                self._polish(environment)

    async def _fetch(self) -> ModelPackage:
        entity = self._entity
        self._step(Step.FETCHING_MODEL, f"Fetching version {entity.resolved_version} of {entity.entity_name}")
        while True:
            try:
                return await self._parts.models.fetch(
                    ModelVersion(entity.entity_name, entity.resolved_version, entity.model_uid)
                )
            except RegistryUnavailable:
                self._step(Step.FETCHING_MODEL, "Waiting for the model registry")
                await asyncio.sleep(_REGISTRY_RETRY_S)

    async def _environment(self, package: ModelPackage) -> Environment:
        manager = self._entity.environment_vars.get(ENV_MANAGER, self._parts.env_manager)
        self._step(Step.BUILDING_ENVIRONMENT, "Building the model's environment")
        environment = await self._parts.environments.ensure(package, local=manager == "local", log=self._say)
        self._say(f"Environment {environment.key[:24]} is ready ({environment.python}).")
        return environment

    async def _start_first(self, spec: WorkerSpec) -> None:
        self._step(Step.STARTING_WORKERS, "Loading the model")
        await self._start_one(spec)
        self._proven = True
        self._say("The model is loaded and serves.")

    async def _start_several(self, spec: WorkerSpec, count: int) -> None:
        results = await asyncio.gather(*(self._start_one(spec) for _ in range(count)), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _start_one(self, spec: WorkerSpec) -> None:
        # Anew for each worker, so that values are nowhere kept and rights count that were taken away meanwhile.
        told = replace(spec, environment_vars=await self._parts.resolve(self._entity))
        self._workers.append(await self._parts.workers.start(told, self.on_lost))
        self._backoff.serving()
        self._asleep = False
        self._set(DeploymentState.READY, "", Step.SERVING)
        self._changed()

    def _trim(self) -> None:
        """Let go of workers beyond the target; those that were still starting when it was lowered come here when they are ready."""
        surplus = self._workers[self._target :]
        del self._workers[self._target :]
        for worker in surplus:
            self._later(self._parts.workers.drain(worker, self._parts.drain_s))
        if surplus:
            self._changed()
        if self._target == 0:
            self._asleep = True
            self._set(DeploymentState.READY, "Scaled to zero", Step.SERVING)

    def _spec(self, package: ModelPackage, environment: Environment) -> WorkerSpec:
        return WorkerSpec(
            endpoint_id=self._endpoint_id,
            endpoint_name=self._endpoint_name,
            entity_name=self._entity.name,
            fingerprint=self._entity.fingerprint,
            package=package,
            environment=environment,
            environment_vars=self._entity.environment_vars,
            log_file=self._parts.logs.server_log(self._endpoint_id, self._entity.fingerprint),
            execution_limit_s=self._parts.execution_s,
            load_limit_s=self._parts.load_s,
        )

    def _set_back(self, trouble: str) -> None:
        self._backoff.lost()
        self._setbacks += 1
        self._trouble = trouble
        self._changed()

    # Telling

    def _say(self, line: str) -> None:
        self._parts.logs.append_build(self._endpoint_id, self._entity.fingerprint, line)

    def _step(self, step: Step, message: str) -> None:
        if self._workers:
            return  # adopted workers serve while the way is walked again
        if (self.status.step, self.status.message) != (step, message):
            self._say(message)
        if self._asleep:
            self._set(DeploymentState.READY, f"Waking from zero: {message}", step)
            return
        state = DeploymentState.RECOVERING if self._proven else DeploymentState.CREATING
        self._set(state, message, step)

    def _set(self, state: DeploymentState, message: str, step: Step) -> None:
        status = Deployment(state, message, step)
        if status != self.status:
            self.status = status
            self._changed()

    def _polish(self, environment: Environment) -> None:
        if self._polishing is None:
            work = self._parts.environments.polish(environment)
            self._polishing = asyncio.create_task(work, name=f"polish {environment.key[:12]}")

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
