"""A gateway process: the public socket, the data plane, and the ways to the other processes."""

from __future__ import annotations

import asyncio
import socket
import sys

from lakeserve.adapters.local import worker_upstream
from lakeserve.adapters.local.clock import SystemClock
from lakeserve.adapters.local.routing_feed import FeedClient
from lakeserve.bootstrap import process
from lakeserve.bootstrap.draining import DrainingServer
from lakeserve.gateway.plane import DataPlane, PlaneLimits
from lakeserve.http.gateway import GatewayApp
from lakeserve.http.passing import Passage
from lakeserve.http.protocol import bounded
from lakeserve.http.registry_headers import for_registry
from lakeserve.settings import Settings

_GRACEFUL_S = 3
_TARGET_BYTES = 64 * 1024
_CONTROL_WAIT_S = 10.0
# No control call waits for a model's process or a build; the longest wait is for the registry, which the controller gives a minute.
_CONTROL_ANSWER_S = 75.0
# MLflow takes seconds to import, and the first thing a user does after starting the server is to train.
_REGISTRY_WAIT_S = 60.0


async def gateway(settings: Settings, listener: socket.socket) -> None:
    limits = settings.limits
    plane = DataPlane(
        worker_upstream.connect_shared if settings.gateways > 1 else worker_upstream.connect,
        PlaneLimits(
            execution_s=limits.execution_s,
            queue_s=limits.queue_s,
            wake_s=limits.wake_s,
            queue_per_unit=limits.queue_per_unit,
        ),
        SystemClock(),
    )
    feed = FeedClient(settings.socket("routing"), plane.use, plane.meter)
    control = Passage("control plane", settings.socket("control"), wait_s=_CONTROL_WAIT_S, answer_s=_CONTROL_ANSWER_S)
    registry = Passage("model registry", settings.socket("registry"), wait_s=_REGISTRY_WAIT_S, headers=for_registry)
    app = GatewayApp(
        plane,
        control=control,
        registry=registry,
        limits=limits,
        workspace_id=settings.workspace_id,
        synced=feed.synced,
    )
    following = asyncio.create_task(feed.follow(), name="routing feed")
    # The guard counts the headers of a whole head to the byte; the request line, which it does not count, comes on top.
    protocol = bounded(head_bytes=limits.header_bytes + _TARGET_BYTES, head_s=limits.head_s)
    server = DrainingServer(process.config(app, graceful_s=_GRACEFUL_S, http=protocol), app.drain)
    await server.serve(sockets=[listener])
    following.cancel()
    await asyncio.gather(following, control.close(), registry.close(), return_exceptions=True)


if __name__ == "__main__":
    inherited = socket.socket(fileno=int(sys.argv[1]))
    process.run(lambda settings: gateway(settings, inherited))
