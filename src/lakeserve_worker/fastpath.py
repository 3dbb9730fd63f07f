"""The common case, done directly: numbers in, for a signature of required columns of one numeric type.

MLflow's way from a body to the model's input is: parse (twice), infer a frame, cast each column, check each column, put the
columns together again. When every cell is a plain JSON number and every column has the same numeric type, all that ends in
one two-dimensional array, which is made here at once. The model is then called through MLflow as always, by a twin of the
loaded model whose metadata has no signature left to enforce.

Whatever is not plainly that case — another key, a missing or a strange value, an unusual index — is left to MLflow, which
also words every error. And only a frame that equals MLflow's own on a probe, down to its memory layout (which decides the
order in which a matrix product adds up), turns this path on at all.
"""

from __future__ import annotations

import copy
import importlib
import itertools
import json
import operator
import struct
from typing import Any, Callable, NamedTuple

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models.utils import _enforce_schema

from lakeserve_worker import process, sklearn_arrays, stock


def _optional(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


orjson = _optional("orjson")
IGNORED_KEYS = frozenset(("client_request_id", "usage_context", "databricks_options"))
SPLIT = "dataframe_split"
ROWS_OF_NAMES = ("dataframe_records", "inputs", "instances")
"""Formats in which a row is an object with the columns' names. MLflow casts them differently for some types."""

_loads: Callable[[bytes], Any] = json.loads if orjson is None else orjson.loads
_EXACT = float(2**53)
"""Below it every integer is a double, so a cast by way of double is the cast."""


class _Kind(NamedTuple):
    typecode: str
    dtype: Any
    limit: float | None
    """Cells must be smaller than this in size, or the cast would not be MLflow's."""


_KINDS = {
    "double": _Kind("d", np.dtype("float64"), None),
    "float": _Kind("d", np.dtype("float32"), _EXACT),
    "long": _Kind("q", np.dtype("int64"), None),
    "integer": _Kind("q", np.dtype("int32"), float(2**31)),
}


def build(model: Any) -> FastPath | None:
    """The fast path for this model, if there is one."""
    schema = model.metadata.get_input_schema()
    kind = _kind_of(schema)
    if kind is None or _asks_for_more(model.metadata):
        return None
    path = FastPath(model, schema.input_names(), kind)
    try:
        proven = path.prove(schema, model.metadata)
        if proven:
            path.try_arrays(model)
    # Private parts of MLflow and pandas are compared here: in whatever way they may have changed, the stock way remains.
    except Exception as error:  # noqa: BLE001
        process.log(f"no fast path: {type(error).__name__}: {error}")
        return None
    return path if proven else None


def _kind_of(schema: Any) -> _Kind | None:
    if schema is None or schema.is_tensor_spec() or not schema.has_input_names():
        return None
    names = [getattr(kind, "name", "") for kind in schema.input_types()]
    required = all(getattr(column, "required", True) for column in schema.inputs)
    if not required or len(set(names)) != 1 or len(set(schema.input_names())) != len(names):
        return None
    return _KINDS.get(names[0])


def _asks_for_more(metadata: Any) -> bool:
    """Whether MLflow does more with the input than to enforce the signature."""
    if hasattr(metadata, "get_params_schema") and metadata.get_params_schema() is not None:
        return True
    names = ("_is_signature_from_type_hint", "_is_type_hint_from_example")
    return any(getattr(metadata, name)() for name in names if hasattr(metadata, name))


class FastPath:
    def __init__(self, model: Any, names: list[str], kind: _Kind) -> None:
        self._names = names
        self._kind = kind
        self._cells_of: Callable[[Any], Any] = operator.itemgetter(*names) if len(names) > 1 else _single(names[0])
        # As MLflow makes it, so that its type is right in every version of pandas.
        self._columns = pd.DataFrame({name: pd.Series([0.0]) for name in names}).columns
        self._named_formats = frozenset(ROWS_OF_NAMES)
        self._twin = copy.copy(model)
        self._twin._model_meta = copy.copy(model.metadata)
        self._twin._model_meta.signature = None
        self._from_array: sklearn_arrays.ArrayPredict | None = None

    def frame(self, body: bytes) -> pd.DataFrame | None:
        """The model's input; None for a body that is MLflow's to read."""
        try:
            parsed = _loads(body)
            if type(parsed) is not dict:
                return None
            rows, index = self._rows(parsed)
            if rows is None:
                return None
            # Packing is strict: it takes no text for a number, and no fraction for an integer.
            layout = f"{len(rows) * len(self._names)}{self._kind.typecode}"
            cells = struct.pack(layout, *itertools.chain.from_iterable(rows))
        # Not JSON to this parser, a cell that is no number of this kind, a row that is no row: MLflow has the words for it.
        except (ValueError, TypeError, OverflowError, KeyError, RecursionError, struct.error):
            return None
        if _has_booleans(body, rows):
            return None
        return self._frame(np.frombuffer(cells, dtype=self._kind.typecode), len(rows), index)

    def predict(self, frame: pd.DataFrame) -> Any:
        if self._from_array is not None:
            try:
                return self._from_array(frame.to_numpy())
            # Whatever the model has against this input, the usual call says it in the usual words.
            except Exception:  # noqa: BLE001
                return self._twin.predict(frame)
        return self._twin.predict(frame)

    def _rows(self, parsed: dict[str, Any]) -> tuple[Any, Any]:
        """Lists of cells in the signature's order, and the index if one is given."""
        keys = parsed.keys() - IGNORED_KEYS
        if keys == {SPLIT}:
            return self._split(parsed[SPLIT])
        if len(keys) == 1 and keys <= self._named_formats:
            return self._records(parsed[keys.pop()]), None
        return None, None

    def _split(self, body: Any) -> tuple[Any, Any]:
        if type(body) is not dict or body.get("columns") != self._names:
            return None, None
        rows, index = body.get("data"), body.get("index")
        if type(rows) is not list or len(body) != (2 if index is None else 3) or not self._are_rows(rows):
            return None, None
        if index is not None and (set(map(type, index)) != {int} or index != list(range(len(rows)))):
            return None, None
        return rows, index

    def _records(self, records: Any) -> Any:
        if type(records) is not list or set(map(type, records)) != {dict}:
            return None
        return list(map(self._cells_of, records)) if set(map(len, records)) == {len(self._names)} else None

    def _are_rows(self, rows: list[Any]) -> bool:
        return set(map(type, rows)) == {list} and set(map(len, rows)) == {len(self._names)}

    def _frame(self, cells: Any, length: int, index: Any) -> pd.DataFrame | None:
        limit = self._kind.limit
        # A NaN compares to nothing, and is refused as well.
        if limit is not None and not (-limit < cells.min() and cells.max() < limit):
            return None
        block = np.empty((len(self._names), length), dtype=self._kind.dtype)
        block[...] = cells.reshape(length, len(self._names)).T
        return pd.DataFrame(
            block.T, columns=self._columns, index=None if index is None else pd.Index(index), copy=False
        )

    def prove(self, schema: Any, metadata: Any) -> bool:
        """Whether MLflow makes the same frame of the same bodies. Formats that it reads differently are left to it."""
        rows = [[row + column for column in range(len(self._names))] for row in range(3)]
        named = [dict(zip(self._names, row)) for row in rows]
        split = {"columns": self._names, "data": rows}
        self._named_formats = frozenset(key for key in ROWS_OF_NAMES if self._same({key: named}, schema, metadata))
        return all(self._same({SPLIT: body}, schema, metadata) for body in (split, {**split, "index": [0, 1, 2]}))

    def try_arrays(self, model: Any) -> None:
        """Hand the model arrays from now on, if that is the same to it.

        :raises Exception: see :func:`lakeserve_worker.sklearn_arrays.build`.
        """
        self._from_array = sklearn_arrays.build(model, self._names, self._frame_of_rows)

    def _frame_of_rows(self, rows: Any) -> pd.DataFrame:
        frame = self._frame(rows.astype(self._kind.typecode).ravel(), len(rows), None)
        assert frame is not None  # noqa: S101 - probes are small numbers
        return frame

    def _same(self, body: dict[str, Any], schema: Any, metadata: Any) -> bool:
        ours = self.frame(json.dumps(body).encode())
        try:
            theirs = _enforce_schema(stock.parse(body, metadata, schema)[0], schema)
        except MlflowException:
            return False
        return ours is not None and _anatomy(ours) == _anatomy(theirs) and ours.equals(theirs)


def _anatomy(frame: pd.DataFrame) -> tuple[Any, ...]:
    values = frame.to_numpy()
    axes = [(type(axis), axis.dtype, axis.name, list(axis)) for axis in (frame.index, frame.columns)]
    return list(frame.dtypes), axes, values.dtype, values.strides, values.flags.writeable


def _single(name: str) -> Callable[[Any], Any]:
    return lambda record: (record[name],)


def _has_booleans(body: bytes, rows: Any) -> bool:
    """They pass for numbers in an array. Almost always the text alone tells that there are none."""
    if b"true" not in body and b"false" not in body:
        return False
    return bool in set(map(type, itertools.chain.from_iterable(rows)))


def dump(predictions: Any) -> bytes:
    """The answer's JSON, of the same value as MLflow's.

    :raises Exception: the prediction cannot be serialised.
    """
    if orjson is not None and _is_plain(predictions):
        try:
            return bytes(orjson.dumps({"predictions": predictions.tolist()}))
        except TypeError:
            # Half a surrogate pair: the standard library escapes it.
            pass
    return stock.dump(predictions).encode()


def _is_plain(predictions: Any) -> bool:
    """An array of finite numbers or texts: what every JSON encoder writes alike."""
    if type(predictions) is not np.ndarray:
        return False
    kind = predictions.dtype.kind
    if kind == "f":
        return predictions.dtype.itemsize <= 8 and bool(np.isfinite(predictions).all())
    if kind == "O":
        return set(map(type, predictions.flat)) == {str}
    return kind in "iubU"
