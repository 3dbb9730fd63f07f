"""Values that a JSON Schema describes, for the part of JSON Schema that the server's OpenAPI documents use."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any

from hypothesis import strategies as st

_RANGES = {"int32": 2**31 - 1, "int64": 2**63 - 1}
_FLOATS = {"float": 32, "double": 64}
# Models overflow before numbers do, and no signature says when.
_LARGE = 1e6
# Nanoseconds since 1970, in 64 bits, end soon after these.
_FIRST, _LAST = datetime.fromisoformat("1700-01-01"), datetime.fromisoformat("2200-01-01")


def values_of(schema: dict[str, Any], *, everything: bool = False, rows: int | None = None) -> st.SearchStrategy[Any]:
    """``everything``: all that may be left out is there, else nothing of it, so that rows have the same fields.

    ``rows`` is the length of lists that may have any.
    """
    kind = schema.get("type")
    if "oneOf" in schema:
        return st.one_of([values_of(each, everything=everything, rows=rows) for each in schema["oneOf"]])
    if kind == "object":
        return _objects(schema, everything, rows)
    if kind == "array":
        return _arrays(schema, everything, rows)
    if kind is None:
        return st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3)
    return _scalars(schema)


def _objects(schema: dict[str, Any], everything: bool, rows: int | None) -> st.SearchStrategy[Any]:
    properties = {
        name: values_of(each, everything=everything, rows=rows) for name, each in schema.get("properties", {}).items()
    }
    required = set(schema.get("required", ()))
    if "additionalProperties" in schema:
        return st.dictionaries(
            st.text("abc", max_size=3), values_of(schema["additionalProperties"], rows=rows), max_size=2
        )
    return st.fixed_dictionaries({name: each for name, each in properties.items() if everything or name in required})


def _arrays(schema: dict[str, Any], everything: bool, rows: int | None) -> st.SearchStrategy[Any]:
    if "prefixItems" in schema:
        return st.tuples(*(values_of(each, everything=everything) for each in schema["prefixItems"])).map(list)
    items = schema["items"]
    if schema.get("uniqueItems"):
        # A selection from names; all of them, in their order, as the rows beside them have it.
        return st.just(list(items["enum"]))
    low = schema.get("minItems", 0)
    high = schema.get("maxItems", 3)
    if rows is not None and low <= rows <= high:
        low = high = rows
    return st.lists(values_of(items, everything=everything, rows=rows), min_size=low, max_size=high)


def _scalars(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    kind, form = schema["type"], schema.get("format", "")
    if kind == "boolean":
        return st.booleans()
    if kind == "integer":
        return st.integers(-_RANGES[form], _RANGES[form])
    if kind == "number":
        return st.floats(-_LARGE, _LARGE, width=_FLOATS[form])
    if form == "byte":
        return st.binary(max_size=6).map(lambda data: base64.b64encode(data).decode())
    if form == "date-time":
        # With fractions or without, but alike: the schema's own words, which JSON Schema has no way to say.
        return st.datetimes(min_value=_FIRST, max_value=_LAST).map(lambda moment: moment.isoformat(timespec="seconds"))
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
