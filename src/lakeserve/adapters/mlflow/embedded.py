"""MLflow's own server in its lean form: its app in this process, without the workers and job runners of ``mlflow server``.

It is set up through variables, some of them private to MLflow (they carry settings from its command line to its workers), so a test
holds for each supported version that they still work. They must be set before MLflow is imported.
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import Any


def database_uri(data_dir: Path) -> str:
    return f"sqlite:///{data_dir / 'registry' / 'mlflow.db'}"


def artifacts_folder(data_dir: Path) -> Path:
    return data_dir / "registry" / "artifacts"


def variables(data_dir: Path) -> dict[str, str]:
    return {
        "_MLFLOW_SERVER_FILE_STORE": database_uri(data_dir),
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(artifacts_folder(data_dir)),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        # These two tell MLflow that it is a server, which must never run code that comes with a scorer.
        "_MLFLOW_SERVER_BOOT_ID": secrets.token_hex(16),
        "_MLFLOW_IN_JOB_EXECUTOR": "false",
    }


def mlflow_app(data_dir: Path) -> Any:
    """The ASGI app, with its database created or brought up to this version of MLflow.

    Its lifespan is not wanted: it runs ``docker`` to clean up after an assistant that we do not offer.
    """
    import mlflow  # noqa: PLC0415 - the variables have to be set before
    from mlflow import db  # noqa: PLC0415

    artifacts_folder(data_dir).mkdir(parents=True, exist_ok=True)
    uri = database_uri(data_dir)
    db.upgrade.callback(uri)
    try:
        from mlflow.server import fastapi_app, handlers  # noqa: PLC0415
    except ImportError as error:
        sys.exit(
            f"MLflow {mlflow.__version__} has no server app that can be embedded ({error}). Install a newer MLflow, or use a "
            "registry of its own with --registry."
        )
    handlers.initialize_backend_stores(uri, uri, "mlflow-artifacts:/")
    return fastapi_app.app
