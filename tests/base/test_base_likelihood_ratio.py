"""`log_likelihood_ratio` against scipy's test of a contingency table."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from mfa_sklearn._base.likelihood_ratio import log_likelihood_ratio


def test_equals_scipy_with_the_sign_of_what_is_too_much() -> None:
    rng = np.random.default_rng(0)
    for table in rng.integers(1, 30, size=(20, 2, 2)):
        test = chi2_contingency(table, correction=False, lambda_="log-likelihood")
        expected = test.statistic * np.sign(table[0, 0] - test.expected_freq[0, 0])
        found = log_likelihood_ratio(
            *(np.array([n]) for n in (table[0, 0], table[0].sum(), table[:, 0].sum())), table.sum()
        )
        assert found[0] == pytest.approx(expected, abs=1e-9)


def test_nothing_is_said_of_empty_parts() -> None:
    count, size, frequency = np.array([0.0, 0]), np.array([0.0, 5]), np.array([3.0, 0])
    assert log_likelihood_ratio(count, size, frequency, 10.0).tolist() == [0, 0]
