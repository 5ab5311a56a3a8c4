"""What regions are worth: a mixture beside everything simpler, on rows held out by text."""

from ._candidate import Candidate, Sizes
from ._candidates import as_candidate

__all__ = ["Candidate", "Sizes", "as_candidate"]
