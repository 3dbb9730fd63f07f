# The whole vocabulary: init, check, test, demo, bench, soak. CI calls the same words (.ci/run).

# A shell that exports this makes every import of mlflow cost seconds: bytecode is wanted here.
unexport PYTHONDONTWRITEBYTECODE
# Nothing of the caller's virtual environment or PYTHONPATH may leak into ours.
unexport VIRTUAL_ENV
unexport PYTHONPATH

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.initialised

.PHONY: init check test demo bench soak

init: $(STAMP)

$(STAMP): pyproject.toml uv.lock
	test -x $(BIN)/uv || { $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet --disable-pip-version-check uv; }
	$(BIN)/uv sync --frozen --extra all --group dev --quiet
	touch $(STAMP)

check: init
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: init
	$(BIN)/pytest -m "not slow"

demo: init
	$(BIN)/python demo/run.py

bench: init
	$(BIN)/python -m bench

soak: init
	$(BIN)/pytest -m slow --timeout 3600
