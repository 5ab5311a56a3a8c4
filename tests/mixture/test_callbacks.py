"""scikit-learn's callbacks hear of every fit, alone, in a pipeline and in searches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checkpoint_cases import Listener, learned, settings
from mixture_cases import X_MADE, Y_MADE
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mfa_sklearn import MFA, KMeansInitializer, MFASearch

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Recorder:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.open = 0

    def setup(self, estimator: Any, context: Any) -> None:
        self.told.append("setup")

    def teardown(self, estimator: Any, context: Any) -> None:
        self.told.append("teardown")

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        self.open += 1

    def on_fit_task_end(self, estimator: Any, context: Any, *, fitted_estimator: Any, metadata: Any, X: Any) -> None:
        self.open -= 1
        self.told.append((context.task_name, fitted_estimator, metadata, X))


def monitor() -> ScoringMonitor:
    # scoring=None ends in an error of scikit-learn 1.9's own.
    return ScoringMonitor(scoring={"score": lambda mfa, X, y=None: mfa.score(X)})


def test_each_iteration_is_a_task_with_the_fit_so_far() -> None:
    recorder = Recorder()
    mfa = MFA(**settings(held_out=0.3)).set_callbacks(recorder)
    weights = np.ones(len(X_MADE))
    mfa.fit(X_MADE, sample_weight=weights)
    assert recorder.told[0] == "setup" and recorder.told[-1] == "teardown" and recorder.open == 0
    *iterations, (whole, last, _, _) = recorder.told[1:-1]
    assert whole == "fit" and learned(last) == learned(mfa)
    for number, (name, so_far, metadata, X) in enumerate(iterations, 1):
        assert name == "iteration" and X is X_MADE and metadata["sample_weight"] is weights
        assert so_far.n_iter_ == number and so_far.lower_bounds_ == mfa.lower_bounds_[:number]
        assert so_far.history_ == {kind: entries[:number] for kind, entries in mfa.history_.items()}
        shorter = MFA(**settings(held_out=0.3, annealing=mfa.history_["temperature"][0], max_iter=number)).fit(X_MADE)
        # What the fit would have come to, unless the last extrapolation was worth more than the plain step.
        assert so_far.lower_bound_ <= shorter.lower_bound_
        if mfa.history_["step"][number - 1 : number + 1] == ["plain", "plain"]:
            assert np.array_equal(so_far.means_, shorter.means_)
    assert len(iterations) == mfa.n_iter_


def test_callbacks_change_nothing_and_are_kept_by_clones() -> None:
    assert learned(MFA(**settings()).set_callbacks(Recorder()).fit(X_MADE)) == learned(MFA(**settings()).fit(X_MADE))
    recorder = Recorder()
    clone(MFA(**settings(max_iter=2)).set_callbacks(recorder)).fit(X_MADE)
    assert len(recorder.told) == 5


def test_a_true_answer_ends_the_fit_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    mfa = MFA(**settings()).set_callbacks(Listener(lambda count: count == 3)).fit(X_MADE)
    assert mfa.n_iter_ == 3 and not mfa.converged_ and not recwarn.list


def test_several_starts_are_tasks_of_their_own() -> None:
    recorder = Recorder()
    MFA(**settings(n_init=2, max_iter=2, init="random")).set_callbacks(recorder).fit(X_MADE)
    names = [told[0] for told in recorder.told[1:-1]]
    assert names == ["iteration", "iteration", "start"] * 2 + ["fit"] and recorder.open == 0


def test_no_iteration_no_task() -> None:
    recorder = Recorder()
    MFA(**settings(max_iter=0)).set_callbacks(recorder).fit(X_MADE)
    assert [told[0] for told in recorder.told[1:-1]] == ["fit"] and recorder.open == 0


def test_scores_are_monitored_alone_and_in_a_pipeline() -> None:
    alone, inside = monitor(), monitor()
    mfa = MFA(**settings(max_iter=4)).set_callbacks(alone).fit(X_MADE, Y_MADE)
    log = alone.get_logs().data
    assert [row["task_name"] for row in log] == ["fit"] + ["iteration"] * mfa.n_iter_
    assert log[0]["score"] == mfa.score(X_MADE)
    pipe = make_pipeline(StandardScaler(), KMeansInitializer(3, random_state=0), MFA(n_factors=1, max_iter=3, tol=0))
    pipe[-1].set_callbacks(inside)
    pipe.fit(X_MADE, Y_MADE)
    assert len(inside.get_logs().data) == 4


def test_scores_are_monitored_in_a_grid_search() -> None:
    inside = monitor()
    mfa = MFA(3, 1, max_iter=2, tol=0, random_state=0).set_callbacks(inside)
    GridSearchCV(mfa, {"n_factors": [1, 2]}, cv=2).fit(X_MADE, Y_MADE)
    assert len(inside.get_logs().data) == (2 * 2 + 1) * 3


def test_bars_show_fits_of_mixtures_k_means_pipelines_and_searches(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rich")
    pipe = make_pipeline(KMeansInitializer(3, random_state=0), MFA(n_factors=1, max_iter=3, tol=0))
    pipe.set_callbacks(ProgressBar()).fit(X_MADE)
    said = capsys.readouterr().out
    assert "KMeansInitializer - fit" in said and "MFA - fit" in said and "100%" in said
    mfa = MFA(3, 1, max_iter=2, tol=0, random_state=0)
    GridSearchCV(mfa, {"n_factors": [1, 2]}, cv=2).set_callbacks(ProgressBar()).fit(X_MADE)
    assert capsys.readouterr().out.count("MFA - fit") == 5
    MFASearch(mfa, [1, 2], [1]).set_callbacks(ProgressBar()).fit(X_MADE)
    assert "MFASearch - fit" in capsys.readouterr().out


def test_k_means_tells_of_its_stages() -> None:
    recorder = Recorder()
    kmeans = KMeansInitializer(3, pool_size=60, random_state=0).set_callbacks(recorder).fit(X_MADE)
    names = [told[0] for told in recorder.told[1:-1]]
    assert names == ["stage"] * (len(names) - 1) + ["fit"] and len(names) > 2 and recorder.open == 0
    assert np.array_equal(recorder.told[-2][1].cluster_centers_, kmeans.cluster_centers_)


def test_the_callbacks_of_a_searchs_estimator_hear_of_every_fit() -> None:
    recorder = Recorder()
    mfa = MFA(max_iter=1, tol=0, random_state=0).set_callbacks(recorder)
    MFASearch(mfa, [1, 2], [1], criterion="likelihood", cv=2).fit(X_MADE)
    assert recorder.told.count("setup") == recorder.told.count("teardown") == 5
