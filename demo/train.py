"""Train a small classifier and register it: plain MLflow, nothing of lakeserve.

Needs MLFLOW_TRACKING_URI (the server's URL) and MLFLOW_TRACKING_TOKEN.
"""

import mlflow
from mlflow.models import infer_signature
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

data = load_wine(as_frame=True)
model = make_pipeline(StandardScaler(), LogisticRegression()).fit(data.data, data.target)

mlflow.set_experiment("wine")
with mlflow.start_run():
    mlflow.log_metric("training_accuracy", model.score(data.data, data.target))
    logged = mlflow.sklearn.log_model(
        model,
        name="model",
        registered_model_name="main.default.wine",
        signature=infer_signature(data.data, model.predict(data.data)),
        input_example=data.data.head(2),
    )
print(f"registered main.default.wine version {logged.registered_model_version}")
