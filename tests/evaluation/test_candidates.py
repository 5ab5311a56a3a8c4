"""Which candidate an estimator is, and what is known of one that is none in particular."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.cluster import Birch, KMeans
from sklearn.decomposition import NMF, PCA, FactorAnalysis, TruncatedSVD
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tiny_stores import token_rows, written

from mfa_sklearn import MFA, KMeansInitializer, MFASearch
from mfa_sklearn.activations import ActivationArray
from mfa_sklearn.datasets import make_mfa
from mfa_sklearn.evaluation import SparseCoder, as_candidate, reconstruction_r2
from mfa_sklearn.evaluation._candidates import AnyEstimator
from mfa_sklearn.evaluation._linear import OneGaussian
from mfa_sklearn.evaluation._mixtures import Centers, FactorMixture, GaussianComponents
from mfa_sklearn.evaluation._sparse_coder import SparseCode

X, Y = make_mfa(120, 4, 2, 1, random_state=0)
QUICK = {"max_iter": 2, "tol": 0, "random_state": 0}


@pytest.mark.parametrize(
    ("estimator", "kind"),
    [
        (MFA(2, 1, **QUICK), FactorMixture),
        (MFASearch(n_components=[2], n_factors=[1], estimator=MFA(**QUICK), cv=2), FactorMixture),
        (make_pipeline(KMeansInitializer(2, random_state=0), MFA(n_factors=1, **QUICK)), FactorMixture),
        (make_pipeline("passthrough", KMeans(2)), Centers),
        (make_pipeline(StandardScaler(), KMeans(2)), AnyEstimator),
        (KMeansInitializer(2), Centers),
        (GaussianMixture(2), GaussianComponents),
        (PCA(2), OneGaussian),
        (FactorAnalysis(2), OneGaussian),
        (TruncatedSVD(2), AnyEstimator),
        (SparseCoder(lambda x: x, lambda code: code), SparseCode),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_each_estimator_has_its_kind(estimator: BaseEstimator, kind: type) -> None:
    candidate = as_candidate(estimator.fit(X), X)
    assert type(candidate) is kind
    assert as_candidate(candidate) is candidate
    regions, codes = candidate.regions(X), candidate.codes(X)
    assert regions is None or (regions.shape == (120,) and regions.dtype == np.int64)
    assert codes.shape[0] == 120
    reconstructed = candidate.reconstruct(X)
    assert reconstructed is None or reconstructed.shape == X.shape


def test_a_searched_pipeline_and_its_mixture_are_one_candidate() -> None:
    pipe = make_pipeline(KMeansInitializer(2, random_state=0), MFA(n_factors=1, **QUICK)).fit(X)
    assert as_candidate(pipe).estimator is pipe[-1]


@pytest.mark.parametrize("estimator", [MFA(2, 1, **QUICK), KMeans(2, random_state=0), PCA(2)], ids=str)
def test_activations_are_rows_like_others(estimator: BaseEstimator) -> None:
    rows = ActivationArray(X, rows={"tokens": ["a"] * 120, "positions": np.arange(120)})
    candidate, plain = as_candidate(estimator.fit(rows), rows), as_candidate(estimator.fit(X), X)
    np.testing.assert_allclose(candidate.bits(rows, 0.1), plain.bits(X, 0.1))
    np.testing.assert_allclose(candidate.reconstruct(rows), plain.reconstruct(X))


@pytest.mark.parametrize("estimator", [MFA(2, 1, **QUICK), KMeansInitializer(2, random_state=0), PCA(2)], ids=str)
def test_stores_and_their_paths_are_rows(estimator: BaseEstimator, tmp_path: Path) -> None:
    store = written(tmp_path / "store", token_rows, [3])
    rows = np.asarray(store[3])
    candidate = as_candidate(clone(estimator).fit(rows), store)
    for given in (store, store.open(3), str(tmp_path / "store")):
        np.testing.assert_allclose(candidate.bits(given, 0.1), candidate.bits(rows, 0.1), rtol=1e-5)
        assert reconstruction_r2(given, candidate.reconstruct(given)) == pytest.approx(
            reconstruction_r2(rows, candidate.reconstruct(rows))
        )


def test_labels_of_any_kind_are_numbered() -> None:
    names = np.array(["one", "other"])[Y]
    candidate = as_candidate(LogisticRegression().fit(X, names))
    np.testing.assert_array_equal(candidate.regions(X), (candidate.estimator.predict(X) == "other").astype(int))
    np.testing.assert_array_equal(candidate.codes(X), candidate.estimator.predict_proba(X))
    np.testing.assert_array_equal(candidate.detectors(X), candidate.codes(X))
    assert candidate.sizes.regions == 2


class Thirds(BaseEstimator):
    """Sorts rows by their first column: negative numbers are noise."""

    def fit(self, X: np.ndarray) -> Thirds:
        self.fitted_ = True
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return 10 * np.digitize(X[:, 0], [-1, 0, 1]) - 10


def test_regions_without_names_are_those_of_the_training_rows() -> None:
    rows = np.array([[-5.0], [-0.5], [0.5], [0.7]])
    candidate = as_candidate(Thirds().fit(rows), rows)
    np.testing.assert_array_equal(candidate.regions([[-5.0], [-0.5], [0.5], [5.0]]), [-1, 0, 1, -1])
    np.testing.assert_array_equal(candidate.codes(rows).toarray(), [[0, 0], [1, 0], [0, 1], [0, 1]])
    assert candidate.bits(rows, 0.1) is None and candidate.coordinates(rows) is None
    with pytest.raises(ValueError, match=r"which regions Thirds has .* as_candidate\(estimator, X_train\)"):
        as_candidate(Thirds().fit(rows)).regions(rows)


def test_transformers_detect_in_both_directions_and_give_back_rows() -> None:
    nmf = NMF(2, max_iter=500, random_state=0).fit(np.abs(X))
    candidate, W = as_candidate(nmf), nmf.transform(np.abs(X))
    np.testing.assert_allclose(candidate.detectors(np.abs(X)), np.hstack([W, -W]))
    np.testing.assert_allclose(candidate.reconstruct(np.abs(X)), W @ nmf.components_)
    assert candidate.regions(X) is None and candidate.sizes == (None, None, None)


def test_clusters_without_centers_have_regions() -> None:
    birch = Birch(n_clusters=2).fit(X)
    candidate = as_candidate(birch)
    np.testing.assert_array_equal(candidate.regions(X), birch.predict(X))
    assert candidate.sizes.regions == 2 and as_candidate(LinearRegression().fit(X, X[:, 0])).regions(X) is None


def test_what_is_no_fitted_estimator_is_refused() -> None:
    with pytest.raises(NotFittedError):
        as_candidate(KMeans(2))
    for nothing in (lambda x: x, MFA, X):
        with pytest.raises(TypeError, match=r"no fitted estimator .* SparseCoder\(encode, decode\)"):
            as_candidate(nothing)
