"""Checkpoints of a fit: found, refused, and written in time."""

from __future__ import annotations

import errno
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoint_cases import Listener, copies, learned, settings, stopped
from mixture_cases import X_MADE, centers_near
from sklearn.base import clone
from sklearn.cluster import KMeans

from mfa_sklearn import MFA
from mfa_sklearn._base.stored import DigestedFile
from mfa_sklearn.mixture._checkpoint import checkpoint as module
from mfa_sklearn.mixture._checkpoint import folder as files

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a fit that was stopped, which no test writes to."""
    return stopped(tmp_path_factory.mktemp("kept") / "c", 2)


def fit(folder: Path, X: Any = X_MADE, sample_weight: Any = None, **arguments: Any) -> MFA:
    return MFA(**settings(**arguments), checkpoint=folder).fit(X, sample_weight=sample_weight)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_components": 4}, "n_components=3, now 4"),
        ({"n_factors": [1, 2, 2]}, "n_factors=2, now array of shape"),
        ({"random_state": 1}, "random_state=0, now 1"),
        ({"solver": "gradient"}, "solver=em, now gradient"),
        ({"init": centers_near()}, "init=auto, now array of shape"),
        ({"init": KMeans(3)}, "init=auto, now {'kind': 'KMeans'"),
        ({"tol": "auto"}, "tol=1e-06, now auto"),
        ({"dtype": "float32"}, "dtype=float64, now float32"),
        ({"n_init": 2}, "n_init=1, now 2"),
        ({"held_out": 0.5}, "held_out=None, now 0.5"),
        ({"X": X_MADE[:-1]}, "rows=300 x 6, float64, digest .*, now 299 x 6"),
        ({"X": X_MADE.astype(np.float32)}, "rows=300 x 6, float64, digest .*, now 300 x 6, float32"),
        ({"X": X_MADE[::-1].copy()}, "rows=300 x 6, float64, digest .*, now 300 x 6, float64"),
        ({"sample_weight": np.arange(300.0)}, "sample_weight=None, now array of shape"),
    ],
)
def test_another_fit_is_refused_before_work_and_nothing_is_lost(kept: Path, change: Any, words: str) -> None:
    before = {path.name: path.read_bytes() for path in kept.iterdir()}
    with pytest.raises(ValueError, match=f"holds another fit: .*{words}") as caught:
        fit(kept, **change)
    assert files.REMEDY in str(caught.value)
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == before


def test_a_changed_row_that_was_not_looked_at_is_seen_by_the_columns(kept: Path) -> None:
    X = X_MADE.copy()
    X[1, 3] += 1e-3
    with pytest.raises(ValueError, match=r"holds a fit to other rows: the mean of column 3 was"):
        fit(kept, X)


def test_what_does_not_change_the_course_may_change(tmp_path: Path) -> None:
    folder = stopped(tmp_path / "c", 2)
    free = {"checkpoint_interval": 0, "rotation": "varimax", "sparse_output": False, "verbose": 0, "device": "cpu"}
    alone = MFA(**settings(rotation="varimax")).fit(X_MADE)
    assert learned(fit(folder, **free)) == learned(alone)
    # A common factor of the weights changes nothing.
    weights = np.linspace(1, 2, 300)
    folder = tmp_path / "weights"
    once = fit(folder, sample_weight=weights)
    assert learned(fit(folder, sample_weight=4 * weights)) == learned(once)


def test_moments_that_were_summed_in_another_order_are_the_same() -> None:
    from mfa_sklearn.mixture._checkpoint.identity import check_moments, moments_state
    from mfa_sklearn.mixture._moments import column_moments

    moments = column_moments(X_MADE, None, torch.device("cpu"))
    other = moments._replace(mean=moments.mean * (1 + 1e-13), variance=moments.variance * (1 - 1e-13))
    check_moments("c", moments_state(other), moments)


def test_clones_that_share_a_folder_are_told(tmp_path: Path) -> None:
    mfa = MFA(**settings(), checkpoint=tmp_path / "c").fit(X_MADE)
    with pytest.raises(ValueError, match="clones of an estimator need a folder each"):
        clone(mfa).set_params(n_factors=1).fit(X_MADE)


def test_a_folder_serves_one_fit_at_a_time(tmp_path: Path) -> None:
    refused: list[Any] = []

    def other() -> None:
        try:
            fit(tmp_path / "c")
        except BlockingIOError as error:
            refused.append(error)

    def heard(count: int) -> None:
        if count == 1:
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()

    MFA(**settings(), checkpoint=tmp_path / "c").set_callbacks(Listener(heard)).fit(X_MADE)
    assert "another run is writing there" in str(refused[0])


def test_it_is_written_as_often_as_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start, in time, and at the end."""
    written: list[int] = []
    write, now = files.write, [0.0]
    monkeypatch.setattr(files, "write", lambda *given: written.append(given[1]["iteration"]) or write(*given))
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    listener = Listener(lambda count: now.__setitem__(0, now[0] + 2.0))
    mfa = MFA(**settings(tol=0), checkpoint=tmp_path / "c", checkpoint_interval=5.0)
    mfa.set_callbacks(listener).fit(X_MADE)
    assert written == [0, 4, 7, 10]


def test_a_place_that_cannot_be_written_to_is_found_before_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = np.full((50, 3), np.inf)  # which the first look at the rows would refuse
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError, match="it is a file"):
        fit(tmp_path / "file", X, n_factors=1)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.txt").write_text("")
    with pytest.raises(FileExistsError, match="holds other things"):
        fit(tmp_path / "other", X, n_factors=1)
    with pytest.raises(OSError, match=r"cannot write .*'/proc/"):
        fit(Path("/proc/no-such-folder"), X, n_factors=1)
    asked: list[int] = []

    def full(folder: Path, n_bytes: int) -> None:
        asked.append(n_bytes)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "probe", full)
    with pytest.raises(OSError, match="No space left"):
        fit(tmp_path / "full", X, n_factors=1)
    # Two states of three components in three columns, and no folder is left behind.
    assert 2000 < asked[0] < 50_000 and not (tmp_path / "full").exists()


def test_a_disk_that_fills_up_ends_the_fit_and_the_last_whole_checkpoint_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, write = MFA(**settings()).fit(X_MADE), DigestedFile.write
    free = [60_000]

    def filling(file: DigestedFile, data: Any) -> int:
        free[0] -= len(data)
        if free[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data)

    monkeypatch.setattr(DigestedFile, "write", filling)
    mfa = MFA(**settings(), checkpoint=tmp_path / "c", checkpoint_interval=0)
    with pytest.raises(OSError, match=r"No space left .*make room .*The checkpoint of iteration [1-9] is whole"):
        mfa.fit(X_MADE)
    assert [path.suffix for path in sorted((tmp_path / "c").iterdir())] == [".json", ".pt"]
    monkeypatch.undo()
    counted = copies(tmp_path / "c", tmp_path)
    assert learned(mfa.set_callbacks(counted).fit(X_MADE)) == learned(alone)
    assert 0 < counted.count < alone.n_iter_


@pytest.mark.parametrize("arguments", [{"noise": "component"}, {"solver": "gradient"}, {"n_components": 9}])
def test_the_room_asked_for_is_that_of_two_states(tmp_path: Path, arguments: dict[str, Any]) -> None:
    X = np.random.default_rng(0).standard_normal((200, 60))
    mfa = MFA(**settings(**arguments), checkpoint=tmp_path / "c").fit(X)
    (state,) = (tmp_path / "c").glob("state-*.pt")
    # And of generators' states, which small fits have to find room for as well.
    assert 2 * state.stat().st_size < module._largest(mfa, X) + 40_000


def test_a_relative_folder_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    mfa = MFA(**settings(), checkpoint="c", checkpoint_interval=0.0)
    mfa.set_callbacks(Listener(lambda count: monkeypatch.chdir(elsewhere))).fit(X_MADE)
    assert (tmp_path / "c" / files.NAME).is_file() and not any(elsewhere.iterdir())
