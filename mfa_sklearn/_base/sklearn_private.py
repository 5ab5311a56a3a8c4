"""The names of scikit-learn that are not public and that this package uses all the same: all of them, and only here.

They may change with any minor version, which is why ``setup.cfg`` bounds scikit-learn from above. What to check before
the bound is raised: that this module imports, and that the tests of conformity pass.

* `_fit_context`, `HasMethods`, `Interval`, `StrOptions`: the table of parameters that an estimator validates.
* `BaseSearchCV`: the manners of a search, and how its results are laid out.
* `_check_n_features`: the width of rows that are no array, such as those of an activation store.
* `_check_sample_weight`: weights as all estimators take them.
* `_safe_indexing`: rows of whatever container.
* `_get_output_config`, `ADAPTERS_MANAGER`: whether frames are asked for, and frames where no `transform` gives them.
* `_validate_params` and `_init_callback_context` of an estimator, `_format_results` of a search: methods, called by the
  functions below; and `_skl_callbacks`, whether an estimator has callbacks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import _fit_context as fit_context
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils._set_output import ADAPTERS_MANAGER
from sklearn.utils._set_output import _get_output_config as output_config
from sklearn.utils.validation import _check_n_features as check_n_features
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

__all__ = [
    "BaseSearchCV",
    "HasMethods",
    "Interval",
    "StrOptions",
    "as_output",
    "callback_context",
    "check_n_features",
    "check_sample_weight",
    "fit_context",
    "format_results",
    "gives_frames",
    "safe_indexing",
    "validate_params",
]


def validate_params(estimator: Any) -> None:
    """Check an estimator's parameters against its table, as its `fit` does."""
    estimator._validate_params()


def as_output(estimator: Any, rows: np.ndarray, X: Any) -> Any:
    """Rows (n, D) with the features of `X`, in the container that an estimator's `set_output` asks for."""
    kind = output_config("transform", estimator)["dense"]
    if kind == "default":
        return rows
    names = getattr(estimator, "feature_names_in_", [f"x{d}" for d in range(rows.shape[1])])
    return ADAPTERS_MANAGER.adapters[kind].create_container(rows, X, columns=names)


def format_results(search: Any, *results: Any) -> dict[str, Any]:
    """Results of candidates on splits, as ``cv_results_`` has them."""
    return search._format_results(*results)


def gives_frames(estimator: Any) -> bool:
    """Whether `set_output`, or the global configuration, asks for frames from `transform`."""
    return output_config("transform", estimator)["dense"] != "default"


def callback_context(estimator: Any, max_subtasks: int | None) -> Any:
    """The task of an estimator's fit, for its callbacks; None if it has none."""
    if not hasattr(estimator, "_skl_callbacks"):
        return None
    return estimator._init_callback_context(max_subtasks=max_subtasks)
