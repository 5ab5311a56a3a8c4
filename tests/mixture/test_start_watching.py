"""k-means tells how many rows it went through, by stages, and its inertia in the caller's unit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mfa_sklearn._base import progress
from mfa_sklearn.mixture._start.kmeans import draw_seeds, lloyd
from mfa_sklearn.mixture._start.samples import Sample
from mfa_sklearn.mixture._start.watching import UNWATCHED, Stage, Watching


class Recorder(progress.Progress):
    def __init__(self) -> None:
        super().__init__(None)
        self.seen: list[dict[str, object]] = []

    def update(self, n: int = 1, **figures: object) -> None:
        super().update(n)
        self.seen.append(figures)


def test_every_row_of_every_pass_is_counted_and_the_last_inertia_is_the_one_found() -> None:
    X = torch.as_tensor(np.random.default_rng(0).normal(size=(200, 3)))
    bar = Recorder()
    found = lloyd(Sample(X, None), X[:4], max_iter=5, tol=0, told=Stage(bar, 10.0))
    assert bar.done == 200 * (found.n_iter + 1)
    assert bar.seen[-1] == {"step": found.n_iter, "inertia": 10 * found.inertia}


def test_seeds_are_counted_and_then_no_longer_shown() -> None:
    X = torch.as_tensor(np.random.default_rng(0).normal(size=(50, 2)))
    bar = Recorder()
    told, plain = (draw_seeds(X, 4, None, np.random.RandomState(0), None, s) for s in (Stage(bar, 1.0), UNWATCHED))
    assert [figures["seeds"] for figures in bar.seen] == [2, 3, 4, None] and bar.done == 0
    assert torch.equal(told, plain)


def test_a_stage_is_named_by_its_rows_and_of_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with Watching(True, 1.0, "start: k-means").stage(1000, passes=3) as told:
        told.rows(10)
    first, last = capsys.readouterr().err.splitlines()
    assert first.endswith("start: k-means on 1,000 rows: 0 of at most 3,000 rows")
    assert "10 of at most 3,000 rows" in last
    with Watching().stage(1000) as told:
        told.rows(10)
    assert capsys.readouterr().err == ""
