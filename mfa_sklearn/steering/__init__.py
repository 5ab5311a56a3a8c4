"""From meaning to behavior: steering a language model towards the regions of a mixture."""

from ._compare import Comparison, compare
from ._evaluation import NEUTRAL_PROMPTS, evaluate_steering, summarize_steering
from ._operators import TransportMap, interpolate, shift, subspace_offset, transport, transport_map, two_stage
from ._steerer import MFASteerer
from ._steering import Steering, steer_with
from ._tables import SteeredTokens

__all__ = [
    "NEUTRAL_PROMPTS",
    "Comparison",
    "MFASteerer",
    "SteeredTokens",
    "Steering",
    "TransportMap",
    "compare",
    "evaluate_steering",
    "interpolate",
    "shift",
    "steer_with",
    "subspace_offset",
    "summarize_steering",
    "transport",
    "transport_map",
    "two_stage",
]
