"""Known parameters come back, at the rate of statistics: errors shrink like one over the root of the number of rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from mixture_oracles import dense_covariances, dense_log_prob, params_of
from scipy.optimize import linear_sum_assignment

from mfa_sklearn import MFA
from mfa_sklearn.datasets import make_mfa
from mfa_sklearn.mixture._model.params import MFAParams, Structure, n_parameters

K, D, Q = 3, 8, 2
ROWS = (300, 3_000, 30_000)
N_FRESH = 10_000
SEEDS = (0, 1, 2)


class Errors(NamedTuple):
    """Root mean squares over entries, and what the likelihood of fresh rows lacks (nats per row)."""

    weights: float
    means: float
    covariances: float
    likelihood: float


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def errors(mfa: MFA, truth: MFAParams, fresh: np.ndarray) -> Errors:
    """Of a fitted mixture whose components are matched with the true ones by the means; loadings are only a basis."""
    found = params_of(mfa)
    distances = torch.cdist(truth.means, found.means).numpy()
    order = linear_sum_assignment(distances)[1]
    weights, true_weights = found.log_weights.exp()[order], truth.log_weights.exp()
    return Errors(
        rms((weights - true_weights).numpy()),
        rms((found.means[order] - truth.means).numpy()),
        rms(dense_covariances(found)[order] - dense_covariances(truth)),
        float(np.mean(dense_log_prob(truth, fresh) - dense_log_prob(found, fresh))),
    )


def recovery(noise: str, seed: int) -> list[Errors]:
    """Errors at each number of rows of one mixture, the fewer being the first of the more."""
    X, _, bunch = make_mfa(ROWS[-1] + N_FRESH, D, K, Q, noise=noise, random_state=seed, return_params=True)
    noise_variance = np.atleast_2d(bunch.noise_variance)
    truth = MFAParams(
        *(torch.as_tensor(a) for a in (np.log(bunch.weights), bunch.means, bunch.loadings, noise_variance))
    )
    # Of p / 2n nats, 1e-3 where there are most rows, the optimizer's error is to be nothing. One start is not always
    # enough: k-means cuts the second mixture's largest component in two.
    fits = (MFA(K, Q, noise=noise, n_init=2, tol=1e-5, max_iter=200, random_state=0).fit(X[:n]) for n in ROWS)
    return [errors(mfa, truth, X[ROWS[-1] :]) for mfa in fits]


@pytest.mark.parametrize("noise", ["shared", "component"])
def test_parameters_are_recovered_as_rows_grow(noise):
    """A hundred times the rows, a tenth of the error: parameters as n^-1/2, the likelihood as n^-1."""
    table = np.array([recovery(noise, seed) for seed in SEEDS])  # (seeds, ROWS, fields)
    mean = Errors(*np.sqrt((table**2).mean(0)).T)
    for name in ("weights", "means", "covariances"):
        few, more, most = getattr(mean, name)
        assert few > more > most, name
        assert most < few / 4, name
    # Each parameter costs fresh rows half a nat over n (Akaike), which the smallest n need not show yet.
    structure = Structure(shared_noise=noise == "shared")
    cost = n_parameters(structure, K, D, Q) / (2 * np.array(ROWS))
    lacking = table[:, :, Errors._fields.index("likelihood")].mean(0)
    assert (lacking > 0).all()
    np.testing.assert_allclose(lacking[1:], cost[1:], rtol=0.5)


def test_recovers_the_parameters_it_was_drawn_from():
    X, y, truth = make_mfa(20_000, 8, 3, 2, noise="component", random_state=3, return_params=True)
    mfa = MFA(3, 2, noise="component", init=y, max_iter=200, tol=1e-6, random_state=0).fit(X)
    np.testing.assert_allclose(mfa.weights_, truth.weights, atol=0.02)
    np.testing.assert_allclose(mfa.means_, truth.means, atol=0.1)
    for k in range(3):
        expected = truth.loadings[k] @ truth.loadings[k].T + np.diag(truth.noise_variance[k])
        np.testing.assert_allclose(mfa.get_covariance(k), expected, atol=0.2)
    np.testing.assert_allclose(mfa.noise_variance_, truth.noise_variance, atol=0.12)
