"""A model that needs nothing but MLflow's own loading, written as files: no MLflow in the test's process."""

from __future__ import annotations

from pathlib import Path

_MLMODEL = """\
flavors:
  python_function:
    code: code
    loader_module: {module}
    env: {{}}
"""
_CODE = '''\
import os, time

HELD = []


class Model:
    """Does what the request asks for: a word and a number."""

    def predict(self, data):
        what, number = str(data["what"].iloc[0]), float(data["number"].iloc[0])
        if what == "sleep":
            print("sleeping in", os.getpid())
            time.sleep(number)
        elif what == "grow":
            HELD.append(b"x" * int(number * 1024 * 1024))
        elif what == "exit":
            os._exit(int(number))
        return [os.getpid(), os.environ.get("X_TEST", "")]


def _load_pyfunc(path):
    {loading}
    return Model()
'''


def write_model(folder: Path, loading: str = "pass") -> Path:
    """``loading`` is a line of Python that runs when the model is loaded."""
    module = f"plain_{folder.name}"
    (folder / "code").mkdir(parents=True)
    (folder / "MLmodel").write_text(_MLMODEL.format(module=module))
    (folder / "code" / f"{module}.py").write_text(_CODE.replace("{loading}", loading))
    return folder
