"""Mixtures of factor analyzers for scikit-learn, from tables of numbers to language-model activations.

Names are imported when they are first used, so that a table of numbers needs no language-model package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._base.paths import open_paths_with

if TYPE_CHECKING:
    import os

__version__ = "0.1.0"

_HOMES = {
    "MFA": "mixture",
    "MFASearch": "mixture",
    "KMeansInitializer": "mixture",
    "ConvergenceDisplay": "mixture",
    "DensityDisplay": "mixture",
    "SearchDisplay": "mixture",
    "share_rows": "mixture",
    "ActivationArray": "activations",
    "ActivationExtractor": "activations",
    "ActivationStore": "activations",
    "ActivationWriter": "activations",
    "TokenSelection": "activations",
    "concat": "activations",
    "from_cache": "activations",
    "import_vllm": "activations",
    "load_model": "activations",
    "open_activations": "activations",
    "ComponentMapDisplay": "interpret",
    "FactorEndsDisplay": "interpret",
    "SubspaceDisplay": "interpret",
    "component_distances": "interpret",
    "component_map": "interpret",
    "component_tree": "interpret",
    "concept_components": "interpret",
    "concept_enrichment": "interpret",
    "describe_components": "interpret",
    "factor_ends": "interpret",
    "format_components": "interpret",
    "format_tokens": "interpret",
    "match_components": "interpret",
    "neighbors": "interpret",
    "project": "interpret",
    "top_concepts": "interpret",
    "top_tokens": "interpret",
    "MFASteerer": "steering",
    "evaluate_steering": "steering",
    "write_atlas": "atlas",
    "datasets": "datasets",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_HOMES[name]}")
    return module if _HOMES[name] == name else getattr(module, name)


def _rows_at(path: str | os.PathLike[str]) -> Any:
    """What is read where a path is given as rows."""
    from .activations._path import rows_at

    return rows_at(path)


open_paths_with(_rows_at)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
