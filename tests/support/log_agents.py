"""``python -m support.log_agents``: registers models that are asked in the shapes of OpenAI, one of each of MLflow's kinds."""

from __future__ import annotations

import mlflow

from support.log_served_models import PINNED, SERVED


def main() -> None:
    mlflow.set_experiment("agents")
    for name in ("chat_model", "chat_agent", "chat_parts", "responses_agent", "texts"):
        mlflow.pyfunc.log_model(
            name="model",
            python_model=str(SERVED / f"{name}.py"),
            registered_model_name=f"main.default.{name}",
            pip_requirements=PINNED,
        )


if __name__ == "__main__":
    main()
