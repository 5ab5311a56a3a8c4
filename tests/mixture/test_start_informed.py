"""The k-means a mixture starts from: its weights of columns and its criterion by definition, and what they find."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kmeans_cases import identity_batches
from mixture_oracles import dense_log_prob
from sklearn.datasets import load_iris, make_blobs
from sklearn.metrics import adjusted_rand_score

from mfa_sklearn import MFA
from mfa_sklearn.mixture._model.params import Structure
from mfa_sklearn.mixture._start.clusters import params_from_labels
from mfa_sklearn.mixture._start.informed import informed_k_means, starting_likelihood, unexplained_share
from mfa_sklearn.mixture._start.kmeans import Clustering, Plan, k_means
from mfa_sklearn.mixture._start.samples import Sample

PLAN = Plan(refine_iter=1)


def labeled(n_rows: int = 120, n_features: int = 4, n_clusters: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows far from the origin, labels that tell something of some columns, and weights."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, n_clusters, n_rows)
    X = rng.standard_normal((n_rows, n_features)) + 5 + labels[:, None] * np.arange(n_features)
    return X, labels, rng.uniform(0.2, 3, n_rows)


def variances(X: np.ndarray, labels: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Weighted variances of the columns within clusters, by definition."""
    means = np.stack([np.average(X[labels == k], axis=0, weights=w[labels == k]) for k in range(labels.max() + 1)])
    return np.average((X - means[labels]) ** 2, axis=0, weights=w)


def buried(seed: int = 0, n_noise: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Four clusters in three columns, and many columns of noise; all of variance one."""
    X, y = make_blobs(400, 3, centers=4, cluster_std=0.7, random_state=3)
    noise = np.random.default_rng(seed).standard_normal((400, n_noise))
    X = np.concatenate([X, noise], axis=1)
    return (X - X.mean(0)) / X.std(0), y


@pytest.mark.parametrize("weighted", [False, True])
def test_the_unexplained_share_is_that_of_the_variances(weighted: bool) -> None:
    X, labels, w = labeled()
    w = w if weighted else np.ones(len(X))
    sample = Sample(torch.tensor(X), torch.tensor(w) if weighted else None)
    found = unexplained_share(sample, torch.tensor(labels), 3)
    expected = variances(X, labels, w) / variances(X, np.zeros_like(labels), w)
    assert expected[0] > 0.95, "the first column has none to explain"
    np.testing.assert_allclose(found, expected.clip(0.05, 0.95), rtol=1e-12)


def test_a_constant_column_and_one_that_a_single_row_makes_win_nothing() -> None:
    X, labels, _ = labeled()
    X[:, 1], X[:, 2], labels = 7.0, 0.0, labels.clip(max=1)
    X[11, 2], labels[11] = 100.0, 2
    share = unexplained_share(Sample(torch.tensor(X), None), torch.tensor(labels), 3)
    assert share[1] == 0.95
    assert share[2] == 0.05


@pytest.mark.parametrize("weighted", [False, True])
def test_the_criterion_is_the_dense_likelihood_of_the_start(weighted: bool) -> None:
    """Of a fit that makes no step, with as many factors."""
    X, labels, w = labeled(n_features=9)
    X = (X - np.average(X, axis=0, weights=w if weighted else None)) / X.std(0)
    sample = Sample(torch.tensor(X), torch.tensor(w) if weighted else None)
    centers = torch.zeros(3, 9, dtype=torch.float64)
    clusters = Clustering(centers, torch.tensor(labels, dtype=torch.int32), 0.0, 0)
    found = starting_likelihood(sample, clusters, np.random.RandomState(0))
    generator = torch.Generator().manual_seed(int(np.random.RandomState(0).randint(2**31 - 1)))
    params = params_from_labels(sample.X, torch.tensor(labels), 3, 2, Structure(), 0.01, generator, sample.weights)
    expected = np.average(dense_log_prob(params, X), weights=w if weighted else None)
    assert found == pytest.approx(float(expected), rel=1e-9)


def test_clusters_are_found_in_a_few_columns_among_many() -> None:
    X, y = buried()
    batches = identity_batches(X)
    found = [informed_k_means(batches, 4, np.random.RandomState(seed), PLAN) for seed in range(3)]
    plain = [k_means(batches, 4, np.random.RandomState(seed), PLAN) for seed in range(3)]
    agreement = [[adjusted_rand_score(y, run.labels) for run in runs] for runs in (found, plain)]
    assert min(agreement[0]) > max(agreement[1]) + 0.1
    for run in found:
        means = np.stack([X[run.labels.numpy() == k].mean(0) for k in range(4)])
        # Columns that count for little are back in their own unit. Steps end at a gain of 1e-4 of the inertia.
        np.testing.assert_allclose(run.centers, means, atol=0.1)


def test_samples_say_what_all_rows_would(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = buried()
    monkeypatch.setattr("mfa_sklearn.mixture._start.informed._SAMPLE_ROWS", 128)
    found = informed_k_means(identity_batches(X), 4, np.random.RandomState(0), PLAN)
    assert len(found.labels) == len(X)
    assert adjusted_rand_score(y, found.labels) > 0.8


def test_rows_of_weight_two_are_rows_that_are_there_twice() -> None:
    X, _ = buried(n_noise=3)
    twice = np.arange(len(X)) % 3 == 0
    weights = np.where(twice, 2.0, 1.0)
    once = informed_k_means(identity_batches(X, weights), 4, np.random.RandomState(0), PLAN)
    both = informed_k_means(identity_batches(np.concatenate([X, X[twice]])), 4, np.random.RandomState(0), PLAN)
    np.testing.assert_allclose(once.centers, both.centers, rtol=1e-9)


@pytest.mark.parametrize("n_clusters", [1, 6])
def test_as_few_and_as_many_clusters_as_there_can_be(n_clusters: int) -> None:
    X = np.random.default_rng(0).standard_normal((6, 3))
    found = informed_k_means(identity_batches(X), n_clusters, np.random.RandomState(0), PLAN)
    assert sorted(np.bincount(found.labels)) == [6 // n_clusters] * n_clusters
    expected = X.mean(0)[None] if n_clusters == 1 else X[np.argsort(found.labels.numpy())]
    np.testing.assert_allclose(found.centers, expected, atol=1e-12)


def test_equal_rows_have_no_metric() -> None:
    found = informed_k_means(identity_batches(np.full((20, 3), 2.0)), 3, np.random.RandomState(0), PLAN)
    np.testing.assert_allclose(found.centers, np.full((3, 3), 2.0), rtol=1e-12)


@pytest.mark.filterwarnings("ignore:the noise variance of features", "ignore:not converged")
def test_the_species_of_iris_whatever_the_units() -> None:
    """On standardized rows alone k-means divides them across the species, and EM stays with that: 0.55 at most."""
    X, y = load_iris(return_X_y=True)
    units = np.array([1e-3, 1.0, 1e4, 7.0])
    for seed in range(3):
        plain, scaled = (MFA(3, 2, random_state=seed).fit(rows) for rows in (X, X * units))
        assert adjusted_rand_score(y, plain.predict(X)) > 0.9
        np.testing.assert_array_equal(plain.predict(X), scaled.predict(X * units))
