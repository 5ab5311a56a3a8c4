"""From texts to activations: the extractor, the array it returns, and the store on disk."""

from __future__ import annotations

from ._array import ActivationArray
from ._extractor import ActivationExtractor
from ._foreign.cache import from_cache
from ._foreign.opened import open_activations
from ._foreign.vllm import import_vllm
from ._joined import concat
from ._language_model import load_model
from ._plain_model import PlainModel
from ._selection import TokenSelection
from ._sites import SITES
from ._store import ActivationStore, StoredActivations
from ._tokenize import token_strings
from ._writer import ActivationWriter

__all__ = [
    "SITES",
    "ActivationArray",
    "ActivationExtractor",
    "ActivationStore",
    "ActivationWriter",
    "PlainModel",
    "StoredActivations",
    "TokenSelection",
    "concat",
    "from_cache",
    "import_vllm",
    "load_model",
    "open_activations",
    "token_strings",
]
