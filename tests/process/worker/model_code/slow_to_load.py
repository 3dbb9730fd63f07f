"""Loads for as long as a file exists."""

import os
import time

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class SlowToLoad(PythonModel):
    def load_context(self, context):
        while os.path.exists(os.environ["MODEL_GATE"]):
            time.sleep(0.01)

    def predict(self, context, model_input, params=None):
        return "loaded"


set_model(SlowToLoad())
