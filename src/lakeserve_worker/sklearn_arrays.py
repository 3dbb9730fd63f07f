"""scikit-learn's own estimators on the array itself instead of a frame around it.

Given a frame, an estimator spends most of a one-row prediction on looking at it: names, types, conversions. Given the array
that it would find inside, it computes the same. Whether that may be done is decided once, when the model is loaded, and
narrowly: every estimator is scikit-learn's own and uses its columns by position; the names it was fitted with are the
signature's, in order; and on probes of several sizes both ways give the same, to the last bit and the type.

An estimator that knows names would warn about their absence, so the array goes to a twin: a shallow copy, which shares all
that was learned, without the names.
"""

from __future__ import annotations

import copy
import importlib
from typing import Any, Callable

import numpy as np
import pandas as pd

ArrayPredict = Callable[[Any], Any]
"""From an array of rows to predictions."""

_METHODS = ("predict", "predict_proba", "predict_log_proba")
_BY_NAME = ("ColumnTransformer", "FunctionTransformer", "FeatureUnion", "TransformedTargetRegressor")
"""scikit-learn's own, but they can address columns by name or call foreign code."""

_PROBE_ROWS = (1, 2, 7, 100)


def build(model: Any, names: list[str], frame_of: Callable[[Any], pd.DataFrame]) -> ArrayPredict | None:
    """How to predict from an array, if this model allows it.

    ``frame_of`` makes the frame that the model would otherwise get, from an array of rows.

    :raises Exception: whatever a private part of MLflow or scikit-learn that has changed may raise.
    """
    wrapper: Any = getattr(model, "_model_impl", None)
    if type(wrapper).__module__ != "mlflow.sklearn" or type(wrapper).__name__ != "_SklearnModelWrapper":
        return None
    method = getattr(getattr(model, "_predict_fn", wrapper.predict), "__name__", "")
    estimator = wrapper.sklearn_model
    if method not in _METHODS or not _is_plain(estimator, names):
        return None
    ours, theirs = getattr(_nameless(estimator), method), getattr(estimator, method)
    return ours if all(_agree(ours, theirs, frame_of, rows, len(names)) for rows in _PROBE_ROWS) else None


def _is_plain(estimator: Any, names: list[str]) -> bool:
    """Whether it, and every step of a pipeline, takes its columns by position."""
    fitted_with = getattr(estimator, "feature_names_in_", None)
    if fitted_with is not None and list(fitted_with) != names:
        return False
    sklearn = importlib.import_module("sklearn")
    return sklearn.get_config().get("transform_output", "default") == "default" and _is_own(estimator)


def _is_own(estimator: Any) -> bool:
    kind = type(estimator)
    if estimator in ("passthrough", None):
        return True
    if not kind.__module__.startswith("sklearn.") or kind.__name__ in _BY_NAME:
        return False
    if "_sklearn_output_config" in vars(estimator):
        return False
    if kind.__name__ == "Pipeline":
        return estimator.memory is None and all(_is_own(step) for _, step in estimator.steps)
    # An estimator inside another may have been fitted with names of its own, or be somebody else's.
    return not any(hasattr(value, "get_params") for value in estimator.get_params(deep=True).values())


def _nameless(estimator: Any) -> Any:
    if isinstance(estimator, str) or estimator is None:
        return estimator
    twin = copy.copy(estimator)
    vars(twin).pop("feature_names_in_", None)
    if type(twin).__name__ == "Pipeline":
        twin.steps = [(name, _nameless(step)) for name, step in estimator.steps]
    return twin


def _agree(ours: ArrayPredict, theirs: Any, frame_of: Callable[[Any], pd.DataFrame], rows: int, columns: int) -> bool:
    cells = np.random.default_rng(rows).normal(scale=10.0, size=(rows, columns))
    frame = frame_of(cells)
    array = frame.to_numpy()
    first, second = ours(array), theirs(frame)
    return (
        type(first) is type(second) is np.ndarray
        and first.dtype == second.dtype
        and array.strides == np.asarray(frame).strides
        and bool(np.array_equal(first, second, equal_nan=first.dtype.kind == "f"))
    )
