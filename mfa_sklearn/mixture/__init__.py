"""Mixtures of factor analyzers: the estimator, its solvers and its initialization."""

from ._conditional import ConditionalMixture
from ._displays.convergence import ConvergenceDisplay
from ._displays.density import DensityDisplay
from ._displays.search import SearchDisplay
from ._kmeans_initializer import KMeansInitializer
from ._mfa import MFA
from ._search import MFASearch
from ._shares import share_rows

__all__ = [
    "MFA",
    "ConditionalMixture",
    "ConvergenceDisplay",
    "DensityDisplay",
    "KMeansInitializer",
    "MFASearch",
    "SearchDisplay",
    "share_rows",
]
