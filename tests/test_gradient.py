"""The gradient solver: its constraints, its step, its early stopping."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from mixture_oracles import (
    STRUCTURES,
    dense_log_prob,
    estimator_arguments,
    params_of,
    random_params,
    random_rows,
)
from sklearn.datasets import load_iris
from sklearn.decomposition import FactorAnalysis

from mfa_sklearn import MFA
from mfa_sklearn.datasets import make_mfa
from mfa_sklearn.mixture._gradient import fisher
from mfa_sklearn.mixture._gradient.ascent import Ascent, constrain, unconstrain
from mfa_sklearn.mixture._gradient.fisher import sharp_gradient, sharp_pays
from mfa_sklearn.mixture._gradient.solver import fitting_batch_size, fitting_learning_rate
from mfa_sklearn.mixture._model.density import log_joint, prepare, scores_and_log_joint
from mfa_sklearn.mixture._model.params import MFAParams
from mfa_sklearn.mixture._rows import Batches, Conditioner

FLOOR = 1e-3


def gradient(n_components: int = 2, n_factors: int = 1, **arguments) -> MFA:
    """The gradient solver with settings that suit small tables."""
    settings = {"solver": "gradient", "learning_rate": 0.02, "batch_size": 50, "random_state": 0, **arguments}
    return MFA(n_components, n_factors, **settings)


@pytest.mark.parametrize("size", [(3, 5, 2), (2, 4, 0), (1, 3, 1)])
@pytest.mark.parametrize("name", STRUCTURES)
def test_constrain_undoes_unconstrain(name, size):
    params = random_params(STRUCTURES[name], size)
    back = constrain(unconstrain(params, STRUCTURES[name], FLOOR, torch.float64), FLOOR)
    for found, given in zip(back, params, strict=True):
        torch.testing.assert_close(found, given, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("noise", [0.0, 1e-9, FLOOR, FLOOR * (1 + 1e-9), 1e4, 1e12])
def test_noise_at_the_edges_stays_finite_and_above_the_floor(noise, dtype):
    params = random_params(STRUCTURES["UUU"], (2, 3, 1))
    params = params._replace(noise_variance=torch.full_like(params.noise_variance, noise))
    leaves = unconstrain(params, STRUCTURES["UUU"], FLOOR, dtype)
    assert torch.isfinite(leaves.noise).all()
    found = constrain(leaves, FLOOR).noise_variance.double()
    assert (found >= FLOOR * (1 - 1e-6)).all()
    torch.testing.assert_close(found, torch.full_like(found, max(noise, FLOOR)), rtol=2e-3, atol=0)


@pytest.mark.parametrize("name", STRUCTURES)
def test_any_real_leaves_give_valid_parameters_with_their_ties(name):
    structure = STRUCTURES[name]
    params = random_params(structure, (3, 5, 2))
    leaves = unconstrain(params, structure, FLOOR, torch.float64)
    generator = torch.Generator().manual_seed(0)
    wild = type(leaves)(*(100 * torch.randn(t.shape, generator=generator, dtype=t.dtype) for t in leaves))
    found = constrain(wild, FLOOR)
    assert float(found.log_weights.exp().sum()) == pytest.approx(1, abs=1e-12)
    assert (found.noise_variance >= FLOOR).all()
    same = [len(torch.unique(t, dim=0)) == 1 for t in (found.loadings, found.noise_variance)]
    assert same == [structure.common_loadings, structure.shared_noise]
    assert (found.noise_variance == found.noise_variance[:, :1]).all() == structure.isotropic_noise


@pytest.mark.parametrize("name", STRUCTURES)
def test_a_step_descends_the_weighted_mean_of_the_negative_log_likelihood(name):
    """With plain gradient descent the move is the learning rate times the gradient by finite differences."""
    structure, rate, h = STRUCTURES[name], 1e-3, 1e-5
    params = random_params(structure, (2, 3, 1))
    X = torch.tensor(random_rows(params, 12))
    weights = torch.tensor(np.random.default_rng(0).uniform(0.5, 2, 12))
    leaves = unconstrain(params, structure, FLOOR, torch.float64)

    def objective(values) -> float:
        return float(weights.numpy() @ dense_log_prob(constrain(type(leaves)(*values), FLOOR), X.numpy()) / mass)

    mass = float(weights.sum())
    before = [t.detach().clone() for t in leaves]
    total, weight = Ascent(leaves, torch.optim.SGD(list(leaves), lr=rate), FLOOR).step(X, weights)
    assert total / weight == pytest.approx(objective(before), rel=1e-12)
    assert weight == pytest.approx(mass)
    for i, leaf in enumerate(leaves):
        numeric = torch.zeros_like(before[i])
        for place in np.ndindex(*leaf.shape):
            ends = []
            for side in (h, -h):
                values = [t.clone() for t in before]
                values[i][place] += side
                ends.append(objective(values))
            numeric[place] = (ends[0] - ends[1]) / (2 * h)
        torch.testing.assert_close((leaf.detach() - before[i]) / rate, numeric, rtol=1e-5, atol=1e-6)


def test_a_minibatch_of_no_weight_changes_nothing():
    params = random_params(STRUCTURES["UUU"], (2, 3, 1))
    leaves = unconstrain(params, STRUCTURES["UUU"], FLOOR, torch.float64)
    before = [t.detach().clone() for t in leaves]
    optimizer = torch.optim.Adam(list(leaves), lr=0.1)
    X = torch.tensor(random_rows(params, 4))
    assert Ascent(leaves, optimizer, FLOOR).step(X, torch.zeros(4)) == (0.0, 0.0)
    assert all(torch.equal(a, b) for a, b in zip(leaves, before, strict=True))


def test_a_likelihood_that_is_not_finite_is_an_error_with_a_remedy():
    params = random_params(STRUCTURES["UUU"], (2, 3, 1))
    leaves = unconstrain(params, STRUCTURES["UUU"], FLOOR, torch.float64)
    X = torch.full((2, 3), 1e200, dtype=torch.float64)
    with pytest.raises(FloatingPointError, match=r"learning_rate.*noise_floor"):
        Ascent(leaves, torch.optim.Adam(list(leaves), lr=0.1), FLOOR).step(X, None)


def _free(params: MFAParams) -> MFAParams:
    """The parameters as leaves of automatic differentiation."""
    return MFAParams(*(t.clone().requires_grad_() for t in params))


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("size", [(20, 6, 2), (20, 5, 0), (1, 4, 1)])
@pytest.mark.parametrize("name", STRUCTURES)
def test_the_gradient_from_pairs_is_that_of_automatic_differentiation(name, size, soft):
    """To rounding, whether few pairs matter or all."""
    params = random_params(STRUCTURES[name], size)
    params = params if soft else params._replace(means=20 * params.means)
    X = torch.tensor(random_rows(params, 40))
    weights = torch.tensor(np.random.default_rng(0).uniform(0, 2, 40))
    mean, found, n_pairs = sharp_gradient(params, X, weights)
    assert n_pairs > 200 if soft and size[0] > 1 else n_pairs < 60
    free = _free(params)
    value = weights @ log_joint(prepare(free), X).logsumexp(1)
    value.backward()
    assert float(mean) == pytest.approx(float(value.detach()), rel=1e-10)
    for given, leaf in zip(found, free, strict=True):
        torch.testing.assert_close(given, leaf.grad, rtol=1e-8, atol=1e-10 * float(leaf.grad.norm()))


def test_the_gradient_from_pairs_is_as_exact_in_single_precision():
    """Deviations are taken before they are squared: noise far below the signal costs no digits."""
    params = random_params(STRUCTURES["UUU"], (20, 6, 2))
    params = params._replace(means=20 * params.means, noise_variance=1e-3 * params.noise_variance)
    X = torch.tensor(random_rows(params, 40))
    weights = torch.full((40,), 1 / 40, dtype=torch.float64)
    exact = sharp_gradient(params, X, weights)[1]
    single = sharp_gradient(params.to(torch.float32), X.float(), weights.float())[1]
    for found, given in zip(single, exact, strict=True):
        assert float((found - given).norm() / given.norm()) < 1e-4


def _ten_bits(t: torch.Tensor) -> torch.Tensor:
    """Rounded as TF32 rounds the factors of a product."""
    return ((t.contiguous().view(torch.int32) + 2**12) & -(2**13)).view(torch.float32)


def test_a_coarse_product_finds_the_same_pairs(monkeypatch):
    """What TF32 does to the product on a GPU, done here by hand: the densities stay, the gradient to three digits."""
    params = random_params(STRUCTURES["UUU"], (20, 30, 3)).to(torch.float32)
    params = params._replace(noise_variance=0.05 * params.noise_variance)
    X = torch.tensor(random_rows(params, 60)).float()
    weights = torch.full((60,), 1 / 60)
    mean, exact, _ = sharp_gradient(params, X, weights)

    def coarse(density, rows):
        assert torch.backends.mkldnn.matmul.fp32_precision == "bf16"
        axes = density.cov._replace(basis=_ten_bits(density.cov.basis))
        rounded = dataclasses.replace(density, cov=axes, cross=_ten_bits(density.cross))
        return scores_and_log_joint(rounded, _ten_bits(rows))

    before = torch.backends.mkldnn.matmul.fp32_precision
    monkeypatch.setattr(fisher, "_may_be_coarse", lambda rows: True)
    monkeypatch.setattr(fisher, "scores_and_log_joint", coarse)
    found_mean, found, _ = sharp_gradient(params, X, weights)
    assert torch.backends.mkldnn.matmul.fp32_precision == before
    assert float(found_mean) == pytest.approx(float(mean), rel=1e-5)
    for given, other in zip(found, exact, strict=True):
        assert float((given - other).norm() / other.norm()) < 3e-3


@pytest.mark.parametrize("name", STRUCTURES)
def test_sharp_and_soft_steps_are_one_ascent(name, monkeypatch):
    """Whichever way the gradient is found, and whatever rows miss values, the leaves move alike."""
    structure = STRUCTURES[name]
    params = random_params(structure, (20, 6, 2))
    params = params._replace(means=5 * params.means)
    X = torch.tensor(random_rows(params, 60))
    X[::7, 1] = torch.nan
    batches = [X, X[~X.isnan().any(1)], X[:20].nan_to_num()]

    def climb() -> list[torch.Tensor]:
        leaves = unconstrain(params, structure, FLOOR, torch.float64)
        ascent = Ascent(leaves, torch.optim.Adam(list(leaves), lr=1e-3), FLOOR)
        for batch in batches:
            ascent.step(batch, None)
        return [t.detach() for t in leaves]

    found = climb()
    monkeypatch.setattr("mfa_sklearn.mixture._gradient.ascent.sharp_pays", lambda *sizes: False)
    for one, other in zip(found, climb(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


def test_pairs_are_gone_through_only_where_they_are_few(monkeypatch):
    """An ascent turns to automatic differentiation while posteriors are soft, and back."""
    params = random_params(STRUCTURES["UUU"], (40, 6, 2))
    sharp, soft = params._replace(means=50 * params.means), params._replace(means=0.01 * params.means)
    leaves = unconstrain(sharp, STRUCTURES["UUU"], FLOOR, torch.float64)
    ascent = Ascent(leaves, torch.optim.SGD(list(leaves), lr=0.0), FLOOR)
    ways = []
    for way in ("_by_pairs", "_by_autograd"):
        plain = getattr(ascent, way)
        monkeypatch.setattr(ascent, way, lambda *args, way=way, plain=plain: (ways.append(way), plain(*args))[1])
    for now in (sharp, soft, soft, sharp, sharp):
        for leaf, value in zip(leaves, unconstrain(now, STRUCTURES["UUU"], FLOOR, torch.float64), strict=True):
            leaf.data.copy_(value.detach())
        ascent.step(torch.tensor(random_rows(now, 30)), None)
    assert ways == ["_by_pairs", "_by_pairs", "_by_autograd", "_by_autograd", "_by_pairs"]
    assert not sharp_pays(1, 1, 3)


def test_a_likelihood_of_many_components_that_is_not_finite_is_the_same_error():
    params = random_params(STRUCTURES["UUU"], (20, 3, 1))
    leaves = unconstrain(params, STRUCTURES["UUU"], FLOOR, torch.float64)
    X = torch.full((2, 3), 1e200, dtype=torch.float64)
    with pytest.raises(FloatingPointError, match=r"learning_rate.*noise_floor"):
        Ascent(leaves, torch.optim.Adam(list(leaves), lr=0.1), FLOOR).step(X, None)


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
    arguments = {"init": y, "tol": 0.0, **estimator_arguments(STRUCTURES[name])}
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
    rows = _held_out_rows(X, stopped)
    assert stopped.score(X[rows]) == pytest.approx(held_out.max(), abs=1e-6)


def _held_out_rows(X: np.ndarray, mfa: MFA) -> np.ndarray:
    order = np.random.RandomState(mfa.random_state).permutation(len(X))
    return np.sort(order[: round(mfa.validation_fraction * len(X))])


def test_rows_held_out_do_not_train():
    """Rows that are held out may hold anything finite: the training rows alone decide, but for the scale of columns."""
    X = make_mfa(100, 4, 2, 1, random_state=0)[0]
    labels = (X[:, 0] > np.median(X[:, 0])).astype(int)
    arguments = {"early_stopping": True, "n_iter_no_change": 50, "max_iter": 3, "tol": 0.0, "init": labels}
    first = gradient(2, 1, **arguments).fit(X)
    rows = _held_out_rows(X, first)
    other = X.copy()
    other[rows] = X[rows[::-1]]
    assert not np.array_equal(X, other)
    second = gradient(2, 1, **arguments).fit(other)
    np.testing.assert_allclose(second.means_, first.means_, rtol=1e-9)
    np.testing.assert_allclose(second.loadings_, first.loadings_, rtol=1e-7)


def test_early_stopping_with_too_few_rows_is_an_error():
    with pytest.raises(ValueError, match=r"validation_fraction=0.9 holds out all of n_samples=2"):
        gradient(1, 1, early_stopping=True, validation_fraction=0.9).fit(np.random.default_rng(0).random((2, 3)))


def test_early_stopping_with_no_weight_on_the_rows_held_out():
    X = load_iris().data
    mfa = gradient(2, 1, early_stopping=True, max_iter=10, tol=0.0)
    weights = np.ones(len(X))
    weights[_held_out_rows(X, mfa)] = 0
    with pytest.raises(ValueError, match="sample_weight"):
        mfa.fit(X, sample_weight=weights)


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
