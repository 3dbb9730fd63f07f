"""Reading the JSON body of a control call, strictly.

What is read here is stored and echoed later, so everything that could not be written again is refused at the door: text
that is not UTF-8 or not Unicode, numbers that JSON has no way to write, and nesting deeper than a writer can follow. A
key that is given twice is refused too, because readers disagree on which of the two counts.
"""

from __future__ import annotations

import json
import math
from typing import Any

from lakeserve.domain.errors import BadRequest

MAX_DEPTH = 64
_WRITABLE_INTEGERS = range(-(2**63), 2**64)


def read_object(raw: bytes) -> dict[str, Any]:
    """:raises BadRequest: the body is not one well-formed JSON object."""
    if not raw.strip():
        raise BadRequest("The request body is empty; a JSON object is expected.")
    try:
        value = json.loads(raw.decode("utf-8-sig"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise BadRequest("The request body is not UTF-8 text.") from None
    except RecursionError:
        raise BadRequest(f"The request body is nested deeper than {MAX_DEPTH} levels.") from None
    except json.JSONDecodeError as error:
        raise BadRequest(
            f"The request body is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from None
    except ValueError:
        # Python refuses to convert integers of thousands of digits.
        raise BadRequest("The request body contains a number that is too large.") from None
    if not isinstance(value, dict):
        raise BadRequest("The request body must be a JSON object.")
    _check(value, MAX_DEPTH)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise BadRequest(f"The request body contains the key {json.dumps(twice)[:80]} twice in one object.")
    return found


def _refuse_constant(constant: str) -> Any:
    raise BadRequest(f"The request body contains {constant}, which is not JSON.")


def _check(value: object, depth: int) -> None:
    if isinstance(value, dict | list):
        if depth == 0:
            raise BadRequest(f"The request body is nested deeper than {MAX_DEPTH} levels.")
        children = [*value, *value.values()] if isinstance(value, dict) else value
        for child in children:
            _check(child, depth - 1)
    elif isinstance(value, str):
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise BadRequest("The request body contains half of a surrogate pair, which is no character.")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise BadRequest("The request body contains a number that is too large.")
    elif isinstance(value, int) and value not in _WRITABLE_INTEGERS:
        raise BadRequest("The request body contains a number that is too large.")
