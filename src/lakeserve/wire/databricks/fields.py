"""How single JSON values of a control call become Python values, and how a wrong one is reported.

The types here accept what the documented API accepts: a whole number may come as text ("90"), and a model version may
come as a number (3). Everything else must have its own type. Empty text counts as not given, because some clients send
it for fields that their user left out. A wrong value becomes one sentence that names the field by its path:
``config.served_entities[0].workload_size must be text, not a number.``
"""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from lakeserve.domain.errors import InvalidParameterValue

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")
_JSON_TYPES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "true or false"),
    (str, "text"),
    ((int, float), "a number"),
    (list, "a list"),
    (dict, "an object"),
)
# Pydantic's own error types for the shapes below, in our words.
_EXPECTED = {
    "model_type": "an object",
    "model_attributes_type": "an object",
    "dict_type": "an object",
    "list_type": "a list",
}


def _wrong(expected: str) -> PydanticCustomError:
    return PydanticCustomError("wire_type", "{expected}", {"expected": expected})


def _text(value: object) -> object:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise _wrong("text")
    return value


def _text_or_number(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(value)


def _literal_text(value: object) -> object:
    if not isinstance(value, str):
        raise _wrong("text")
    return value


def _whole(value: object) -> object:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise _wrong("a whole number")


def _flag(value: object) -> object:
    if value is not None and not isinstance(value, bool):
        raise _wrong("true or false")
    return value


Text = Annotated[str | None, BeforeValidator(_text)]
VersionText = Annotated[str | None, BeforeValidator(_text_or_number)]
LiteralText = Annotated[str, BeforeValidator(_literal_text)]
"""Text where "" is a value of its own."""
Whole = Annotated[int | None, BeforeValidator(_whole)]
Flag = Annotated[bool | None, BeforeValidator(_flag)]


class WireModel(BaseModel):
    """A JSON object of the API. Fields that it does not name survive in ``model_extra``."""

    # The API has names such as model_name, which Pydantic would otherwise take for its own.
    model_config = ConfigDict(extra="allow", protected_namespaces=())


Model = TypeVar("Model", bound=WireModel)


def read(model: type[Model], body: object) -> Model:
    """Check ``body`` against ``model``.

    :raises InvalidParameterValue: naming the first field that is wrong.
    """
    try:
        return model.model_validate(body)
    except ValidationError as error:
        # Without the cause: it would carry the whole body, with secrets in it, into logs.
        raise InvalidParameterValue(_sentence(error.errors(include_url=False)[0])) from None


def _sentence(error: ErrorDetails) -> str:
    path = _path(error["loc"]) or "The request body"
    if error["type"] == "missing":
        return f"{path} is required."
    expected = error["msg"] if error["type"] == "wire_type" else _EXPECTED.get(error["type"])
    if expected is None:
        return f"{path} is not valid: {error['msg']}."
    return f"{path} must be {expected}, not {_kind(error['input'])}."


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for step in location:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return path


def _kind(value: Any) -> str:
    if isinstance(value, str) and len(value) <= 40:
        return f"'{value}'"
    return next((name for types, name in _JSON_TYPES if isinstance(value, types)), "null")
