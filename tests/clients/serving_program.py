"""Deploy, query, update and delete, as a program that uses the official SDK goes about it.

Runs in an interpreter of its own with one release of the SDK: ``HOST TOKEN ENDPOINT``; it prints ``ok`` at the end. The models
main.default.wine and main.default.probe are registered already. Only what every release since 0.27.0 can do is used.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from datetime import timedelta

from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config
from databricks.sdk.errors import (
    BadRequest,
    InvalidParameterValue,
    NotFound,
    OperationFailed,
    ResourceAlreadyExists,
    ResourceConflict,
    ResourceDoesNotExist,
    Unauthenticated,
)
from databricks.sdk.service.serving import (
    DataframeSplitInput,
    EndpointCoreConfigInput,
    EndpointStateConfigUpdate,
    EndpointStateReady,
    EndpointTag,
    ServedEntityInput,
)

HOST, TOKEN, NAME = sys.argv[1:]
LIMIT = timedelta(minutes=2)
COLUMNS = [
    "alcohol",
    "malic_acid",
    "ash",
    "alcalinity_of_ash",
    "magnesium",
    "total_phenols",
    "flavanoids",
    "nonflavanoid_phenols",
    "proanthocyanins",
    "color_intensity",
    "hue",
    "od280/od315_of_diluted_wines",
    "proline",
]
ROW = [14.23, 1.71, 2.43, 15.6, 127.0, 2.8, 3.06, 0.28, 2.29, 5.64, 1.04, 3.92, 1065.0]


@contextlib.contextmanager
def refused(error: type[Exception], told: str = "") -> Iterator[None]:
    try:
        yield
    except error as caught:
        if told not in str(caught):
            raise
        return
    raise AssertionError(f"not refused with {error.__name__}")


def client(token: str) -> WorkspaceClient:
    return WorkspaceClient(config=Config(host=HOST, token=token, auth_type="pat", retry_timeout_seconds=20))


def config(model: str, version: str, **variables: str) -> EndpointCoreConfigInput:
    entity = ServedEntityInput(
        entity_name=f"main.default.{model}",
        entity_version=version,
        workload_size="Small",
        scale_to_zero_enabled=False,
        environment_vars={"LAKESERVE_ENV_MANAGER": "local", **variables},
    )
    return EndpointCoreConfigInput(name=NAME, served_entities=[entity])


w = client(TOKEN)
endpoints = w.serving_endpoints

assert w.current_user.me().user_name == "admin@lakeserve.local"

# Create

made = endpoints.create_and_wait(
    NAME, config=config("wine", "1"), tags=[EndpointTag(key="team", value="cellar")], timeout=LIMIT
)
assert made.name == NAME
assert made.state is not None
assert made.state.ready is EndpointStateReady.READY
assert made.state.config_update is EndpointStateConfigUpdate.NOT_UPDATING
assert made.config is not None
assert [entity.name for entity in made.config.served_entities or []] == ["wine-1"]
assert NAME in [each.name for each in endpoints.list()]
found = endpoints.get(NAME)
assert found.id == made.id
assert [(tag.key, tag.value) for tag in found.tags or []] == [("team", "cellar")]

# Tags: the answer's type changed between releases

patched = endpoints.patch(NAME, add_tags=[EndpointTag(key="env", value="test")], delete_tags=["none"])
assert [(tag.key, tag.value) for tag in getattr(patched, "tags", patched)] == [("team", "cellar"), ("env", "test")]

with refused(ResourceAlreadyExists, NAME):
    endpoints.create(NAME, config=config("wine", "1"))
with refused(InvalidParameterValue, "alphanumeric"):
    endpoints.create("-not a name-", config=config("wine", "1"))
with refused(ResourceDoesNotExist, "main.default.none"):
    endpoints.create(NAME + "-none", config=config("none", "1"))

# Query, in each of the four shapes

split = endpoints.query(NAME, dataframe_split=DataframeSplitInput(columns=COLUMNS, data=[ROW]))
assert split.predictions == [0], split
assert split.served_model_name == "wine-1"
records = [dict(zip(COLUMNS, ROW))]  # noqa: B905 - as the readers of this file would write it
assert endpoints.query(NAME, dataframe_records=records).predictions == [0]
assert endpoints.query(NAME, inputs={name: [value] for name, value in records[0].items()}).predictions == [0]
assert endpoints.query(NAME, instances=records).predictions == [0]

with refused(BadRequest, "alcohol"):
    endpoints.query(NAME, dataframe_records=[{"acid": 1}])
with refused(NotFound, "does not exist"):
    endpoints.query(NAME + "-none", dataframe_records=records)

# Update

updated = endpoints.update_config_and_wait(
    NAME, served_entities=config("probe", "@champion").served_entities, timeout=LIMIT
)
assert updated.config is not None
assert updated.config.config_version == 2
assert [entity.name for entity in updated.config.served_entities or []] == ["probe-1"]
assert endpoints.query(NAME, dataframe_records=[{"do": "version"}]).predictions == [1]
with refused(BadRequest, "no such customer"):
    endpoints.query(NAME, dataframe_records=[{"do": "raise", "text": "no such customer"}])
assert endpoints.query(NAME, dataframe_records=[{"do": "print", "text": "hello"}]).served_model_name == "probe-1"
assert "hello" in endpoints.logs(NAME, "probe-1").logs
assert "Loading the model" in endpoints.build_logs(NAME, "probe-1").logs

# An update that fails leaves what serves

with refused(OperationFailed, "UPDATE_FAILED"):
    endpoints.update_config_and_wait(NAME, served_entities=config("broken", "1").served_entities, timeout=LIMIT)
failed = endpoints.get(NAME)
assert failed.pending_config is not None
(entity,) = failed.pending_config.served_entities or []
assert entity.state is not None
assert "the weights are missing" in (entity.state.deployment_state_message or "")
assert endpoints.query(NAME, dataframe_records=[{"do": "version"}]).predictions == [1]
waiting = endpoints.update_config(NAME, served_entities=config("probe", "2").served_entities)
with contextlib.suppress(ResourceConflict):  # unless it was done already
    endpoints.update_config(NAME, served_entities=config("probe", "2", AGAIN="1").served_entities)
waiting.result(timeout=LIMIT)
assert endpoints.query(NAME, dataframe_records=[{"do": "version"}]).predictions == [2]

# Who may not

with refused(Unauthenticated, "token"):
    client("dapi" + "0" * 32).serving_endpoints.get(NAME)

# Delete

endpoints.delete(NAME)
with refused(ResourceDoesNotExist, NAME):
    endpoints.get(NAME)
with refused(NotFound):
    endpoints.delete(NAME)
assert NAME not in [each.name for each in endpoints.list()]
print("ok")
