"""A model whose signature comes from its type hints."""

import pydantic
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Order(pydantic.BaseModel):
    name: str
    count: int = 1


class Typed(PythonModel):
    def predict(self, model_input: list[Order], params=None) -> list[str]:
        return [f"{order.count} x {order.name}" for order in model_input]


set_model(Typed())
