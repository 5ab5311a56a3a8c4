"""Densities of a few columns against scipy's normal densities of all."""

from __future__ import annotations

import numpy as np
import pytest
from mixture_cases import exact
from scipy.stats import multivariate_normal, norm

from mfa_sklearn import MFA
from mfa_sklearn.mixture._displays import marginal as marginal_module
from mfa_sklearn.mixture._displays.marginal import column_number, highest_density_levels, marginal

SIZE = (3, 5, 2)


def dense(mfa: MFA, columns: list[int], points: np.ndarray) -> np.ndarray:
    """Density of some columns, from whole covariances."""
    total = np.zeros(len(points))
    for k, weight in enumerate(mfa.weights_):
        covariance = mfa.get_covariance(k)[np.ix_(columns, columns)]
        total += weight * multivariate_normal(mfa.means_[k][columns], covariance).pdf(points)
    return total


@pytest.mark.parametrize("name", ["UCU", "UUU", "CCC"])
@pytest.mark.parametrize("columns", [[3], [4, 1]])
def test_marginals(name: str, columns: list[int]) -> None:
    mfa, _, X = exact(name, SIZE)
    points = X[:, columns]
    np.testing.assert_allclose(marginal(mfa, columns).pdf(points), dense(mfa, columns, points), rtol=1e-9)


@pytest.mark.parametrize("name", ["UCU", "UUU"])
@pytest.mark.parametrize("columns", [[3], [4, 1]])
def test_conditionals_are_joint_over_marginal(name: str, columns: list[int]) -> None:
    mfa, _, X = exact(name, SIZE)
    given = {0: float(X[0, 0]), 2: float(X[1, 2])}
    points = X[:, columns]
    values = np.tile(list(given.values()), (len(points), 1))
    expected = dense(mfa, [*columns, *given], np.hstack([points, values])) / dense(mfa, [*given], values)
    np.testing.assert_allclose(marginal(mfa, columns, given).pdf(points), expected, rtol=1e-9)


def test_bounds_hold_nearly_all() -> None:
    mfa, *_ = exact("UUU", SIZE)
    density = marginal(mfa, [2])
    grid = np.linspace(*density.bounds(0), 4001)
    assert 0.998 < np.trapezoid(density.pdf(grid[:, None]), grid) < 1


def test_a_component_without_weight_says_nothing() -> None:
    mfa = MFA.from_params([1.0, 0.0], [[0.0, 0.0], [900.0, 0.0]], np.zeros((2, 2, 1)), [1.0, 1.0])
    density = marginal(mfa, [0])
    assert density.bounds(0)[1] < 5
    np.testing.assert_allclose(density.pdf(np.zeros((1, 1))), norm.pdf(0))


def test_levels_are_those_of_known_regions() -> None:
    """Of a normal density in the plane, the region that holds a share p is where it is above (1 - p) of its peak."""
    mfa = MFA.from_params([1.0], [[3.0, -1.0]], [[[2.0], [1.0]]], [1.0, 0.3])
    density = marginal(mfa, [0, 1])
    levels = highest_density_levels(density, (0.99, 0.9, 0.5))
    np.testing.assert_allclose(np.array(levels) / density.pdf(mfa.means_), [0.01, 0.1, 0.5], rtol=0.05)


def test_levels_of_a_narrow_component_beside_a_wide_one() -> None:
    """Half of the mass is within a thousandth of the other's width: its half of the levels are its own alone."""
    mfa = MFA.from_params([0.5, 0.5], [[0.0, 0], [60, 0]], np.zeros((2, 2, 1)), [[1.0, 1.0], [1e-6, 1e-6]])
    density = marginal(mfa, [0, 1])
    low, high = highest_density_levels(density, (0.75, 0.25))
    # 0.75 of the whole is the narrow one and half of the wide one; 0.25 is half of the narrow one.
    np.testing.assert_allclose([low, high], [0.5 * 0.5 / (2 * np.pi), 0.5 * 0.5e6 / (2 * np.pi)], rtol=0.05)


def test_draws_and_densities_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    mfa, *_ = exact("UUU", SIZE)
    density = marginal(mfa, [3, 1])
    drawn = density.draws(20_000)
    middle = mfa.weights_ @ density.means
    off = density.means - middle
    spread = np.einsum("k,kij->ij", mfa.weights_, density.covariances + off[:, :, None] * off[:, None, :])
    np.testing.assert_allclose(drawn.mean(0), middle, atol=5 * np.sqrt(spread.max() / 20_000))
    np.testing.assert_allclose(np.cov(drawn.T), spread, atol=0.05 * spread.max())
    whole = density.pdf(drawn[:100])
    monkeypatch.setattr(marginal_module, "_BLOCK_BYTES", 500)
    np.testing.assert_allclose(density.pdf(drawn[:100]), whole, rtol=1e-12)


@pytest.mark.parametrize("feature", ["3", "x", 5, -1, True, None, 1.0])
def test_columns_that_are_not_there(feature: object) -> None:
    mfa, *_ = exact("UCU", SIZE)
    with pytest.raises(ValueError, match="is no column of this mixture: columns have numbers from 0 to 4"):
        column_number(mfa, feature)
    mfa.feature_names_in_ = np.array(["a", "b", "c", "x", "e"], dtype=object)
    assert column_number(mfa, "x") == column_number(mfa, np.int64(3)) == 3
