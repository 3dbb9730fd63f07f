"""The OpenAPI document of an endpoint, held to its documented shape and to the official meta-schema."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from lakeserve.domain.errors import InvalidParameterValue
from lakeserve.wire.databricks.openapi import ServedModel, render_openapi


def mlmodel(*inputs: dict[str, Any], outputs: object = None, params: object = None, **more: Any) -> dict[str, Any]:
    texts = {"inputs": list(inputs), "outputs": outputs, "params": params}
    return {"signature": {key: json.dumps(specs) if specs else None for key, specs in texts.items()}, **more}


def column(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "name": name, "required": True, **more}


def tensor(dtype: str, *shape: int, **more: Any) -> dict[str, Any]:
    return {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": list(shape)}, **more}


def document(model: dict[str, Any], example: dict[str, Any] | None = None) -> dict[str, Any]:
    rendered = render_openapi("wine", 2, "http://localhost:8080", [ServedModel("wine-1", model, example)])
    OpenAPIV31SpecValidator(rendered).validate()
    return rendered


def operation(model: dict[str, Any], example: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The schemas of the request and of the answer."""
    post = document(model, example)["paths"]["/served-models/wine-1/invocations"]["post"]
    schemas = (post["requestBody"]["content"], post["responses"]["200"]["content"])
    request, answer = (content["application/json"]["schema"] for content in schemas)
    return request, answer


def form(request: dict[str, Any], key: str) -> dict[str, Any]:
    (found,) = (each for each in request["oneOf"] if key in each["properties"])
    return found


def forms(request: dict[str, Any]) -> list[str]:
    return [next(iter(each["properties"])) for each in request["oneOf"]]


MIXED = mlmodel(
    column("long", "n"),
    column("double", "x"),
    column("string", "s", required=False),
    outputs=[{"type": "double", "required": True}],
    params=[
        {"name": "sentiment", "type": "double", "default": 0.5, "shape": None},
        {"name": "words", "type": "string", "default": ["x"], "shape": [-1]},
        {"name": "none", "type": "long", "default": None, "shape": None},
    ],
)


def test_the_documented_shape() -> None:
    whole = document(MIXED)
    assert whole["openapi"] == "3.1.0"
    assert whole["info"] == {"title": "wine", "version": "2"}
    assert whole["servers"] == [{"url": "http://localhost:8080/serving-endpoints/wine"}]
    assert list(whole["paths"]) == ["/served-models/wine-1/invocations"]


def test_columns_are_offered_in_four_forms() -> None:
    request, answer = operation(MIXED)
    assert forms(request) == ["dataframe_split", "dataframe_records", "instances", "inputs"]
    split = form(request, "dataframe_split")["properties"]["dataframe_split"]["properties"]
    assert split["columns"]["items"]["enum"] == ["n", "x", "s"]
    assert split["columns"]["description"] == "required fields: n, x"
    assert split["data"]["items"]["prefixItems"] == [
        {"type": "integer", "format": "int64"},
        {"type": "number", "format": "double"},
        {"type": "string"},
    ]
    record = form(request, "dataframe_records")["properties"]["dataframe_records"]["items"]
    assert record["required"] == ["n", "x"]
    assert record["properties"]["n"] == {"type": "integer", "format": "int64"}
    assert answer["properties"]["predictions"] == {"type": "array", "items": {"type": "number", "format": "double"}}


def test_params_are_in_every_form_with_their_defaults_as_text() -> None:
    request, _ = operation(MIXED)
    assert [each["properties"]["params"]["properties"] for each in request["oneOf"]] == [
        {
            "sentiment": {"type": "number", "format": "double", "default": "0.5"},
            "words": {"type": "array", "items": {"type": "string"}, "default": '["x"]'},
            "none": {"type": "integer", "format": "int64"},
        }
    ] * 4


def test_an_example_stands_beside_its_form_and_follows_it() -> None:
    example = {"dataframe_split": {"columns": ["n", "x"], "data": [[1, 2.5]]}}
    request, _ = operation(MIXED, example)
    assert [each.get("examples") for each in request["oneOf"]] == [[example], None, None, None]
    Draft202012Validator(request).validate(example)


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_records": [{"n": 1}]},
        {"dataframe_records": [{"n": "1", "x": 1.0}]},
        {"dataframe_records": [{"n": 1, "x": 1.0}], "inputs": {"n": [1], "x": [1.0]}},
        {"dataframe_split": {"columns": ["n", "y"], "data": [[1, 2.0]]}},
        {"n": 1, "x": 1.0},
    ],
)
def test_what_a_model_would_refuse_does_not_fit(body: dict[str, Any]) -> None:
    assert not Draft202012Validator(operation(MIXED)[0]).is_valid(body)


OBJECT = {"a": {"type": "boolean", "required": True}, "b": {"type": "binary", "required": False}}


def test_nested_columns() -> None:
    request, _ = operation(
        mlmodel(
            column("array", "list", items={"type": "array", "items": {"type": "float"}}),
            column("object", "object", properties=OBJECT),
            column("map", "map", values={"type": "integer"}),
            column("any", "any", required=False),
            column("strange", "strange", required=False),
        )
    )
    # Through instances MLflow cannot read them.
    assert forms(request) == ["dataframe_split", "dataframe_records", "inputs"]
    row = form(request, "inputs")["properties"]["inputs"]["items"]["properties"]
    number = {"type": "number", "format": "float"}
    assert row["list"] == {"type": "array", "items": {"type": "array", "items": number}}
    assert row["object"]["required"] == ["a"]
    assert row["object"]["properties"]["b"]["format"] == "byte"
    assert row["map"] == {"type": "object", "additionalProperties": {"type": "integer", "format": "int32"}}
    assert row["any"] == {}
    assert row["strange"] == {"type": "object", "format": "unknown"}


def test_tensors_are_arrays_by_rank() -> None:
    request, answer = operation(mlmodel(tensor("float32", -1, 2), outputs=[tensor("int64", -1)]))
    assert forms(request) == ["instances", "inputs"]
    cell = {"type": "number", "format": "float"}
    pair = {"type": "array", "items": cell, "minItems": 2, "maxItems": 2}
    assert form(request, "inputs")["properties"]["inputs"] == {"type": "array", "items": pair, "minItems": 1}
    assert answer["properties"]["predictions"]["items"] == {"type": "integer", "format": "int64"}


def test_named_tensors_lose_their_first_dimension_in_instances() -> None:
    request, _ = operation(mlmodel(tensor("int64", -1, 2, name="x"), tensor("float64", -1, name="y")))
    row = form(request, "instances")["properties"]["instances"]["items"]["properties"]
    assert row["x"]["maxItems"] == 2
    assert row["y"] == {"type": "number", "format": "double"}
    assert form(request, "inputs")["properties"]["inputs"]["properties"]["y"]["items"] == row["y"]


def test_unnamed_columns_have_no_records() -> None:
    request, _ = operation(mlmodel({"type": "double", "required": True}, {"type": "double", "required": True}))
    assert forms(request) == ["dataframe_split", "instances", "inputs"]
    assert "columns" not in form(request, "dataframe_split")["properties"]["dataframe_split"]["properties"]


def test_a_chat_signature_is_a_bare_object() -> None:
    message = {"type": "object", "properties": {"role": {"type": "string", "required": True}}}
    example = {"messages": [{"role": "user"}]}
    request, answer = operation(
        mlmodel(
            column("array", "messages", items=message),
            column("long", "max_tokens", required=False),
            outputs=[column("string", "id")],
            params=[{"name": "temperature", "type": "double", "default": 0.5, "shape": None}],
        ),
        example,
    )
    assert "oneOf" not in request
    assert list(request["properties"]) == ["messages", "max_tokens", "temperature"]
    assert request["required"] == ["messages"]
    assert request["examples"] == [example]
    assert answer["properties"] == {"id": {"type": "string"}}


def test_type_hints_take_inputs_only() -> None:
    item = {"type": "object", "properties": {"input": {"type": "string", "required": True}}, "required": True}
    request, _ = operation(mlmodel(item, is_signature_from_type_hint=True))
    assert forms(request) == ["inputs"]
    assert form(request, "inputs")["properties"]["inputs"]["items"]["required"] == ["input"]


def test_signatures_of_old_mlflow_say_optional() -> None:
    request, _ = operation(mlmodel({"type": "long", "name": "a"}, {"type": "long", "name": "b", "optional": True}))
    assert form(request, "dataframe_records")["properties"]["dataframe_records"]["items"]["required"] == ["a"]


def test_names_are_escaped_in_paths() -> None:
    rendered = render_openapi("a b", 1, "http://h", [ServedModel("m%/1", MIXED)])
    assert rendered["servers"][0]["url"] == "http://h/serving-endpoints/a%20b"
    assert list(rendered["paths"]) == ["/served-models/m%25%2F1/invocations"]


@pytest.mark.parametrize(
    "model",
    [{}, {"signature": None}, {"signature": {"inputs": None}}, {"signature": {"inputs": "not JSON"}}, mlmodel()],
)
def test_a_model_without_signature_is_refused(model: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameterValue, match="served entity wine-1 was logged without a signature"):
        document(model)
