"""Python environments of models, built with uv and kept by the hash of what is in them.

``data_dir/envs/<key>/`` is a virtual environment. It counts as built when its marker file is there, which is written last
and by rename; a folder without it is what a killed build left, and is removed and built again. Virtual environments cannot be
moved, hence the marker instead of a rename of the folder. One process builds a key at a time (a lock file beside the folder),
and within this process all who want the same key wait for the same build and read the same log.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import uv

from lakeserve.adapters.local.file_lock import file_lock
from lakeserve.adapters.local.interpreters import SERVER_MINOR, base_interpreter, find_interpreter
from lakeserve.adapters.local.launcher import LaunchFailed
from lakeserve.adapters.local.requirements import environment_key, minor_of
from lakeserve.adapters.local.shared_build import SharedBuild
from lakeserve.adapters.local.uv_tool import reason, redact, uv_environment
from lakeserve.ports.environments import Environment, EnvironmentFailed, LogLine
from lakeserve.ports.models import ModelPackage

_KEY_LENGTH = 24
_MARKER = ".lakeserve-ready.json"
_COMPILED = ".lakeserve-compiled"
_BUILD_LIMIT_S = 1800.0


class RunCommand(Protocol):
    """Runs a program to its end and gives its exit status; cancelling the call ends the program.

    Every line of both its outputs goes to ``log``. ``name`` is what a process list shows it as.
    """

    async def __call__(self, argv: list[str], *, cwd: Path, env: Mapping[str, str], log: LogLine, name: str) -> int: ...


class UvEnvironments:
    """Implements :class:`lakeserve.ports.environments.Environments`."""

    def __init__(
        self,
        data_dir: Path,
        run_command: RunCommand,
        *,
        environ: Mapping[str, str],
        server_python: Path | None = None,
        build_limit_s: float = _BUILD_LIMIT_S,
    ) -> None:
        """``environ`` is the operator's environment; what builds get of it is an allow-list (:func:`uv_environment`).

        ``server_python`` is the interpreter for models of the server's own minor version: by default the one that the server's
        environment was made from.
        """
        self._envs = data_dir / "envs"
        self._polishing: set[str] = set()
        self._run = run_command
        self._environ = environ
        self._env = uv_environment(environ)
        self._server_python = server_python
        self._limit_s = build_limit_s
        self._builds: dict[str, SharedBuild] = {}

    async def ensure(self, package: ModelPackage, *, local: bool, log: LogLine) -> Environment:
        if local:
            return self._own()
        requirements = package.requirements_file
        if requirements is None:
            raise EnvironmentFailed(
                "The model's package has no requirements.txt, so no environment can be built for it. Log it again with "
                "pip_requirements, or run it in the server's own environment (environment manager 'local')."
            )
        version = package.python_version if minor_of(package.python_version) else None
        minor = minor_of(version) or SERVER_MINOR
        try:
            whole_key = await asyncio.to_thread(environment_key, requirements, minor, self._env)
        except OSError as error:
            raise EnvironmentFailed(f"The model's requirements cannot be read: {error}.") from error
        environment = self._environment(whole_key[:_KEY_LENGTH])
        if _is_ready(environment):
            log(f"Using the environment {environment.key}, which is built already.")
            return environment
        await self._shared(environment, requirements, version or SERVER_MINOR).join(log)
        return environment

    async def polish(self, environment: Environment) -> None:
        """Compile what the environment imports, once, at low priority: a model's first start then takes a third of the time.

        Files that do not compile (templates, code for another Python) are passed over.
        """
        folder = environment.python.parent.parent
        done = folder / _COMPILED
        if folder.parent != self._envs or done.exists() or environment.key in self._polishing:
            return
        self._polishing.add(environment.key)
        try:
            await self._compile(environment, folder)
            done.touch()
        finally:
            self._polishing.discard(environment.key)

    async def _compile(self, environment: Environment, folder: Path) -> None:
        nice = shutil.which("nice", path=self._env.get("PATH"))
        argv = [nice, "-n", "19"] if nice else []
        argv += [str(environment.python), "-m", "compileall", "-q", "-j", "1"]
        argv += [str(path) for path in folder.glob("lib/python*/site-packages")]
        await self._run(argv, cwd=folder, env=self._env, log=_discard, name=f"compile-{environment.key[:12]}")

    def _own(self) -> Environment:
        spec = importlib.util.find_spec("mlflow")
        if spec is None or spec.origin is None:
            raise EnvironmentFailed(
                "The server's own environment has no mlflow, so models cannot run in it. Install lakeserve[mlflow], or use the "
                "environment manager 'uv'."
            )
        self._envs.mkdir(parents=True, exist_ok=True)
        return Environment(key="local", python=Path(sys.executable), preload_file=self._envs / "local-preload.json")

    def _environment(self, key: str) -> Environment:
        folder = self._envs / key
        return Environment(key=key, python=folder / "bin" / "python", preload_file=folder / "preload.json")

    def _shared(self, environment: Environment, requirements: Path, version: str) -> SharedBuild:
        key = environment.key
        build = self._builds.get(key)
        if build is None:

            async def work(log: LogLine) -> None:
                await self._build(environment, requirements, version, lambda line: log(redact(line)))

            def forget() -> None:
                if self._builds.get(key) is build:
                    del self._builds[key]

            build = self._builds[key] = SharedBuild(work, forget)
        return build

    async def _build(self, environment: Environment, requirements: Path, version: str, log: LogLine) -> None:
        try:
            self._envs.mkdir(parents=True, exist_ok=True)
            lock = self._envs / f"{environment.key}.lock"
            async with (
                asyncio.timeout(self._limit_s),
                file_lock(lock, waiting=lambda: log("Waiting for another process that builds this environment.")),
            ):
                if not _is_ready(environment):
                    await self._build_locked(environment, requirements, version, log)
        except TimeoutError:
            raise EnvironmentFailed(
                f"The environment was not built within {self._limit_s:.0f} seconds. The build log shows how far it came."
            ) from None
        except (OSError, LaunchFailed) as error:
            raise EnvironmentFailed(f"The environment could not be built: {redact(str(error))}.") from error

    async def _build_locked(self, environment: Environment, requirements: Path, version: str, log: LogLine) -> None:
        folder = environment.python.parent.parent
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        interpreter = await self._interpreter(version)
        log(f"Building the environment {environment.key} with Python {minor_of(version)} ({interpreter}).")
        uv_bin, python = uv.find_uv_bin(), str(environment.python)
        try:
            await self._step(
                [uv_bin, "venv", "--no-project", "--python", str(interpreter), str(folder)],
                cwd=self._envs, log=log, failed="Could not create the environment",
            )  # fmt: skip
            await self._step(
                [uv_bin, "pip", "install", "--python", python, "-r", requirements.name],
                cwd=requirements.parent, log=log, failed="Could not install the model's requirements",
            )  # fmt: skip
            _, frozen = await self._capture([uv_bin, "pip", "freeze", "--python", python])
            await asyncio.to_thread(_finish, folder, frozen, str(interpreter))
        except EnvironmentFailed:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            raise
        log(f"The environment {environment.key} is built: {len(frozen)} packages.")

    async def _interpreter(self, version: str) -> Path:
        if minor_of(version) == SERVER_MINOR:
            return self._server_python or base_interpreter()
        found = await find_interpreter(version, uv=uv.find_uv_bin(), capture=self._capture, environ=self._environ)
        if found is None:
            minor = minor_of(version)
            raise EnvironmentFailed(
                f"The model needs Python {minor}, and no such interpreter was found on this machine. Install it, for example with "
                f"'uv python install {minor}', or log the model again under Python {SERVER_MINOR}."
            )
        return found

    async def _step(self, argv: list[str], *, cwd: Path, log: LogLine, failed: str) -> None:
        lines: list[str] = []

        def take(line: str) -> None:
            lines.append(redact(line))
            log(line)

        if await self._run(argv, cwd=cwd, env=self._env, log=take, name=f"uv-{argv[1]}") != 0:
            raise EnvironmentFailed(f"{failed}: {reason(lines)}")

    async def _capture(self, argv: list[str]) -> tuple[int, list[str]]:
        lines: list[str] = []
        status = await self._run(argv, cwd=self._envs, env=self._env, log=lines.append, name=Path(argv[0]).name)
        return status, lines


def _is_ready(environment: Environment) -> bool:
    """Built to the end, and the interpreter that it was made from is still there (its ``python`` is a link to that)."""
    return (environment.python.parent.parent / _MARKER).is_file() and environment.python.is_file()


def _finish(folder: Path, frozen: list[str], interpreter: str) -> None:
    pinned = [redact(line) for line in frozen if line and not line.startswith(("warning:", "Using "))]
    (folder / "lock.txt").write_text("".join(f"{line}\n" for line in pinned))
    partial = folder / f"{_MARKER}.partial"
    with partial.open("w") as file:
        json.dump({"python": interpreter, "packages": len(pinned)}, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / _MARKER)


def _discard(_: str) -> None:
    pass
