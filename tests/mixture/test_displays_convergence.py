"""Pictures of fits: what is drawn is what the fits remember."""

from __future__ import annotations

import numpy as np
import pytest
from mixture_cases import X_MADE, quick
from sklearn.cluster import KMeans
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mfa_sklearn import MFA, ConvergenceDisplay, MFASearch

pyplot = pytest.importorskip("matplotlib.pyplot")


def legend(display: ConvergenceDisplay) -> list[str]:
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def test_bounds_and_temperatures_of_a_fit() -> None:
    mfa = quick(annealing=4.0, max_iter=12)
    display = ConvergenceDisplay.from_estimator(mfa)
    line = display.lines_["MFA"]
    np.testing.assert_array_equal(line.get_xdata(), np.arange(13))
    np.testing.assert_array_equal(line.get_ydata(), mfa.lower_bounds_)
    assert display.temperature_ax_ is not None
    (temperatures,) = display.temperature_ax_.get_lines()
    assert temperatures.get_ydata()[:4].tolist() == [4, 2, 1, 1]
    assert legend(display) == ["stopped before", "temperature above 1"]
    bold = display.ax_.get_lines()[1]
    assert bold.get_xdata()[0] == 2 and bold.get_linewidth() > line.get_linewidth()
    display.figure_.canvas.draw()


def test_several_fits_and_the_gap_to_the_best() -> None:
    fits = {"$one$": quick(random_state=0), "two": quick(random_state=1, tol=1e-3, max_iter=200)}
    display = ConvergenceDisplay.from_estimator(fits, scale="gap")
    assert legend(display)[:2] == ["$one$", "two"] and {"converged", "stopped before"} <= set(legend(display))
    best = max(max(np.array(mfa.lower_bounds_)[1:]) for mfa in fits.values())
    drawn = display.lines_["two"].get_ydata()
    expected = best - np.array(fits["two"].lower_bounds_)
    np.testing.assert_allclose(drawn[:4], expected[:4], rtol=1e-9)
    assert display.ax_.get_yscale() == "log" and not (drawn <= 0).any()
    display.figure_.canvas.draw()
    assert list(ConvergenceDisplay.from_estimator(list(fits.values())).lines_) == ["0", "1"]


def test_where_components_were_moved() -> None:
    mfa = quick()
    mfa.history_["step"][3] = "moved"
    display = ConvergenceDisplay.from_estimator(mfa)
    ticks = [line.get_xdata().tolist() for line in display.ax_.get_lines() if line.get_marker() == "|"]
    assert ticks == [[3]] and "components moved" in legend(display)


def test_a_search_shows_its_best_and_given_axes_are_used() -> None:
    search = MFASearch(MFA(tol=0, max_iter=4, annealing=3.0, random_state=0), (1, 2), (1,)).fit(X_MADE)
    ax = pyplot.figure().subfigures(1, 2)[0].subplots()
    display = ConvergenceDisplay.from_estimator(search, ax=ax)
    assert display.ax_ is ax and display.temperature_ax_ is None
    np.testing.assert_array_equal(display.lines_["MFA"].get_ydata(), search.best_estimator_.lower_bounds_)


def test_a_mixture_of_an_earlier_version_has_bounds_alone() -> None:
    mfa = quick()
    del mfa.history_
    mfa.partial_fit(X_MADE)
    display = ConvergenceDisplay.from_estimator(mfa)
    assert len(display.lines_["MFA"].get_xdata()) == len(mfa.lower_bounds_) and display.temperature_ax_ is None


def test_refusals() -> None:
    made = MFA.from_params([1.0], [[0.0, 1.0]], [[[1.0], [1.0]]], [1.0, 1.0])
    with pytest.raises(ValueError, match="the mixture 'MFA' has no history"):
        ConvergenceDisplay.from_estimator(made)
    with pytest.raises(ValueError, match="scale='log' is unknown"):
        ConvergenceDisplay.from_estimator(quick(), scale="log")
    with pytest.raises(ValueError, match="no mixtures to draw"):
        ConvergenceDisplay.from_estimator([])
    for wrong in (KMeans(2, n_init=1).fit(X_MADE), "a mixture", None):
        with pytest.raises(TypeError, match=r"expected a fitted MFA, got (KMeans|str|NoneType)"):
            ConvergenceDisplay.from_estimator(wrong)
    with pytest.raises(NotFittedError):
        ConvergenceDisplay.from_estimator({"new": MFA(2)})
    with pytest.raises(ValueError, match="ax has projection '3d': for a picture in 2 dimensions give plain ones"):
        ConvergenceDisplay.from_estimator(quick(), ax=pyplot.figure().add_subplot(projection="3d"))


def test_a_pipeline_is_asked_for_its_last_step() -> None:
    pipe = make_pipeline(StandardScaler(), MFA(2, 1, tol=0, max_iter=2)).fit(X_MADE)
    assert list(ConvergenceDisplay.from_estimator(pipe[-1]).lines_) == ["MFA"]
    with pytest.raises(TypeError, match=r"got a Pipeline; pass its last step, pipe\[-1\]"):
        ConvergenceDisplay.from_estimator(pipe)
