"""A table and an estimator of a few iterations to search with."""

from __future__ import annotations

from sklearn.datasets import load_wine

from mfa_sklearn import MFA

X = load_wine().data


def small(**params) -> MFA:
    return MFA(**({"tol": 0, "max_iter": 5, "random_state": 0, "annealing": 1.0} | params))
