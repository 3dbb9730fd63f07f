"""What models see of the environment that the server was started in: an allow-list, and nothing that holds a password."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from support.serving import Factory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds the tree's processes in /proc")

SECRETS = {
    "UV_DEFAULT_INDEX": "https://user:hush@127.0.0.1:9/simple",
    "PIP_INDEX_URL": "https://user:hush@127.0.0.1:9/simple",
    "AWS_SECRET_ACCESS_KEY": "hush",
    "MLFLOW_TRACKING_PASSWORD": "hush",
    "MY_TOKEN": "hush",
}


@pytest.mark.parametrize("start", ["fork", "exec"])
def test_no_model_process_gets_a_secret_of_the_servers_environment(new_server: Factory, start: str) -> None:
    server = new_server(LAKESERVE_WORKER_START=start, TZ="Europe/Berlin", **SECRETS).start(registry=True)
    server.deploy("wine", "wine")
    pids = server.pids_of("lakeserve_worker")
    assert len(pids) > 1 if start == "fork" else pids
    for pid in pids:
        environ = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"hush" not in environ
        assert b"TZ=Europe/Berlin" in environ
    server.stop()
