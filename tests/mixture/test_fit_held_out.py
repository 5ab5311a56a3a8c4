"""Rows held out: not seen by the fit, and told as probable as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoint_cases import MISSING, WEIGHTS, settings
from mixture_cases import X_MADE

from mfa_sklearn import MFA
from mfa_sklearn._base.annotated import AnnotatedArray
from mfa_sklearn.mixture._fit.held_out import split_off
from mfa_sklearn.mixture._validation import check_weights

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

TEXTS = np.repeat(np.arange(60), 5)
ROWS = AnnotatedArray(X_MADE, rows={"text_index": TEXTS})


def held_rows(mfa: MFA, X: Any = X_MADE, sample_weight: Any = None) -> np.ndarray:
    """Which rows a fit of the estimator holds out."""
    weights = check_weights(sample_weight, X)
    held = split_off(mfa, X, X, weights, np.random.RandomState(mfa.random_state))[1]
    assert held is not None
    return np.zeros(len(X), bool) if held.places is None else np.isin(np.arange(len(X)), held.places)


@pytest.mark.parametrize("solver", ["em", "gradient"])
@pytest.mark.parametrize("rows", ["complete", "missing", "weights"])
def test_the_fit_is_that_of_the_other_rows_and_the_figure_is_their_score(solver: Any, rows: str) -> None:
    X, weights = (MISSING if rows == "missing" else X_MADE), WEIGHTS if rows == "weights" else None
    mfa = MFA(**settings(held_out=0.25, solver=solver, max_iter=4, acceleration=False)).fit(X, sample_weight=weights)
    held = held_rows(mfa, X, weights)
    assert held.sum() == 75 and mfa.n_samples_seen_ == 225
    score = mfa.score(X[held], sample_weight=None if weights is None else weights[held])
    assert mfa.history_["held_out"][-1] == pytest.approx(score, rel=1e-9)
    rng = np.random.RandomState(0)
    rng.permutation(len(X))  # what was held out was drawn first
    others = MFA(**settings(random_state=rng, solver=solver, max_iter=4, acceleration=False))
    others.fit(X[~held], sample_weight=None if weights is None else weights[~held])
    np.testing.assert_allclose(mfa.means_, others.means_, atol=1e-8)
    assert mfa.lower_bound_ == pytest.approx(others.lower_bound_, rel=1e-9)


def test_rows_held_out_may_be_anything_finite() -> None:
    """Nothing of them, not even their scale, reaches the fit."""
    mfa = MFA(**settings(held_out=0.25))
    held, X = held_rows(mfa), X_MADE.copy()
    X[held] *= 1e6
    means = mfa.fit(X_MADE).means_
    np.testing.assert_array_equal(mfa.fit(X).means_, means)
    assert mfa.history_["held_out"][-1] < -1e6


def test_whole_texts_are_held_out() -> None:
    mfa = MFA(**settings(held_out=0.25, held_out_by="text"))
    held = held_rows(mfa, ROWS)
    assert len(np.unique(TEXTS[held])) == 15 and not set(TEXTS[held]) & set(TEXTS[~held])
    assert mfa.fit(ROWS).n_samples_seen_ == 225


def test_rows_of_no_weight_are_on_neither_side() -> None:
    weights = np.where(np.arange(len(X_MADE)) < 100, 0.0, 1.0)
    mfa = MFA(**settings(held_out=0.5)).fit(X_MADE, sample_weight=weights)
    held = held_rows(mfa, X_MADE, weights)
    assert mfa.n_samples_seen_ == 100 and held.sum() == 100 and not held[:100].any()


def test_labels_that_are_given_stay_with_their_rows() -> None:
    labels = np.random.default_rng(0).integers(0, 3, len(X_MADE))
    mfa = MFA(**settings(held_out=0.25, init=labels, max_iter=0)).fit(X_MADE)
    kept = ~held_rows(mfa)
    means = np.stack([X_MADE[kept & (labels == k)].mean(0) for k in range(3)])
    np.testing.assert_allclose(mfa.means_, means)


def test_beside_early_stopping_and_in_a_saved_mixture(tmp_path: Path) -> None:
    mfa = MFA(**settings(solver="gradient", early_stopping=True, held_out=0.25, max_iter=3)).fit(X_MADE)
    assert len(mfa.history_["held_out"]) == 3
    mfa.save_pretrained(tmp_path)
    assert MFA.from_pretrained(tmp_path).history_ == mfa.history_


@pytest.mark.parametrize(
    ("X", "arguments", "words"),
    [
        (X_MADE, {"held_out": 0.001}, "held_out=0.001 of 300 rows leaves none to fit on, or holds none out"),
        (X_MADE, {"held_out": 0.9999}, "leaves none to fit on"),
        (ROWS[:5], {"held_out": 0.5, "held_out_by": "text"}, "held_out=0.5 of 1 text leaves"),
        (X_MADE, {"held_out": 0.5, "held_out_by": "text"}, "needs rows that know the text they are of"),
        (X_MADE, {"held_out": 1.0}, "'held_out' parameter"),
        (X_MADE[:4], {"held_out": 0.5}, "n_samples=2 of positive weight that held_out=0.5 does not hold out"),
    ],
)
def test_what_cannot_be_held_out_is_told(X: Any, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        MFA(**settings(**arguments)).fit(X)
