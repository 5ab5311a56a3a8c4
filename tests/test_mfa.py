"""The estimator MFA: what it says of rows, where it starts, what it takes and what it refuses."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from mixture_oracles import (
    STRUCTURES,
    as_arrays,
    dense_covariances,
    dense_log_joint,
    dense_log_prob,
    dense_posterior,
    dense_responsibilities,
    estimator_arguments,
    fitted,
    params_of,
    random_params,
    random_rows,
)
from scipy import sparse
from sklearn.base import clone
from sklearn.cluster import DBSCAN, KMeans
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from mfa_sklearn import MFA
from mfa_sklearn._base.annotated import AnnotatedArray, annotate
from mfa_sklearn.datasets import make_mfa

SIZES = [(3, 5, 2), (1, 4, 1), (2, 3, 0), (4, 30, 6)]
X_MADE, Y_MADE, PARAMS_MADE = make_mfa(300, 6, 3, 2, random_state=0, return_params=True)


def quick(X=X_MADE, **arguments) -> MFA:
    """A few plain iterations on three well separated components."""
    settings = {"n_components": 3, "n_factors": 2, "max_iter": 8, "tol": 0.0, "random_state": 0, **arguments}
    return MFA(**settings).fit(X)


def exact(name: str, size: tuple[int, int, int], n_rows: int = 30, **arguments):
    """An estimator that holds random parameters, these parameters, and rows."""
    params = random_params(STRUCTURES[name], size)
    return fitted(params, STRUCTURES[name], **arguments), params, random_rows(params, n_rows)


# --- what it says of rows -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", STRUCTURES)
def test_densities_and_assignments(name, size):
    mfa, params, X = exact(name, size)
    log_prob = dense_log_prob(params, X)
    responsibility = dense_responsibilities(params, X)
    np.testing.assert_allclose(mfa.score_samples(X), log_prob, rtol=1e-11)
    np.testing.assert_allclose(mfa.predict_proba(X), responsibility, atol=1e-11)
    np.testing.assert_array_equal(mfa.predict(X), responsibility.argmax(1))
    assert mfa.score(X) == pytest.approx(log_prob.mean(), rel=1e-12)
    weights = np.random.default_rng(0).uniform(size=len(X))
    assert mfa.score(X, sample_weight=weights) == pytest.approx(np.average(log_prob, weights=weights), rel=1e-12)


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("name", ["UUU", "CCC"])
def test_pairs_are_the_densities_that_matter(name, missing):
    """All that are within rounding of mattering, by row and then by component, in batches that cover the rows."""
    mfa, _, X = exact(name, (3, 5, 2), 100)
    X[:, 0] += 5  # far from all components, where several matter
    if missing:
        X[3:20, 1] = np.nan
    joint = np.vstack([j for _, j in mfa.iter_log_joint(X)])
    seen = np.full_like(joint, -np.inf)
    stop = 0
    for rows, numbers, components, log_joint in mfa.iter_pairs(X):
        assert rows.start == stop
        stop = rows.stop
        assert (np.diff(numbers * 3 + components) > 0).all()
        seen[numbers + rows.start, components] = log_joint
    assert stop == len(X)
    found = seen > -np.inf
    np.testing.assert_allclose(seen[found], joint[found], rtol=1e-11)
    assert found[joint > joint.max(1, keepdims=True) - 40].all()
    assert found.sum() > 100


@pytest.mark.parametrize("name", ["UUU", "CCC"])
def test_log_joint_comes_in_chunks_that_cover_the_rows(name, monkeypatch):
    monkeypatch.setattr("mfa_sklearn.mixture._model.pairs._CHUNK_BYTES", 1)  # as small as chunks get
    mfa, params, X = exact(name, (3, 5, 2), 100)
    chunks = list(mfa.iter_log_joint(X))
    assert len(chunks) > 3
    assert [c.start for c, _ in chunks] == [0, *(c.stop for c, _ in chunks[:-1])]
    assert chunks[-1][0].stop == len(X)
    np.testing.assert_allclose(np.concatenate([j for _, j in chunks]), dense_log_joint(params, X), rtol=1e-11)
    np.testing.assert_allclose(mfa.predict_proba(X), dense_responsibilities(params, X), atol=1e-11)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["UUU", "CCC"])
def test_code_and_reconstruction(name, size):
    mfa, params, X = exact(name, size)
    K, D, q = size
    _, means, loadings, _ = as_arrays(params)
    r, z = dense_responsibilities(params, X), dense_posterior(params, X)[0]
    expected = np.concatenate([r[:, :, None], r[:, :, None] * z], axis=2).reshape(len(X), -1)
    code = mfa.transform(X)
    assert sparse.issparse(code)
    assert code.format == "csr"
    np.testing.assert_allclose(code.toarray(), expected, atol=1e-11)

    assert mfa.dictionary_.shape == (K * (1 + q), D)
    np.testing.assert_array_equal(mfa.dictionary_[0], means[0])
    seen = np.einsum("nk,nkd->nd", r, means + np.einsum("nkq,kdq->nkd", z, loadings))
    np.testing.assert_allclose(code @ mfa.dictionary_, seen, atol=1e-10)
    np.testing.assert_allclose(mfa.reconstruct(X), seen, atol=1e-10)
    np.testing.assert_allclose(mfa.inverse_transform(code), seen, atol=1e-10)
    np.testing.assert_allclose(mfa.inverse_transform(expected), seen, atol=1e-10)

    dense = clone(mfa).set_params(sparse_output=False)
    dense.__dict__.update({k: v for k, v in vars(mfa).items() if k.endswith("_")})
    np.testing.assert_array_equal(dense.transform(X), code.toarray())
    np.testing.assert_allclose(dense.reconstruct(X), mfa.reconstruct(X), atol=1e-12)


def test_the_code_of_a_one_hot_posterior_is_sparse():
    mfa = quick()
    code = mfa.transform(X_MADE)
    assert code.nnz < 2 * 3 * len(X_MADE)
    names = mfa.get_feature_names_out()
    assert names.shape == (9,)
    assert names.tolist()[:4] == ["mfa0", "mfa0_factor0", "mfa0_factor1", "mfa1"]


@pytest.mark.parametrize("size", SIZES)
def test_factor_scores(size):
    mfa, params, X = exact("UUU", size)
    scores = dense_posterior(params, X)[0]
    for k in range(size[0]):
        np.testing.assert_allclose(mfa.posterior_mean(X, k), scores[:, k], atol=1e-11)
    best = dense_responsibilities(params, X).argmax(1)
    np.testing.assert_allclose(mfa.posterior_mean(X), scores[np.arange(len(X)), best], atol=1e-11)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["UUU", "UCC"])
def test_covariance_and_precision(name, size):
    mfa, params, _ = exact(name, size)
    weights, means, _, _ = as_arrays(params)
    dense = dense_covariances(params)
    for k in range(size[0]):
        np.testing.assert_allclose(mfa.get_covariance(k), dense[k], atol=1e-12)
        np.testing.assert_allclose(mfa.get_precision(k), np.linalg.inv(dense[k]), atol=1e-11)
    mean = weights @ means
    whole = np.einsum("k,kde->de", weights, dense + means[:, :, None] * means[:, None, :]) - np.outer(mean, mean)
    np.testing.assert_allclose(mfa.get_covariance(), whole, atol=1e-11)
    np.testing.assert_allclose(mfa.get_precision() @ whole, np.eye(size[1]), atol=1e-9)


@pytest.mark.parametrize("name", STRUCTURES)
def test_criteria(name):
    mfa, params, X = exact(name, (3, 2, 1))
    count = {"UUU": 20, "UUC": 17, "UCU": 16, "UCC": 15, "CUU": 16, "CUC": 13, "CCU": 12, "CCC": 11}[name]
    total = dense_log_prob(params, X).sum()
    r = dense_responsibilities(params, X)
    entropy = -(r * np.log(np.where(r > 0, r, 1))).sum()
    assert mfa.aic(X) == pytest.approx(-2 * total + 2 * count)
    assert mfa.bic(X) == pytest.approx(-2 * total + count * np.log(len(X)))
    assert mfa.icl(X) == pytest.approx(mfa.bic(X) + 2 * entropy)


def test_draws():
    mfa, params, _ = exact("UUU", (3, 4, 2), random_state=0)
    X, components = mfa.sample(40_000)
    again, _ = mfa.sample(40_000)
    np.testing.assert_array_equal(X, again)
    assert X.shape == (40_000, 4)
    weights, means, _, _ = as_arrays(params)
    np.testing.assert_allclose(np.bincount(components) / len(X), weights, atol=0.01)
    for k, covariance in enumerate(dense_covariances(params)):
        np.testing.assert_allclose(X[components == k].mean(0), means[k], atol=0.1)
        np.testing.assert_allclose(np.cov(X[components == k].T), covariance, atol=0.25)
    # The draws' own likelihood is the negative entropy, which another mixture cannot beat.
    other, _, _ = exact("UUU", (3, 4, 2))
    other.means_ = other.means_ + 0.2
    assert mfa.score(X) > other.score(X)
    with pytest.raises(ValueError, match="n_samples=0"):
        mfa.sample(0)


@pytest.mark.parametrize("method", ["varimax", "quartimax"])
@pytest.mark.parametrize("structure", ["UUU", "CCC"])
def test_rotation_changes_no_density(method, structure):
    arguments = estimator_arguments(STRUCTURES[structure])
    plain, rotated = quick(**arguments), quick(rotation=method, **arguments)
    assert not np.allclose(plain.loadings_, rotated.loadings_)
    np.testing.assert_allclose(rotated.score_samples(X_MADE), plain.score_samples(X_MADE), rtol=1e-10)
    for k in range(3):
        np.testing.assert_allclose(rotated.get_covariance(k), plain.get_covariance(k), atol=1e-9)


# --- where it starts ------------------------------------------------------------------------------------------------


def centers_near(y=Y_MADE, X=X_MADE) -> np.ndarray:
    """The means of the true components."""
    return np.stack([X[y == k].mean(0) for k in range(y.max() + 1)])


def same_components(mfa: MFA, y=Y_MADE, X=X_MADE) -> bool:
    """Whether the fit has found the true components, in their order."""
    return bool((mfa.predict(X) == y).mean() > 0.99)


@pytest.mark.parametrize("strategy", ["auto", "kmeans", "k-means++", "random_from_data", "random"])
def test_named_strategies_fit_and_repeat_under_a_seed(strategy):
    first, again = quick(init=strategy), quick(init=strategy)
    np.testing.assert_array_equal(first.means_, again.means_)
    assert first.lower_bound_ > -15
    if strategy in ("auto", "kmeans"):
        assert same_components(first, first.predict(X_MADE))
        assert first.lower_bound_ == pytest.approx(quick(init="kmeans").lower_bound_)


def test_random_starts_differ_with_the_seed():
    starts = [quick(init="random_from_data", random_state=seed, max_iter=0).means_ for seed in (0, 1)]
    assert not np.allclose(starts[0], starts[1])


def test_given_centers():
    assert same_components(quick(init=centers_near()))
    assert same_components(quick(init=centers_near().tolist()))
    everyone = MFA(None, 2, init=centers_near(), max_iter=3, tol=0).fit(X_MADE)
    assert everyone.n_components_ == 3


def test_attached_centers():
    attached = annotate(X_MADE, cluster_centers=centers_near()[::-1])
    assert same_components(quick(attached), 2 - Y_MADE)
    assert MFA(None, 2, max_iter=3, tol=0).fit(attached).n_components_ == 3
    # A named strategy asks for something else.
    np.testing.assert_array_equal(quick(attached, init="kmeans").means_, quick(init="kmeans").means_)
    with pytest.raises(ValueError, match=r"3 centers, but n_components=4"):
        quick(attached, n_components=4)


def test_without_anything_given_there_is_one_component():
    assert MFA().fit(X_MADE).n_components_ == 1


@pytest.mark.parametrize("labels", [Y_MADE, Y_MADE.tolist(), pd.Series(Y_MADE), Y_MADE.astype(np.uint8)])
def test_given_labels(labels):
    mfa = MFA(None, 2, init=labels, max_iter=3, tol=0).fit(X_MADE)
    assert mfa.n_components_ == 3
    assert same_components(mfa)


def test_the_start_from_labels_is_the_labeled_rows_moments():
    mfa = MFA(3, 2, init=Y_MADE, noise="component", max_iter=0).fit(X_MADE)
    np.testing.assert_allclose(mfa.weights_, np.bincount(Y_MADE) / len(Y_MADE), rtol=1e-6)
    np.testing.assert_allclose(mfa.means_, centers_near(), rtol=1e-9)
    for k in range(3):
        own = np.cov(X_MADE[k == Y_MADE].T, bias=True)
        # near the rows' covariance: the two strongest directions, and the variance of each feature
        np.testing.assert_allclose(np.diag(mfa.get_covariance(k)), np.diag(own), rtol=0.1, atol=0.15)
        assert np.corrcoef(mfa.get_covariance(k).ravel(), own.ravel())[0, 1] > 0.95


def test_a_label_without_rows_is_a_component_without_nan():
    mfa = MFA(4, 1, init=np.where(Y_MADE == 2, 3, Y_MADE), max_iter=5, tol=0).fit(X_MADE)
    assert mfa.n_components_ == 4
    assert np.isfinite(mfa.score_samples(X_MADE)).all()


def test_nested_estimator():
    clusterer = KMeans(n_init=1, random_state=0)
    mfa = quick(init=clusterer)
    assert not hasattr(clusterer, "cluster_centers_"), "a constructor parameter was fitted"
    assert mfa.n_components_ == 3
    ready = KMeans(3, n_init=1, random_state=0).fit(X_MADE)
    before = ready.cluster_centers_.copy()
    used = MFA(None, 2, init=ready, max_iter=8, tol=0, random_state=0).fit(X_MADE)
    np.testing.assert_array_equal(ready.cluster_centers_, before)
    assert used.n_components_ == 3
    assert used.score(X_MADE) == pytest.approx(mfa.score(X_MADE), abs=1e-6)


BAD_STARTS = [
    (np.zeros((3, 5)), ValueError, r"centers of shape \(3, 5\), but X has n_features=6"),
    (np.zeros((4, 6)), ValueError, r"4 centers, but n_components=3"),
    (np.full((3, 6), np.nan), ValueError, "centers that are not finite"),
    (np.zeros((1, 3, 6)), ValueError, r"centers of shape \(1, 3, 6\)"),
    (np.zeros(5, dtype=int), ValueError, r"5 labels for n_samples=300"),
    (np.full(300, -1), ValueError, "integers from 0.* minimum -1"),
    (Y_MADE.astype(float), ValueError, "integers from 0, got dtype float64"),
    (Y_MADE + 1, ValueError, r"labels up to 3, but n_components=3"),
    (DBSCAN(eps=10.0), ValueError, "no cluster_centers_ after fit"),
    ("kmean", ValueError, "'init' parameter"),
]


@pytest.mark.parametrize(("init", "error", "message"), BAD_STARTS)
def test_bad_starts(init, error, message):
    with pytest.raises(error, match=message):
        quick(init=init)


def test_warm_start_goes_on():
    whole = quick(max_iter=12, annealing=1, acceleration=False)
    parts = MFA(3, 2, max_iter=6, tol=0, annealing=1, acceleration=False, random_state=0, warm_start=True)
    parts.fit(X_MADE).fit(X_MADE)
    np.testing.assert_allclose(parts.means_, whole.means_, rtol=1e-8)
    np.testing.assert_allclose(parts.score_samples(X_MADE), whole.score_samples(X_MADE), rtol=1e-8)


def test_without_warm_start_fit_forgets():
    mfa = quick()
    np.testing.assert_array_equal(clone(mfa).fit(X_MADE).means_, mfa.fit(X_MADE).means_)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"n_components": 4}, "n_components"), ({"n_factors": 1}, "n_factors")],
)
def test_warm_start_with_another_shape_is_refused(change, message):
    mfa = quick(warm_start=True).set_params(**change)
    with pytest.raises(ValueError, match=message):
        mfa.fit(X_MADE)


def test_warm_start_with_another_width_is_refused():
    with pytest.raises(ValueError, match="features"):
        quick(warm_start=True).fit(X_MADE[:, :4])


@pytest.mark.parametrize("max_iter", [0, 5])
@pytest.mark.parametrize("change", [{"noise": "component"}, {"noise_form": "diagonal"}, {"loading_type": "component"}])
def test_warm_start_loosens_ties(change, max_iter):
    """A fit with more ties is a start for one with fewer."""
    tied = quick(warm_start=True, noise="shared", noise_form="isotropic", loading_type="common", max_iter=40)
    before = tied.lower_bound_
    mfa = tied.set_params(max_iter=max_iter, **change).fit(X_MADE)
    assert mfa.noise_variance_.shape == ((3, 6) if "noise" in change else (6,))
    assert mfa.lower_bound_ >= before + (1e-3 if max_iter else -1e-9)
    assert mfa.lower_bound_ == pytest.approx(dense_log_prob(params_of(mfa), X_MADE).mean(), rel=1e-10)


@pytest.mark.parametrize("change", [{"noise": "shared"}, {"noise_form": "isotropic"}, {"loading_type": "common"}])
def test_warm_start_into_more_ties(change):
    mfa = quick(warm_start=True, noise="component").set_params(max_iter=0, **change)
    weights, noise, loadings = mfa.weights_, mfa.noise_variance_, mfa.loadings_
    mfa.fit(X_MADE)
    if "noise" in change:
        np.testing.assert_allclose(mfa.noise_variance_, weights @ noise, rtol=1e-10)
    elif "noise_form" in change:
        np.testing.assert_allclose(mfa.noise_variance_, np.repeat(noise.mean(1, keepdims=True), 6, 1), rtol=1e-10)
    else:
        np.testing.assert_array_equal(mfa.loadings_, np.broadcast_to(mfa.loadings_[0], loadings.shape))
        average = np.einsum("k,kdq,keq->de", weights, loadings, loadings)
        values, axes = np.linalg.eigh(average)
        best = (axes[:, -2:] * values[-2:]) @ axes[:, -2:].T
        np.testing.assert_allclose(mfa.loadings_[0] @ mfa.loadings_[0].T, best, rtol=1e-8, atol=1e-10)


def test_more_starts_are_never_worse():
    one = quick(init="random", max_iter=15)
    many = quick(init="random", max_iter=15, n_init=6)
    assert many.lower_bound_ >= one.lower_bound_
    seeds = [quick(init="random", max_iter=15, random_state=s).lower_bound_ for s in range(4)]
    assert max(seeds) - min(seeds) > 1e-3, "the case does not tell starts apart"


# --- how it ends ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("acceleration", [False, True])
@pytest.mark.parametrize("name", STRUCTURES)
def test_bounds_rise_and_end_at_the_score(name, acceleration):
    mfa = quick(
        init="random_from_data", max_iter=40, annealing=1, acceleration=acceleration,
        **estimator_arguments(STRUCTURES[name]),
    )  # fmt: skip
    assert len(mfa.lower_bounds_) == mfa.n_iter_ + 1 == 41
    if not mfa.n_reseeded_:
        assert np.all(np.diff(mfa.lower_bounds_) >= -1e-10)
    assert mfa.lower_bound_ == mfa.lower_bounds_[-1]
    assert mfa.lower_bound_ == pytest.approx(dense_log_prob(params_of(mfa), X_MADE).mean(), rel=1e-10)


@pytest.mark.parametrize("name", STRUCTURES)
def test_fitted_shapes_and_ties(name):
    structure = STRUCTURES[name]
    mfa = quick(**estimator_arguments(structure))
    assert mfa.weights_.shape == (3,)
    assert mfa.means_.shape == (3, 6)
    assert mfa.loadings_.shape == (3, 6, 2)
    assert mfa.noise_variance_.shape == ((6,) if structure.shared_noise else (3, 6))
    assert mfa.weights_.sum() == pytest.approx(1)
    if structure.common_loadings:
        np.testing.assert_allclose(mfa.loadings_, np.broadcast_to(mfa.loadings_[:1], mfa.loadings_.shape), rtol=1e-12)
    if structure.isotropic_noise:
        np.testing.assert_allclose(np.ptp(mfa.noise_variance_, axis=-1), 0, atol=1e-12)


def test_recovers_the_parameters_it_was_drawn_from():
    X, y, truth = make_mfa(20_000, 8, 3, 2, noise="component", random_state=3, return_params=True)
    mfa = MFA(3, 2, noise="component", init=y, max_iter=200, tol=1e-6, random_state=0).fit(X)
    np.testing.assert_allclose(mfa.weights_, truth.weights, atol=0.02)
    np.testing.assert_allclose(mfa.means_, truth.means, atol=0.1)
    for k in range(3):
        expected = truth.loadings[k] @ truth.loadings[k].T + np.diag(truth.noise_variance[k])
        np.testing.assert_allclose(mfa.get_covariance(k), expected, atol=0.2)
    np.testing.assert_allclose(mfa.noise_variance_, truth.noise_variance, atol=0.12)


def test_not_converged_is_a_warning_and_tol_zero_is_not():
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        mfa = MFA(3, 2, max_iter=2, random_state=0).fit(X_MADE)
    assert not mfa.converged_
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick(max_iter=2)
        assert MFA(3, 2, max_iter=500, random_state=0).fit(X_MADE).converged_


def test_progress_is_printed_in_the_units_of_score(capsys):
    mfa = quick(verbose=4, annealing=1)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert f"iteration 4: {mfa.lower_bounds_[3]:.6f} nats per row" in lines[0]
    quick()
    assert capsys.readouterr().out == ""


def test_an_interrupt_keeps_the_fit_so_far(monkeypatch):
    def interrupted(self, attempt, *_):
        def report(n_iter, step):
            if n_iter == 3:
                raise KeyboardInterrupt

        return report

    monkeypatch.setattr(MFA, "_report", interrupted)
    with pytest.warns(UserWarning, match="interrupted after 3 iterations"):
        mfa = quick(n_init=5)
    assert mfa.n_iter_ == 3
    assert np.isfinite(mfa.score(X_MADE))


# --- weights and streams --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("noise", ["shared", "component"])
def test_a_weight_of_two_is_the_row_twice(noise, dtype):
    counts = np.random.default_rng(0).integers(0, 3, len(X_MADE))
    twice = np.repeat(np.arange(len(X_MADE)), counts)
    X = X_MADE.astype(dtype)
    weighted = MFA(3, 2, noise=noise, init=Y_MADE, max_iter=10, tol=0).fit(X, sample_weight=counts)
    repeated = MFA(3, 2, noise=noise, init=Y_MADE[twice], max_iter=10, tol=0).fit(X[twice])
    tolerance = 1e-8 if dtype == np.float64 else 2e-3
    np.testing.assert_allclose(weighted.score_samples(X), repeated.score_samples(X), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(weighted.weights_, repeated.weights_, rtol=tolerance)
    np.testing.assert_allclose(weighted.noise_variance_, repeated.noise_variance_, rtol=100 * tolerance)
    assert weighted.lower_bound_ == pytest.approx(repeated.lower_bound_, abs=10 * tolerance)


@pytest.mark.parametrize("batch_size", [1, 7, 299, 10_000])
def test_batches_are_a_matter_of_memory_alone(batch_size):
    whole = quick(init=Y_MADE)
    np.testing.assert_allclose(quick(init=Y_MADE, batch_size=batch_size).means_, whole.means_, rtol=1e-9)


def test_rows_that_do_not_fit_are_read_again(monkeypatch):
    kept = quick(init=Y_MADE)
    monkeypatch.setattr("mfa_sklearn.mixture._rows.KEEP_BYTES", 100)
    monkeypatch.setattr("mfa_sklearn.mixture._rows.BATCH_BYTES", 6 * 8 * 40)
    read = quick(init=Y_MADE)
    np.testing.assert_allclose(read.means_, kept.means_, rtol=1e-9)
    np.testing.assert_allclose(read.score_samples(X_MADE), kept.score_samples(X_MADE), rtol=1e-9)
    by_gradient = quick(init=Y_MADE, solver="gradient", max_iter=3)
    assert by_gradient.lower_bound_ > by_gradient.lower_bounds_[0] - 0.1


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("solver", ["em", "gradient"])
def test_a_stream_comes_near_the_full_fit(solver, dtype):
    X, _ = make_mfa(4000, 6, 3, 2, random_state=0)
    X = X.astype(dtype)
    whole = MFA(3, 2, random_state=0, max_iter=200, tol=1e-6).fit(X).score(X)
    stream = MFA(3, 2, solver=solver, random_state=0, learning_rate=0.01)
    for part in np.array_split(X, 20):
        stream.partial_fit(part)
    assert stream.n_iter_ >= 19
    assert stream.means_.dtype == np.float64
    assert stream.score(X) > whole - (0.1 if solver == "em" else 0.3)
    assert len(stream.lower_bounds_) >= 20


def test_repeating_a_stream_does_not_collapse_it():
    X, _ = make_mfa(600, 6, 3, 2, random_state=0)
    whole = MFA(3, 2, random_state=0, max_iter=500, tol=1e-7).fit(X).score(X)
    stream = MFA(3, 2, random_state=0)
    for _ in range(40):
        for part in np.array_split(X, 4):
            stream.partial_fit(part)
    assert stream.score(X) > whole - 0.05
    assert stream.weights_.min() > 0.05


def test_a_tiny_batch_does_not_overthrow_what_many_rows_say():
    X, _ = make_mfa(2000, 6, 3, 2, random_state=0)
    stream = MFA(3, 2, random_state=0)
    for part in np.array_split(X, 4):
        stream.partial_fit(part)
    before = stream.score(X)
    for row in X[:10]:
        stream.partial_fit(row[None])
    assert stream.score(X) > before - 0.1


def test_partial_fit_after_fit_remembers_the_fit():
    X, _ = make_mfa(2000, 6, 3, 2, random_state=0)
    mfa = MFA(3, 2, random_state=0, max_iter=200).fit(X)
    before = mfa.score(X)
    mfa.partial_fit(X[:20])
    assert mfa.score(X) > before - 0.1


def test_partial_fit_on_given_parameters():
    mfa, _, X = exact("UUU", (3, 5, 2), 200)
    mfa.partial_fit(X)
    assert np.isfinite(mfa.score(X))


def test_fit_after_a_stream_starts_afresh():
    mfa = MFA(3, 2, random_state=0, max_iter=8, tol=0)
    mfa.partial_fit(X_MADE[:150]).partial_fit(X_MADE[150:])
    mfa.fit(X_MADE)
    np.testing.assert_array_equal(mfa.means_, quick().means_)


def test_a_pickled_stream_goes_on():
    stream = MFA(3, 2, random_state=0).partial_fit(X_MADE[:100]).partial_fit(X_MADE[100:200])
    other = pickle.loads(pickle.dumps(stream))
    np.testing.assert_array_equal(stream.partial_fit(X_MADE[200:]).means_, other.partial_fit(X_MADE[200:]).means_)


def test_rotation_does_not_disturb_a_stream():
    plain, rotated = (MFA(3, 2, random_state=0, rotation=r) for r in (None, "varimax"))
    for part in np.array_split(X_MADE, 3):
        plain.partial_fit(part)
        rotated.partial_fit(part)
    np.testing.assert_allclose(rotated.score_samples(X_MADE), plain.score_samples(X_MADE), rtol=1e-9)


def test_stream_weights():
    counts = np.random.default_rng(0).integers(0, 3, len(X_MADE))
    twice = np.repeat(np.arange(len(X_MADE)), counts)
    start = MFA(3, 2, init=Y_MADE, max_iter=3, tol=0, warm_start=True).fit(X_MADE)
    weighted, repeated = (pickle.loads(pickle.dumps(start)) for _ in range(2))
    weighted.partial_fit(X_MADE, sample_weight=counts)
    repeated.partial_fit(X_MADE[twice])
    np.testing.assert_allclose(weighted.means_, repeated.means_, rtol=1e-8)


# --- what it takes --------------------------------------------------------------------------------------------------


def on_disk(X: np.ndarray, path: Path, dtype: type) -> np.memmap:
    """The rows in a file, mapped."""
    X.astype(dtype).tofile(path)
    return np.memmap(path, dtype=dtype, mode="r", shape=X.shape)


# The same rows in everything that rows come in; some need a folder.
CONTAINERS: dict[str, Callable[[np.ndarray, Path], object]] = {
    "list": lambda X, _: X.tolist(),
    "frame": lambda X, _: pd.DataFrame(X, columns=list("abcdef")),
    "annotated": lambda X, _: AnnotatedArray(X, rows={"n": np.arange(len(X))}),
    "memmap": lambda X, folder: on_disk(X, folder / "rows.bin", np.float64),
    "float16 memmap": lambda X, folder: on_disk(X, folder / "half.bin", np.float16),
    "tensor": lambda X, _: torch.tensor(X),
    "float32 tensor": lambda X, _: torch.tensor(X, dtype=torch.float32),
    "bfloat16 tensor": lambda X, _: torch.tensor(X, dtype=torch.bfloat16),
    "tensor with gradient": lambda X, _: torch.tensor(X, requires_grad=True),
    "Fortran order": lambda X, _: np.asfortranarray(X),
    "reversed twice": lambda X, _: X[::-1][::-1],
    "every other column": lambda X, _: np.repeat(X, 2, axis=1)[:, ::2],
    "big-endian": lambda X, _: X.astype(">f8"),
    "extended precision": lambda X, _: X.astype(np.longdouble),
    "objects": lambda X, _: X.astype(object),
}
ROUNDED = {"float16 memmap": 2e-3, "float32 tensor": 1e-5, "bfloat16 tensor": 2e-2}


@pytest.mark.parametrize("kind", CONTAINERS)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_rows_come_in_many_containers(kind, tmp_path):
    X = CONTAINERS[kind](X_MADE, tmp_path)
    reference = quick(init=Y_MADE)
    mfa = quick(X, init=Y_MADE)
    assert mfa.lower_bound_ == pytest.approx(reference.lower_bound_, abs=ROUNDED.get(kind, 1e-10))
    narrow = kind in ROUNDED
    assert mfa.score_samples(X).dtype == (np.float32 if narrow else np.float64)
    np.testing.assert_allclose(mfa.score_samples(X), mfa.score_samples(X_MADE), atol=500 * ROUNDED.get(kind, 1e-12))
    np.testing.assert_array_equal(mfa.predict(X), mfa.predict(X_MADE))
    assert quick(X, init=centers_near()).n_components_ == 3
    assert mfa.partial_fit(X).n_iter_ == 9


@pytest.mark.parametrize("kind", ["array", "tensor"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "bool"])
def test_whole_numbers(dtype, kind):
    X = (X_MADE > 0) if dtype == "bool" else np.clip(3 * X_MADE + 100, 0, 255).astype(dtype)  # saturates, as pixels do
    rows = torch.from_numpy(X) if kind == "tensor" else X
    found, expected = (quick(r, init=Y_MADE, n_factors=1) for r in (rows, X.astype(float)))
    assert found.lower_bound_ == pytest.approx(expected.lower_bound_, abs=1e-9)
    assert found.score_samples(rows).dtype == np.float64


class Store:
    """Rows on a disk, as far as MFA is concerned: a shape, a dtype and rows by slice or ascending indices."""

    def __init__(self, rows: np.ndarray) -> None:
        self._rows, self.shape, self.dtype = rows, rows.shape, rows.dtype
        self.read_at_once: list[int] = []

    def __getitem__(self, index):
        rows = self._rows[index]
        self.read_at_once.append(len(rows))
        return rows


def test_a_store_is_read_batch_by_batch(monkeypatch):
    expected = quick(init=Y_MADE).means_
    monkeypatch.setattr("mfa_sklearn.mixture._rows.KEEP_BYTES", 100)
    monkeypatch.setattr("mfa_sklearn.mixture._rows.BATCH_BYTES", 6 * 8 * 40)
    store = Store(X_MADE)
    mfa = quick(store, init=Y_MADE)
    np.testing.assert_allclose(mfa.means_, expected, rtol=1e-9)
    np.testing.assert_array_equal(mfa.predict(store), mfa.predict(X_MADE))
    assert max(n for n in store.read_at_once if n < len(X_MADE)) <= 40


@pytest.mark.parametrize("dtype", ["float32", "float64", torch.float32, np.float64, np.dtype("f4")])
def test_working_precision_by_name_and_type(dtype):
    mfa = quick(dtype=dtype)
    wide = "64" in str(dtype)
    assert mfa.score_samples(X_MADE).dtype == (np.float64 if wide else np.float32)
    assert mfa.transform(X_MADE).dtype == (np.float64 if wide else np.float32)
    assert mfa.lower_bound_ == pytest.approx(quick().lower_bound_, abs=1e-4)


def test_single_precision_in_single_precision_out():
    X = X_MADE.astype(np.float32)
    mfa = quick(X)
    code = mfa.transform(X)
    outputs = [mfa.score_samples(X), mfa.predict_proba(X), code, mfa.inverse_transform(code), mfa.reconstruct(X)]
    outputs += [mfa.posterior_mean(X), mfa.posterior_mean(X, 1), next(mfa.iter_log_joint(X))[1]]
    assert {o.dtype for o in outputs} == {np.dtype(np.float32)}
    learned = [mfa.weights_, mfa.means_, mfa.loadings_, mfa.noise_variance_]
    assert {a.dtype for a in learned} == {np.dtype(np.float64)}


def test_rows_are_not_changed():
    X = X_MADE.copy()
    mfa = quick(X)
    mfa.partial_fit(X).transform(X)
    np.testing.assert_array_equal(X, X_MADE)


def test_facts_of_the_rows_source_are_kept():
    source = {"model": "tiny", "layer": 1}
    assert quick(annotate(X_MADE, source=source)).source_ == source
    assert quick().source_ is None


# --- what it refuses ------------------------------------------------------------------------------------------------


def spoiled(value: float, row: int = 7, column: int = 2) -> np.ndarray:
    """Rows with one bad entry."""
    X = X_MADE.copy()
    X[row, column] = value
    return X


BAD_INPUT = [
    (X_MADE[:2], {}, ValueError, r"n_components=3 is more than n_samples=2"),
    (X_MADE, {"n_factors": 6}, ValueError, r"n_factors=6 must be below n_features=6"),
    (X_MADE[:2], {"init": centers_near(), "n_components": None}, ValueError, r"n_components=3 is more"),
    (spoiled(-np.inf), {}, ValueError, r"contains infinity \(first at row 7, column 2\)"),
    (torch.tensor(spoiled(np.inf)), {}, ValueError, r"contains infinity \(first at row 7, column 2\)"),
    (sparse.csr_matrix(X_MADE), {}, TypeError, "[Ss]parse"),
    (X_MADE[0], {}, ValueError, "Expected 2D array"),
    (torch.tensor(X_MADE[0]), {}, ValueError, r"Expected 2D array, got shape \(6,\)"),
    (torch.zeros(0, 6), {}, ValueError, r"0 sample\(s\)"),
    (torch.zeros(300, 6, dtype=torch.complex64), {}, ValueError, "Complex data"),
    (X_MADE.astype(str), {}, ValueError, "numeric"),
    (X_MADE, {"dtype": int}, ValueError, "not a working precision"),
    (X_MADE, {"dtype": "float16"}, ValueError, "'dtype' parameter"),
    (X_MADE, {"device": "gpu"}, ValueError, "not a torch device"),
    (X_MADE, {"n_components": 0}, ValueError, "'n_components' parameter"),
    (X_MADE, {"n_factors": -1}, ValueError, "'n_factors' parameter"),
    (X_MADE, {"n_factors": 1.5}, ValueError, "'n_factors' parameter"),
    (X_MADE, {"noise": "own"}, ValueError, "'noise' parameter"),
    (X_MADE, {"noise_form": "full"}, ValueError, "'noise_form' parameter"),
    (X_MADE, {"loading_type": "tied"}, ValueError, "'loading_type' parameter"),
    (X_MADE, {"solver": "adam"}, ValueError, "'solver' parameter"),
    (X_MADE, {"annealing": 0.5}, ValueError, "'annealing' parameter"),
    (X_MADE, {"noise_floor": 0.0}, ValueError, "'noise_floor' parameter"),
    (X_MADE, {"rotation": "oblimin"}, ValueError, "'rotation' parameter"),
]


@pytest.mark.parametrize(("X", "arguments", "error", "message"), BAD_INPUT)
def test_bad_input(X, arguments, error, message):
    with pytest.raises(error, match=message):
        quick(X, **arguments)


@pytest.mark.skipif(torch.cuda.is_available(), reason="about machines without CUDA")
def test_a_device_that_is_not_there():
    with pytest.raises(ValueError, match=r"no CUDA; use device='cpu'"):
        quick(device="cuda")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (-np.ones(300), "Negative"),
        (np.zeros(300), "non-zero|zero for every row"),
        (np.full(300, np.nan), "NaN"),
        (np.ones(5), r"shape == \(5,\)"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit", "score", "fit_predict"])
def test_bad_weights(method, weights, message):
    with pytest.raises(ValueError, match=message):
        getattr(quick(), method)(X_MADE, sample_weight=weights)


@pytest.mark.parametrize("rows", [X_MADE[:, :4], torch.tensor(X_MADE[:, :4])])
@pytest.mark.parametrize("method", ["predict", "score_samples", "transform", "partial_fit", "posterior_mean"])
def test_rows_of_another_width(method, rows):
    with pytest.raises(ValueError, match="X has 4 features, but MFA is expecting 6"):
        getattr(quick(), method)(rows)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score_samples", "transform", "partial_fit", "bic"])
def test_infinite_rows(method):
    with pytest.raises(ValueError, match=r"first at row 7, column 2"):
        getattr(quick(), method)(spoiled(np.inf))


@pytest.mark.parametrize(
    "method",
    [
        "predict", "predict_proba", "score_samples", "score", "transform", "inverse_transform", "reconstruct",
        "posterior_mean", "aic", "bic", "icl", "sample", "get_covariance", "get_precision", "get_feature_names_out",
    ],
)  # fmt: skip
def test_before_fit(method):
    without = ("sample", "get_covariance", "get_precision", "get_feature_names_out")
    with pytest.raises(NotFittedError):
        getattr(MFA(), method)(*(() if method in without else (X_MADE,)))
    with pytest.raises(NotFittedError):
        _ = MFA().dictionary_


@pytest.mark.parametrize("method", ["posterior_mean", "get_covariance", "get_precision"])
def test_components_out_of_range(method):
    arguments = (X_MADE,) if method == "posterior_mean" else ()
    for component, error in [(3, ValueError), (-1, ValueError), (1.0, TypeError), (True, TypeError), ("0", TypeError)]:
        with pytest.raises(error, match="component="):
            getattr(quick(), method)(*arguments, component)


def test_a_code_of_another_width():
    with pytest.raises(ValueError, match=r"code has 4 columns, but codes of this mixture have 9"):
        quick().inverse_transform(np.zeros((2, 4)))


# --- persistence and neighbors -------------------------------------------------------------------------------------


def test_survives_pickle_and_joblib(tmp_path):
    mfa = quick()
    joblib.dump(mfa, tmp_path / "mfa.joblib")
    for other in (pickle.loads(pickle.dumps(mfa)), joblib.load(tmp_path / "mfa.joblib")):
        np.testing.assert_array_equal(other.score_samples(X_MADE), mfa.score_samples(X_MADE))
        assert joblib.hash(clone(other)) == joblib.hash(clone(mfa))


def test_the_isotropic_subspace_is_that_of_principal_components():
    X = load_iris().data
    mfa = MFA(1, 2, noise_form="isotropic", tol=1e-10, max_iter=2000).fit(X)
    axes = PCA(2).fit(X).components_
    found = np.linalg.qr(mfa.loadings_[0])[0]
    np.testing.assert_allclose(np.linalg.svd(axes @ found)[1], 1, atol=1e-6)
