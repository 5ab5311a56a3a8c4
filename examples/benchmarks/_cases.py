"""Random tables and estimators for `fuzz.py`: whatever may be put together, small enough for thousands of fits."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mfa_sklearn import MFA, datasets

# The parameter's range is open: a floor in units of a feature's variance.
FLOORS = (1e-6,) * 6 + (1e-3, 1e-9, 1e-12)


class Case(NamedTuple):
    """A table, weights for its rows, and an estimator to fit to it in one of a few ways."""

    mfa: MFA
    X: np.ndarray
    weights: np.ndarray | None
    how: str  # fit, warm, stream
    tags: tuple[str, ...]


def draw(seed: int, number: int) -> Case:
    """The case of a number; the same on every machine."""
    rng = np.random.default_rng([seed, number])
    n_features = int(rng.integers(1, 17) if rng.random() < 0.85 else rng.integers(17, 60))
    n_rows = int(rng.integers(2, 40) if rng.random() < 0.3 else rng.integers(40, 200))
    X, kind = _table(rng, n_rows, n_features)
    X, spoils = _spoiled(rng, X)
    arguments = _arguments(rng, X)
    weights, weighting = _weights(rng, n_rows)
    how = str(rng.choice(["fit"] * 8 + ["warm", "stream"]))
    tags = (kind, *spoils, weighting, how, str(X.dtype), arguments["solver"], f"noise={arguments['noise']}")
    return Case(MFA(**arguments), X, weights, how, tags)


def _table(rng: np.random.Generator, n_rows: int, n_features: int) -> tuple[np.ndarray, str]:
    """Rows of one of several makes."""
    kind = str(rng.choice(["mixture", "mixture", "normal", "low rank", "tight", "heavy tails", "integers", "groups"]))
    if kind == "normal":
        return rng.standard_normal((n_rows, n_features)), kind
    if kind == "heavy tails":
        return rng.standard_t(rng.uniform(0.8, 3), (n_rows, n_features)), kind
    if kind == "integers":
        return rng.poisson(rng.uniform(0.1, 5), (n_rows, n_features)).astype(float), kind
    if kind == "low rank":
        rank = int(rng.integers(1, 4))
        rows = rng.standard_normal((n_rows, rank)) @ rng.standard_normal((rank, n_features))
        return rows + 10 ** rng.uniform(-7, -1) * rng.standard_normal(rows.shape), kind
    centers = rng.standard_normal((int(rng.integers(1, 6)), n_features)) * 10 ** rng.uniform(-1, 2)
    y = rng.integers(len(centers), size=n_rows)
    if kind in ("tight", "groups"):  # groups have other widths each
        width = 10 ** rng.uniform(-5, 0, len(centers) if kind == "groups" else 1)
        return centers[y] + width[y % len(width), None] * rng.standard_normal((n_rows, n_features)), kind
    n_factors = min(2, n_features - 1)
    made = datasets.make_mfa(n_rows, n_features, len(centers), n_factors, random_state=int(rng.integers(2**31)))
    return made[0], kind


def _spoiled(rng: np.random.Generator, X: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """The rows with what real tables have: repeats, constants, units, shifts, outliers, missing values."""
    spoils = []

    def happens(name: str, chance: float) -> bool:
        if rng.random() < chance:
            spoils.append(name)
        return spoils[-1:] == [name]

    n_rows, n_features = X.shape
    if happens("repeated rows", 0.15):
        X[n_rows // 2 :] = X[rng.integers(max(1, n_rows // 4), size=n_rows - n_rows // 2)]
    if happens("constant column", 0.1):
        X[:, rng.integers(n_features)] = rng.choice([0.0, 0.1, 1e6])
    if happens("repeated column", 0.1) and n_features > 1:
        X[:, 0] = X[:, -1] * 10 ** rng.uniform(-2, 2)
    if happens("units", 0.2):
        X = X * 10 ** rng.uniform(-6, 6, n_features)
    if happens("shift", 0.15):
        X = X + 10 ** rng.uniform(0, 5) * X.std(0)
    if happens("outlier", 0.1):
        X[rng.integers(n_rows)] *= 10 ** rng.uniform(1, 5)
    X = X.astype(rng.choice([np.float32, np.float64]))
    if happens("missing", 0.25):
        X[rng.random(X.shape) < rng.uniform(0.01, 0.4)] = np.nan
    return X, spoils


def _weights(rng: np.random.Generator, n_rows: int) -> tuple[np.ndarray | None, str]:
    kind = str(rng.choice(["unweighted"] * 6 + ["weighted", "weights of zero", "scaled weights"]))
    if kind == "unweighted":
        return None, kind
    weights = rng.uniform(0.1, 3, n_rows)
    if kind == "weights of zero":
        weights[rng.random(n_rows) < 0.3] = 0
    return weights * (10 ** rng.uniform(-12, 12) if kind == "scaled weights" else 1), kind


def _arguments(rng: np.random.Generator, X: np.ndarray) -> dict[str, Any]:
    """Arguments of the estimator; mostly fitting ones."""
    n_rows, n_features = X.shape
    K = int(rng.integers(1, min(n_rows, 8) + 1)) if rng.random() < 0.98 else int(rng.integers(84, 100))
    solver = str(rng.choice(["em"] * 5 + ["gradient"]))
    arguments: dict[str, Any] = {
        "n_components": K,
        "n_factors": int(rng.integers(0, min(n_features, 7))),
        "noise": str(rng.choice(["shared", "component"])),
        "noise_form": str(rng.choice(["diagonal", "diagonal", "isotropic"])),
        "loading_type": str(rng.choice(["component", "component", "common"])),
        "solver": solver,
        "init": _init(rng, X, K),
        "tol": [("auto"), 1e-3, 0.0][rng.integers(3)],
        "max_iter": int(rng.integers(0, 24) if solver == "em" else rng.integers(0, 5)),
        "n_init": 1 + int(rng.random() < 0.1),
        "annealing": [("auto"), "auto", 1.0, 20.0, 64.0][rng.integers(5)],
        "acceleration": bool(rng.random() < 0.8),
        "noise_floor": float(rng.choice(FLOORS)),
        "rotation": [None, None, None, "varimax"][rng.integers(4)],
        "batch_size": [None, None, 16][rng.integers(3)],
        "early_stopping": bool(rng.random() < 0.2),
        "dtype": str(rng.choice(["auto", "auto", "auto", "float32", "float64"])),
        "random_state": int(rng.integers(2**31)),
    }
    return arguments


def _init(rng: np.random.Generator, X: np.ndarray, n_components: int) -> Any:
    kind = str(rng.choice(["auto"] * 4 + ["kmeans", "k-means++", "random_from_data", "random", "labels", "centers"]))
    if kind == "labels":
        return rng.integers(n_components, size=len(X))
    if kind == "centers":
        return np.nan_to_num(X[rng.integers(len(X), size=n_components)].astype(float))
    return kind
