"""What a saved mixture may say of itself: types and ranges, and that its parts are of one mixture.

Checked before a mixture is written and after it is read, so that what can be written can be read. A new learned
attribute gets a line in the table below.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from ..._base.words import shortened
from .._fit.loop import KINDS
from .._model.params import check_params
from .._validation import factor_counts

ARRAYS = ("weights", "means", "loadings", "noise_variance")
LEARNED = re.compile(r"[a-z][a-z0-9_]*[a-z0-9]_")
_NEEDED = (*(f"{name}_" for name in ARRAYS), "n_components_", "n_factors_", "n_features_in_")


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -math.inf < value < math.inf


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_number, value))


def _are_names(value: Any) -> bool:
    known = isinstance(value, list | np.ndarray) and all(isinstance(name, str) for name in value)
    return known and len(set(value)) == len(value)


def _is_history(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) - {"held_out"} != {"temperature", "step"}:
        return False
    steps, numbers = value["step"], [entries for name, entries in value.items() if name != "step"]
    known = isinstance(steps, list) and all(step in KINDS for step in steps)
    return known and all(_are_numbers(entries) and len(entries) == len(steps) for entries in numbers)


def _are_tokens(value: Any) -> bool:
    known = isinstance(value, dict) and all(isinstance(tokens, list) for tokens in value.values())
    return known and all(str(k).isdecimal() and all(isinstance(t, str) for t in value[k]) for k in value)


_OTHERS: dict[str, tuple[Callable[[Any], bool], str]] = {
    **{name: (_is_count, "a whole number") for name in ("n_components_", "n_factors_", "n_features_in_")},
    "feature_names_in_": (_are_names, "different names"),
    "lower_bound_": (_is_number, "a number"),
    "lower_bounds_": (_are_numbers, "a list of numbers"),
    "history_": (
        _is_history,
        "an object of lists of one length: of numbers temperature and perhaps held_out, of words step",
    ),
    "noise_prior_": (lambda value: _is_number(value) and value >= 0, "a number that is not negative"),
    "log_prior_": (_is_number, "a number"),
    "n_iter_": (_is_count, "a whole number"),
    "converged_": (lambda value: isinstance(value, bool), "true or false"),
    "n_reseeded_": (_is_count, "a whole number"),
    "heywood_": (lambda value: isinstance(value, np.ndarray) and value.dtype == bool, "an array of truth values"),
    "n_samples_seen_": (_is_count, "a whole number"),
    "component_tokens_": (lambda value: value is None or _are_tokens(value), "lists of strings by component, or null"),
    "source_": (lambda value: value is None or isinstance(value, dict), "an object or null"),
}
# Constructor parameters by the names that they had when earlier mixtures were saved.
_RENAMED = {"loadings": "loading_type"}


def current_params(saved: dict[str, Any]) -> dict[str, Any]:
    """Constructor parameters by the names they have now.

    Examples
    --------
    >>> from mfa_sklearn.mixture._saving.values import current_params
    >>> current_params({"loadings": "common", "tol": 0.1})
    {'loading_type': 'common', 'tol': 0.1}
    """
    names = {name: _RENAMED.get(name, name) for name in saved}
    return {name if names[name] in saved else names[name]: value for name, value in saved.items()}


def is_known(name: str) -> bool:
    """Whether it is the name of a learned attribute of a mixture."""
    return name in _OTHERS or name in (f"{array}_" for array in ARRAYS)


def check_learned(learned: dict[str, Any]) -> None:
    """Refuse learned attributes that no mixture has, or that contradict its arrays.

    Parameters
    ----------
    learned : dict
        Values by names that end in an underscore.

    Raises
    ------
    ValueError
        With the name, the value, and what it must be.
    TypeError
        If an array is none of numbers.
    """
    for name, value in learned.items():
        if not is_known(name):
            raise ValueError(f"{name!r} is not the name of a learned attribute")
        fits, what = _OTHERS.get(name, (lambda _: True, ""))
        if not fits(value):
            raise ValueError(f"{name}={shortened(value)} must be {what}")
    check_params(*(learned.get(f"{name}_") for name in ARRAYS))
    missing = [name for name in _NEEDED if name not in learned]
    if missing:
        raise ValueError(f"it has no {', '.join(missing)}")
    n_components, n_features, n_factors = learned["loadings_"].shape
    sizes = {"n_components_": n_components, "n_factors_": n_factors, "n_features_in_": n_features}
    for name, size in sizes.items():
        if learned[name] != size:
            raise ValueError(f"{name}={learned[name]}, but the arrays are of {size}")
    if len(learned.get("feature_names_in_", range(n_features))) != n_features:
        raise ValueError(f"feature_names_in_ has {len(learned['feature_names_in_'])} names of {n_features} features")
    noise = learned["noise_variance_"].shape
    if learned.get("heywood_", np.empty(noise)).shape != noise:
        raise ValueError(f"heywood_ has shape {learned['heywood_'].shape}, but noise_variance_ has {noise}")


def check_agreement(params: dict[str, Any], learned: dict[str, Any]) -> None:
    """Refuse constructor parameters that are not those of the learned arrays.

    Raises
    ------
    ValueError
        With the parameter, its value, and that of the arrays.
    """
    loadings, noise = learned["loadings_"], learned["noise_variance_"]
    found = {"n_components": len(loadings), "noise": "shared" if noise.ndim == 1 else "component"}
    for name, value in found.items():
        if params[name] not in (value, None):
            raise ValueError(f"{name}={shortened(params[name])}, but the arrays have {name}={value!r}")
    given = params["n_factors"]
    counts = factor_counts(given, len(loadings))
    if max(counts) != loadings.shape[2] or any(loadings[k, :, count:].any() for k, count in enumerate(counts)):
        raise ValueError(f"n_factors={shortened(given)}, but the arrays have n_factors={loadings.shape[2]}")
    if params["loading_type"] == "common" and not (loadings == loadings[:1]).all():
        raise ValueError("loading_type='common', but the loadings differ between components")
    if params["noise_form"] == "isotropic" and not np.allclose(noise, noise[..., :1], rtol=1e-4, atol=0):
        raise ValueError("noise_form='isotropic', but the noise variances differ between features")
