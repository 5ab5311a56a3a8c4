"""Where in a transformer activations are read and written. Imports nothing, so that the command line may list them."""

from __future__ import annotations

#: Site name -> hook point of a TransformerLens model.
SITES: dict[str, str] = {
    "residual": "blocks.{layer}.hook_resid_post",
    "residual_pre": "blocks.{layer}.hook_resid_pre",
    "mlp": "blocks.{layer}.mlp.hook_post",
    "mlp_out": "blocks.{layer}.hook_mlp_out",
    "attn_out": "blocks.{layer}.hook_attn_out",
}
