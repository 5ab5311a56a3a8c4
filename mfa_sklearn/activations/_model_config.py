"""What a model's configuration says of its layers and of the sites in them."""

from __future__ import annotations

from typing import Any

# How configurations say how many experts there are.
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts", "num_routed_experts")
NO_HIDDEN_UNITS = (
    "site='mlp' is refused for a mixture of experts: a token has hidden units in each of the experts it is sent to, "
    "and no one row of them. Choose site='mlp_out', what they hand on together"
)


def check_causal_or_encoder(config: Any, name: str) -> None:
    """Refuse models of two stacks, whose layers have no one number.

    Raises
    ------
    ValueError
        If the configuration is that of a sequence-to-sequence model.
    """
    if getattr(config, "is_encoder_decoder", False):
        raise ValueError(
            f"{name!r} is a sequence-to-sequence model ({getattr(config, 'model_type', 'unknown')}): its encoder and "
            "its decoder both have a layer of each number. Choose a causal language model or an encoder"
        )


def site_width(config: Any, site: str) -> int:
    """How many numbers a site has per token: the model's width, or that of its MLP.

    Raises
    ------
    ValueError
        For the MLP of a mixture of experts.
    """
    text = config.get_text_config()
    if site != "mlp":
        return int(text.hidden_size)
    if any(isinstance(n := getattr(text, name, None), int) and n > 0 for name in _EXPERTS):
        raise ValueError(NO_HIDDEN_UNITS)
    for name in ("intermediate_size", "n_inner", "ffn_dim", "d_ff", "ffn_hidden_size"):
        if isinstance(getattr(text, name, None), int) and getattr(text, name) > 0:
            return int(getattr(text, name))
    return 4 * int(text.hidden_size)
