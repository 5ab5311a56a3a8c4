"""From meaning to behavior: steering a language model towards the regions of a mixture."""

from ._affine import AffineMap, affine_map
from ._compare import Comparison, compare
from ._control_vector import save_control_vector
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
from ._operators import TransportMap, interpolate, shift, subspace_offset, transport, transport_map, two_stage
from ._steerer import MFASteerer
from ._steering import Steering, steer_with
from ._tables import SteeredTokens

__all__ = [
    "NEUTRAL_PROMPTS",
    "AffineMap",
    "Arm",
    "Comparison",
    "MFASteerer",
    "SavedMaps",
    "SteeredTokens",
    "Steering",
    "SteeringDisplay",
    "TransportMap",
    "affine_map",
    "balanced_halves",
    "baseline_arms",
    "compare",
    "evaluate_steering",
    "interpolate",
    "load_affine",
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
]
