"""Densities of named pairs against dense covariances."""

from __future__ import annotations

import numpy as np
import pytest
from atlas_data_cases import known_mixture
from interpret_fixtures import mixture
from scipy.stats import multivariate_normal

from mfa_sklearn.atlas import _pairs
from mfa_sklearn.atlas._pairs import pair_log_density


@pytest.mark.parametrize("missing", [False, True])
def test_pairs_in_any_order_and_more_than_once(missing: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pairs, "_NUMBERS", 35)  # seven rows at once
    exact, mfa = mixture(1.0), known_mixture(1.0)
    rng = np.random.default_rng(0)
    X = exact.sample(40, rng)
    if missing:
        X[rng.random(X.shape) < 0.2] = np.nan
        X[:, 0] = np.nan_to_num(X[:, 0])
    rows, components = rng.integers(0, 40, 120), rng.integers(0, 4, 120)
    expected = []
    for row, k in zip(rows, components, strict=True):
        seen = ~np.isnan(X[row])
        covariance = exact.covariance(k)[np.ix_(seen, seen)]
        expected.append(multivariate_normal(exact.means_[k][seen], covariance).logpdf(X[row][seen]))
    np.testing.assert_allclose(pair_log_density(mfa, X, rows, components), expected, rtol=1e-8)


def test_no_pairs() -> None:
    none = np.empty(0, dtype=np.int64)
    assert pair_log_density(known_mixture(), np.zeros((3, 5)), none, none).shape == (0,)
