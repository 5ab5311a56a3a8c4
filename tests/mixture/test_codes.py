"""Codes, reconstructions and factor scores against dense posteriors."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from mixture_cases import SIZES, X_MADE, exact, quick
from mixture_oracles import as_arrays, dense_posterior, dense_responsibilities
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone


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


def test_a_code_of_another_width():
    with pytest.raises(ValueError, match=r"code has 4 columns, but codes of this mixture have 9"):
        quick().inverse_transform(np.zeros((2, 4)))


def test_frames_are_imputed_without_a_word_and_given_back_as_asked_for(recwarn):
    X = X_MADE.copy()
    X[3, 1] = np.nan
    frame = pd.DataFrame(X, columns=list("abcdef"), index=np.arange(len(X)) + 7)
    mfa = quick(frame)
    plain = mfa.impute(frame)
    assert not recwarn.list
    assert isinstance(plain, np.ndarray)
    np.testing.assert_array_equal(np.delete(plain, 3, 0), np.delete(X, 3, 0))
    for draw in (False, True):
        found = mfa.set_output(transform="pandas").impute(frame, draw=draw)
        pd.testing.assert_index_equal(found.columns, frame.columns)
        pd.testing.assert_index_equal(found.index, frame.index)
        assert np.isfinite(found.to_numpy()).all()
    named = quick(X).set_output(transform="pandas").impute(X)
    assert list(named.columns) == ["x0", "x1", "x2", "x3", "x4", "x5"]


@pytest.mark.parametrize("draw", [False, True])
def test_tensors_of_any_kind_are_imputed(draw):
    X = X_MADE.copy()
    X[3, 1] = np.nan
    mfa = quick()
    expected = mfa.impute(X, draw=draw)
    np.testing.assert_allclose(mfa.impute(torch.tensor(X, requires_grad=True), draw=draw), expected, rtol=1e-12)
    rounded = mfa.impute(torch.tensor(X).to(torch.bfloat16), draw=draw)
    assert rounded.dtype == np.float32
    assert np.isfinite(rounded).all()
    code = torch.tensor(mfa.transform(X_MADE).toarray(), requires_grad=True)
    np.testing.assert_allclose(mfa.inverse_transform(code), mfa.reconstruct(X_MADE))


@pytest.mark.parametrize("everywhere", [True, False])
def test_frames_are_given_of_dense_codes_alone(everywhere):
    frame = pd.DataFrame(X_MADE, columns=[f"c{j}" for j in range(X_MADE.shape[1])])
    mfa = quick(frame, n_components=2, n_factors=1)
    expected = mfa.transform(frame).toarray()
    with config_context(transform_output="pandas" if everywhere else "default"):
        mfa = mfa if everywhere else mfa.set_output(transform="pandas")
        for code in (mfa.transform, mfa.fit_transform):
            with pytest.raises(ValueError, match="set sparse_output=False for a dense"):
                code(frame)
        assert isinstance(mfa.reconstruct(frame[:3]), np.ndarray)
        found = mfa.set_params(sparse_output=False).transform(frame)
    assert found.columns.tolist() == ["mfa0", "mfa0_factor0", "mfa1", "mfa1_factor0"]
    np.testing.assert_allclose(found, expected)
