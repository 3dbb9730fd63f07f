"""A request that follows an endpoint's OpenAPI document is answered by the model that the document was made from."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from harness import Peer, RunningWorker
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from lakeserve.wire.databricks.openapi import ServedModel, render_openapi
from models import Models
from support.json_schemas import values_of

MODELS = [
    "echo:mixed",
    "echo:optional",
    "echo:floats",
    "echo:binary",
    "echo:datetime",
    "echo:unnamed",
    "echo:nested",
    "echo:tensor",
    "echo:named_tensors",
    "echo:params",
    "echo:chat_params",
    "sklearn:logistic",
    "typed",
]
AGENTS = ["chat", "responses"]
"""They check more than their signature says, in their own code; their examples are good."""


def request_schema(models: Models, name: str) -> dict[str, Any]:
    path = models.path(name)
    example = path / "serving_input_example.json"
    served = ServedModel(
        "m",
        yaml.safe_load((path / "MLmodel").read_text()),
        json.loads(example.read_text()) if example.exists() else None,
    )
    document = render_openapi("e", 1, "http://h", [served])
    OpenAPIV31SpecValidator(document).validate()
    schema = document["paths"]["/served-models/m/invocations"]["post"]["requestBody"]["content"]["application/json"][
        "schema"
    ]
    assert isinstance(schema, dict)
    return schema


@pytest.mark.parametrize("name", MODELS)
def test_a_request_made_from_the_document_succeeds(
    name: str, models: Models, fork: Callable[..., RunningWorker]
) -> None:
    schema = request_schema(models, name)
    validator = Draft202012Validator(schema)
    with fork(name).peer() as peer:
        peer.hello()

        @settings(max_examples=10, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(st.booleans().flatmap(lambda everything: values_of(schema, everything=everything, rows=2)))
        def ask(body: Any) -> None:
            validator.validate(body)
            _answered(peer, body)

        ask()


@pytest.mark.parametrize("name", ["sklearn:logistic", "typed", *AGENTS])
def test_the_model_s_own_example_is_in_the_document_and_succeeds(
    name: str, models: Models, fork: Callable[..., RunningWorker]
) -> None:
    schema = request_schema(models, name)
    (example,) = [each for form in schema.get("oneOf", [schema]) for each in form.get("examples", [])]
    Draft202012Validator(schema).validate(example)
    with fork(name).peer() as peer:
        peer.hello()
        _answered(peer, example)


def _answered(peer: Peer, body: Any) -> None:
    answer = peer.ask(body)
    assert answer.status == 200, (body, answer.body)
