"""Moves of components: their price and worth against dense formulas, and what they mend."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mixture_oracles import STRUCTURES, dense_log_joint, random_params, random_rows

from mfa_sklearn import MFA
from mfa_sklearn.mixture._em import moves
from mfa_sklearn.mixture._em.moves import _homes, _paired, moved
from mfa_sklearn.mixture._em.neighbors import N_NEIGHBORS
from mfa_sklearn.mixture._em.solver import EMSolver, _Safe
from mfa_sklearn.mixture._em.truncated import Places
from mfa_sklearn.mixture._model.density import prepare
from mfa_sklearn.mixture._model.params import to_params

FREE = STRUCTURES["UCU"]


def blobs(centers: list[float], n_rows: int = 80, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate([c + rng.standard_normal((n_rows, 4)) for c in centers])


def two_on_one() -> tuple[np.ndarray, list[list[float]]]:
    """Three blobs, and centers of which two share the first and one stands between the others."""
    return blobs([0.0, 20.0, 30.0]), [[-0.5] * 4, [0.5] * 4, [25.0] * 4]


@pytest.mark.parametrize("noise", ["shared", "component"])
def test_a_component_that_shares_is_taken_where_one_should_be_two(noise):
    X, centers = two_on_one()
    arguments = {"init": np.array(centers), "noise": noise, "random_state": 0, "annealing": 1}
    stuck, free = (MFA(3, 0, split_merge=flag, **arguments).fit(X) for flag in (False, True))
    assert sorted(np.round(free.means_[:, 0]).tolist()) == [0, 20, 30]
    assert sorted(np.round(stuck.means_[:, 0]).tolist()) != [0, 20, 30]
    assert free.lower_bound_ > stuck.lower_bound_ + 1
    assert free.history_["step"].count("moved") == 1 and "moved" not in stuck.history_["step"]
    assert free.converged_


def test_an_array_of_centers_keeps_its_components():
    X, centers = two_on_one()
    kept = MFA(3, 0, init=np.array(centers), random_state=0).fit(X)
    np.testing.assert_allclose(kept.means_[2], 25, atol=0.5)


def test_who_suits_a_row_best_and_by_how_much():
    params = random_params(FREE, (5, 4, 1))
    X = random_rows(params, 60)
    home, lead, log_prob = _homes(prepare(params, torch.float64), torch.tensor(X))
    joint = dense_log_joint(params, X)
    ordered = np.sort(joint, 1)
    np.testing.assert_array_equal(home, joint.argmax(1))
    np.testing.assert_allclose(lead, ordered[:, -1] - ordered[:, -2], rtol=1e-8)
    np.testing.assert_allclose(log_prob, np.logaddexp.reduce(joint, 1), rtol=1e-10)


def test_the_best_gains_go_with_the_least_costs_once_each(monkeypatch):
    monkeypatch.setattr(moves, "_MOST", 1.0)
    assert _paired([9.0, 1.0, 0.0, 5.0], [7.0, 3.0, 1.0, 8.0]) == [(0, 2), (3, 1)]
    assert _paired([1.0, 0.0], [5.0, 2.0]) == []
    assert _paired([-np.inf] * 3, [0.0] * 3) == []
    # A component is not split for its own sake.
    assert _paired([4.0, 0.0], [1.0, 9.0]) == []


def test_half_components_are_put_where_the_taken_ones_were():
    X, centers = two_on_one()
    params = to_params(np.full(3, 1 / 3), np.array(centers), np.zeros((3, 4, 0)), np.ones(4))
    weights = torch.ones(len(X), dtype=torch.float64)
    move = moved(params, torch.tensor(X), weights, STRUCTURES["UCU"], 1e-6, 0)
    assert move is not None and move.split == [2]
    (taken,) = move.taken
    assert taken in (0, 1)
    assert sorted(move.params.means[[2, taken], 0].round().tolist()) == [20, 30]
    assert move.params.log_weights.exp().sum() == pytest.approx(1)
    # Rows of no weight are as good as not there.
    weights[:80] = 0
    alone = moved(params, torch.tensor(X), weights, STRUCTURES["UCU"], 1e-6, 0)
    assert alone is not None and alone.split == [2]


def test_nothing_moves_where_all_is_well_or_rows_are_few():
    X = blobs([0.0, 20.0, 30.0])
    centers = np.repeat([[0.0], [20.0], [30.0]], 4, axis=1)
    params = to_params(np.full(3, 1 / 3), centers, np.zeros((3, 4, 0)), np.ones(4))
    assert moved(params, torch.tensor(X), torch.ones(len(X)).double(), STRUCTURES["UCU"], 1e-6, 0) is None
    few = blobs([0.0, 20.0, 30.0], 2)
    params = to_params(np.full(3, 1 / 3), np.array(two_on_one()[1]), np.zeros((3, 4, 0)), np.ones(4))
    assert moved(params, torch.tensor(few), torch.ones(len(few)).double(), STRUCTURES["UCU"], 1e-6, 0) is None


def test_moves_that_do_not_pay_are_undone(monkeypatch):
    X, _ = two_on_one()
    good = MFA(3, 0, split_merge=False, random_state=0).fit(X)
    params = to_params(good.weights_, good.means_ + 300, good.loadings_, good.noise_variance_)
    bad = moves.Move(params._replace(means=params.means * 0 + 50.0), [0], [1])
    monkeypatch.setattr(moves.Moves, "propose", lambda self, params: bad)
    tried = MFA(3, 0, split_merge=True, random_state=0).fit(X)
    assert tried.lower_bound_ == pytest.approx(good.lower_bound_, abs=1e-6)
    assert tried.lower_bound_ == pytest.approx(tried.score(X), abs=1e-9)


def test_what_is_remembered_moves_along():
    n_components = N_NEIGHBORS + 6
    order = (torch.arange(n_components)[:, None] + torch.arange(N_NEIGHBORS)) % n_components
    home = torch.arange(n_components).repeat(2).int()
    places = Places(home, torch.tensor([0, 1, 2]).int(), torch.tensor([5, 7, 5]).int(), order)
    params = random_params(FREE, (n_components, 4, 1))
    after = places.after(moves.Move(params, split=[3], taken=[5]))
    assert not bool((after.home == 5).any()) and not bool((after.components == 5).any())
    assert after.home[5] == 6  # its closest neighbor
    assert after.neighbors[5, :2].tolist() == [5, 3] and 5 in after.neighbors[3].tolist()
    np.testing.assert_array_equal(after.rows, [1])
    np.testing.assert_array_equal(after.neighbors[:, 0], np.arange(n_components))


def test_rows_that_moves_are_judged_by_fit_a_budget(monkeypatch):
    monkeypatch.setattr(moves, "SAMPLE_BYTES", 64 * 4 * 8)
    seen = []

    def judged(params, X, *others):
        seen.append(len(X))

    monkeypatch.setattr(moves, "moved", judged)
    MFA(3, 0, split_merge=True, random_state=0, init=np.array(two_on_one()[1])).fit(two_on_one()[0])
    assert seen == [64]


def test_moves_begin_at_a_point_whose_bound_is_known():
    """And not at one that was extrapolated and has not been tried yet."""
    asked = []
    nothing = SimpleNamespace(propose=lambda params: asked.append(params))
    tried, ahead = (random_params(FREE, (3, 4, 1), seed) for seed in (0, 1))
    solver = EMSolver(ahead, SimpleNamespace(), FREE, 1e-6, moves=nothing)
    solver._safe = _Safe(-1.0, tried, None)
    assert not solver.rearrange(-1.0)
    assert asked == [tried]
