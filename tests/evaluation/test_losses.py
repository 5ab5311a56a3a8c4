"""Means and shares of sums per text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from mfa_sklearn.evaluation import ReconstructionLoss

# Tokens 1, 2 and 4; cross-entropies per token of 2, 10, 6 and 4 in the first text, and so on.
LOSSES = ReconstructionLoss(
    names=("original", "zero", "mean", "k-means"),
    n_tokens=np.array([1, 2, 4]),
    n_replaced=np.array([2, 2, 3]),
    cross_entropy=np.array([[2.0, 2.0, 4.0], [10.0, 12.0, 16.0], [6.0, 2.0, 8.0], [4.0, 2.0, 10.0]]),
    kl=np.array([[0.0, 0.0, 0.0], [8.0, 9.0, 9.0], [4.0, 1.0, 2.0], [1.0, 2.0, 4.0]]),
    hook_name="blocks.1.hook_resid_post",
)


def test_measures_of_an_example_by_hand() -> None:
    found = {name: LOSSES.measure("k-means", name) for name in ("cross_entropy", "kl", "recovered_zero")}
    assert_allclose(list(found.values()), [16 / 7, 1, (38 - 16) / (38 - 8)])
    assert_allclose(LOSSES.measure("k-means", "recovered_mean"), 0)  # 16 as well
    assert LOSSES.measure("original", "recovered_zero") == LOSSES.measure("original", "recovered_mean") == 1
    assert LOSSES.measure("zero", "recovered_zero") == LOSSES.measure("mean", "recovered_mean") == 0
    assert_allclose(LOSSES.measure("zero", "recovered_mean"), (16 - 38) / (16 - 8))


@pytest.mark.parametrize("measure", ["cross_entropy", "kl", "recovered_zero", "recovered_mean"])
def test_a_weight_is_that_many_texts(measure: str) -> None:
    drawn = np.array([0, 0, 2])
    again = ReconstructionLoss(
        LOSSES.names, *(part[..., drawn] for part in (LOSSES.n_tokens, LOSSES.n_replaced)),
        LOSSES.cross_entropy[:, drawn], LOSSES.kl[:, drawn], LOSSES.hook_name,
    )  # fmt: skip
    assert_allclose(LOSSES.measure("k-means", measure, [2, 0, 1]), again.measure("k-means", measure))
    assert_allclose(LOSSES.summary([4, 0, 2])[measure], again.summary()[measure])


def test_an_ablation_without_a_cost_leaves_nothing_to_recover() -> None:
    assert np.isnan(LOSSES.measure("k-means", "recovered_mean", [0, 1, 0]))
    assert np.isnan(LOSSES.measure("original", "recovered_mean", [0, 1, 0]))


def test_tables_hold_every_measure_and_every_text() -> None:
    summary = LOSSES.summary().set_index("candidate")
    assert summary.columns.tolist() == ["cross_entropy", "kl", "recovered_zero", "recovered_mean"]
    assert summary.index.tolist() == list(LOSSES.names)
    assert summary.loc["k-means", "kl"] == LOSSES.measure("k-means", "kl")
    lines = LOSSES.to_frame()
    assert lines.columns.tolist() == ["candidate", "text", "n_tokens", "n_replaced", "cross_entropy", "kl"]
    assert lines.iloc[7].tolist() == ["mean", 1, 2, 2, 2.0, 1.0]
    assert_allclose(lines.groupby("candidate", sort=False)["kl"].sum(), LOSSES.kl.sum(axis=1))


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        (("PCA", "kl"), "name='PCA' is unknown"),
        (("zero", "loss"), "measure='loss' is unknown"),
        (("zero", "kl", [1, 1]), r"shape \(2,\) for 3 texts"),
        (("zero", "kl", [1, -1, 1]), "must not be negative"),
        (("zero", "kl", [0, 0, 0]), "nor zero for all tokens: 0 tokens"),
    ],
)
def test_what_there_is_none_of_is_refused(asked: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        LOSSES.measure(*asked)
