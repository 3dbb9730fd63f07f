"""The fixed members of the tree: what they are started with, and when they are started again."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from lakeserve import settings as settings_module
from lakeserve.settings import Settings
from lakeserve.supervisor.spawn import Program

KIND = "service"
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 10.0
_STABLE_AFTER_S = 20.0


@dataclass(slots=True)
class Service:
    """One member. ``start_at`` is when it is to be started, on the monotonic clock; None while it runs."""

    name: str
    program: Program
    start_at: float | None = 0.0
    started_at: float = 0.0
    failures: int = field(default=0)

    def started(self) -> None:
        self.start_at = None
        self.started_at = time.monotonic()

    def ended(self) -> float:
        """Plan the next start and return the pause before it: none after a long life, doubled with each short one."""
        now = time.monotonic()
        self.failures = 0 if now - self.started_at > _STABLE_AFTER_S else self.failures + 1
        pause = 0.0
        if self.failures:
            pause = min(_FIRST_PAUSE_S * 2 ** (self.failures - 1), _LONGEST_PAUSE_S)
            pause *= random.uniform(0.8, 1.2)  # noqa: S311 - spreads restarts, protects nothing
        self.start_at = now + pause
        return pause


def services(settings: Settings, *, listening: int, life: int) -> list[Service]:
    """Gateways first: they answer while the others still start.

    ``listening`` is the descriptor of the public socket, which gateways inherit and share; ``life`` the life pipe's read end.
    """
    environment = service_environment(settings, life)

    def service(name: str, *argv: str, inherit: tuple[int, ...] = (), more: Mapping[str, str] | None = None) -> Service:
        program = Program(
            argv=[sys.executable, "-m", *argv],
            environment={**environment, **(more or {})},
            log=str(settings.data_dir / "logs" / f"{name}.log"),
            inherit=[life, *inherit],
        )
        return Service(name, program)

    credentials = settings_module.registry_credentials() if settings.registry else None
    gateways = [
        service(f"gateway-{n}", "lakeserve.bootstrap.gateway", str(listening), inherit=(listening,))
        for n in range(settings.gateways)
    ]
    return [
        *gateways,
        service("controller", "lakeserve.bootstrap.controller"),
        service("registry", *_registry(settings), more=credentials),
    ]


def service_environment(settings: Settings, life: int) -> dict[str, str]:
    return {
        **settings.environment,
        settings_module.VARIABLE: settings.to_json(),
        settings_module.LIFE_FD: str(life),
        settings_module.INSTANCE: settings.instance,
        "PYTHONUNBUFFERED": "1",
        # Nothing that lies in the folder lakeserve happens to be started from may be imported.
        "PYTHONSAFEPATH": "1",
    }


def _registry(settings: Settings) -> list[str]:
    argv = ["lakeserve.adapters.mlflow", "--uds", str(settings.socket("registry"))]
    argv += ["--data-dir", str(settings.data_dir), "--supervisor-pid", str(os.getpid())]
    return [*argv, "--registry", settings.registry] if settings.registry else argv
