"""From meaning to behavior: steering a language model towards the regions of a mixture."""

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
from ._operators import TransportMap, interpolate, shift, subspace_offset, transport, transport_map, two_stage
from ._steerer import MFASteerer
from ._tables import SteeredTokens

__all__ = [
    "NEUTRAL_PROMPTS",
    "Arm",
    "MFASteerer",
    "SteeredTokens",
    "SteeringDisplay",
    "TransportMap",
    "balanced_halves",
    "baseline_arms",
    "evaluate_steering",
    "interpolate",
    "shift",
    "steering_at_cost",
    "subspace_offset",
    "summarize_steering",
    "transport",
    "transport_map",
    "two_stage",
]
