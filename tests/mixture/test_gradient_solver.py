"""The gradient solver: its defaults, its optima, its early stopping."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gradient_cases import gradient, held_out_rows
from mixture_oracles import STRUCTURES, dense_log_prob, estimator_arguments, params_of
from sklearn.datasets import load_iris
from sklearn.decomposition import FactorAnalysis

from mfa_sklearn import MFA
from mfa_sklearn.datasets import make_mfa
from mfa_sklearn.mixture._gradient.solver import fitting_batch_size, fitting_learning_rate
from mfa_sklearn.mixture._rows import Batches, Conditioner


@pytest.mark.parametrize(("n_rows", "size"), [(10, 128), (8192, 128), (20_000, 312), (40_000, 512), (10**6, 512)])
def test_the_batch_size_fits_the_machine_and_leaves_an_epoch_enough_steps(n_rows, size):
    unit = Conditioner(torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64))
    rows = np.empty((n_rows, 1), dtype=np.float32)
    assert fitting_batch_size(Batches(rows, unit, torch.float32, torch.device("cpu"))) == size


@pytest.mark.parametrize(("size", "rate"), [(1, 1e-3), (128, 1e-3), (256, 2e-3), (512, 4e-3), (4096, 4e-3)])
def test_the_learning_rate_grows_with_the_batch(size, rate):
    assert fitting_learning_rate(size) == pytest.approx(rate)


def test_what_is_given_is_taken():
    """The defaults are those of the rules, and numbers that are given stand."""
    X = make_mfa(256, 4, 2, 1, random_state=0)[0]
    arguments = {"max_iter": 2, "tol": 0.0, "solver": "gradient", "random_state": 0}
    default = MFA(2, 1, **arguments).fit(X)
    same = MFA(2, 1, batch_size=128, learning_rate=1e-3, **arguments).fit(X)
    np.testing.assert_array_equal(default.means_, same.means_)
    for other in ({"batch_size": 64}, {"learning_rate": 2e-3}):
        assert not np.array_equal(MFA(2, 1, **arguments, **other).fit(X).means_, same.means_)


def test_goes_on_from_the_optimum_of_em():
    """A warm start hands the parameters over: the gradient starts where EM ended, and does not leave it."""
    X, _ = make_mfa(600, 6, 3, 2, random_state=0)
    em = MFA(3, 2, random_state=0, tol=1e-6, max_iter=2000).fit(X)
    reached, means = em.lower_bound_, em.means_.copy()
    em.set_params(solver="gradient", warm_start=True, max_iter=0, tol=0)
    np.testing.assert_allclose(em.fit(X).means_, means, rtol=1e-9, atol=1e-9)
    assert em.lower_bound_ == pytest.approx(reached, abs=1e-6)
    em.set_params(max_iter=20, batch_size=600, learning_rate=1e-4).fit(X)
    assert reached - 1e-4 < em.lower_bound_ < reached + 1e-3
    np.testing.assert_allclose(em.means_, means, atol=0.02)


@pytest.mark.cuda
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-6), (np.float32, 0.02)])
def test_cuda_gives_what_the_processor_gives(dtype, tolerance):
    X = make_mfa(2000, 10, 40, 2, random_state=0)[0].astype(dtype)
    arguments = {"batch_size": 200, "max_iter": 5, "tol": 0.0, "init": "random_from_data"}
    cpu, cuda = (gradient(40, 2, device=device, **arguments).fit(X) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(cuda.means_, cpu.means_, rtol=tolerance, atol=tolerance)
    assert cuda.lower_bound_ == pytest.approx(cpu.lower_bound_, abs=tolerance)


@pytest.mark.parametrize("name", STRUCTURES)
def test_an_optimum_of_the_gradient_is_one_of_em(name):
    """Where full batches of gradient end, EM has nothing to gain and stays."""
    X, y = make_mfa(300, 4, 2, 1, random_state=0)
    arguments = {"init": y, "tol": 0.0, "noise_prior": None, **estimator_arguments(STRUCTURES[name])}
    by_gradient = gradient(batch_size=300, max_iter=400, n_iter_no_change=400, **arguments).fit(X)
    score, weights = by_gradient.score(X), by_gradient.weights_
    em = by_gradient.set_params(solver="em", warm_start=True, max_iter=150).fit(X)
    assert -1e-9 <= em.score(X) - score <= 2e-3
    np.testing.assert_allclose(em.weights_, weights, atol=5e-3)
    np.testing.assert_allclose(by_gradient.means_, em.means_, atol=0.05)
    assert by_gradient.noise_variance_.shape == em.noise_variance_.shape


def test_one_component_is_factor_analysis():
    X = make_mfa(400, 6, 1, 2, random_state=0)[0]
    X = (X - X.mean(0)) / X.std(0)
    reference = FactorAnalysis(2, tol=1e-8, max_iter=5000).fit(X).score(X)
    found = gradient(1, 2, batch_size=400, max_iter=800, tol=1e-7, n_iter_no_change=50).fit(X).score(X)
    assert reference - 1e-3 < found < reference + 1e-6


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_repeats_under_a_seed_and_rises(dtype):
    X = load_iris().data.astype(dtype)
    fits = [gradient(3, 1, max_iter=15, tol=0, random_state=seed).fit(X) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(fits[0].means_, fits[1].means_)
    assert not np.array_equal(fits[0].means_, fits[2].means_)
    assert fits[0].lower_bound_ > fits[0].lower_bounds_[0] + 0.1
    assert len(fits[0].lower_bounds_) == 16
    assert fits[0].n_iter_ == 15


def test_the_bound_is_the_score_of_the_rows():
    X = load_iris().data
    mfa = gradient(3, 1, max_iter=5, tol=0).fit(X)
    assert mfa.lower_bound_ == pytest.approx(dense_log_prob(params_of(mfa), X).mean(), abs=1e-9)
    assert mfa.lower_bound_ == pytest.approx(mfa.score(X), abs=1e-9)


def test_stops_after_epochs_without_progress():
    X = load_iris().data
    mfa = gradient(3, 1, init="random", max_iter=500, tol=1e-3, n_iter_no_change=4, batch_size=150).fit(X)
    assert mfa.converged_
    assert mfa.n_iter_ < 500
    gains = np.diff(mfa.lower_bounds_[:-1])
    assert np.all(gains[-4:] <= 1e-3)
    assert mfa.n_iter_ > 10
    assert np.all(gains[:5] > 1e-3)


def test_early_stopping_keeps_the_best_on_the_rows_held_out():
    """Few rows and many factors overfit: what is kept is better on held-out rows than what training ends with."""
    X = make_mfa(60, 12, 1, 1, random_state=0)[0]
    arguments = {"max_iter": 400, "tol": 0.0, "learning_rate": 0.05, "batch_size": 64, "noise_floor": 1e-4}
    stopped = gradient(2, 6, early_stopping=True, validation_fraction=0.3, n_iter_no_change=30, **arguments).fit(X)
    held_out = np.array(stopped.lower_bounds_[:-1])
    assert stopped.n_iter_ < 400
    assert stopped.n_iter_ - 1 - held_out.argmax() == 30
    # The rows held out are those the generator of the seed puts first.
    rows = held_out_rows(X, stopped)
    assert stopped.score(X[rows]) == pytest.approx(held_out.max(), abs=1e-6)


def test_a_weight_of_two_is_the_row_twice_in_a_batch_of_all_rows():
    X = make_mfa(100, 4, 2, 1, random_state=0)[0]
    labels = (X[:, 0] > np.median(X[:, 0])).astype(int)
    counts = np.random.default_rng(0).integers(0, 3, 100)
    twice = np.repeat(np.arange(100), counts)
    arguments = {"batch_size": 1000, "max_iter": 20, "tol": 0.0}
    weighted = gradient(init=labels, **arguments).fit(X, sample_weight=counts)
    repeated = gradient(init=labels[twice], **arguments).fit(X[twice])
    np.testing.assert_allclose(weighted.score_samples(X), repeated.score_samples(X), rtol=1e-6)
    assert weighted.lower_bound_ == pytest.approx(repeated.lower_bound_, abs=1e-8)


def test_row_weights_of_zero_leave_rows_out():
    X = make_mfa(200, 4, 2, 1, random_state=0)[0]
    labels = (X[:, 0] > np.median(X[:, 0])).astype(int)
    weights = np.ones(200)
    weights[::4] = 0
    arguments = {"batch_size": 200, "max_iter": 30, "tol": 0.0}
    weighted = gradient(init=labels, **arguments).fit(X, sample_weight=weights)
    left = gradient(init=labels[weights > 0], **arguments).fit(X[weights > 0])
    np.testing.assert_allclose(weighted.means_, left.means_, rtol=1e-6, atol=1e-6)
    assert weighted.lower_bound_ == pytest.approx(left.lower_bound_, abs=1e-7)
