"""An endpoint's OpenAPI 3.1 document, made from its models' signatures, in the form of the sample in Databricks' documentation.

One path for each served entity. A classic model's request is one of the four keys that MLflow's scoring reads; the forms that a
signature cannot be asked in are left out, because a request that follows the document is meant to succeed. A signature with a
column named ``messages``, ``prompt`` or ``input`` is asked with the bare object, and its answer is the bare prediction. Models
whose signature comes from type hints take ``inputs`` only.

Everything here is a pure function of what ``MLmodel`` says; its ``signature`` holds JSON texts, as
``mlflow.types.Schema.to_json`` writes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from lakeserve.domain.errors import InvalidParameterValue

LLM_COLUMNS = frozenset(("messages", "prompt", "input"))

Schema = dict[str, Any]

_SCALARS: Mapping[str, Schema] = {
    "boolean": {"type": "boolean"},
    "integer": {"type": "integer", "format": "int32"},
    "long": {"type": "integer", "format": "int64"},
    "float": {"type": "number", "format": "float"},
    "double": {"type": "number", "format": "double"},
    "string": {"type": "string"},
    "binary": {"type": "string", "format": "byte", "description": "Base64."},
    # MLflow refuses what RFC 3339 requires: an offset.
    "datetime": {
        "type": "string",
        "format": "date-time",
        "description": "ISO 8601 without an offset, in one form throughout.",
    },
    "sparkml_vector": {"type": "array", "items": {"type": "number", "format": "double"}},
    "any": {},
}
_NESTED = frozenset(("array", "object", "map", "any"))
_UNKNOWN: Schema = {"type": "object", "format": "unknown"}
_ANY_PREDICTION: Schema = {"description": "What the model returned."}


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A served entity's name, its model's parsed ``MLmodel`` and, when the model has one, a request body as an example."""

    name: str
    mlmodel: Mapping[str, Any]
    example: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class _Signature:
    inputs: Sequence[Mapping[str, Any]]
    outputs: Sequence[Mapping[str, Any]]
    params: Sequence[Mapping[str, Any]]
    from_type_hint: bool

    @property
    def is_tensor(self) -> bool:
        return bool(self.inputs) and self.inputs[0].get("type") == "tensor"

    @property
    def has_names(self) -> bool:
        return bool(self.inputs) and all("name" in spec for spec in self.inputs)

    @property
    def is_llm(self) -> bool:
        return not self.from_type_hint and any(spec.get("name") in LLM_COLUMNS for spec in self.inputs)

    @property
    def is_nested(self) -> bool:
        return any(spec.get("type") in _NESTED for spec in self.inputs)


def render_openapi(endpoint: str, version: int, base_url: str, models: Sequence[ServedModel]) -> dict[str, Any]:
    """``base_url`` is where the caller reaches the server; ``version`` that of the active config.

    :raises InvalidParameterValue: a model has no signature.
    """
    return {
        "openapi": "3.1.0",
        "info": {"title": endpoint, "version": str(version)},
        "servers": [{"url": f"{base_url}/serving-endpoints/{quote(endpoint, safe='')}"}],
        "paths": {
            f"/served-models/{quote(model.name, safe='')}/invocations": {"post": _operation(endpoint, model)}
            for model in models
        },
    }


def _operation(endpoint: str, model: ServedModel) -> dict[str, Any]:
    signature = _read(model.mlmodel)
    if signature is None:
        raise InvalidParameterValue(
            f"The schema of endpoint {endpoint} is not available: the model of served entity {model.name} was logged "
            "without a signature."
        )
    if signature.is_llm:
        return _described(_bare(signature, model.example), _prediction(signature.outputs, bare=True))
    forms = list(_forms(signature, model.example))
    predictions = {
        "type": "object",
        "properties": {"predictions": _prediction(signature.outputs)},
        "required": ["predictions"],
    }
    return _described({"oneOf": forms}, predictions)


def _described(request: Schema, answer: Schema) -> dict[str, Any]:
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": request}}},
        "responses": {
            "200": {"description": "Successful operation", "content": {"application/json": {"schema": answer}}}
        },
    }


# Requests


def _bare(signature: _Signature, example: Mapping[str, Any] | None) -> Schema:
    """Columns and params side by side at the top level."""
    schema = _object(signature.inputs)
    schema["properties"] |= {param["name"]: _param(param) for param in signature.params}
    if example is not None and example.keys() >= set(schema.get("required", ())):
        schema["examples"] = [dict(example)]
    return schema


def _forms(signature: _Signature, example: Mapping[str, Any] | None) -> Iterator[Schema]:
    for key, schema in _bodies(signature):
        properties = {key: schema}
        if signature.params:
            properties["params"] = {
                "type": "object",
                "properties": {param["name"]: _param(param) for param in signature.params},
            }
        form: Schema = {"type": "object", "properties": properties, "required": [key]}
        if example is not None and key in example:
            form["examples"] = [dict(example)]
        yield form


def _bodies(signature: _Signature) -> Iterator[tuple[str, Schema]]:
    if signature.from_type_hint:
        yield "inputs", _rows(_type(signature.inputs[0])) if len(signature.inputs) == 1 else _object(signature.inputs)
    elif signature.is_tensor:
        yield from _tensor_bodies(signature)
    elif signature.has_names:
        yield "dataframe_split", _split(signature.inputs)
        rows = _records(signature.inputs)
        yield "dataframe_records", rows
        if signature.is_nested:
            # MLflow turns instances into columns, and then no longer knows a cell that is a list from a column of them.
            yield "inputs", rows
        else:
            yield "instances", rows
            columns = {spec["name"]: _rows(_type(spec)) for spec in signature.inputs}
            yield "inputs", _with_required({"type": "object", "properties": columns}, signature.inputs)
    else:
        row = _row(signature.inputs)
        yield "dataframe_split", {"type": "object", "properties": {"data": _rows(row)}, "required": ["data"]}
        values = _rows(_type(signature.inputs[0]) if len(signature.inputs) == 1 else row)
        yield "instances", values
        yield "inputs", values


def _split(specs: Sequence[Mapping[str, Any]]) -> Schema:
    names = [spec["name"] for spec in specs]
    required = [spec["name"] for spec in specs if _is_required(spec)]
    columns: Schema = {
        "type": "array",
        "items": {"type": "string", "enum": names},
        "uniqueItems": True,
        "minItems": len(required),
    }
    if required:
        columns["description"] = f"required fields: {', '.join(required)}"
    properties = {"columns": columns, "data": _rows(_row(specs))}
    return {"type": "object", "properties": properties, "required": ["columns", "data"]}


def _tensor_bodies(signature: _Signature) -> Iterator[tuple[str, Schema]]:
    """``instances`` are rows, so each tensor is there without its first dimension."""
    if not signature.has_names:
        whole = _tensor(signature.inputs[0])
        yield "instances", whole
        yield "inputs", whole
        return
    rows = {spec["name"]: _tensor(spec, first=1) for spec in signature.inputs}
    yield "instances", _rows({"type": "object", "properties": rows, "required": list(rows)})
    whole_ones = {spec["name"]: _tensor(spec) for spec in signature.inputs}
    yield "inputs", {"type": "object", "properties": whole_ones, "required": list(whole_ones)}


# Parts


def _rows(row: Schema) -> Schema:
    """At least one: MLflow refuses no rows at all in most forms."""
    return {"type": "array", "items": row, "minItems": 1}


def _records(specs: Sequence[Mapping[str, Any]]) -> Schema:
    """Rows by the names of their columns."""
    rows = _rows(_object(specs))
    if all(_is_required(spec) for spec in specs):
        return rows
    # What one row leaves out is missing in its column, and MLflow refuses that for most types.
    return {**rows, "description": "All rows have the same fields."}


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def _row(specs: Sequence[Mapping[str, Any]]) -> Schema:
    """A row's cells, in the order of the signature."""
    return {"type": "array", "prefixItems": [_type(spec) for spec in specs], "maxItems": len(specs)}


def _object(specs: Sequence[Mapping[str, Any]]) -> Schema:
    return _with_required({"type": "object", "properties": {spec["name"]: _type(spec) for spec in specs}}, specs)


def _with_required(schema: Schema, specs: Sequence[Mapping[str, Any]]) -> Schema:
    required = [spec["name"] for spec in specs if _is_required(spec)]
    return {**schema, "required": required} if required else schema


def _is_required(spec: Mapping[str, Any]) -> bool:
    """MLflow before 2.8 wrote ``optional``."""
    return bool(spec.get("required", not spec.get("optional", False)))


def _type(spec: Mapping[str, Any]) -> Schema:
    kind = spec.get("type")
    if kind == "tensor":
        return _tensor(spec)
    if kind == "array":
        return _list(_type(spec.get("items", {})))
    if kind == "map":
        return {"type": "object", "additionalProperties": _type(spec.get("values", {}))}
    if kind == "object":
        properties = spec.get("properties") or {}
        return _object([{**child, "name": name} for name, child in properties.items()])
    return dict(_SCALARS.get(str(kind), _UNKNOWN))


def _tensor(spec: Mapping[str, Any], first: int = 0) -> Schema:
    """Arrays in arrays, one for each dimension from ``first`` on; -1 is any length."""
    described = spec.get("tensor-spec", {})
    schema = _dtype(str(described.get("dtype", "")))
    for length in reversed(described.get("shape", [])[first:]):
        schema = _rows(schema) if length < 0 else {**_list(schema), "minItems": length, "maxItems": length}
    return schema


def _dtype(dtype: str) -> Schema:
    if dtype.startswith(("int", "uint")):
        return {
            "type": "integer",
            "format": "int32" if dtype in ("int8", "int16", "int32", "uint8", "uint16") else "int64",
        }
    if dtype.startswith("float"):
        return {"type": "number", "format": "double" if dtype == "float64" else "float"}
    if dtype == "bool":
        return {"type": "boolean"}
    if dtype.startswith("datetime"):
        return dict(_SCALARS["datetime"])
    return {"type": "string"} if dtype in ("object", "str", "bytes") else {}


def _param(spec: Mapping[str, Any]) -> Schema:
    """With its default as text, as Databricks has it."""
    schema = _list(_type(spec)) if spec.get("shape") else _type(spec)
    default = spec.get("default")
    if default is not None:
        schema["default"] = default if isinstance(default, str) else json.dumps(default)
    return schema


# Answers


def _prediction(specs: Sequence[Mapping[str, Any]], *, bare: bool = False) -> Schema:
    """MLflow does not hold a model to its output signature, so nothing is said where it leaves room.

    ``bare``: an LLM's answer is one object, not a list of rows.
    """
    if not specs:
        return dict(_ANY_PREDICTION)
    named = all("name" in spec for spec in specs)
    if bare:
        return _object(specs) if named else dict(_ANY_PREDICTION)
    if named:
        if specs[0].get("type") == "tensor":
            return {"type": "object", "properties": {spec["name"]: _tensor(spec) for spec in specs}}
        return {"anyOf": [_list(_object(specs)), _object(specs)]}
    if specs[0].get("type") == "tensor":
        return _tensor(specs[0])
    return _list(_type(specs[0])) if len(specs) == 1 else _list(_row(specs))


def _read(mlmodel: Mapping[str, Any]) -> _Signature | None:
    """None when the model has no signature, or one without inputs."""
    texts = mlmodel.get("signature")
    if not isinstance(texts, dict):
        return None
    inputs, outputs, params = (_specs(texts.get(key)) for key in ("inputs", "outputs", "params"))
    if not inputs:
        return None
    return _Signature(inputs, outputs, params, mlmodel.get("is_signature_from_type_hint") is True)


def _specs(text: object) -> Sequence[Mapping[str, Any]]:
    """What cannot be read counts as absent: a model of some future MLflow is still served."""
    if not isinstance(text, str):
        return ()
    try:
        specs = json.loads(text)
    except ValueError:
        return ()
    return [spec for spec in specs if isinstance(spec, dict)] if isinstance(specs, list) else ()
