"""`FactorEndsDisplay`: histograms with tokens at either end, or bars of loadings."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from interpret_fixtures import annotated, mixture
from matplotlib.patches import StepPatch

from mfa_sklearn import MFA, FactorEndsDisplay, factor_ends, project


def fitted() -> MFA:
    exact = mixture(3.0, n_features=8)
    loadings = np.random.default_rng(5).normal(size=(4, 8, 3))
    return MFA.from_params(exact.weights_, exact.means_, loadings, exact.noise_variance_)


X_ = annotated(mixture(3.0, n_features=8), 400)


def test_histograms_count_the_rows_and_names_are_those_of_the_ends() -> None:
    mfa = fitted()
    display = FactorEndsDisplay.from_estimator(mfa, X_, 1)
    found, table = project(mfa, X_, 1, axes="principal"), factor_ends(mfa, X_, components=1, n_tokens=6)
    steps = [patch for patch in display.ax_.patches if isinstance(patch, StepPatch)]
    assert len(steps) == 3 and display.factors_ == [0, 1, 2]
    for j, step in enumerate(steps):
        tops, edges, base = step.get_data()
        counts = np.histogram(found.coordinates[:, j] * np.linalg.norm(found.directions[:, j]), edges)[0]
        assert counts.sum() == len(found)
        np.testing.assert_allclose((tops - base) / (tops - base).max(), counts / counts.max())
    for text, tokens in zip(display.text_, table["tokens"], strict=True):
        shown = text.get_text().strip("←→ ").rstrip("…").replace("\u201c", "").replace("\u201d", "")
        assert tokens.startswith(shown)
    display.figure_.canvas.draw()


def test_chosen_axes_on_given_axes() -> None:
    ax = plt.subplots()[1]
    display = FactorEndsDisplay.from_estimator(fitted(), X_, 1, factors=(2, 0), axes="factors", ax=ax)
    assert display.ax_ is ax and display.factors_ == [2, 0]
    assert any(text.get_text().startswith("factor 2 · ") for text in ax.texts)
    assert FactorEndsDisplay.from_estimator(fitted(), X_, 1, factors=1).factors_ == [1]


def test_loadings_of_columns_are_bars() -> None:
    frame = pd.DataFrame(np.asarray(X_) * [1, 10, 100, 1, 1, 1, 1, 1], columns=[f"c{i}" for i in range(8)])
    mfa = MFA(2, 2, random_state=0, tol=1e-1).fit(frame)
    display = FactorEndsDisplay.from_estimator(mfa, frame, 0, n_columns=5)
    found = display.projection
    loadings = found.directions / found.scale[:, None]
    shown = [text.get_text() for text in display.ax_.get_yticklabels()]
    widths = np.array([bar.get_width() for bar in display.ax_.patches]).reshape(2, 5).T
    rows = [int(name[1:]) for name in shown]
    np.testing.assert_allclose(widths, 0.45 * loadings[rows] / abs(loadings).max())
    assert sorted(rows) == rows and set(rows) == set(np.argsort(-abs(loadings).max(1))[:5])
    assert display.text_ == [] and "standard deviations" in display.ax_.get_xlabel()


def test_labels_alone_can_be_asked_for() -> None:
    values = np.asarray(X_)
    labels = np.where(values[:, 0] > 0, "$\\bad{$", "low")
    display = FactorEndsDisplay.from_estimator(fitted(), values, 1, labels=labels, show="rows")
    display.figure_.canvas.draw()
    assert display.text_
    assert FactorEndsDisplay.from_estimator(fitted(), values, 1, labels=labels).ends is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"factors": 3}, "factors=3: factor 3 is out of range; there are factors 0 to 2"),
        ({"factors": (0, 0)}, "different"),
        ({"show": "both"}, "show='both'"),
        ({"component": 9}, "component=9"),
        ({"n_tokens": 0}, "n_tokens=0"),
        ({"n_columns": 0}, "n_columns=0"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FactorEndsDisplay.from_estimator(fitted(), X_, **{"component": 0, **arguments})


def test_what_has_no_ends_is_refused() -> None:
    X = np.random.default_rng(0).normal(size=(60, 4))
    with pytest.raises(ValueError, match="no factors"):
        FactorEndsDisplay.from_estimator(MFA(2, 0, tol=1).fit(X), X, 1)
    with pytest.raises(ValueError, match="give tokens or labels, or show='columns'"):
        FactorEndsDisplay.from_estimator(fitted(), np.asarray(X_), 1, show="rows")
