"""What regions are worth: a mixture beside everything simpler, on rows held out by text."""

from ._baselines import baselines
from ._candidate import Candidate, Sizes
from ._candidates import as_candidate
from ._sparse_coder import SparseCoder

__all__ = ["Candidate", "Sizes", "SparseCoder", "as_candidate", "baselines"]
