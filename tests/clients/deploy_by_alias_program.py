"""Deploys a registered model by its alias with the official SDK and queries it; only the two variables tell where."""

from __future__ import annotations

import json
import sys
from datetime import timedelta

from databricks.sdk import WorkspaceClient
from databricks.sdk.service.serving import EndpointCoreConfigInput, ServedEntityInput

MODEL, ALIAS, ENDPOINT = sys.argv[1:]


def main() -> None:
    client = WorkspaceClient()
    entity = ServedEntityInput(
        entity_name=MODEL,
        entity_version=f"@{ALIAS}",
        workload_size="Small",
        scale_to_zero_enabled=False,
        environment_vars={"LAKESERVE_ENV_MANAGER": "local"},
    )
    client.serving_endpoints.create_and_wait(
        ENDPOINT, config=EndpointCoreConfigInput(name=ENDPOINT, served_entities=[entity]), timeout=timedelta(seconds=90)
    )
    rows = [{"a": 1.0, "b": 0.0}, {"a": 2.0, "b": 1.0}]
    print(json.dumps(client.serving_endpoints.query(ENDPOINT, dataframe_records=rows).predictions))


main()
