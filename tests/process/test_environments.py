"""Environments built by the real uv, with small requirements: built once, shared, repaired, and failing with clear words."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from lakeserve.adapters.local.environments import UvEnvironments
from lakeserve.adapters.local.interpreters import SERVER_MINOR, base_interpreter, pyenv_interpreters
from lakeserve.ports.environments import EnvironmentFailed
from lakeserve.ports.models import ModelPackage
from support.run_command import run_command

TESTS = Path(__file__).parent.parent
DEADLINE_S = 60


class Runs:
    """Counts the commands that are run."""

    def __init__(self) -> None:
        self.argvs: list[list[str]] = []

    async def __call__(
        self, argv: list[str], *, cwd: Path, env: Mapping[str, str], log: Callable[[str], None], name: str
    ) -> int:
        self.argvs.append(argv)
        return await run_command(argv, cwd=cwd, env=env, log=log, name=name)


def model(folder: Path, requirements: str | None, python_version: str | None = None) -> ModelPackage:
    folder.mkdir(exist_ok=True)
    file = folder / "requirements.txt"
    if requirements is not None:
        file.write_text(requirements)
    return ModelPackage(
        path=folder,
        python_version=python_version,
        requirements_file=file if requirements is not None else None,
        mlmodel={},
    )


def environments(tmp_path: Path, run: object = run_command, **options: object) -> UvEnvironments:
    return UvEnvironments(tmp_path / "data", run, environ=os.environ, **options)  # type: ignore[arg-type]


def ask(python: Path, code: str) -> str:
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


async def test_build_then_reuse(tmp_path: Path) -> None:
    run, log = Runs(), []  # type: Runs, list[str]
    package = model(tmp_path / "m", "six==1.16.0\n", python_version=f"{SERVER_MINOR}.99")
    built = await environments(tmp_path, run).ensure(package, local=False, log=log.append)
    assert ask(built.python, "import six; print(six.__version__)") == "1.16.0"
    assert ask(built.python, "import sys; print(sys.base_prefix)") == str(base_interpreter().parent.parent)
    assert (built.python.parent.parent / "lock.txt").read_text() == "six==1.16.0\n"
    assert any("six==1.16.0" in line for line in log)
    assert built.preload_file.parent == built.python.parent.parent

    count = len(run.argvs)
    again = await environments(tmp_path, run).ensure(model(tmp_path / "n", "six==1.16.0"), local=False, log=log.append)
    assert again == built
    assert len(run.argvs) == count


async def test_relative_references_work(tmp_path: Path) -> None:
    package = model(tmp_path / "m", "-r code/more.txt\n-c constraints.txt\n./code/mine\n")
    mine = tmp_path / "m" / "code" / "mine"
    mine.mkdir(parents=True)
    (mine.parent / "more.txt").write_text("six\n")
    (tmp_path / "m" / "constraints.txt").write_text("six==1.16.0\n")
    (mine / "pyproject.toml").write_text('[project]\nname = "mine"\nversion = "7"\n')
    (mine / "mine.py").write_text("")
    built = await environments(tmp_path).ensure(package, local=False, log=lambda _: None)
    code = "import mine; from importlib.metadata import version as v; print(v('six'), v('mine'))"
    assert ask(built.python, code) == "1.16.0 7"


@pytest.mark.parametrize(
    ("requirements", "words"),
    [
        ("no-such-package-of-lakeserve==1\n", "no-such-package-of-lakeserve was not found"),
        ("six==1.16.0\nsix==1.15.0\n", "Because you require six==1.16.0 and six==1.15.0"),
        ("six=1.16\n", 'no such comparison operator "="'),
    ],
)
async def test_failures_say_why(tmp_path: Path, requirements: str, words: str) -> None:
    log: list[str] = []
    with pytest.raises(EnvironmentFailed) as caught:
        await environments(tmp_path).ensure(model(tmp_path / "m", requirements), local=False, log=log.append)
    assert str(caught.value).startswith("Could not install the model's requirements: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert any(words in line for line in log)
    assert list((tmp_path / "data" / "envs").glob("*/")) == []


async def test_credentials_stay_out_of_log_and_error(tmp_path: Path) -> None:
    log: list[str] = []
    environ = {**os.environ, "UV_DEFAULT_INDEX": "http://user:hush@127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0"}
    adapter = UvEnvironments(tmp_path / "data", run_command, environ=environ)
    package = model(tmp_path / "m", "lakeserve-x @ http://user:hush@127.0.0.1:9/lakeserve_x-1-py3-none-any.whl\n")
    with pytest.raises(EnvironmentFailed) as caught:
        await adapter.ensure(package, local=False, log=log.append)
    assert "hush" not in str(caught.value) + "\n".join(log)


async def test_no_requirements(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match=r"has no requirements\.txt"):
        await environments(tmp_path).ensure(model(tmp_path / "m", None), local=False, log=lambda _: None)


async def test_another_python(tmp_path: Path) -> None:
    """Through a shim that does not run, where pyenv's are on the path."""
    found = [python for minor in ("3.10", "3.12", "3.13") for python in pyenv_interpreters(minor, os.environ)]
    if not found:
        pytest.skip("no other Python than the server's is installed here")
    version = found[0].parent.parent.name
    package = model(tmp_path / "m", "six==1.16.0\n", python_version=version)
    built = await environments(tmp_path).ensure(package, local=False, log=lambda _: None)
    assert ask(built.python, "import sys, six; print('%d.%d.%d' % sys.version_info[:3])") == version


async def test_a_python_that_is_nowhere(tmp_path: Path) -> None:
    package = model(tmp_path / "m", "six==1.16.0\n", python_version="3.99.1")
    with pytest.raises(EnvironmentFailed, match=r"The model needs Python 3\.99, and no such interpreter was found"):
        await environments(tmp_path).ensure(package, local=False, log=lambda _: None)


async def test_two_at_once_build_once(tmp_path: Path) -> None:
    run = Runs()
    adapter = environments(tmp_path, run)
    logs: list[list[str]] = [[], []]
    packages = [model(tmp_path / name, "six==1.16.0\n") for name in "ab"]
    both = await asyncio.gather(
        *(adapter.ensure(package, local=False, log=log.append) for package, log in zip(packages, logs, strict=True))
    )
    assert both[0] == both[1]
    assert logs[0] == logs[1]
    assert sum("install" in argv for argv in run.argvs) == 1


async def test_killed_in_mid_build(tmp_path: Path) -> None:
    """Another process builds, this one waits for it; that one is killed, and this one builds anew."""
    package = model(tmp_path / "m", "six==1.16.0\n")
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "support.build_and_hang", str(tmp_path / "data"), str(package.path),
        cwd=TESTS, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    log: list[str] = []
    waiting = asyncio.Event()

    def follow(line: str) -> None:
        log.append(line)
        waiting.set()

    try:
        assert child.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            while b"INSTALLING" not in await child.stdout.readline():
                pass
            build = asyncio.create_task(environments(tmp_path).ensure(package, local=False, log=follow))
            await waiting.wait()
            assert log == ["Waiting for another process that builds this environment."]
            child.send_signal(signal.SIGKILL)
            built = await build
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()
    assert ask(built.python, "import six; print(six.__version__)") == "1.16.0"


async def test_a_lost_interpreter_is_repaired(tmp_path: Path) -> None:
    package = model(tmp_path / "m", "six==1.16.0\n")
    built = await environments(tmp_path).ensure(package, local=False, log=lambda _: None)
    built.python.unlink()
    again = await environments(tmp_path).ensure(package, local=False, log=lambda _: None)
    assert ask(again.python, "import six; print(six.__version__)") == "1.16.0"


async def test_a_build_has_a_deadline(tmp_path: Path) -> None:
    async def hang(*_: object, **__: object) -> int:
        await asyncio.Event().wait()
        return 0

    with pytest.raises(EnvironmentFailed, match="was not built within"):
        await environments(tmp_path, hang, build_limit_s=0.05).ensure(
            model(tmp_path / "m", "six==1.16.0\n"), local=False, log=lambda _: None
        )


async def test_polish_compiles_once(tmp_path: Path) -> None:
    run = Runs()
    adapter = environments(tmp_path, run)
    built = await adapter.ensure(model(tmp_path / "m", "six==1.16.0\n"), local=False, log=lambda _: None)
    count = len(run.argvs)
    await adapter.polish(built)
    assert list(built.python.parent.parent.glob("lib/python*/site-packages/__pycache__/six.*.pyc"))
    await adapter.polish(built)
    assert len(run.argvs) == count + 1


async def test_local_is_the_servers_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = environments(tmp_path)
    own = await adapter.ensure(model(tmp_path / "m", None), local=True, log=lambda _: None)
    assert (own.key, own.python) == ("local", Path(sys.executable))
    await adapter.polish(own)  # not ours to touch
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(EnvironmentFailed, match=r"Install lakeserve\[mlflow\]"):
        await adapter.ensure(model(tmp_path / "m", None), local=True, log=lambda _: None)
