"""What the components of a mixture mean: their tokens, their concepts, their subspaces."""

from __future__ import annotations

from ._concepts import concept_components, top_concepts
from ._displays.subspace import SubspaceDisplay
from ._neighbors import neighbors
from ._project import Projection, project
from ._summary import describe_components
from ._top_tokens import format_tokens, top_tokens

__all__ = [
    "Projection",
    "SubspaceDisplay",
    "concept_components",
    "describe_components",
    "format_tokens",
    "neighbors",
    "project",
    "top_concepts",
    "top_tokens",
]
