"""A launcher of commands for tests of adapters that are given one: plain asyncio, the child ends with the call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path


async def run_command(
    argv: list[str], *, cwd: Path, env: Mapping[str, str], log: Callable[[str], None], name: str
) -> int:
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=cwd,
        env=dict(env),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=1 << 24,
    )
    assert process.stdout is not None
    try:
        async for line in process.stdout:
            log(line.decode(errors="replace").rstrip("\n"))
        return await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
