"""What regions are worth: a mixture beside everything simpler, on rows held out by text."""

from ._agreement import region_agreement
from ._baselines import baselines
from ._candidate import Candidate, Sizes
from ._candidates import as_candidate
from ._charts import Placement, description_length, foretold_variance, place, reconstruction_r2
from ._detection import Detection, concept_detection
from ._evaluate import evaluate
from ._evaluation_display import EvaluationDisplay
from ._labeled_texts import LabeledRows
from ._losses import ReconstructionLoss
from ._probing import Probing, sparse_probing
from ._reconstruction_loss import reconstruction_loss
from ._region_regression import RegionRegression
from ._resampling import Interval, bootstrap_interval
from ._sparse_coder import SparseCoder
from ._stability import stability

__all__ = [
    "Candidate",
    "Detection",
    "EvaluationDisplay",
    "Interval",
    "LabeledRows",
    "Placement",
    "Probing",
    "ReconstructionLoss",
    "RegionRegression",
    "Sizes",
    "SparseCoder",
    "as_candidate",
    "baselines",
    "bootstrap_interval",
    "concept_detection",
    "description_length",
    "evaluate",
    "foretold_variance",
    "place",
    "reconstruction_loss",
    "reconstruction_r2",
    "region_agreement",
    "sparse_probing",
    "stability",
]
