"""One fit of a search, and what fits of the same number of components have in common."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.callback import with_callbacks

from .._base.annotated import given_rows, is_row_source
from .._base.files import as_path
from .._base.sklearn_private import safe_indexing, validate_params
from ._search_names import Complaint, Fit, code, spoken_for
from ._start.start import Draws, given_centers

CRITERIA = ("aic", "bic", "icl", "likelihood")


class Trial(NamedTuple):
    """One fit of one candidate on one split."""

    candidate: int
    scores: dict[str, Any]
    facts: dict[str, Any]
    estimator: Any  # of a fit to all rows
    complaints: list[Complaint]


def fit_group(
    estimator: Any,
    group: list[tuple[int, dict[str, Any]]],
    X: Any,
    weights: np.ndarray | None,
    split: tuple[Any, Any],
    criterion: str,
    verbose: int,
    number: int | None = None,
) -> list[Trial]:
    """Fit and score candidates with equally many components on one split, the number of which errors name."""
    train, test = ((_rows(X, place), None if weights is None else weights[place]) for place in split)
    draws = Draws()
    # An estimator as init is fitted here, once; what else init may be, the mixture reads itself.
    fitted, seed = hasattr(estimator.init, "fit"), estimator.random_state
    complaints: list[Complaint] = []
    with spoken_for(Fit({"n_components": group[0][1]["n_components"]}, number), seed, complaints):
        centers = given_centers(estimator.init, train[0], group[0][1]["n_components"]) if fitted else None
    trials: list[Trial] = []
    for candidate, params in group:
        trial = clone(estimator).set_params(**params)
        own_init, own_place = trial.init, trial.checkpoint
        trial.checkpoint = place_of(estimator, params, number)
        if fitted:
            trial.init = centers
        began = time.perf_counter()
        with spoken_for(Fit(params, number), seed, complaints):
            fit_checked(trial, *train, draws)
            trial.init, trial.checkpoint = own_init, own_place
            found = _score(trial, criterion, test, time.perf_counter() - began)
        trials.append(Trial(candidate, *found, complaints))
        complaints = []
        if verbose:
            print(f"[MFASearch] {params}: score {trials[-1].scores['test_scores']:.6g}")
    return trials


def place_of(estimator: Any, params: dict[str, Any], split: int | None = None) -> Path | None:
    """Where a candidate keeps its checkpoint: a folder of its own in that of the estimator."""
    if estimator.checkpoint is None:
        return None
    sizes = f"components{params['n_components']}-factors{params['n_factors']}-{code(estimator, params)}"
    return as_path("checkpoint", estimator.checkpoint) / (sizes if split is None else f"{sizes}-split{split}")


def fit_checked(estimator: Any, X: Any, weights: np.ndarray | None, draws: Draws | None = None) -> None:
    """Fit to rows that the search has looked at already."""
    validate_params(estimator)
    with_callbacks(type(estimator)._fit)(estimator, X, weights, draws)


def _score(estimator: Any, criterion: str, test: tuple[Any, Any], fit_time: float) -> tuple[dict, dict, Any]:
    began = time.perf_counter()
    facts = {"n_parameters": estimator._n_parameters(), "n_iter": estimator.n_iter_, "converged": estimator.converged_}
    held_out = criterion == "likelihood"
    if held_out:
        score = estimator.score(test[0], sample_weight=test[1])
    else:
        facts |= estimator._criteria(*test)
        score = -facts[criterion]
    scores = {"test_scores": score, "train_scores": estimator.lower_bound_ - estimator.log_prior_, "fit_time": fit_time}
    scores["score_time"] = time.perf_counter() - began
    return scores, facts, None if held_out else estimator


def _rows(X: Any, place: Any) -> Any:
    if isinstance(place, slice):
        return X
    X = given_rows(X)
    return X[place] if is_row_source(X) else safe_indexing(X, place)
