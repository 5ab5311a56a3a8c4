"""An atlas of a mixture's regions, to browse without a network."""

from __future__ import annotations

__all__: list[str] = []
