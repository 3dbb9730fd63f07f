"""Updates of a config, those that fail above all: what served goes on serving, and the cause is told."""

from __future__ import annotations

from typing import Any

import pytest

from support.server import Server
from support.serving import Factory


@pytest.fixture(scope="module")
def serving(server: Server) -> str:
    server.deploy("updated")
    return "updated"


def failed(server: Server, name: str) -> dict[str, Any]:
    """The served entity of the update that failed."""
    endpoint = server.settled(name)
    assert endpoint["state"]["config_update"] == "UPDATE_FAILED"
    (entity,) = endpoint["pending_config"]["served_entities"]
    assert entity["state"]["deployment"] == "DEPLOYMENT_FAILED"
    return dict(entity)


def test_an_update_replaces_the_version_without_a_gap(server: Server) -> None:
    server.deploy("swap")
    updating = server.update("swap", version="2").json
    assert updating["state"] == {"ready": "READY", "config_update": "IN_PROGRESS"}
    assert updating["config"]["config_version"] == 1
    assert updating["pending_config"]["config_version"] == 2
    assert server.update("swap").error == (409, "RESOURCE_CONFLICT")
    seen = []
    while server.get("swap")["state"]["config_update"] == "IN_PROGRESS":
        seen.append(server.value("swap", "version"))
    server.ready("swap")
    assert server.value("swap", "version") == 2
    assert seen == sorted(seen)
    assert server.get("swap")["config"]["config_version"] == 2
    server.delete("swap")


def test_the_same_config_again_keeps_the_processes(server: Server, serving: str) -> None:
    def pids() -> set[int]:
        return {server.value(serving, "pid") for _ in range(12)}

    before = pids()
    assert server.update(serving).status == 200
    server.ready(serving)
    assert pids() <= before | pids()
    assert server.value(serving, "version") == 1


def test_a_model_that_cannot_be_loaded(server: Server, serving: str) -> None:
    assert server.update(serving, "broken").status == 200
    entity = failed(server, serving)
    assert "the weights are missing" in entity["state"]["deployment_state_message"]
    assert "Traceback" not in entity["state"]["deployment_state_message"]
    logs = server.logs(serving, "broken-1")
    assert "broken: about to fail" in logs
    assert "Traceback" in logs
    assert "RuntimeError: the weights are missing" in logs
    assert "the weights are missing" in server.logs(serving, "broken-1", "build-logs")
    assert server.get(serving)["state"]["ready"] == "READY"
    assert server.value(serving, "version") == 1


def test_requirements_that_do_not_exist(server: Server, serving: str) -> None:
    assert server.update(serving, "unbuildable", local=False).status == 200
    entity = failed(server, serving)
    assert "no-such-package-lakeserve-xyz" in entity["state"]["deployment_state_message"]
    assert "no-such-package-lakeserve-xyz" in server.logs(serving, "unbuildable-1", "build-logs")
    assert server.value(serving, "version") == 1


def test_a_python_that_is_not_there(server: Server, serving: str) -> None:
    assert server.update(serving, "oldpython", local=False).status == 200
    message = failed(server, serving)["state"]["deployment_state_message"]
    assert "needs Python 3.5" in message
    assert "uv python install 3.5" in message
    assert server.value(serving, "version") == 1


def test_a_failed_update_can_be_followed_by_a_good_one(server: Server, serving: str) -> None:
    assert server.update(serving, "broken").status == 200
    failed(server, serving)
    assert server.update(serving, version="2").status == 200
    endpoint = server.ready(serving)
    assert "pending_config" not in endpoint
    assert server.value(serving, "version") == 2


def test_a_creation_that_fails(server: Server) -> None:
    assert server.create("stillborn", "broken").status == 200
    endpoint = server.settled("stillborn")
    assert endpoint["state"] == {"ready": "NOT_READY", "config_update": "UPDATE_FAILED"}
    assert "the weights are missing" in failed(server, "stillborn")["state"]["deployment_state_message"]
    assert server.act("stillborn", "echo").error == (404, "ENDPOINT_NOT_FOUND")
    assert server.update("stillborn").status == 200
    server.ready("stillborn")
    assert server.value("stillborn", "version") == 1
    server.delete("stillborn")


def test_a_refused_update_changes_nothing(server: Server, serving: str) -> None:
    before = server.get(serving)
    assert server.update(serving, "nothing").error == (404, "RESOURCE_DOES_NOT_EXIST")
    assert server.update(serving, workload_size="Huge").error == (400, "INVALID_PARAMETER_VALUE")
    assert server.update("none").error == (404, "RESOURCE_DOES_NOT_EXIST")
    assert server.get(serving) == before


@pytest.mark.timeout(300)
def test_the_model_s_own_environment(server: Server) -> None:
    """Built by uv from the requirements that were logged with the model; answers as in the environment it was trained in."""
    server.deploy("built", "wine", local=False, workload_size="Small")
    log = server.logs("built", "wine-1", "build-logs")
    assert "scikit-learn==" in log
    assert "is built" in log
    (environment,) = [path for path in (server.data_dir / "envs").iterdir() if (path / "lock.txt").exists()]
    assert "scikit-learn==" in (environment / "lock.txt").read_text()
    row = {"do": "environ"}
    assert server.query("built", {"dataframe_records": [row]}).error[0] == 400
    server.delete("built")


def test_the_server_can_choose_its_own_environment_for_all(new_server: Factory) -> None:
    server = new_server(LAKESERVE_ENV_MANAGER="local").start(registry=True)
    server.deploy("own", "probe", local=False)
    assert server.value("own", "version") == 1
    assert not [path for path in (server.data_dir / "envs").iterdir() if path.is_dir()]
    server.stop()
