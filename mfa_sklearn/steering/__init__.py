"""From meaning to behavior: steering a language model towards the regions of a mixture."""

from ._affine import AffineMap, affine_map
from ._compare import Comparison, compare
from ._concept_regions import concept_regions, concept_scores
from ._control_vector import save_control_vector
from ._directions import add_direction, difference_of_means, principal_direction, probe_direction, random_direction
from ._evaluation import (
    NEUTRAL_PROMPTS,
    Arm,
    SteeringDisplay,
    balanced_halves,
    baseline_arms,
    evaluate_steering,
    steering_at_cost,
    summarize_steering,
)
from ._export import SavedMaps, load_affine, save_affine
from ._operators import interpolate, shift, subspace_offset, two_stage, weighted_centroid
from ._regions import Gate, keep_norm, opens, region_direction
from ._steerer import MFASteerer
from ._steering import Steering, steer_with
from ._tables import SteeredTokens
from ._transport import TransportMap, transport, transport_map

__all__ = [
    "NEUTRAL_PROMPTS",
    "AffineMap",
    "Arm",
    "Comparison",
    "Gate",
    "MFASteerer",
    "SavedMaps",
    "SteeredTokens",
    "Steering",
    "SteeringDisplay",
    "TransportMap",
    "add_direction",
    "affine_map",
    "balanced_halves",
    "baseline_arms",
    "compare",
    "concept_regions",
    "concept_scores",
    "difference_of_means",
    "evaluate_steering",
    "interpolate",
    "keep_norm",
    "load_affine",
    "opens",
    "principal_direction",
    "probe_direction",
    "random_direction",
    "region_direction",
    "save_affine",
    "save_control_vector",
    "shift",
    "steer_with",
    "steering_at_cost",
    "subspace_offset",
    "summarize_steering",
    "transport",
    "transport_map",
    "two_stage",
    "weighted_centroid",
]
