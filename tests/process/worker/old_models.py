"""Run by the interpreter of an old environment: saves models there, and tells that MLflow's own answers to some bodies.

Keeps to Python 3.8.
"""

import io
import json
import sys
import warnings

warnings.simplefilter("ignore")

import mlflow  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402
from mlflow.models import ModelSignature  # noqa: E402
from mlflow.types import ColSpec, Schema  # noqa: E402
from mlflow.utils import proto_json_utils as codec  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402

REQUIREMENTS = ["mlflow"]
FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")


class Echo(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        if isinstance(model_input, pd.DataFrame):
            return {
                str(name): [str(model_input[name].dtype), list(map(repr, model_input[name]))] for name in model_input
            }
        return repr(model_input)


class Raises(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        raise ValueError("no such colour")


def save(folder):
    inputs = pd.DataFrame(np.random.RandomState(7).normal(size=(150, 2)), columns=["a", "b"])
    classes = (inputs.sum(axis=1) > 0).astype(int)
    doubles = ModelSignature(Schema([ColSpec("double", "a"), ColSpec("double", "b")]))
    mixed = ModelSignature(Schema([ColSpec("long", "n"), ColSpec("string", "s")]))
    sklearn = __import__("mlflow.sklearn", fromlist=["save_model"])
    sklearn.save_model(
        LogisticRegression().fit(inputs, classes),
        folder + "/logistic",
        signature=doubles,
        pip_requirements=REQUIREMENTS,
    )
    for name, signature, model in (
        ("doubles", doubles, Echo()),
        ("mixed", mixed, Echo()),
        ("none", None, Echo()),
        ("raises", doubles, Raises()),
    ):
        mlflow.pyfunc.save_model(
            folder + "/" + name, python_model=model, signature=signature, pip_requirements=REQUIREMENTS
        )


def answer(model, body):
    """Status and value, by the steps that every version of MLflow has."""
    schema = model.metadata.get_input_schema()
    try:
        [key] = [key for key in body if key in FORMATS]
        if key in ("instances", "inputs"):
            data = codec.parse_tf_serving_input({key: body[key]}, schema=schema)
        else:
            data = codec.dataframe_from_parsed_json(body[key], pandas_orient=key[10:], schema=schema)
        value = codec._get_jsonable_obj(model.predict(data), pandas_orient="records")
    except MlflowException as error:
        return error.get_http_status_code(), {"error_code": error.error_code}
    out = io.StringIO()
    json.dump({"predictions": value}, out, cls=codec.NumpyEncoder)
    return 200, json.loads(out.getvalue())


def main():
    folder, cases = sys.argv[1], json.loads(sys.stdin.read())
    save(folder)
    answers = [answer(mlflow.pyfunc.load_model(folder + "/" + name), body) for name, body in cases]
    sys.stdout.write("\n" + json.dumps(answers))


main()
