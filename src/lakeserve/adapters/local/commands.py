"""Programs that run to their end, such as uv: started by the supervisor, their output followed line by line."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from lakeserve.adapters.local.launcher import Launch, Launcher

KIND: Final = "command"
_POLL_S = 0.05
_GRACE_S = 2.0


class Commands:
    """Callable as ``await commands(argv, cwd=…, env=…, log=…, name=…)``: the exit status. Cancelling ends the program."""

    def __init__(self, launcher: Launcher, run_dir: Path) -> None:
        self._launcher = launcher
        self._run_dir = run_dir
        self._numbers = itertools.count(1)

    async def __call__(
        self, argv: list[str], *, cwd: Path, env: Mapping[str, str], log: Callable[[str], None], name: str
    ) -> int:
        """
        :raises LaunchFailed: it could not be started.
        """
        process_id = f"{name}-{next(self._numbers)}"
        output = self._run_dir / f"{process_id}.out"
        output.unlink(missing_ok=True)
        await self._launcher.start(Launch(process_id, KIND, argv, env, output, cwd=cwd))
        try:
            return await self._follow(process_id, output, log)
        except asyncio.CancelledError:
            await self._launcher.stop(process_id, _GRACE_S)
            raise
        finally:
            self._launcher.forget(process_id)
            output.unlink(missing_ok=True)

    async def _follow(self, process_id: str, output: Path, log: Callable[[str], None]) -> int:
        ended = asyncio.ensure_future(self._launcher.exit_of(process_id))
        with output.open("rb") as file:
            rest = b""
            while True:
                last = ended.done()
                *lines, rest = (rest + file.read()).split(b"\n")
                for line in lines:
                    log(line.decode(errors="replace").rstrip("\r"))
                if last:
                    if rest:
                        log(rest.decode(errors="replace"))
                    return ended.result()
                await asyncio.wait([ended], timeout=_POLL_S)
