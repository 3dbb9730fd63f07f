"""Promise 9: an endpoint can be stopped, started and deleted, and an update cancelled, without surprises."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from support.load import has_workers, worker_pids
from support.server import ENDPOINTS, Answer, Server, poll


def change(server: Server, endpoint: str, what: str) -> Answer:
    return server.ask("PUT", f"{ENDPOINTS}/{endpoint}/config:{what}")


def test_stop_and_start(server: Server) -> None:
    before = server.deploy("pausing")
    pids = set(worker_pids(server, "pausing"))
    stopped = change(server, "pausing", "stop")
    assert stopped.status == 200
    assert stopped.json["state"]["ready"] == "NOT_READY"
    poll(lambda: server.act("pausing", "pid").status != 200, limit_s=5)
    assert server.act("pausing", "pid").error == (400, "BAD_REQUEST")
    poll(lambda: not worker_pids(server, "pausing"), limit_s=10)
    assert change(server, "pausing", "stop").error[0] == 400
    assert change(server, "pausing", "start").status == 200
    after = server.ready("pausing")
    assert after["id"] == before["id"]
    assert after["config"]["config_version"] == before["config"]["config_version"] + 1
    assert after["config"]["served_entities"][0]["environment_vars"] == {"LAKESERVE_ENV_MANAGER": "local"}
    assert server.value("pausing", "pid") not in pids
    assert change(server, "pausing", "start").error[0] == 400
    server.delete("pausing")


def test_a_cancelled_update_leaves_what_serves(server: Server) -> None:
    server.deploy("steadfast")
    pids = poll(lambda: has_workers(server, "steadfast", 4))
    assert change(server, "steadfast", "cancel").error == (409, "RESOURCE_CONFLICT")
    slow = {"environment_vars": {"PROBE_LOADS_FOR_S": "60"}}
    assert server.update("steadfast", **slow).status == 200
    poll(lambda: len(worker_pids(server, "steadfast")) > len(pids))
    assert change(server, "steadfast", "cancel").status == 200
    endpoint = server.get("steadfast")
    assert endpoint["state"] == {"ready": "READY", "config_update": "UPDATE_CANCELED"}
    assert endpoint["pending_config"]["served_entities"][0]["state"]["deployment"] == "DEPLOYMENT_ABORTED"
    assert endpoint["config"]["served_entities"][0]["state"]["deployment"] == "DEPLOYMENT_READY"
    poll(lambda: worker_pids(server, "steadfast") == pids, limit_s=10)
    assert server.value("steadfast", "version") == 1
    server.delete("steadfast")


def test_a_failed_entity_aborts_its_siblings(server: Server) -> None:
    server.deploy("siblings")
    assert server.ask("PUT", f"{ENDPOINTS}/siblings/config", two_entities()).status == 200
    endpoint = server.settled("siblings")
    assert endpoint["state"] == {"ready": "READY", "config_update": "UPDATE_FAILED"}
    states = {entity["name"]: entity["state"]["deployment"] for entity in endpoint["pending_config"]["served_entities"]}
    assert states == {"bad": "DEPLOYMENT_FAILED", "good": "DEPLOYMENT_ABORTED"}
    assert server.value("siblings", "version") == 1
    server.delete("siblings")


def test_a_name_used_again_is_another_endpoint(server: Server) -> None:
    ids = []
    for version in ("1", "2"):
        ids.append(server.deploy("phoenix", version=version)["id"])
        assert server.value("phoenix", "version") == int(version)
        server.delete("phoenix")
        assert server.ask("GET", f"{ENDPOINTS}/phoenix").error == (404, "RESOURCE_DOES_NOT_EXIST")
    assert ids[0] != ids[1]


def test_a_deletion_lets_what_is_under_way_finish(server: Server, tmp_path: Path) -> None:
    server.deploy("leaving")
    began, go = tmp_path / "began", tmp_path / "go"
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(server.act, "leaving", "wait", began=str(began), until=str(go), value="finished")
        poll(began.exists)
        pids = worker_pids(server, "leaving")
        server.delete("leaving")
        poll(lambda: server.act("leaving", "pid").status != 200, limit_s=5)
        assert server.act("leaving", "pid").error == (404, "ENDPOINT_NOT_FOUND")
        # The name is free while the last request of its former bearer still runs.
        server.deploy("leaving", version="2")
        assert server.value("leaving", "version") == 2
        assert len(set(pids) & set(worker_pids(server))) == 1
        go.touch()
        assert answer.result().json == {"predictions": ["finished"]}
    poll(lambda: not set(pids) & set(worker_pids(server)), limit_s=10)
    server.delete("leaving")


def two_entities() -> dict[str, Any]:
    def entity(name: str, variables: dict[str, str]) -> dict[str, Any]:
        return {
            "name": name,
            "entity_name": "main.default.probe",
            "entity_version": "1",
            "workload_size": "Small",
            "scale_to_zero_enabled": False,
            "environment_vars": {"LAKESERVE_ENV_MANAGER": "local", **variables},
        }

    entities = [entity("good", {"PROBE_LOADS_FOR_S": "60"}), entity("bad", {"PROBE_REFUSES": "out of order"})]
    routes = [{"served_model_name": name, "traffic_percentage": 50} for name in ("good", "bad")]
    return {"served_entities": entities, "traffic_config": {"routes": routes}}
