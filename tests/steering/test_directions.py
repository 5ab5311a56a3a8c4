"""Constant directions, against numpy, a solver of one's own for the probe, and eigenvectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from mfa_sklearn.steering import (
    add_direction,
    difference_of_means,
    principal_direction,
    probe_direction,
    random_direction,
)

N, D = 300, 5
SCALES = np.array([1.0, 100.0, 0.01, 1.0, 3.0])


def labeled(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows in units that differ, a fifth of them of a concept that shifts two columns."""
    rng = np.random.default_rng(seed)
    concept = np.arange(N) % 5 == 0
    X = rng.normal(size=(N, D)) @ (np.eye(D) + 0.3 * rng.normal(size=(D, D)))
    X[concept, :2] += [1.5, -1.0]
    return X * SCALES, concept


def test_the_difference_of_means_takes_the_one_mean_to_the_other() -> None:
    X, concept = labeled()
    others = torch.as_tensor(X[~concept])
    moved = add_direction(others, difference_of_means(X, concept), 1.0)
    np.testing.assert_allclose(moved.mean(0).numpy(), X[concept].mean(0))
    np.testing.assert_allclose(difference_of_means(torch.as_tensor(X), torch.as_tensor(concept)), moved[0] - others[0])


def test_the_probe_is_a_logistic_regression_of_standardized_columns() -> None:
    X, concept = labeled()
    Z, sign = (X - X.mean(0)) / X.std(0), np.where(concept, 1.0, -1.0)
    weights = np.where(concept, N / (2 * concept.sum()), N / (2 * (~concept).sum()))

    def loss(w: np.ndarray) -> float:
        return float(weights @ np.logaddexp(0, -sign * (Z @ w[1:] + w[0])) + 0.5 * w[1:] @ w[1:])

    normal = minimize(loss, np.zeros(D + 1), method="BFGS", options={"gtol": 1e-7}).x[1:] / X.std(0)
    direction = probe_direction(X, concept)
    cosine = direction @ normal / np.linalg.norm(direction) / np.linalg.norm(normal)
    assert cosine == pytest.approx(1, abs=1e-5)


def test_a_step_along_the_probe_takes_the_one_mean_to_the_other_along_it() -> None:
    X, concept = labeled()
    direction = probe_direction(X, concept)
    unit = direction / np.linalg.norm(direction)
    assert (X[~concept].mean(0) + direction) @ unit == pytest.approx(X[concept].mean(0) @ unit)


def test_the_principal_direction_is_the_first_eigenvector_towards_the_concept() -> None:
    X, concept = labeled()
    delta, direction = difference_of_means(X, concept), principal_direction(X, concept)
    axis = np.linalg.eigh(np.cov(X[concept].T))[1][:, -1]
    assert abs(axis @ direction) == pytest.approx(np.linalg.norm(delta))
    assert np.linalg.norm(direction) == pytest.approx(np.linalg.norm(delta))
    assert direction @ delta > 0


def test_random_directions_are_of_the_same_length_and_seeded() -> None:
    like = difference_of_means(*labeled())
    drawn = [random_direction(like, seed) for seed in (0, 0, 1)]
    for direction in drawn:
        assert np.linalg.norm(direction) == pytest.approx(np.linalg.norm(like))
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert abs(drawn[0] @ drawn[2]) < 0.99 * (like @ like)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_rows_keep_their_precision_and_their_bits_at_strength_nothing(dtype: torch.dtype) -> None:
    x = torch.full((2, D), -0.0, dtype=dtype)
    assert add_direction(x, np.ones(D), 0.5).dtype == dtype
    assert bool(add_direction(x, np.ones(D), 0.0).signbit().all())


@pytest.mark.parametrize("direction", [difference_of_means, probe_direction, principal_direction])
@pytest.mark.parametrize(
    ("asked", "error", "match"),
    [
        ({"is_concept": np.zeros(N, int)}, TypeError, "must hold booleans"),
        ({"is_concept": np.zeros(N - 1, bool)}, ValueError, r"shape \(299,\) for 300 rows"),
        ({"is_concept": np.zeros(N, bool)}, ValueError, "0 of 300 rows are of the concept"),
        ({"is_concept": np.ones(N, bool)}, ValueError, "300 of 300 rows"),
        ({"X": np.full((N, D), np.nan)}, ValueError, "NaN"),
    ],
)
def test_labels_that_are_none_are_refused(direction: Any, asked: dict, error: type[Exception], match: str) -> None:
    X, concept = labeled()
    with pytest.raises(error, match=match):
        direction(**{"X": X, "is_concept": concept, **asked})


def test_a_single_row_has_no_principal_direction() -> None:
    with pytest.raises(ValueError, match="two rows of the concept"):
        principal_direction(np.eye(3), [True, False, False])


def test_rows_that_are_all_the_same_have_no_principal_direction() -> None:
    with pytest.raises(ValueError, match="the 2 rows of the concept are all the same"):
        principal_direction([[0.0, 1.0], [2.0, 2.0], [2.0, 2.0]], [False, True, True])
