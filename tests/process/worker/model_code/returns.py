"""Returns whatever is asked for by name: one of every kind of prediction that there is."""

import collections
import datetime
import decimal

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED
from mlflow.pyfunc import PythonModel


def circular():
    value = []
    value.append(value)
    return value


PREDICTIONS = {
    "frame": lambda: pd.DataFrame({"a": [1, 2], "b": ["x", None]}),
    "series": lambda: pd.Series([1.5, float("nan")], name="y"),
    "unnamed_series": lambda: pd.Series([1, 2]),
    "array": lambda: np.array([[1, 2], [3, 4]]),
    "float32": lambda: np.array([0.1, 1e30], dtype=np.float32),
    "nan": lambda: np.array([float("nan"), float("inf"), -float("inf"), 1.0]),
    "bool_array": lambda: np.array([True, False]),
    "text_array": lambda: np.array(["grün", 'x"y']),
    "object_array": lambda: np.array(["a", 1, None, 2.5], dtype=object),
    "uint64": lambda: np.array([2**64 - 1], dtype=np.uint64),
    "scalar_array": lambda: np.array(7),
    "empty_array": lambda: np.array([]),
    "datetimes": lambda: np.array(["2024-01-02T03:04:05"], dtype="datetime64[s]"),
    "nanoseconds": lambda: np.array(["2024-01-02T03:04:05"], dtype="datetime64[ns]"),
    "bytes": lambda: b"\x00\xffabc",
    "bytes_array": lambda: np.array([b"ab", b"c" * 100], dtype=object),
    "timestamp": lambda: pd.Timestamp("2024-01-02 03:04:05.000006007"),
    "date": lambda: datetime.date(2024, 1, 2),
    "none": lambda: None,
    "list": lambda: [1, 2.5, "x", None, True, {"k": [1]}],
    "tuple": lambda: (1, 2),
    "numpy_scalar": lambda: np.float64(0.1),
    "ordered": lambda: collections.OrderedDict([("b", 1), ("a", 2)]),
    "text": lambda: "zażółć",
    "set": lambda: {1, 2},
    "decimal": lambda: decimal.Decimal("1.5"),
    "complex": lambda: 1j,
    "missing": lambda: [pd.NA],
    "tuple_keys": lambda: {(1, 2): 3},
    "timedelta": lambda: datetime.timedelta(1),
    "generator": lambda: (number for number in [1]),
    "circular": circular,
}


def raise_(error):
    raise error


ERRORS = {
    "value_error": lambda: raise_(ValueError("no such colour: mauve")),
    "key_error": lambda: raise_(KeyError("colour")),
    "empty_error": lambda: raise_(RuntimeError()),
    "long_error": lambda: raise_(ValueError("x" * 10000)),
    "recursion": lambda: forever(0),
    "mlflow_error": lambda: raise_(MlflowException("not for you", PERMISSION_DENIED)),
}


def forever(depth):
    return forever(depth + 1) + 1


class Returns(PythonModel):
    def predict(self, context, model_input, params=None):
        return {**PREDICTIONS, **ERRORS}[str(model_input)]()


set_model(Returns())
