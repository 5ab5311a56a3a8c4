"""Which regions of two mixtures correspond."""

from __future__ import annotations

from ..interpret._between.matching import matched
from ._gathered import Gathered
from ._schema import Match


def matches_of(first: Gathered, second: Gathered) -> list[Match]:
    """The regions of two mixtures that share rows, one to one, those that share most first."""
    table = matched(first.assigned, second.assigned, (first.n_components, second.n_components))
    columns = zip(table["component"], table["other"], table["shared"], table["jaccard"], strict=True)
    return [
        Match(first=int(k), second=int(n), shared=int(shared), jaccard=round(float(jaccard), 4))
        for k, n, shared, jaccard in columns
    ]
