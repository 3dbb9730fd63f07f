"""A registry in a dictionary, and environments that need no building."""

from __future__ import annotations

import asyncio
from collections import deque
from pathlib import Path

from lakeserve.ports.environments import Environment, LogLine
from lakeserve.ports.models import ModelNotFound, ModelPackage, ModelVersion, RegistryUnavailable


class MemoryModels:
    """Knows what was added. ``away`` makes the registry unavailable; what was fetched once is fetched again without it.

    Errors put into ``failures`` are raised by the next fetches, one each. A fetch takes ``fetch_s`` seconds.
    """

    def __init__(self) -> None:
        self._versions: dict[tuple[str, str], ModelVersion] = {}
        self._aliases: dict[tuple[str, str], str] = {}
        self._cached: set[ModelVersion] = set()
        self.away = False
        self.fetch_s = 0.0
        self.failures: deque[Exception] = deque()
        self.fetches = 0

    def add(self, name: str, version: str, *, uid: str = "", alias: str | None = None) -> ModelVersion:
        model = ModelVersion(name, version, uid)
        self._versions[name, version] = model
        if alias is not None:
            self._aliases[name, alias] = version
        return model

    def remove(self, name: str, version: str) -> None:
        del self._versions[name, version]

    async def resolve(self, name: str, version: str) -> ModelVersion:
        if self.away:
            raise RegistryUnavailable("away")
        number = self._aliases.get((name, version.removeprefix("@")), "") if version.startswith("@") else version
        if (name, number) not in self._versions:
            raise ModelNotFound(f"Model '{name}' has no version {version}.")
        return self._versions[name, number]

    async def fetch(self, model: ModelVersion) -> ModelPackage:
        self.fetches += 1
        await asyncio.sleep(self.fetch_s)
        if self.failures:
            raise self.failures.popleft()
        if model not in self._cached:
            if self.away:
                raise RegistryUnavailable("away")
            known = self._versions.get((model.name, model.version))
            if known is None or (model.uid and known.uid != model.uid):
                raise ModelNotFound(f"Model '{model.name}' has no version {model.version}.")
            self._cached.add(model)
        return ModelPackage(Path("/models") / model.name / model.version, None, None, {})


class MemoryEnvironments:
    """One environment for all. Errors put into ``failures`` are raised by the next calls, one each; each takes ``build_s``."""

    def __init__(self) -> None:
        self.failures: deque[Exception] = deque()
        self.build_s = 0.0
        self.asked_local: list[bool] = []
        self.polished: list[str] = []

    async def ensure(self, package: ModelPackage, *, local: bool, log: LogLine) -> Environment:
        self.asked_local.append(local)
        await asyncio.sleep(self.build_s)
        if self.failures:
            raise self.failures.popleft()
        log("built")
        return Environment("local" if local else "built", Path("/python"), Path("/preload.json"))

    async def polish(self, environment: Environment) -> None:
        self.polished.append(environment.key)
