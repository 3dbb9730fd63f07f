"""One zygote and one set of models for all worker tests of a session."""

from __future__ import annotations

import importlib
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

with warnings.catch_warnings():
    # MLflow warns about itself when it is imported.
    warnings.simplefilter("ignore")
    for name in ("mlflow.pyfunc", "mlflow.sklearn", "mlflow.pyfunc.scoring_server"):
        importlib.import_module(name)

import mlflow
from harness import RunningWorker, Zygote, make_spec, set_subreaper, zygote

from models import Models


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """Short enough for the names of Unix sockets."""
    path = Path(tempfile.mkdtemp(prefix="lsw"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.setenv("MLFLOW_UV_AUTO_DETECT", "false")
        # What a worker does: type-hinted models convert their input only there.
        patch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")
        # Agents loaded in this process would otherwise be traced into a database in the working folder, which is also what
        # enabling it again would make: it stays off.
        mlflow.tracing.disable()
        yield Models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def subreaper() -> Iterator[None]:
    set_subreaper(True)
    yield
    set_subreaper(False)


@pytest.fixture(scope="session")
def shared_zygote(folder: Path, subreaper: None) -> Iterator[Zygote]:
    with zygote(folder) as started:
        yield started


def _forks(zygote: Zygote, models: Models, folder: Path) -> Iterator[Callable[..., RunningWorker]]:
    started: list[RunningWorker] = []

    def start(model: str, **fields: Any) -> RunningWorker:
        started.append(zygote.fork(make_spec(folder, models.path(model), **fields)))
        return started[-1]

    yield start
    for worker in started:
        worker.kill()


@pytest.fixture
def fork(shared_zygote: Zygote, models: Models, folder: Path) -> Iterator[Callable[..., RunningWorker]]:
    """Starts workers of a model by its name; they end with the test."""
    yield from _forks(shared_zygote, models, folder)


@pytest.fixture(scope="module")
def module_fork(shared_zygote: Zygote, models: Models, folder: Path) -> Iterator[Callable[..., RunningWorker]]:
    """The same, for a module's tests together."""
    yield from _forks(shared_zygote, models, folder)
