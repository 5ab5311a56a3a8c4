"""Ridge regression by region, beside least squares with pseudo-rows and cross-validation done at length."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import GroupKFold, KFold

from mfa_sklearn.evaluation import RegionRegression

GRID = (0.3, 3.0, 30.0)


def drawn(n_rows: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Regions of very different size, coordinates of very different scale, a target and the texts of the rows."""
    rng = np.random.default_rng(seed)
    regions = rng.choice(4, n_rows, p=[0.6, 0.3, 0.07, 0.03])
    z = rng.normal(size=(n_rows, 2)) * [1.0, 50.0] + 5 * regions[:, None]
    slopes = rng.normal(size=(4, 2, 3)) / [[1.0], [50.0]]
    target = 10 + rng.normal(size=(4, 3))[regions] + np.einsum("nq,nqm->nm", z, slopes[regions])
    return regions, z, target + rng.normal(size=(n_rows, 3)), np.repeat(np.arange(n_rows // 4), 4)


def at_length(regions, z, target, weights, a, penalty):
    """Coefficients of every region by least squares over its rows and the pseudo-rows that a ridge stands for."""
    mean = np.average(target, axis=0, weights=weights)
    centers = np.stack([np.average(z[regions == k], axis=0, weights=weights[regions == k]) for k in range(4)])
    scale = np.sqrt(np.average((z - centers[regions]) ** 2, axis=0, weights=weights))
    u = np.hstack([np.ones((len(z), 1)), (z - centers[regions]) / scale])
    found = []
    for k in range(4):
        root = np.sqrt(weights[regions == k])[:, None]
        rows = np.vstack([root * u[regions == k], np.diag(np.sqrt([a, penalty, penalty]))])
        values = np.vstack([root * (target - mean)[regions == k], np.zeros((3, 3))])
        found.append(np.linalg.lstsq(rows, values, rcond=None)[0])
    return mean, u, np.stack(found)


@pytest.mark.parametrize("weighted", [False, True])
def test_coefficients_are_those_of_least_squares_with_pseudo_rows(weighted: bool) -> None:
    regions, z, target, _ = drawn()
    weights = np.random.default_rng(1).uniform(0.5, 2, 120) if weighted else np.ones(120)
    model = RegionRegression(penalties=(2.5,)).fit(regions, z, target, sample_weight=weights if weighted else None)
    mean, u, coefficients = at_length(regions, z, target, weights, 2.5, 2.5)
    np.testing.assert_allclose(model.coefficients_, coefficients, atol=1e-10)
    expected = mean + np.einsum("np,npm->nm", u, coefficients[regions])
    np.testing.assert_allclose(model.predict(regions, z), expected)


@pytest.mark.parametrize("grouped", [False, True])
def test_penalties_are_those_of_cross_validation(grouped: bool) -> None:
    """With scales and the mean of the target taken from all rows, as a ridge that is told them."""
    regions, z, target, groups = drawn()
    model = RegionRegression(GRID, n_folds=3).fit(regions, z, target, groups=groups if grouped else None)
    mean, u, _ = at_length(regions, z, target, np.ones(120), 1, 1)
    folds = list(GroupKFold(3).split(u, groups=groups) if grouped else KFold(3).split(u))

    def error(penalty: np.ndarray, width: int) -> float:
        total = 0.0
        for learn, test in folds:
            for k in range(4):
                A, b = u[learn][regions[learn] == k, :width], (target - mean)[learn][regions[learn] == k]
                coefficients = np.linalg.solve(A.T @ A + np.diag(penalty), A.T @ b)
                place = test[regions[test] == k]
                total += np.square(target[place] - mean - u[place, :width] @ coefficients).sum()
        return total

    a = min(GRID, key=lambda value: error(np.array([value]), 1))
    penalty = min(GRID, key=lambda value: error(np.array([a, value, value]), 3))
    assert (model.region_penalty_, model.slope_penalty_) == (a, penalty)


def test_weights_count_rows() -> None:
    regions, z, target, groups = drawn()
    counts = np.random.default_rng(2).integers(0, 4, 120)
    one = RegionRegression(GRID).fit(regions, z, target, sample_weight=counts, groups=groups)
    rows = np.repeat(np.arange(120), counts)
    # One row of every text, so that both have the same groups and regions; by weight it is not there.
    other = RegionRegression((one.region_penalty_,)).fit(regions[rows], z[rows], target[rows], groups=groups[rows])
    ours = RegionRegression((one.region_penalty_,)).fit(regions, z, target, sample_weight=counts)
    np.testing.assert_allclose(ours.coefficients_, other.coefficients_, atol=1e-10)
    np.testing.assert_allclose(ours.mean_, other.mean_)


def test_small_regions_are_drawn_to_all_rows_and_unknown_ones_are_like_them() -> None:
    regions = np.array([0] * 50 + [1])
    target = np.where(regions[:, None] == 1, 100.0, np.tile([[1.0], [-1.0]], (26, 1))[:51])
    model = RegionRegression((10.0,)).fit(regions, None, target)
    mean = target.mean()
    expected = [mean + (100 - mean) / 11, mean, mean, mean]
    np.testing.assert_allclose(model.predict([1, 2, -1, 7], None)[:, 0], expected)


def test_rows_in_no_region_are_left_out() -> None:
    regions, z, target, _ = drawn()
    model = RegionRegression((1.0,)).fit(np.where(regions == 3, -1, regions), z, target)
    assert model.coefficients_.shape == (3, 3, 3)
    np.testing.assert_allclose(model.predict([-1], z[:1]), target.mean(0)[None])


def test_one_region_without_names_and_no_coordinates() -> None:
    _, z, target, _ = drawn()
    one = RegionRegression((1.0,)).fit(None, z, target)
    same = RegionRegression((1.0,)).fit(np.zeros(120, int), z, target)
    np.testing.assert_array_equal(one.predict(None, z), same.predict(np.zeros(120, int), z))
    np.testing.assert_allclose(RegionRegression().fit(None, None, target).predict([0, 0], None), [target.mean(0)] * 2)
    constant = RegionRegression((1.0,)).fit(None, np.ones((120, 1)), target)
    np.testing.assert_allclose(constant.predict(None, [[1.0]]), target.mean(0)[None])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"regions": np.zeros(3, int)}, "one whole number for each of the 120 rows; got int64 of shape"),
        ({"regions": np.zeros(120)}, "regions must be one whole number for each of the 120 rows; got float64"),
        ({"coordinates": np.zeros((3, 2))}, r"a line for each of the 120 rows; got shape \(3, 2\)"),
        ({"coordinates": np.full((120, 2), np.nan)}, "coordinates holds NaN or infinity, first in row 0"),
        ({"target": np.zeros(120)}, r"target must have shape \(n_samples, m\), got \(120,\)"),
        ({"target": np.full((120, 1), np.inf)}, "target holds NaN or infinity"),
        ({"groups": np.zeros(120)}, "at least two groups, and there is 1"),
        ({"groups": np.zeros(3)}, r"groups must hold one entry per row: got shape \(3,\) for 120 rows"),
    ],
)
def test_what_does_not_fit_together_is_refused(change: dict, said: str) -> None:
    regions, z, target, groups = drawn()
    given = {"regions": regions, "coordinates": z, "target": target, "groups": groups, **change}
    with pytest.raises(ValueError, match=said):
        RegionRegression().fit(**given)


def test_penalties_and_rows_to_foretell_are_checked() -> None:
    regions, z, target, _ = drawn()
    for bad in ((), (0.0,), (-1.0,)):
        with pytest.raises(ValueError, match="must be positive numbers"):
            RegionRegression(bad).fit(regions, z, target)
    model = RegionRegression().fit(regions, z, target)
    with pytest.raises(ValueError, match="are both None"):
        model.predict(None, None)
    with pytest.raises(ValueError, match="coordinates have 0 columns, but 2 were fitted on"):
        model.predict(regions, None)
