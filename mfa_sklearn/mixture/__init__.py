"""Mixtures of factor analyzers: the estimator, its solvers and its initialization."""

from ._conditional import ConditionalMixture
from ._kmeans_initializer import KMeansInitializer
from ._mfa import MFA
from ._search import MFASearch

__all__ = ["MFA", "ConditionalMixture", "KMeansInitializer", "MFASearch"]
