"""Which kind of pass is made, and what it is to take."""

from __future__ import annotations

import numpy as np
import pytest
from mixture_oracles import STRUCTURES, as_they_are, random_params
from passes_cases import many

from mfa_sklearn.mixture._em.exact import ExactPass, nominal_seconds
from mfa_sklearn.mixture._em.passes import best_pass
from mfa_sklearn.mixture._em.truncated import TruncatedPass


def test_the_kind_of_pass_is_the_cheaper_that_can():
    params, X = many()
    few = random_params(STRUCTURES["UUU"], (3, 6, 2))
    batches, rng = as_they_are(X), np.random.RandomState(0)
    assert type(best_pass(params, batches, rng, 8.0, missing=False)) is TruncatedPass
    assert type(best_pass(few, batches, rng, 8.0, missing=False)) is ExactPass
    # Dense products know nothing of missing values: no temperature is soft enough for them.
    X[0, 0] = np.nan
    found = best_pass(params, as_they_are(X), rng, 8.0, missing=True)
    assert type(found) is ExactPass
    for temperature in (1.0, 50.0):
        assert float(found(params, temperature).statistics.log_likelihood.isfinite())


def test_the_nominal_time_is_that_of_the_products():
    batches = as_they_are(np.zeros((1000, 50)))

    def seconds(n_components: int, missing: bool = False) -> float:
        params = random_params(STRUCTURES["UCU"], (n_components, 50, 4))
        return best_pass(params, batches, np.random.RandomState(0), 1.0, missing).seconds

    assert seconds(10) == pytest.approx(2 * 2 * 1000 * 50 * 10 * 5 / 5e10)
    assert seconds(1000) == seconds(100) < seconds(80)


@pytest.mark.parametrize("n_components", [80, 100, 500])
def test_a_pass_over_rows_that_miss_values_costs_what_an_exact_one_does(n_components):
    """The clock once counted candidates that such a pass cannot use: two free seconds lasted ten times longer."""
    batches = as_they_are(np.zeros((1000, 50)))
    params = random_params(STRUCTURES["UCU"], (n_components, 50, 4))
    found = best_pass(params, batches, np.random.RandomState(0), 1.0, missing=True)
    assert found.seconds == nominal_seconds(batches, n_components, 4)
    assert found.seconds == pytest.approx(2 * 2 * 1000 * 50 * n_components * 5 / 5e10)
