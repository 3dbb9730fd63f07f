"""The controller must start without mlflow: its import costs two seconds and a hundred megabytes."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["lakeserve.adapters.mlflow.client", "lakeserve.bootstrap.controller"])
def test_does_not_import_mlflow(module: str) -> None:
    code = f"import sys, {module}; sys.exit('mlflow was imported' if 'mlflow' in sys.modules else 0)"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
