"""Where annealing starts, against the entropy of posteriors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mixture_oracles import STRUCTURES, dense_responsibilities, random_params, random_rows
from scipy.stats import entropy

from mfa_sklearn.mixture._em.annealing import entropy_share, starting_temperature


def mean_entropy(params, X, temperature, weights=None):
    """Of the rows' tempered posteriors, from dense covariances."""
    return np.average(entropy(dense_responsibilities(params, X, temperature), axis=1), weights=weights)


def apart(size=(8, 12, 2), by=3.0):
    """Components that are well apart, and rows about them."""
    params = random_params(STRUCTURES["UUU"], size)
    params = params._replace(means=by * params.means)
    return params, random_rows(params, 300)


@pytest.mark.parametrize("share", [None, 0.05, 0.3])
def test_the_posterior_has_the_entropy_that_was_asked_for(share):
    params, X = apart(by=1.0)
    found = starting_temperature(params, torch.tensor(X), share=share)
    assert 1 < found < 12
    target = (entropy_share(8) if share is None else share) * np.log(8)
    assert mean_entropy(params, X, found) == pytest.approx(target, rel=1e-3)
    assert mean_entropy(params, X, 1.0) < target


def test_rows_count_by_their_weight():
    params, X = apart(by=1.0)
    weights = np.where(np.arange(300) < 100, 5.0, 0.01)
    found = starting_temperature(params, torch.tensor(X), torch.tensor(weights))
    assert mean_entropy(params, X, found, weights) == pytest.approx(entropy_share(8) * np.log(8), rel=1e-3)
    some = starting_temperature(params, torch.tensor(X[:100]))
    assert starting_temperature(params, torch.tensor(X), torch.tensor(weights > 1).double()) == pytest.approx(some)
    assert found != pytest.approx(starting_temperature(params, torch.tensor(X)), rel=1e-4)


def test_posteriors_that_are_soft_by_themselves_start_at_one():
    params, X = apart()
    params = params._replace(means=0.01 * params.means)
    assert mean_entropy(params, 0.01 * X, 1.0) > entropy_share(8) * np.log(8)
    assert starting_temperature(params, torch.tensor(0.01 * X)) == 1.0


def test_one_component_starts_at_one():
    params, X = apart((1, 4, 1))
    assert starting_temperature(params, torch.tensor(X)) == 1.0


def test_never_hotter_than_one_row_in_all_features():
    params, X = apart(by=100.0)
    assert mean_entropy(params, X, 12.0) < 0.1
    found = starting_temperature(params, torch.tensor(X))
    assert found <= 12.0
    assert found == pytest.approx(12.0, rel=1e-4)


def test_many_components_start_softer_than_few():
    shares = [entropy_share(K) for K in (1, 3, 10, 100, 1000, 10**6)]
    assert shares[0] == 0
    assert shares[1] == pytest.approx(1 / 7, abs=1e-3)
    assert shares[3:] == pytest.approx([0.6, 0.6, 0.6], abs=0.002)
    assert np.all(np.diff(shares) >= 0)
