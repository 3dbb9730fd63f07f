"""One endpoint at the four stations of its life; ``golden/`` has what clients must see at each."""

from __future__ import annotations

from dataclasses import replace

from lakeserve.domain.endpoint import (
    Deployment,
    DeploymentState,
    Endpoint,
    EndpointConfig,
    Route,
    ServedEntity,
    Step,
    Tag,
)
from lakeserve.domain.lifecycle import begin_update, observe
from lakeserve.domain.workload import Workload

CREATED, UPDATED = 1770000000123, 1770003600456
READY = Deployment(DeploymentState.READY, "", Step.SERVING)


def _entity(version: str, **changes: object) -> ServedEntity:
    entity = ServedEntity(
        id=f"{int(version):032x}",
        name=f"churn-{version}",
        entity_name="prod.crm.churn",
        entity_version=version,
        resolved_version=version,
        workload=Workload(),
        creator="bo@example.com",
        created_at=CREATED if version == "7" else UPDATED,
    )
    return replace(entity, **changes)


FIRST = EndpointConfig(
    version=1,
    started_at=CREATED,
    entities=(_entity("7", scale_to_zero=True, environment_vars={"API_KEY": "{{secrets/crm/key}}"}),),
    routes=(Route("churn-7", 100),),
)
SECOND = EndpointConfig(
    version=2,
    started_at=UPDATED,
    entities=(
        _entity("8", workload=Workload(None, "GPU_SMALL", 4, 12), extra={"instance_profile_arn": "arn:aws:iam::1:x"}),
        _entity("9", name="champion", entity_version="@champion", workload=Workload("Large", "CPU_MEDIUM")),
    ),
    routes=(Route("churn-8", 90), Route("champion", 10)),
    extra={"auto_capture_config": {"enabled": False}},
)
EMPTY = Endpoint(
    id="9c1f2a7be04d4b1f8a55d0e6c3b2a190",
    name="churn",
    creator="bo@example.com",
    created_at=CREATED,
    updated_at=CREATED,
    revision=1,
)
NEW = begin_update(
    replace(
        EMPTY, tags=(Tag("team", "crm"), Tag("pilot")), extra={"email_notifications": {"on_update_failure": ["x"]}}
    ),
    FIRST,
    now=CREATED,
)
SETTLED = observe(NEW, {(1, "churn-7"): READY}, now=CREATED + 2000)
UPDATING = begin_update(replace(SETTLED, description="Who leaves?"), SECOND, now=UPDATED)
FAILED = observe(
    UPDATING,
    {(2, "churn-8"): Deployment(DeploymentState.FAILED, "No module named 'torch'.", Step.ENDED)},
    now=UPDATED + 9000,
)
