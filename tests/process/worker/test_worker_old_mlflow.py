"""The worker in environments of other times: it needs only what every MLflow since 2.0 has, and Python 3.8."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from harness import Zygote, environment, exec_worker, make_spec, zygote

CACHE = Path(__file__).resolve().parents[3] / ".cache" / "worker-tests"
SCRIPT = Path(__file__).with_name("old_models.py")
UV = str(Path(sys.executable).with_name("uv"))

ENVIRONMENTS = {
    "2.22": (sys.executable, ["mlflow==2.22.*", "scikit-learn"]),
    "2.14-skinny": ("3.8", ["mlflow-skinny==2.14.3", "pandas", "scikit-learn", "setuptools<70"]),
    "2.0": ("3.8", ["mlflow==2.0.1", "scikit-learn", "setuptools<70"]),
}

CASES: list[tuple[str, Any]] = [
    ("logistic", {"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2.5], [-3, -4]]}}),
    ("logistic", {"dataframe_records": [{"a": 1.5, "b": 2}]}),
    ("doubles", {"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2.5]], "index": [0]}}),
    ("doubles", {"dataframe_split": {"columns": ["b", "a"], "data": [[1, 2.5]]}}),
    ("doubles", {"dataframe_split": {"columns": ["a"], "data": [[1]]}}),
    ("doubles", {"dataframe_split": {"columns": ["a", "b"], "data": [["x", 1]]}}),
    ("doubles", {"dataframe_split": {"colour": 1}}),
    ("doubles", {"inputs": {"a": [1.0], "b": [2.0]}}),
    ("doubles", {"instances": [{"a": 1.0, "b": 2.0}]}),
    ("mixed", {"dataframe_records": [{"n": 1, "s": "x"}, {"n": "7", "s": "y"}]}),
    ("mixed", {"dataframe_records": [{"n": None, "s": "x"}]}),
    ("none", {"inputs": [1, 2]}),
    ("none", {"dataframe_split": {"columns": ["x"], "data": [[1], [2]]}}),
]


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def python(request: pytest.FixtureRequest) -> str:
    """The interpreter of an environment, made once for this checkout."""
    interpreter, requirements = ENVIRONMENTS[request.param]
    place = CACHE / request.param
    if not (place / "ready").exists():
        shutil.rmtree(place, ignore_errors=True)
        found = subprocess.run([UV, "python", "find", "--no-project", interpreter], check=False, capture_output=True)
        if found.returncode:
            pytest.skip(f"no Python {interpreter} here")
        subprocess.run([UV, "venv", "-q", str(place), "--python", found.stdout.decode().strip()], check=True)
        command = [UV, "pip", "install", "-q", "--python", str(place / "bin" / "python"), *requirements]
        subprocess.run(command, check=True)
        (place / "ready").touch()
    return str(place / "bin" / "python")


@pytest.fixture(scope="module")
def answers(python: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """Models saved in that environment, and what its MLflow answers."""
    folder = tmp_path_factory.mktemp("old")
    command = [python, "-s", str(SCRIPT), str(folder)]
    done = subprocess.run(
        command, input=json.dumps(CASES).encode(), check=True, capture_output=True, env=environment(), cwd=folder
    )
    return folder, json.loads(done.stdout.rpartition(b"\n")[2])


@pytest.fixture(scope="module")
def old_zygote(python: str, folder: Path, subreaper: None) -> Any:
    place = folder / Path(python).parents[1].name
    place.mkdir()
    with zygote(place, python=python) as started:
        yield started


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_old_environment_answers_as_its_own_mlflow_does(answers: Any, old_zygote: Zygote, folder: Path) -> None:
    place, expected = answers
    assert old_zygote.tell(b'{"info": true}')["fork_safe"] is True, old_zygote.log.read_text()
    for name in sorted({name for name, _ in CASES}):
        worker = old_zygote.fork(make_spec(folder, place / name))
        with worker.ready_peer() as peer:
            for (model, body), (status, value) in zip(CASES, expected, strict=True):
                if model != name:
                    continue
                answer = peer.ask(body)
                assert answer.status == status, (body, answer, worker.log)
                if status == 200:
                    assert answer.json == value
                else:
                    assert answer.json["error_code"] == value["error_code"]
            assert peer.ask(b"[1, 2]").status == 400
            assert peer.ask(b'{"inputs": "\xff"}').status == 400
            assert peer.ask(b"x", "text/plain").status == 415
            assert peer.ask(b"[1]", "application/json; charset=latin-1").status == 415
        worker.kill()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_old_environment_has_our_manners(answers: Any, old_zygote: Zygote, folder: Path) -> None:
    place, _ = answers
    worker = old_zygote.fork(make_spec(folder, place / "raises"))
    answer = worker.ask({"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2]]}})
    assert answer.status == 400
    assert set(answer.json) == {"error_code", "message"}
    assert "Error 'no such colour'" in answer.json["message"]
    assert "Traceback" in worker.log
    none = old_zygote.fork(make_spec(folder, place / "none"))
    assert none.ask({"inputs": [1], "stream": True}).status == 400
    assert none.ask(b"a,b\n1,2\n", "text/csv").status == 200
    chat = none.ask({"messages": [{"role": "user", "content": "hi"}], "client_request_id": "x"})
    assert chat.status == 200
    assert "client_request_id" not in json.dumps(chat.json)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_old_environment_starts_without_a_zygote(answers: Any, python: str, folder: Path) -> None:
    with exec_worker(make_spec(folder, answers[0] / "doubles"), python=python) as worker:
        answer = worker.ask({"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2.5]]}})
        assert answer.json == {"predictions": {"a": ["float64", ["1.0"]], "b": ["float64", ["2.5"]]}}
        assert os.path.exists(worker.spec["socket"])
