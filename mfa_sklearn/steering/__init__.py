"""From meaning to behaviour: steering a language model towards the regions of a mixture."""

from ._operators import TransportMap, interpolate, shift, subspace_offset, transport, transport_map, two_stage
from ._steerer import MFASteerer, SteeredTokens

__all__ = [
    "MFASteerer",
    "SteeredTokens",
    "TransportMap",
    "interpolate",
    "shift",
    "subspace_offset",
    "transport",
    "transport_map",
    "two_stage",
]
