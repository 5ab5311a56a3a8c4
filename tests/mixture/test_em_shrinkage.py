"""How many rows are lent: against leaving every row out in turn, and by what becomes of new rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mixture_oracles import params_of

from mfa_sklearn import MFA
from mfa_sklearn.datasets import make_mfa
from mfa_sklearn.mixture._em import shrinkage
from mfa_sklearn.mixture._em.shrinkage import _GRID, best_pseudo_rows
from mfa_sklearn.mixture._model.params import to_params


def apart(sizes: tuple[int, ...], deviations: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of Gaussians far from each other, with deviations (K, D), and their labels."""
    rng, y = np.random.default_rng(seed), np.repeat(np.arange(len(sizes)), sizes)
    return 10.0 * y[:, None] + deviations[y] * rng.standard_normal((len(y), deviations.shape[1])), y


def left_out(X: np.ndarray, y: np.ndarray, pooled: np.ndarray, a: float) -> float:
    """Minus twice the rows' log density under mean and variance of their cluster's others, without constants."""
    total = 0.0
    for i in range(len(X)):
        others = X[(y == y[i]) & (np.arange(len(X)) != i)]
        mean, n = others.mean(0), len(others)
        variance = (((others - mean) ** 2).sum(0) + a * pooled) / (n + a)
        total += (np.log(variance) + (X[i] - mean) ** 2 / variance).sum()
    return total


@pytest.mark.parametrize("seed", range(3))
def test_the_rows_lent_are_those_that_leaving_out_says(seed):
    deviations = np.exp(0.4 * np.random.default_rng(seed).standard_normal((3, 5)))
    X, y = apart((12, 25, 9), deviations, seed)
    means = np.stack([X[y == k].mean(0) for k in range(3)])
    noise = np.stack([X[y == k].var(0) for k in range(3)])
    counts = np.bincount(y)
    pooled = counts @ noise / len(X)
    params = to_params(counts / len(X), means, np.zeros((3, 5, 0)), noise)
    rows = torch.tensor(X)
    found = best_pseudo_rows(
        params, torch.tensor(counts).double(), torch.tensor(pooled), rows, torch.ones(len(X)).double(), False, 1e-9
    )
    best = int(np.argmin([left_out(X, y, pooled, a) for a in _GRID]))
    low, high = _GRID[max(0, best - 1)], _GRID[min(best + 1, len(_GRID) - 1)]
    assert low <= found <= high


def test_much_is_lent_where_all_are_alike_and_little_where_they_differ():
    alike = np.ones((4, 8))
    unlike = np.exp(np.random.default_rng(1).uniform(-2, 2, (4, 8)))
    lent = {}
    for name, deviations in (("alike", alike), ("unlike", unlike)):
        X, y = apart((40, 40, 40, 40), deviations)
        lent[name] = MFA(4, 0, noise="component", init=y, random_state=0).fit(X).noise_prior_
    assert lent["alike"] > 100 > 10 > lent["unlike"]


@pytest.mark.parametrize("solver", ["em", "gradient"])
def test_new_rows_are_more_probable_than_without_a_prior(solver):
    X, _ = make_mfa(1200, 12, 6, 1, random_state=3)
    few, new = X[:150], X[150:]
    arguments = {"noise": "component", "random_state": 0, "solver": solver, "max_iter": 200}
    if solver == "gradient":
        arguments |= {"learning_rate": 0.02, "max_iter": 60, "tol": 0}
    lent, none = (MFA(6, 1, noise_prior=prior, **arguments).fit(few) for prior in ("auto", None))
    assert lent.noise_prior_ > 0 == none.noise_prior_ == none.log_prior_
    assert lent.score(new) > none.score(new) + 0.05
    assert lent.log_prior_ < 0
    assert lent.lower_bound_ - lent.log_prior_ == pytest.approx(lent.score(few), abs=1e-6)


def test_bounds_rise_once_the_prior_has_settled():
    X, _ = make_mfa(300, 6, 3, 2, random_state=0)
    plain = {"annealing": 1, "acceleration": False, "tol": 0, "max_iter": 40, "random_state": 0}
    mfa = MFA(3, 2, noise="component", noise_prior=10.0, **plain).fit(X)
    settled = mfa.lower_bounds_[shrinkage.SETTLED_AFTER - 1 :]
    assert np.all(np.diff(settled) >= -1e-10)
    assert mfa.noise_prior_ == 10


def test_an_optimum_of_em_under_a_prior_is_one_of_the_gradient():
    X, y = make_mfa(600, 6, 3, 2, random_state=0)
    mfa = MFA(3, 2, noise="component", noise_prior=300.0, random_state=0, init=y, tol=1e-8, max_iter=3000).fit(X)
    noise, bound = mfa.noise_variance_.copy(), mfa.lower_bound_
    mfa.set_params(solver="gradient", warm_start=True, max_iter=40, tol=0, batch_size=600, learning_rate=2e-4).fit(X)
    np.testing.assert_allclose(mfa.noise_variance_, noise, rtol=0.015)
    assert mfa.lower_bound_ == pytest.approx(bound, abs=1e-3)
    # Without the prior it leaves for where the components' noise differs more.
    mfa.set_params(noise_prior=None, max_iter=200, learning_rate=1e-3).fit(X)
    assert np.abs(np.log(mfa.noise_variance_ / noise)).max() > 0.05


def test_warm_starts_keep_the_prior_they_settled_on():
    X, _ = make_mfa(300, 6, 3, 2, random_state=0)
    mfa = MFA(3, 2, noise="component", random_state=0, tol=0, max_iter=12).fit(X)
    lent, bound = mfa.noise_prior_, mfa.lower_bound_
    mfa.set_params(warm_start=True, max_iter=3).fit(X)
    assert mfa.noise_prior_ == lent
    assert mfa.lower_bound_ >= bound - 1e-10
    assert np.all(np.diff(mfa.lower_bounds_) >= -1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_the_rows_lent_to_shared_noise_are_those_that_leaving_out_says(seed):
    X, y = apart((6, 8, 5), np.exp(0.4 * np.random.default_rng(seed).standard_normal((1, 5))).repeat(3, 0), seed)
    means, counts = np.stack([X[y == k].mean(0) for k in range(3)]), np.bincount(y)
    noise = ((X - means[y]) ** 2).mean(0)
    pooled = np.full(5, 1.3)

    def loss(a: float) -> float:
        total = 0.0
        for i in range(len(X)):
            kept = np.arange(len(X)) != i
            own = np.stack([X[kept & (y == k)].mean(0) for k in range(3)])
            variance = (((X[kept] - own[y[kept]]) ** 2).sum(0) + a * pooled) / (len(X) - 1 + a)
            total += (np.log(variance) + (X[i] - own[y[i]]) ** 2 / variance).sum()
        return total

    params = to_params(counts / len(X), means, np.zeros((3, 5, 0)), noise)
    ones = torch.ones(len(X)).double()
    found = best_pseudo_rows(
        params, torch.tensor(counts).double(), torch.tensor(pooled), torch.tensor(X), ones, False, 1e-9
    )
    best = int(np.argmin([loss(a) for a in _GRID]))
    assert _GRID[max(0, best - 1)] <= found <= _GRID[min(best + 1, len(_GRID) - 1)]


def test_columns_that_hardly_vary_do_not_lose_their_noise():
    """Factors explain the few rows in which a column is not zero, and nothing is left to its noise."""
    rng = np.random.default_rng(0)
    X, _ = make_mfa(900, 8, 3, 2, random_state=0)
    X = np.hstack([X, rng.standard_normal((900, 6)) * (rng.random((900, 6)) < 0.02)])
    lent, none = (
        MFA(3, 4, random_state=0, noise_prior=prior, tol=0, max_iter=60).fit(X[:450]) for prior in ("auto", None)
    )
    assert lent.noise_prior_ > 0
    assert lent.score(X[450:]) > none.score(X[450:]) + 1
    assert lent.lower_bound_ - lent.log_prior_ == pytest.approx(lent.score(X[:450]), abs=1e-6)


@pytest.mark.parametrize("arguments", [{"noise_form": "isotropic", "noise": "shared"}, {"noise_prior": None}, {"K": 1}])
def test_there_is_no_prior_where_none_is_asked_for_or_nothing_to_share(arguments):
    X, _ = make_mfa(100, 4, 2, 1, random_state=0)
    settings = {"noise": "component", "random_state": 0, "tol": 0, "max_iter": 5, **arguments}
    mfa = MFA(settings.pop("K", 2), **settings).fit(X)
    assert mfa.noise_prior_ == mfa.log_prior_ == 0
    assert mfa.lower_bound_ == pytest.approx(mfa.score(X))


@pytest.mark.parametrize("solver", ["em", "gradient"])
def test_a_stream_lends_components_the_pooled_noise(solver):
    X, _ = make_mfa(600, 6, 3, 1, random_state=1)
    fits = []
    arguments = {"solver": solver, "learning_rate": 0.02, "max_iter": 40, "tol": 0, "random_state": 0}
    for prior in (None, 1e6):
        mfa = MFA(3, 1, noise="component", noise_prior=prior, **arguments)
        for batch in np.split(X, 4):
            mfa.partial_fit(batch)
        fits.append(mfa)
    spread = [np.log(m.noise_variance_).std(0).mean() for m in fits]
    assert spread[1] < (0.1 if solver == "em" else 0.2) * spread[0]


def test_a_stream_lends_shared_noise_the_columns_variance():
    X, _ = make_mfa(600, 6, 3, 1, random_state=1)
    mfa = MFA(3, 1, noise_prior=1e9, random_state=0)
    for batch in np.split(X, 4):
        mfa.partial_fit(batch)
    assert (mfa.noise_variance_ > 0.8 * X.var(0)).all()
    assert mfa.lower_bound_ <= 0 == mfa.log_prior_


def test_after_a_batch_of_a_stream_the_bound_is_its_likelihood():
    X, _ = make_mfa(200, 6, 3, 1, random_state=1)
    mfa = MFA(3, 1, noise="component", noise_prior=20.0, tol=0, max_iter=10, random_state=0).fit(X)
    before = mfa.score(X)
    mfa.partial_fit(X)
    assert mfa.lower_bound_ - mfa.log_prior_ == pytest.approx(before, abs=1e-9)


@pytest.mark.parametrize("prior", ["auto", 20.0])
@pytest.mark.parametrize("noise", ["shared", "component"])
def test_warm_starts_of_an_iteration_each_are_one_fit(noise, prior):
    """The prior settles after as many steps as in one fit, and is what it is there."""
    X, y = make_mfa(200, 6, 3, 1, random_state=3)
    plain = {"noise": noise, "noise_prior": prior, "init": y, "acceleration": False, "tol": 0, "random_state": 0}
    whole = MFA(3, 1, max_iter=12, **plain).fit(X)
    steps = MFA(3, 1, max_iter=1, warm_start=True, **plain)
    for _ in range(12):
        steps.fit(X)
    assert steps.noise_prior_ == pytest.approx(whole.noise_prior_, rel=1e-6)
    np.testing.assert_allclose(steps.noise_variance_, whole.noise_variance_, rtol=1e-8)
    assert steps.lower_bound_ == pytest.approx(whole.lower_bound_, abs=1e-9)


def test_rows_that_miss_values_leave_the_others_to_say():
    X, _ = make_mfa(200, 5, 2, 1, random_state=0)
    holes = X.copy()
    holes[::3, 1] = np.nan
    assert MFA(2, 1, noise="component", random_state=0, tol=0, max_iter=8).fit(holes).noise_prior_ > 0
    holes[:, 1] = np.where(np.arange(200) % 2, np.nan, holes[:, 1])
    holes[:, 2] = np.where(np.arange(200) % 2, holes[:, 2], np.nan)
    nothing = MFA(2, 1, noise="component", random_state=0, tol=0, max_iter=8).fit(holes)
    assert nothing.noise_prior_ == 2  # no row is complete: factors and one


def test_criteria_count_what_is_free():
    X, y = make_mfa(200, 6, 2, 1, random_state=0)
    arguments = {"noise": "component", "init": y, "tol": 0, "max_iter": 8}
    own, tied = (MFA(2, 1, noise_prior=prior, **arguments).fit(X) for prior in (None, 1e9))
    shared = MFA(2, 1, noise="shared", init=y, tol=0, max_iter=8).fit(X)
    p = {m: (m.bic(X) + 2 * len(X) * m.score(X)) / np.log(len(X)) for m in (own, tied, shared)}
    assert p[own] - p[shared] == pytest.approx(6)
    assert p[tied] == pytest.approx(p[shared], abs=1e-4)
    assert params_of(tied).noise_variance.std(0).max() < 1e-4
