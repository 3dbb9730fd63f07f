"""What a model starts ends with the worker that started it, also when it is in a session of its own."""

from __future__ import annotations

from support import proc
from support.server import Server, poll


def test_what_a_model_started_ends_when_its_endpoint_is_deleted(server: Server) -> None:
    server.deploy("forker")
    child = server.value("forker", "spawn")
    assert proc.lives(child)
    server.delete("forker")
    poll(lambda: not proc.lives(child), limit_s=15)


def test_what_a_model_started_ends_when_its_worker_is_killed(server: Server) -> None:
    server.deploy("forked", min_provisioned_concurrency=1, max_provisioned_concurrency=1, workload_size=None)
    child = server.value("forked", "spawn")
    server.kill(server.value("forked", "tell")["pid"])
    poll(lambda: not proc.lives(child), limit_s=15)
    server.delete("forked")
