"""What regions are worth: a mixture beside everything simpler, on rows held out by text."""

from ._baselines import baselines
from ._candidate import Candidate, Sizes
from ._candidates import as_candidate
from ._charts import Placement, description_length, foretold_variance, place, reconstruction_r2
from ._losses import ReconstructionLoss
from ._reconstruction_loss import reconstruction_loss
from ._region_regression import RegionRegression
from ._sparse_coder import SparseCoder

__all__ = [
    "Candidate",
    "Placement",
    "ReconstructionLoss",
    "RegionRegression",
    "Sizes",
    "SparseCoder",
    "as_candidate",
    "baselines",
    "description_length",
    "foretold_variance",
    "place",
    "reconstruction_loss",
    "reconstruction_r2",
]
