"""The controller's way to start programs, over a real supervisor's socket."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from lakeserve.adapters.local.commands import Commands
from lakeserve.adapters.local.launcher import Launch, Launcher, LaunchFailed
from support.clock import until
from support.supervised import SLEEP, SmallSupervisor, alive, small_supervisor

LIMIT_S = 20.0
VARIABLES = {"PATH": os.defpath}


@pytest.fixture(scope="module")
def supervisor() -> Iterator[SmallSupervisor]:
    with small_supervisor() as started:
        yield started


@pytest.fixture
async def launcher(supervisor: SmallSupervisor) -> AsyncIterator[Launcher]:
    connected = await Launcher.connect(supervisor.path)
    yield connected
    await connected.close()


def launch(supervisor: SmallSupervisor, name: str, argv: list[str]) -> Launch:
    return Launch(name, "command", argv, VARIABLES, supervisor.folder / f"{name}.log", note={"n": 1})


def python(program: str) -> list[str]:
    return [sys.executable, "-S", "-c", program]


async def test_starts_and_waits(launcher: Launcher, supervisor: SmallSupervisor) -> None:
    pid = await launcher.start(launch(supervisor, "a", python("raise SystemExit(4)")))
    assert pid > 0
    assert await launcher.exit_of("a") == 4
    assert await launcher.exit_of("a") == 4, "as often as somebody asks"
    launcher.forget("a")
    assert await launcher.exit_of("a") == 0, "what nobody knows is not waited for"


async def test_many_at_once(launcher: Launcher, supervisor: SmallSupervisor) -> None:
    names = [f"m{n}" for n in range(20)]
    programs = [launch(supervisor, name, ["sh", "-c", f"exit {n}"]) for n, name in enumerate(names)]
    await asyncio.gather(*map(launcher.start, programs))
    assert await asyncio.gather(*map(launcher.exit_of, names)) == list(range(20))


async def test_a_refusal_is_told(launcher: Launcher, supervisor: SmallSupervisor) -> None:
    await launcher.start(launch(supervisor, "twice", SLEEP))
    with pytest.raises(LaunchFailed, match="lives already"):
        await launcher.start(launch(supervisor, "twice", SLEEP))
    await launcher.stop("twice", 0)


async def test_the_refused_start_of_an_id_does_not_hide_the_end_of_its_process(
    launcher: Launcher, supervisor: SmallSupervisor
) -> None:
    await launcher.start(launch(supervisor, "same", SLEEP))
    with pytest.raises(LaunchFailed):
        await launcher.start(launch(supervisor, "same", SLEEP))
    waiting = asyncio.create_task(launcher.exit_of("same"))
    await launcher.stop("same", 0)
    assert await asyncio.wait_for(waiting, LIMIT_S) < 0


async def test_stopping(launcher: Launcher, supervisor: SmallSupervisor) -> None:
    await launcher.start(launch(supervisor, "s", SLEEP))
    await launcher.stop("s", 60.0)
    assert await launcher.exit_of("s") == -signal.SIGTERM
    await launcher.stop("s", 60.0)


async def test_another_connection_learns_what_lives_and_how_it_ends(
    launcher: Launcher, supervisor: SmallSupervisor
) -> None:
    pid = await launcher.start(launch(supervisor, "left", SLEEP))
    after = await Launcher.connect(supervisor.path)
    found = {living.id: living for living in await after.list()}
    assert (found["left"].pid, found["left"].kind, found["left"].note) == (pid, "command", {"n": 1})
    os.kill(pid, signal.SIGKILL)
    assert await after.exit_of("left") == -signal.SIGKILL
    await after.close()


async def test_a_supervisor_that_is_gone_is_told_to_everybody_who_asks() -> None:
    with small_supervisor() as it:
        launcher = await Launcher.connect(it.path)
        await launcher.list()
        os.kill(it.pid, signal.SIGSTOP)
        asking = asyncio.create_task(launcher.list())
        await asyncio.sleep(0)
        it.kill()
        with pytest.raises(LaunchFailed, match="gone"):
            await asyncio.wait_for(asking, LIMIT_S)
        with pytest.raises(LaunchFailed, match="gone"):
            await asyncio.wait_for(launcher.list(), LIMIT_S)
        await launcher.close()


# Commands


@pytest.fixture
def commands(launcher: Launcher, supervisor: SmallSupervisor) -> Commands:
    return Commands(launcher, supervisor.folder)


async def test_follows_the_output_line_by_line(commands: Commands, tmp_path: Path) -> None:
    program = "import os, sys; print('one'); print(os.getcwd(), file=sys.stderr); print(os.environ['X']); sys.stdout.write('rest')"
    lines: list[str] = []
    variables = {**VARIABLES, "X": "zwei ü", "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
    status = await commands(python(program), cwd=tmp_path, env=variables, log=lines.append, name="uv")
    assert status == 0
    assert lines == ["one", str(tmp_path), "zwei ü", "rest"]


async def test_lines_come_while_it_runs(commands: Commands, tmp_path: Path) -> None:
    lines: list[str] = []
    argv = ["sh", "-c", "echo first; while [ ! -e go ]; do sleep 0.02; done; echo last"]
    running = asyncio.create_task(commands(argv, cwd=tmp_path, env=VARIABLES, log=lines.append, name="uv"))
    await until(lambda: lines == ["first"], LIMIT_S)
    (tmp_path / "go").touch()
    assert await running == 0
    assert lines == ["first", "last"]


async def test_the_exit_status_is_the_answer(commands: Commands, tmp_path: Path) -> None:
    for argv, status in ((["sh", "-c", "exit 3"], 3), (["sh", "-c", "kill -9 $$"], -9), (["/dev/null/x"], 127)):
        assert await commands(argv, cwd=tmp_path, env=VARIABLES, log=lambda _: None, name="uv") == status


async def test_cancelling_ends_the_program_and_leaves_no_file(
    commands: Commands, tmp_path: Path, supervisor: SmallSupervisor
) -> None:
    lines: list[str] = []
    argv = ["sh", "-c", "echo $$; exec sleep 600"]
    running = asyncio.create_task(commands(argv, cwd=tmp_path, env=VARIABLES, log=lines.append, name="uv"))
    await until(lambda: lines, LIMIT_S)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()
    await until(lambda: not alive(int(lines[0])), LIMIT_S)
    assert list(supervisor.folder.glob("uv-*.out")) == []
