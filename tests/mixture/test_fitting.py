"""Fits that were stopped at any iteration go on to the same bytes; what is told of a fit on its way."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoint_cases import (
    BLOBS,
    MANY,
    MISSING,
    TWO_ON_ONE,
    WEIGHTS,
    StoppedError,
    copies,
    learned,
    settings,
    stopped,
    stopping,
)
from mixture_cases import X_MADE

from mfa_sklearn import MFA, KMeansInitializer
from mfa_sklearn.mixture import _fitting as fitting
from mfa_sklearn.mixture._start import start

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

MANY_COMPONENTS = {"n_components": 90, "n_factors": 1, "max_iter": 14}
CASES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "exact": (X_MADE, None, {}),
    "without acceleration": (X_MADE, None, {"acceleration": False}),
    "annealed": (X_MADE, None, {"annealing": 8.0}),
    "moved": (BLOBS, None, {"init": TWO_ON_ONE, "n_factors": 0, "split_merge": True, "max_iter": 40, "tol": 1e-3}),
    "missing values": (MISSING, None, {}),
    "weights": (X_MADE, WEIGHTS, {}),
    "noise per component": (X_MADE, None, {"noise": "component"}),
    "ties": (X_MADE, None, {"loading_type": "common", "noise_form": "isotropic"}),
    "held out": (X_MADE, WEIGHTS, {"held_out": 0.2}),
    "truncated": (MANY, None, MANY_COMPONENTS),
    "truncated and annealed": (MANY, None, MANY_COMPONENTS | {"annealing": 40.0, "noise": "component"}),
    "gradient": (X_MADE, None, {"solver": "gradient", "max_iter": 5}),
    "gradient, stopped early": (X_MADE, WEIGHTS, {"solver": "gradient", "early_stopping": True, "noise": "component"}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_fit_goes_on_from_any_iteration_to_the_same_bytes(name: str, tmp_path: Path) -> None:
    X, weights, arguments = CASES[name]
    alone = MFA(**settings(**arguments)).fit(X, sample_weight=weights)
    folder = tmp_path / "kept"
    kept = MFA(**settings(**arguments), checkpoint=folder, checkpoint_interval=0)
    kept.set_callbacks(copies(folder, tmp_path)).fit(X, sample_weight=weights)
    assert learned(kept) == learned(alone)
    if name == "moved":
        assert "moved" in alone.history_["step"]
    for at in range(1, alone.n_iter_ + 1, 1 if alone.n_iter_ < 8 else 2):
        goes_on = MFA(**settings(**arguments), checkpoint=tmp_path / str(at)).fit(X, sample_weight=weights)
        assert learned(goes_on) == learned(alone), at


@pytest.mark.parametrize("error", [StoppedError, KeyboardInterrupt])
def test_however_a_fit_ends_its_last_iteration_is_kept(tmp_path: Path, error: type[BaseException]) -> None:
    """Also where it was not yet time to write."""
    alone = MFA(**settings()).fit(X_MADE)
    mfa = MFA(**settings(), checkpoint=tmp_path / "c", checkpoint_interval=1e9)
    with pytest.raises(error):
        mfa.set_callbacks(stopping(4, error)).fit(X_MADE)
    counted = copies(tmp_path / "c", tmp_path)
    assert learned(mfa.set_callbacks(counted).fit(X_MADE)) == learned(alone)
    assert counted.count == alone.n_iter_ - 4


@pytest.mark.parametrize("at", [2, 6, 9])
def test_starts_that_were_made_are_not_made_again(tmp_path: Path, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = {"n_init": 3, "init": "random", "max_iter": 4}
    alone = MFA(**settings(**arguments)).fit(X_MADE)
    made: list[int] = []
    found = fitting.starting_params
    monkeypatch.setattr(fitting, "starting_params", lambda *given: made.append(given[2]) or found(*given))
    folder = stopped(tmp_path / "c", at, **arguments)
    assert learned(MFA(**settings(**arguments), checkpoint=folder).fit(X_MADE)) == learned(alone)
    assert made == [0, 1, 2]


def test_a_start_found_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """k-means of the mixture, or another clusterer given as init."""
    clusterer = KMeansInitializer(3, random_state=None)
    folders = stopped(tmp_path / "a", 2), stopped(tmp_path / "b", 2, init=clusterer)

    def refused(*_: Any) -> None:
        raise AssertionError("k-means again")

    monkeypatch.setattr(start, "k_means", refused)
    monkeypatch.setattr(KMeansInitializer, "fit", refused)
    assert MFA(**settings(), checkpoint=folders[0]).fit(X_MADE).n_iter_ > 2
    assert MFA(**settings(init=clusterer), checkpoint=folders[1]).fit(X_MADE).n_iter_ > 2


def test_a_fit_that_has_ended_goes_straight_to_its_end_and_may_be_made_longer(tmp_path: Path) -> None:
    # Temperatures fall the faster the fewer iterations there are.
    short, long = settings(max_iter=5, annealing=1.0), settings(max_iter=10, annealing=1.0)
    kept = MFA(**short, checkpoint=tmp_path / "c").fit(X_MADE)
    counted = copies(tmp_path / "c", tmp_path)
    again = MFA(**short, checkpoint=tmp_path / "c").set_callbacks(counted).fit(X_MADE)
    assert learned(again) == learned(kept) and counted.count == 0
    assert learned(MFA(**long, checkpoint=tmp_path / "c").fit(X_MADE)) == learned(MFA(**long).fit(X_MADE))


@pytest.mark.parametrize("random_state", ["generator", "global"])
def test_the_random_state_that_was_kept_counts(tmp_path: Path, random_state: str) -> None:
    def seed() -> Any:
        np.random.seed(5)
        return np.random.RandomState(5) if random_state == "generator" else None

    given = seed()
    arguments = {"init": "random", "held_out": 0.3, "n_init": 2}
    alone = MFA(**settings(**arguments, random_state=given)).fit(X_MADE)
    folder = stopped(tmp_path / "c", 4, **arguments, random_state=seed())
    other = None if given is None else np.random.RandomState(99)
    was = np.random.get_state()[1].copy()
    goes_on = MFA(**settings(**arguments, random_state=other), checkpoint=folder).fit(X_MADE)
    assert learned(goes_on) == learned(alone)
    # A generator that was given is where the whole fit would have left it; the global one belongs to everyone.
    if given is not None and other is not None:
        assert other.randint(2**31) == given.randint(2**31)
    assert np.array_equal(np.random.get_state()[1], was)


def test_warm_starts_go_on_and_replace_what_they_began_from(tmp_path: Path) -> None:
    warm, kept = (MFA(**settings(max_iter=3), warm_start=True).set_params(checkpoint=c) for c in (None, tmp_path / "c"))
    for _ in range(3):
        warm.fit(X_MADE)
        with pytest.raises(StoppedError):
            kept.set_callbacks(stopping(2)).fit(X_MADE)
        kept.set_callbacks().fit(X_MADE)
        assert learned(kept) == learned(warm)


def test_streams_keep_no_checkpoint_and_hold_nothing_out(tmp_path: Path) -> None:
    stream = MFA(3, 1, checkpoint=tmp_path / "c", held_out=0.5, random_state=0).partial_fit(X_MADE)
    assert stream.n_samples_seen_ == len(X_MADE) and not (tmp_path / "c").exists()


KILLED = """
import os, signal, sys
import numpy as np
from mfa_sklearn import MFA
mfa = MFA(3, 2, max_iter=10, tol=0, random_state=0, checkpoint=sys.argv[1], checkpoint_interval=0)
from mfa_sklearn.mixture._em.solver import EMSolver
step, counts = EMSolver.step, []
def killed(self):
    counts.append(1)
    found = step(self)
    if len(counts) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return found
EMSolver.step = killed
mfa.fit(np.load(sys.argv[2]))
"""


def test_a_killed_process_leaves_what_another_goes_on_from(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X_MADE)
    command = [sys.executable, "-c", KILLED, str(tmp_path / "c"), str(tmp_path / "x.npy")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL
    mfa = MFA(3, 2, max_iter=10, tol=0, random_state=0)
    counted = copies(tmp_path / "c", tmp_path)
    alone = learned(mfa.fit(X_MADE))
    goes_on = mfa.set_params(checkpoint=tmp_path / "c").set_callbacks(counted).fit(X_MADE)
    assert learned(goes_on) == alone and counted.count == 6


def test_what_is_shown_of_a_fit(capsys: pytest.CaptureFixture[str]) -> None:
    mfa = MFA(**settings(max_iter=4, n_init=2, held_out=0.2), verbose=1).fit(X_MADE)
    lines = capsys.readouterr().err.splitlines()
    # A slow machine has more than a first and a last line of each.
    told = [what for what, _ in itertools.groupby(line.split(" ", 1)[1].split(":")[0] for line in lines)]
    kmeans = "MFA, k-means for the start on 240 rows"
    assert told == ["MFA, moments of the columns", kmeans, "MFA, start 1 of 2", kmeans, "MFA, start 2 of 2"]
    assert "4 of at most 4 iterations" in lines[-1] and "held out " in lines[-1]
    assert len(mfa.history_["held_out"]) == mfa.n_iter_
