"""One fit of a search, and what fits of the same number of components have in common."""

from __future__ import annotations

import itertools
import time
from typing import Any, NamedTuple

import numpy as np
from scipy.special import logsumexp
from sklearn.base import clone
from sklearn.utils import _safe_indexing

from ._start.start import given_centers

CRITERIA = ("aic", "bic", "icl", "likelihood")


class Trial(NamedTuple):
    """One fit of one candidate on one split."""

    candidate: int
    scores: dict[str, Any]
    facts: dict[str, Any]
    estimator: Any  # of a fit to all rows


class _SharedDraws:
    """Centers drawn once and handed to every later fit to the same rows with as many components.

    The generator's state after a draw is kept with it, so that a later fit is what it would have been alone.
    """

    def __init__(self) -> None:
        self._drawn: dict[tuple[str, int], tuple[Any, Any]] = {}

    def attach(self, estimator: Any) -> None:
        """Have the next fit of `estimator` take what was drawn, or leave here what it draws."""
        plain, draws = estimator._starting_params, itertools.count()

        def starting_params(problem: Any, *args: Any) -> Any:
            start, draw = problem.start, type(problem.start)._draw_centers

            def draw_once(*rows: Any) -> Any:
                # Isotropic noise has its rows in other units.
                key = (estimator.noise_form, next(draws))
                if key not in self._drawn:
                    self._drawn[key] = draw(start, *rows), start._rng.get_state()
                drawn, state = self._drawn[key]
                # The global generator (random_state=None) belongs to everyone and is not turned back.
                if estimator.random_state is not None:
                    start._rng.set_state(state)
                return drawn

            start._draw_centers = draw_once
            return plain(problem, *args)

        estimator._starting_params = starting_params

    def detach(self, estimator: Any) -> None:
        """Leave the estimator as it was."""
        del estimator._starting_params


def fit_group(
    estimator: Any,
    group: list[tuple[int, dict[str, Any]]],
    X: Any,
    weights: np.ndarray | None,
    split: tuple[Any, Any],
    criterion: str,
    verbose: int,
) -> list[Trial]:
    """Fit and score candidates with equally many components on one split."""
    train, test = ((_rows(X, place), None if weights is None else weights[place]) for place in split)
    shared = _SharedDraws()
    # An estimator as init is fitted here, once; what else init may be, the mixture reads itself.
    fitted = hasattr(estimator.init, "fit")
    centers = given_centers(estimator.init, train[0], group[0][1]["n_components"]) if fitted else None
    trials: list[Trial] = []
    for candidate, params in group:
        trial = clone(estimator).set_params(**params)
        own_init = trial.init
        if fitted:
            trial.init = centers
        shared.attach(trial)
        began = time.perf_counter()
        try:
            trial.fit(train[0], sample_weight=train[1])
        finally:
            shared.detach(trial)
            trial.init = own_init
        trials.append(_score(trial, candidate, criterion, test, time.perf_counter() - began))
        if verbose:
            print(f"[MFASearch] {params}: score {trials[-1].scores['test_scores']:.6g}")
    return trials


def _score(estimator: Any, candidate: int, criterion: str, test: tuple[Any, Any], fit_time: float) -> Trial:
    began = time.perf_counter()
    facts = {"n_parameters": estimator._n_parameters(), "n_iter": estimator.n_iter_, "converged": estimator.converged_}
    held_out = criterion == "likelihood"
    if held_out:
        score = estimator.score(test[0], sample_weight=test[1])
    else:
        facts |= information_criteria(estimator, *test)
        score = -facts[criterion]
    scores = {"test_scores": score, "train_scores": estimator.lower_bound_, "fit_time": fit_time}
    scores["score_time"] = time.perf_counter() - began
    return Trial(candidate, scores, facts, None if held_out else estimator)


def information_criteria(estimator: Any, X: Any, weights: np.ndarray | None = None) -> dict[str, float]:
    """Log-likelihood (a sum over rows), AIC, BIC and ICL of a fitted mixture, in one pass over the rows."""
    log_likelihood = entropy = n_rows = 0.0
    for rows, joint in estimator.iter_log_joint(X):
        w = np.ones(len(joint)) if weights is None else weights[rows]
        log_prob = logsumexp(joint.astype(np.float64), axis=1)
        log_r = np.maximum(joint - log_prob[:, None], -700.0)
        log_likelihood += float(w @ log_prob)
        entropy -= float(w @ (np.exp(log_r) * log_r).sum(1))
        n_rows += float(w.sum())
    p = estimator._n_parameters()
    bic = -2 * log_likelihood + p * float(np.log(n_rows))
    criteria = {"aic": -2 * log_likelihood + 2 * p, "bic": bic, "icl": bic + 2 * entropy}
    return {"log_likelihood": log_likelihood, **criteria}


def _rows(X: Any, place: Any) -> Any:
    return X if isinstance(place, slice) else _safe_indexing(X, place)
