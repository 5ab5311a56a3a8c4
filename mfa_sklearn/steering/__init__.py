"""From meaning to behavior: steering a language model towards the regions of a mixture."""

from ._evaluation import NEUTRAL_PROMPTS, evaluate_steering, summarize_steering
from ._operators import interpolate, shift, subspace_offset, two_stage
from ._steerer import MFASteerer
from ._tables import SteeredTokens
from ._transport import TransportMap, transport, transport_map

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
