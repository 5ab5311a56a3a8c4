"""What the components of a mixture mean: their tokens, their concepts, their subspaces."""

from __future__ import annotations

from ._between.angles import subspace_angles
from ._between.component_map import ComponentMap, component_map
from ._between.distances import ComponentDistances, component_distances
from ._between.matching import match_components
from ._between.neighbors import neighbors
from ._between.tree import component_tree
from ._concepts import concept_components, top_concepts
from ._displays.component_map import ComponentMapDisplay
from ._displays.factor_ends import FactorEndsDisplay
from ._displays.subspace import SubspaceDisplay
from ._ends import factor_ends
from ._enrichment import concept_enrichment
from ._project import Projection, project
from ._summary import describe_components
from ._summary_text import format_components
from ._top_tokens import format_tokens, top_tokens

__all__ = [
    "ComponentDistances",
    "ComponentMap",
    "ComponentMapDisplay",
    "FactorEndsDisplay",
    "Projection",
    "SubspaceDisplay",
    "component_distances",
    "component_map",
    "component_tree",
    "concept_components",
    "concept_enrichment",
    "describe_components",
    "factor_ends",
    "format_components",
    "format_tokens",
    "match_components",
    "neighbors",
    "project",
    "subspace_angles",
    "top_concepts",
    "top_tokens",
]
