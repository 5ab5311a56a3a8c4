"""From texts to activations: the extractor, the array it returns, and the store on disk."""

from __future__ import annotations

from mfa_sklearn.activations._array import ActivationArray
from mfa_sklearn.activations._extractor import ActivationExtractor
from mfa_sklearn.activations._model import load_model
from mfa_sklearn.activations._sites import SITES
from mfa_sklearn.activations._store import ActivationStore

__all__ = ["SITES", "ActivationArray", "ActivationExtractor", "ActivationStore", "load_model"]
