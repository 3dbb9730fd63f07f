"""Our own OpenAPI document: valid, and about exactly the routes that there are."""

from __future__ import annotations

from openapi_spec_validator import validate

from lakeserve.control.descriptions import Descriptions
from lakeserve.control.endpoints import Endpoints
from lakeserve.control.metrics import Metrics
from lakeserve.http.control import blocks, endpoints, later, observability
from lakeserve.http.control.routes import ControlSettings, Routes
from lakeserve.wire.databricks.api_document import BASE, OPERATIONS, render_document
from support.clock import LoopClock


def routes() -> Routes:
    """Handlers are made here and never called, so nothing need be behind the use cases."""
    nothing = object.__new__(Endpoints)
    made = Routes(ControlSettings(workspace_id="1", max_body_bytes=1), dict, LoopClock())
    endpoints.add(made, nothing)
    blocks.add(made, nothing)
    later.add(made, nothing)
    observability.add(made, object.__new__(Metrics), object.__new__(Descriptions))
    return made


def test_the_document_is_valid() -> None:
    validate(render_document("1"))


def test_every_route_is_in_it_and_nothing_else() -> None:
    there = {(method, path) for method, path, _ in routes().operations if path.startswith(BASE)}
    assert {(each.method, each.path) for each in OPERATIONS} == there


def test_names_are_unique() -> None:
    assert len({each.name for each in OPERATIONS}) == len(OPERATIONS)
