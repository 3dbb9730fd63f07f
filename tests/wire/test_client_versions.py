"""Which client gets which form, by its ``User-Agent``; the real clients of each side are in ``tests/clients``."""

from __future__ import annotations

from dataclasses import replace

import churn
import pytest

from lakeserve.domain.endpoint import UpdateState
from lakeserve.domain.principal import Level
from lakeserve.wire.databricks import client_versions
from lakeserve.wire.databricks.convert import render_endpoint, render_list

OTHERS = [
    "",
    "curl/8",
    "Terraform/1.5",
    "not-databricks-sdk-py/0.27.0",
    "databricks-sdk-py/x",
    "databricks-sdk-go/0.1.0",
]


def sdk(version: str) -> str:
    return f"unknown/0.0.0 databricks-sdk-py/{version} python/3.11 os/linux auth/pat"


@pytest.mark.parametrize(
    ("ask", "last_without", "first_with"),
    [
        (client_versions.reads_metrics, "0.27.1", "0.28.0"),
        (client_versions.knows_update_canceled, "0.29.0", "0.30.0"),
        (client_versions.reads_tags_in_an_object, "0.40.0", "0.41.0"),
    ],
)
def test_where_versions_differ(ask, last_without: str, first_with: str) -> None:
    assert not ask(sdk("0.1.0"))
    assert not ask(sdk(last_without))
    assert ask(sdk(first_with))
    assert ask(sdk("1.0.0"))
    assert all(ask(other) for other in OTHERS)


def test_a_canceled_update_is_a_failed_one_for_whom_it_would_be_nothing() -> None:
    canceled = replace(churn.FAILED, update=UpdateState.UPDATE_CANCELED)
    for knows, told in ((True, "UPDATE_CANCELED"), (False, "UPDATE_FAILED")):
        one = render_endpoint(canceled, Level.CAN_VIEW, knows_canceled=knows)
        (row,) = render_list([canceled], knows_canceled=knows)["endpoints"]
        assert one["state"]["config_update"] == row["state"]["config_update"] == told
    assert (
        render_endpoint(churn.UPDATING, Level.CAN_VIEW, knows_canceled=False)["state"]["config_update"] == "IN_PROGRESS"
    )
