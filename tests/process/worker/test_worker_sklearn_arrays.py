"""Which scikit-learn models are given arrays, and that it makes no difference to their answers."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from lakeserve_worker import sklearn_arrays

NAMES = ["a", "b", "c"]
RANDOM = np.random.default_rng(7)
INPUTS = pd.DataFrame(RANDOM.normal(size=(60, 3)), columns=NAMES)
CLASSES = (INPUTS["a"] + INPUTS["b"] > 0).to_numpy().astype(int)


class Shouting(LogisticRegression):
    """Somebody's own, which may look at names."""


def loaded(estimator: Any, method: str = "predict") -> Any:
    """As MLflow loads it, reduced to what decides."""
    from mlflow.sklearn import _SklearnModelWrapper

    wrapper = _SklearnModelWrapper(estimator)
    return SimpleNamespace(_model_impl=wrapper, _predict_fn=getattr(wrapper, method))


def frame_of(rows: Any) -> pd.DataFrame:
    block = np.empty((len(NAMES), len(rows)))
    block[...] = rows.T
    return pd.DataFrame(block.T, columns=NAMES, copy=False)


def build(estimator: Any, method: str = "predict") -> Any:
    return sklearn_arrays.build(loaded(estimator, method), NAMES, frame_of)


OWN = {
    "logistic": LogisticRegression(),
    "pipeline": make_pipeline(StandardScaler(), LogisticRegression()),
    "passthrough": make_pipeline("passthrough", LinearRegression()),
    "forest": RandomForestClassifier(5, random_state=0),
    "boosting": GradientBoostingRegressor(n_estimators=5, random_state=0),
    "svc": SVC(),
    "neighbours": KNeighborsClassifier(3),
}

OTHERS = {
    "columns by name": make_pipeline(ColumnTransformer([("n", StandardScaler(), ["a"])]), LogisticRegression()),
    "foreign code": make_pipeline(FunctionTransformer(), LogisticRegression()),
    "frames between steps": make_pipeline(StandardScaler(), LogisticRegression()).set_output(transform="pandas"),
    "one inside another": VotingClassifier([("one", LogisticRegression())]),
    "a search": GridSearchCV(LogisticRegression(), {"C": [1.0]}, cv=2),
    "somebody's own": Shouting(),
}


@pytest.mark.parametrize("name", OWN)
def test_scikit_learns_own_take_arrays_without_a_difference(name: str) -> None:
    estimator = OWN[name].fit(INPUTS, CLASSES)
    predict = build(estimator)
    assert predict is not None
    for count in (1, 3, 50):
        frame = frame_of(RANDOM.normal(size=(count, 3)))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            np.testing.assert_array_equal(predict(frame.to_numpy()), estimator.predict(frame))


def test_the_method_that_was_logged_is_the_one_that_is_called() -> None:
    estimator = LogisticRegression().fit(INPUTS, CLASSES)
    predict = build(estimator, "predict_proba")
    frame = frame_of(RANDOM.normal(size=(4, 3)))
    np.testing.assert_array_equal(predict(frame.to_numpy()), estimator.predict_proba(frame))


@pytest.mark.parametrize("name", OTHERS)
def test_what_may_look_at_names_keeps_its_frame(name: str) -> None:
    assert build(OTHERS[name].fit(INPUTS, CLASSES)) is None


def test_other_names_or_another_order_keep_the_frame() -> None:
    assert build(LogisticRegression().fit(INPUTS[["b", "a", "c"]], CLASSES)) is None


def test_a_model_fitted_without_names_takes_arrays() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, about names that come unexpected
        assert build(LogisticRegression().fit(INPUTS.to_numpy(), CLASSES)) is not None


def test_the_loaded_model_keeps_its_names() -> None:
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(INPUTS, CLASSES)
    build(estimator)
    assert list(estimator.feature_names_in_) == NAMES


def test_a_model_of_another_flavour_has_no_such_way() -> None:
    assert sklearn_arrays.build(SimpleNamespace(_model_impl=object()), NAMES, frame_of) is None
