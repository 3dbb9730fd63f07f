"""What every process of the tree does first and last: settings, logging, and ending when the supervisor is gone."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Literal

import uvicorn
import uvloop

from lakeserve import settings as settings_module
from lakeserve.http.asgi import App
from lakeserve.settings import Settings

_KEEP_ALIVE_S = 75


def run(main: Callable[[Settings], Awaitable[None]]) -> None:
    """Run ``main`` with the settings that the supervisor handed over."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    settings = settings_module.from_parent()

    async def watched() -> None:
        descriptor = settings_module.life_fd()
        if descriptor is not None:
            # Readable means closed: nobody ever writes to it. Nothing is worth finishing without a supervisor.
            asyncio.get_running_loop().add_reader(descriptor, os._exit, 1)
        # What has been imported lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        await main(settings)

    uvloop.run(watched())


def config(
    app: App,
    *,
    graceful_s: int,
    uds: str | None = None,
    http: type[asyncio.Protocol] | Literal["httptools"] = "httptools",
) -> uvicorn.Config:
    """For a server with the strict parser and a bounded end."""
    return uvicorn.Config(
        app,
        uds=uds,
        http=http,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        # Nothing of ours asks uvicorn who the client is, so nobody need be believed about it.
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=graceful_s,
        backlog=2048,
    )
