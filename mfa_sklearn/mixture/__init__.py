"""Mixtures of factor analyzers: the estimator, its solvers and its initialisation."""

from ._kmeans import KMeansInitializer
from ._mfa import MFA

__all__ = ["MFA", "KMeansInitializer"]
