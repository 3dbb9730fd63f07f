"""Python environments that models run in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lakeserve.ports.models import ModelPackage

LogLine = Callable[[str], None]
"""Takes one line of text, without the newline."""


class EnvironmentFailed(Exception):
    """The environment cannot be built. The text is one sentence for ``deployment_state_message``; the log has the rest."""


@dataclass(frozen=True, slots=True)
class Environment:
    """An interpreter with everything a model needs. ``key`` names it: equal keys are the same environment.

    ``preload_file`` is where the zygote of this environment remembers the modules that models imported, so that the next
    zygote can import them before it forks.
    """

    key: str
    python: Path
    preload_file: Path


class Environments(Protocol):
    async def ensure(self, package: ModelPackage, *, local: bool, log: LogLine) -> Environment:
        """The environment for a model: found, or built once while others that want the same one wait.

        With ``local`` it is the server's own environment and nothing is built. Every line of the build goes to ``log`` as it
        comes; callers that share a build all see it.

        :raises EnvironmentFailed: no such Python, or requirements that cannot be installed.
        """

    async def polish(self, environment: Environment) -> None:
        """What makes later starts quicker and may take minutes, at low priority; nothing if it has been done. May be cancelled."""
