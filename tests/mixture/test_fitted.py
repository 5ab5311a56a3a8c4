"""What a fitted mixture says of rows, against dense oracles."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from mixture_cases import SIZES, X_MADE, exact, quick, spoiled
from mixture_oracles import (
    STRUCTURES,
    as_arrays,
    dense_covariances,
    dense_log_joint,
    dense_log_prob,
    dense_responsibilities,
)
from sklearn.exceptions import NotFittedError

from mfa_sklearn import MFA

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
    with pytest.raises(TypeError, match=r"n_samples=2\.5 must be an integer"):
        mfa.sample(2.5)


def test_draws_are_frames_where_frames_are_asked_for():
    frame = pd.DataFrame(X_MADE, columns=list("abcdef"), index=np.arange(len(X_MADE)) + 7)
    mfa = quick(frame)
    expected, components = mfa.sample(9)
    assert isinstance(expected, np.ndarray)
    found, again = mfa.set_output(transform="pandas").sample(9)
    assert found.columns.tolist() == list("abcdef")
    assert found.index.tolist() == list(range(9))
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(again, components)


# --- what it takes --------------------------------------------------------------------------------------------------


def test_single_precision_in_single_precision_out():
    X = X_MADE.astype(np.float32)
    mfa = quick(X)
    code = mfa.transform(X)
    outputs = [mfa.score_samples(X), mfa.predict_proba(X), code, mfa.inverse_transform(code), mfa.reconstruct(X)]
    outputs += [mfa.posterior_mean(X), mfa.posterior_mean(X, 1), next(mfa.iter_log_joint(X))[1]]
    assert {o.dtype for o in outputs} == {np.dtype(np.float32)}
    learned = [mfa.weights_, mfa.means_, mfa.loadings_, mfa.noise_variance_]
    assert {a.dtype for a in learned} == {np.dtype(np.float64)}


# --- what it refuses ------------------------------------------------------------------------------------------------


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
