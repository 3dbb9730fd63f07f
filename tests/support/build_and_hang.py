"""``python -m support.build_and_hang DATA_DIR MODEL_DIR``: builds an environment and hangs in the installation, lock held."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from lakeserve.adapters.local.environments import UvEnvironments
from lakeserve.ports.models import ModelPackage
from support.run_command import run_command


async def hang_in_install(
    argv: list[str], *, cwd: Path, env: Mapping[str, str], log: Callable[[str], None], name: str
) -> int:
    if "install" in argv:
        print("INSTALLING", flush=True)
        await asyncio.Event().wait()
    return await run_command(argv, cwd=cwd, env=env, log=log, name=name)


async def main(data_dir: Path, model: Path) -> None:
    package = ModelPackage(path=model, python_version=None, requirements_file=model / "requirements.txt", mlmodel={})
    await UvEnvironments(data_dir, hang_in_install, environ=os.environ).ensure(package, local=False, log=print)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
