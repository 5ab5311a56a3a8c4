"""From meaning to behavior: steering a language model towards the regions of a mixture."""

from ._evaluation import NEUTRAL_PROMPTS, evaluate_steering, summarize_steering
from ._operators import TransportMap, interpolate, shift, subspace_offset, transport, transport_map, two_stage
from ._steerer import MFASteerer
from ._tables import SteeredTokens

__all__ = [
    "NEUTRAL_PROMPTS",
    "MFASteerer",
    "SteeredTokens",
    "TransportMap",
    "evaluate_steering",
    "interpolate",
    "shift",
    "subspace_offset",
    "summarize_steering",
    "transport",
    "transport_map",
    "two_stage",
]
