"""lakeserve itself: ``lakeserve up``, and one endpoint with one unit of concurrency."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import processes
from bench.models import RegisteredModel
from bench.peers import Serving, Target
from bench.pinning import on
from bench.processes import CannotMeasure
from bench.room import Room

_TOKEN = "dapi-bench"
_HEADERS = {"Authorization": f"Bearer {_TOKEN}"}
_LISTENING = re.compile(r"listening on http://([\d.]+):(\d+)")
_ENDPOINTS = "/api/2.0/serving-endpoints"


class Lakeserve:
    """The model runs in the environment that the benchmark runs in, as it does at the other peers."""

    name = "lakeserve"

    def __init__(self, model: RegisteredModel) -> None:
        self._model = model

    def absent(self) -> str | None:
        return None

    @contextlib.contextmanager
    def serve(self, room: Room) -> Iterator[Serving]:
        data_dir = room.folder / f"lakeserve-{self._model.short_name}"
        data_dir.mkdir(mode=0o700)
        log = data_dir / "output.log"
        program = str(Path(sys.executable).parent / "lakeserve")
        argv = [program, "up", "--port", "0", "--data-dir", str(data_dir), "--registry", self._model.registry]
        env = processes.environment(LAKESERVE_ADMIN_TOKEN=_TOKEN, LAKESERVE_ENV_MANAGER="local")
        with on(room.pinning.servers), processes.started(argv, env, log) as process:
            host, port = _address(process, log)
            path = f"/serving-endpoints/{self._model.short_name}/invocations"
            self._deploy(f"http://{host}:{port}")
            yield Serving(process.pid, Target(host, port, path, _HEADERS), _part)

    def _deploy(self, url: str) -> None:
        entity = {
            "entity_name": self._model.name,
            "entity_version": self._model.version,
            "min_provisioned_concurrency": 1,
            "max_provisioned_concurrency": 1,
            "scale_to_zero_enabled": False,
        }
        name = self._model.short_name
        _call("POST", url + _ENDPOINTS, {"name": name, "config": {"served_entities": [entity]}})
        deadline = time.monotonic() + processes.START_S
        while (state := _call("GET", f"{url}{_ENDPOINTS}/{name}")["state"])["ready"] != "READY":
            if state["config_update"] == "UPDATE_FAILED" or time.monotonic() > deadline:
                raise CannotMeasure(f"lakeserve could not deploy the model: {state}")
            time.sleep(0.1)


def _part(command: str) -> str:
    """A forked worker has its zygote's command line; the zygote sleeps while it works."""
    if "lakeserve.bootstrap.gateway" in command:
        return "gateway"
    return "worker" if "lakeserve_worker" in command else "rest"


def _address(process: subprocess.Popen[bytes], log: Path) -> tuple[str, int]:
    def listening() -> re.Match[str] | None:
        return _LISTENING.search(log.read_text(errors="replace"))

    processes.wait_until(lambda: listening() is not None, process, log, "lakeserve")
    match = listening()
    assert match is not None
    host, port = match[1], int(match[2])
    processes.wait_until(lambda: _complete(f"http://{host}:{port}"), process, log, "lakeserve")
    return host, port


def _complete(url: str) -> bool:
    """Whether every part is up. A deployment asks the registry, which is up last."""
    try:
        with urllib.request.urlopen(url + "/ready", timeout=5) as response:
            return all(json.load(response)["parts"].values())
    except OSError:
        return False


def _call(method: str, url: str, body: Any = None) -> Any:
    """
    :raises CannotMeasure: the control API refused.
    """
    data = None if body is None else json.dumps(body).encode()
    call = urllib.request.Request(url, data, {**_HEADERS, "Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(call, timeout=60) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise CannotMeasure(f"{method} {url} answered {error.code}: {error.read().decode()}") from None
