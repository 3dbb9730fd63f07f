"""MLflow's own scoring functions, from whichever place this version has them.

``mlflow.pyfunc.scoring_server`` is used where it can be imported and has today's functions (MLflow 2.13 and later, with the
packages it wants). Otherwise the same steps are put together from the parsing and serialising functions that every MLflow
since 2.0 has.
"""

from __future__ import annotations

import inspect
import io
import json
import traceback
from typing import Any, NamedTuple

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.utils import proto_json_utils as codec

try:
    from mlflow.pyfunc import scoring_server as server
except ImportError:
    server = None

FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")
LLM_KEYS = ("messages", "prompt", "input")
MODERN = hasattr(server, "invocations") and hasattr(server, "_parse_json_data")


class Result(NamedTuple):
    response: str
    status: int
    mimetype: str


class Parsed(NamedTuple):
    data: Any
    params: Any
    unwrapped: bool
    """The result is the whole answer, and not the value of its ``predictions``."""


def invocations(data: Any, content_type: str, model: Any, schema: Any) -> Any:
    """The answer to a body: bytes, text, or parsed JSON.

    :raises MlflowException: the input is refused, or the model fails.
    :raises Exception: the prediction cannot be serialised.
    """
    return (server.invocations if MODERN else _invocations)(data, content_type, model, schema)


def parse(body: dict[str, Any], metadata: Any, schema: Any) -> tuple[Any, Any]:
    """The model's data and params.

    :raises MlflowException: the input is refused.
    """
    if MODERN:
        parsed = server._parse_json_data(body, metadata, schema)
        return parsed.data, parsed.params
    return _parse(body, metadata, schema)[:2]


def _invocations(data: Any, content_type: str, model: Any, schema: Any) -> Result:
    mime, *parameters = (part.strip() for part in content_type.split(";"))
    if any(parameter.lower() != "charset=utf-8" for parameter in parameters):
        return Result("The only supported parameter of a content type is charset=utf-8.", 415, "text/plain")
    if mime == "text/csv":
        parsed = Parsed(_parse_csv(data, schema), None, False)
    elif mime == "application/json":
        parsed = _parse(_decode(data), model.metadata, schema)
    else:
        return Result(f"Supported content types are text/csv and application/json. Got '{mime}'.", 415, "text/plain")
    return Result(dump(_predict(model, parsed), unwrapped=parsed.unwrapped), 200, "application/json")


def dump(predictions: Any, unwrapped: bool = False) -> str:
    """The answer's JSON, as MLflow writes it.

    :raises Exception: the prediction cannot be serialised.
    """
    raw = codec._get_jsonable_obj(predictions, pandas_orient="records")
    return json.dumps(raw if unwrapped else {"predictions": raw}, cls=codec.NumpyEncoder)


def _predict(model: Any, parsed: Parsed) -> Any:
    try:
        if "params" in inspect.signature(model.predict).parameters:
            return model.predict(parsed.data, params=parsed.params)
        return model.predict(parsed.data)
    except MlflowException as error:
        error.message = f"Failed to predict data '{parsed.data}'. \nError: {error.message}"
        raise


def _decode(data: Any) -> dict[str, Any]:
    if isinstance(data, dict):
        return data
    try:
        data = json.loads(data)
    except ValueError as error:
        raise MlflowException(f"Invalid input. It is not valid JSON. Error: '{error}'", BAD_REQUEST) from error
    if not isinstance(data, dict):
        raise MlflowException(f"Invalid input. A JSON object is expected, not {type(data).__name__}.", BAD_REQUEST)
    return data


def _parse(body: dict[str, Any], metadata: Any, schema: Any) -> Parsed:
    if any(key in body for key in LLM_KEYS):
        known = metadata.get_params_schema() if hasattr(metadata, "get_params_schema") else None
        names = {param.name for param in known.params} if known is not None else set()
        data = {key: value for key, value in body.items() if key not in names}
        return Parsed(data, {key: value for key, value in body.items() if key in names}, True)
    given = [key for key in FORMATS if key in body]
    if len(given) != 1:
        raise MlflowException(
            f"The input must be a JSON object with exactly one of the fields {', '.join(FORMATS)}."
            f" Received fields: {list(body)}.",
            BAD_REQUEST,
        )
    key = given[0]
    if key in ("instances", "inputs"):
        return Parsed(codec.parse_tf_serving_input({key: body[key]}, schema=schema), body.get("params"), False)
    orient = key[len("dataframe_") :]
    frame = codec.dataframe_from_parsed_json(body[key], pandas_orient=orient, schema=schema)
    return Parsed(frame, body.get("params"), False)


def _parse_csv(text: str, schema: Any) -> Any:
    try:
        if schema is None:
            return pd.read_csv(io.StringIO(text))
        return pd.read_csv(io.StringIO(text), dtype=dict(zip(schema.input_names(), schema.pandas_types())))
    # Whatever pandas makes of foreign text; the reason goes to the client, as MLflow does it.
    except Exception as error:
        raise MlflowException(
            f"Failed to parse the input as CSV. Error: '{error}'", BAD_REQUEST, stack_trace=traceback.format_exc()
        ) from error
