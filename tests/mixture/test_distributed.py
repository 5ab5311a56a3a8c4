"""Fits of rows that are spread over processes, against the fit of one process to all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from group_cases import Failure, share, world

from mfa_sklearn import MFA
from mfa_sklearn.datasets import make_mfa

X_MADE, Y_MADE = make_mfa(900, 8, 5, 2, random_state=0)
WEIGHTS = np.random.default_rng(1).uniform(0.2, 3.0, len(X_MADE)) * (np.arange(len(X_MADE)) % 7 != 0)
CUTS = {2: [333], 3: [500, 500]}  # uneven, and an empty share


def quick(**arguments: Any) -> MFA:
    return MFA(**{"n_components": 5, "n_factors": 2, "random_state": 0, "noise": "component", **arguments})


def holed(X: np.ndarray) -> np.ndarray:
    return np.where(np.random.default_rng(2).random(X.shape) < 0.05, np.nan, X)


FITS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "exact": ({}, {}),
    "weights": ({}, {"weighted": True}),
    "missing": ({"max_iter": 20, "tol": 0.0}, {"missing": True}),
    "shared": ({"noise": "shared", "noise_form": "isotropic", "init": "k-means++"}, {}),
    "annealed": ({"annealing": 8.0, "max_iter": 12, "n_init": 2}, {}),
    "gradient": ({"solver": "gradient", "max_iter": 3, "batch_size": 100}, {"weighted": True}),
    "stopping": ({"solver": "gradient", "max_iter": 4, "early_stopping": True, "batch_size": 64}, {}),
}


def rows_of(case: dict[str, Any]) -> tuple[np.ndarray, np.ndarray | None]:
    return holed(X_MADE) if case.get("missing") else X_MADE, WEIGHTS if case.get("weighted") else None


def summary(mfa: MFA, labels: Any = None) -> dict[str, Any]:
    names = ["weights_", "means_", "loadings_", "noise_variance_", "lower_bounds_", "noise_prior_", "n_iter_"]
    return {name: getattr(mfa, name) for name in [*names, "converged_", "n_samples_seen_"]} | {"labels": labels}


def fits(rank: int, size: int, name: str) -> Any:
    arguments, case = FITS[name]
    X, weights = rows_of(case)
    mine = share(X, rank, CUTS[size])
    mfa = quick(distributed=True, **arguments)
    labels = mfa.fit_predict(mine, sample_weight=None if weights is None else share(weights, rank, CUTS[size]))
    return summary(mfa, labels)


def alone(name: str) -> Any:
    arguments, case = FITS[name]
    X, weights = rows_of(case)
    mfa = quick(**arguments)
    return summary(mfa, mfa.fit_predict(X, sample_weight=weights))


def assert_same(found: list[Any], expected: dict[str, Any], tol: float = 1e-8) -> None:
    assert not any(isinstance(part, Failure) for part in found), found
    for part in found:
        for name in ("n_iter_", "converged_", "n_samples_seen_"):
            assert part[name] == expected[name], name
        for name in ("weights_", "means_", "loadings_", "noise_variance_", "lower_bounds_", "noise_prior_"):
            np.testing.assert_allclose(part[name], expected[name], rtol=tol, atol=tol, err_msg=name)
            np.testing.assert_array_equal(part[name], found[0][name], err_msg=name)
    np.testing.assert_array_equal(np.concatenate([part["labels"] for part in found]), expected["labels"])


@pytest.fixture(scope="module", params=[2, 3])
def distributed(request):
    results = world(request.param, *[(fits, (name,)) for name in FITS])
    return dict(zip(FITS, results, strict=True))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", FITS)
def test_a_fit_of_several_processes_is_that_of_one(distributed, name) -> None:
    torch.set_num_threads(1)
    assert_same(distributed[name], alone(name))
