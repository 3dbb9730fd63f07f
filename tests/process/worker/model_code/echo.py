"""Tells what it was given: types, dtypes and values as predict sees them."""

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Echo(PythonModel):
    def predict(self, context, model_input, params=None):
        return {"input": describe(model_input), "params": describe(params)}


def describe(value):
    if isinstance(value, pd.DataFrame):
        columns = {str(name): [str(value[name].dtype), [repr(cell) for cell in value[name]]] for name in value.columns}
        return {"frame": columns, "index": repr(value.index), "names": repr(value.columns)}
    if isinstance(value, np.ndarray):
        return {"array": repr(value), "dtype": str(value.dtype)}
    if isinstance(value, dict):
        return {str(key): describe(item) for key, item in value.items()}
    if isinstance(value, list):
        return [describe(item) for item in value]
    return f"{type(value).__name__} {value!r}"


set_model(Echo())
