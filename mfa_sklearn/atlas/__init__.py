"""An atlas of a mixture's regions, to browse without a network."""

from __future__ import annotations

from ._atlas_data import atlas_data
from ._schema import Atlas
from ._write_atlas import write_atlas

__all__ = ["Atlas", "atlas_data", "write_atlas"]
