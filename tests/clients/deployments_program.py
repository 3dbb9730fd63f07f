"""Deploy, query, stream, update and delete with MLflow's own deployment client.

Needs DATABRICKS_HOST and DATABRICKS_TOKEN; prints ``ok`` at the end. The models main.default.wine and main.default.probe are
registered already.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import requests
from mlflow.deployments import get_deploy_client

NAME = "deployments"
LIMIT_S = 120


def config(version: str) -> dict[str, Any]:
    entity = {
        "entity_name": "main.default.probe",
        "entity_version": version,
        "workload_size": "Small",
        "scale_to_zero_enabled": False,
        "environment_vars": {"LAKESERVE_ENV_MANAGER": "local"},
    }
    return {"served_entities": [entity]}


def wait() -> dict[str, Any]:
    """As the documentation's examples do: ask until it is no longer updating."""
    deadline = time.monotonic() + LIMIT_S
    while (endpoint := client.get_endpoint(NAME))["state"]["config_update"] == "IN_PROGRESS":
        assert time.monotonic() < deadline, endpoint
        time.sleep(0.1)
    assert endpoint["state"] == {"ready": "READY", "config_update": "NOT_UPDATING"}, endpoint
    return dict(endpoint)


@contextlib.contextmanager
def refused(status: int, code: str) -> Iterator[None]:
    try:
        yield
    except requests.HTTPError as caught:
        if caught.response.status_code != status or code not in str(caught):
            raise
        return
    raise AssertionError(f"not refused with {status}")


client = get_deploy_client("databricks")

made = client.create_endpoint(config={"name": NAME, "config": config("1")})
assert made["name"] == NAME
assert wait()["id"] == made["id"]
assert NAME in [endpoint["name"] for endpoint in client.list_endpoints()]
# The client makes up the status from the code, with a table of its own.
with refused(400, "RESOURCE_ALREADY_EXISTS"):
    client.create_endpoint(config={"name": NAME, "config": config("1")})

answer = client.predict(endpoint=NAME, inputs={"dataframe_records": [{"do": "version"}, {"value": "x"}]})
assert answer["predictions"] == [1, "x"], answer
with refused(400, "no such customer"):
    client.predict(endpoint=NAME, inputs={"dataframe_records": [{"do": "raise", "text": "no such customer"}]})
with refused(404, "ENDPOINT_NOT_FOUND"):
    client.predict(endpoint="none", inputs={"inputs": [1]})

chunks = list(client.predict_stream(endpoint=NAME, inputs={"dataframe_records": [{"count": 3}]}))
assert [chunk["number"] for chunk in chunks] == [0, 1, 2], chunks
broken = list(client.predict_stream(endpoint=NAME, inputs={"dataframe_records": [{"count": 3, "fail_at": 0}]}))
assert broken[0]["number"] == 0, broken
assert "the stream broke" in broken[1]["error"]["message"], broken

client.update_endpoint_config(endpoint=NAME, config=config("2"))
assert wait()["config"]["config_version"] == 2
assert client.predict(endpoint=NAME, inputs={"dataframe_records": [{"do": "version"}]})["predictions"] == [2]

client.delete_endpoint(endpoint=NAME)
with refused(404, "RESOURCE_DOES_NOT_EXIST"):
    client.get_endpoint(NAME)
print("ok")
