"""The benchmark as it is run, on one tiny case: a table, a file of results, plots, and nothing left running."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_one_tiny_case(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    argv = [sys.executable, "-m", "bench", "--case", "iris-1x1", "--rounds", "1", "--seconds", "0.3"]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [*argv, "--out", str(tmp_path)],
        cwd=ROOT,
        env={**env, "TMPDIR": "/tmp"},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    assert "iris, 1 row, 1 connection" in done.stdout
    assert "Errors: 0." in done.stdout
    results = json.loads((tmp_path / "results.json").read_text())
    (case,) = results["cases"]
    assert [side["peer"] for side in case["sides"]] == ["lakeserve", "mlflow models serve"]
    assert all(sample["requests"] > 0 for side in case["sides"] for sample in side["samples"])
    assert {"gateway", "worker"} <= set(case["sides"][0]["samples"][0]["cpu_ms"])
    assert (tmp_path / "ratios.png").exists()
    assert (tmp_path / "latency.png").exists()


def test_an_unknown_case_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--case", "nonsense"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "no case nonsense" in done.stderr
