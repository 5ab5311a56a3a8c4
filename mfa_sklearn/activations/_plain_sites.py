"""Where the sites are in a model of `transformers`: which module, and whether what goes into it or what comes out.

The residual stream is what goes into a block and what comes out of it. What attention and MLP hand on has a name of its
own in each family of architectures, and stands behind the norm where there is one between them and the residual stream.
The hidden units of an MLP are what goes into its last projection. All as TransformerLens' hook points define them; the
tests compare the two.

A family is listed here once its rows have been compared. Of any other architecture the residual stream is found if it
has one list of as many blocks as it has layers; other sites are not guessed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor


class HookSite(NamedTuple):
    """A place in a model that hooks can be put to.

    Attributes
    ----------
    name : str
        As TransformerLens calls the hook point.
    module : Module
    reads_input : bool
        Whether it is what goes into the module, else what comes out of it.
    """

    name: str
    module: Any
    reads_input: bool = False

    def attach(self, function: Callable[..., Tensor | None]) -> Any:
        """Call ``function(activation, hook=self)`` in each pass; what it returns, if anything, goes on instead.

        Functions are called in the order in which they were attached, each with what the one before has made.

        Returns
        -------
        torch.utils.hooks.RemovableHandle
        """
        if self.reads_input:
            return self.module.register_forward_pre_hook(self._before(function), with_kwargs=True)
        return self.module.register_forward_hook(self._after(function))

    def _before(self, function: Callable[..., Tensor | None]) -> Callable[..., Any]:
        def before(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            changed = function(args[0] if args else kwargs["hidden_states"], hook=self)
            if changed is None:
                return None
            return ((changed, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": changed})

        return before

    def _after(self, function: Callable[..., Tensor | None]) -> Callable[..., Any]:
        def after(_: Any, __: Any, output: Any) -> Any:
            several = isinstance(output, tuple)
            changed = function(output[0] if several else output, hook=self)
            return (changed, *output[1:]) if several and changed is not None else changed

        return after


class Layout(NamedTuple):
    """Modules of a block, by their paths; "" where there is none, or none with a row per token.

    Attributes
    ----------
    attn_out, mlp_out : str
        Those whose output attention and MLP hand on.
    hidden : str
        The one whose input the hidden units are.
    """

    attn_out: str
    mlp_out: str
    hidden: str


_LLAMA = Layout("self_attn", "mlp", "mlp.down_proj")
_SANDWICH = Layout("post_attention_layernorm", "post_feedforward_layernorm", "mlp.down_proj")
_FAMILIES = (
    (
        _LLAMA,
        "apertus arcee cohere cohere2 ernie4_5 gemma glm gpt_oss hunyuan_v1_dense llama ministral3 mistral mixtral",
    ),
    (_LLAMA, "nemotron olmo olmoe phi3 qwen2 qwen2_moe qwen3 qwen3_moe seed_oss smollm3 stablelm"),
    (_SANDWICH, "exaone4 gemma2 gemma3_text olmo2 olmo3"),
    (Layout("post_self_attn_layernorm", "post_mlp_layernorm", "mlp.down_proj"), "glm4"),
    (Layout("attn", "mlp", "mlp.c_proj"), "gpt2 gpt_bigcode gpt_neo"),
    (Layout("attn", "mlp", "mlp.fc_out"), "codegen gptj"),
    (Layout("attention", "mlp", "mlp.dense_4h_to_h"), "gpt_neox"),
    (Layout("self_attention", "mlp", "mlp.dense_4h_to_h"), "falcon"),
    # What attention and MLP give has the residual stream added already.
    (Layout("self_attention.dense", "mlp.dense_4h_to_h", "mlp.dense_4h_to_h"), "bloom"),
    (Layout("self_attn", "mlp", "mlp.fc2"), "phi"),
    (Layout("self_attn", "mlp", "mlp.c_proj"), "starcoder2"),
    (Layout("self_attn", "", ""), "opt"),  # whose MLP sees all tokens of a batch in one table
    # Attention ends behind its norm, the MLP before it.
    (Layout("attention", "output.dense", "output.dense"), "bert roberta xlm-roberta"),
)
#: The architectures whose sites are known, by `model_type`.
LAYOUTS: dict[str, Layout] = {name: layout for layout, names in _FAMILIES for name in names.split()}


def find_sites(model: Any) -> dict[str, HookSite]:
    """The hook points of a model, by TransformerLens' names.

    Parameters
    ----------
    model : transformers.PreTrainedModel

    Returns
    -------
    dict of str to HookSite
        Without those that the architecture lacks, or that are not known of it. The hidden units of a mixture of experts
        are the output of the whole by another name, as TransformerLens has it.
    """
    layout = LAYOUTS.get(model.config.get_text_config().model_type)
    found: dict[str, HookSite] = {}
    for number, block in enumerate(blocks_of(model)):
        prefix = f"blocks.{number}"
        found[f"{prefix}.hook_resid_pre"] = HookSite(f"{prefix}.hook_resid_pre", block, reads_input=True)
        found[f"{prefix}.hook_resid_post"] = HookSite(f"{prefix}.hook_resid_post", block)
        if layout is not None:
            found |= _inside(block, prefix, layout)
    return found


def _inside(block: Any, prefix: str, layout: Layout) -> dict[str, HookSite]:
    """The hook points inside a block."""
    parts = {path: _submodule(block, path) if path else None for path in layout}
    out = HookSite(f"{prefix}.hook_mlp_out", parts[layout.mlp_out])
    hidden = HookSite(f"{prefix}.mlp.hook_post", parts[layout.hidden], reads_input=True)
    if hidden.module is None and hasattr(getattr(block, "mlp", None), "experts"):
        hidden = out
    sites = {
        f"{prefix}.hook_attn_out": HookSite(f"{prefix}.hook_attn_out", parts[layout.attn_out]),
        f"{prefix}.hook_mlp_out": out,
        f"{prefix}.mlp.hook_out": out,
        f"{prefix}.mlp.hook_post": hidden,
    }
    return {name: site for name, site in sites.items() if site.module is not None}


def blocks_of(model: Any) -> list[Any]:
    """The layers of a model; none where it is not certain which they are."""
    n_layers = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    base = model.base_model
    lists = {name: m for name, m in base.named_modules() if isinstance(m, torch.nn.ModuleList) and len(m) == n_layers}
    # A list inside a block, as of its experts, may be as long by chance.
    outer = [m for name, m in lists.items() if not any(name.startswith(f"{other}.") for other in lists)]
    return list(outer[0]) if len(outer) == 1 else []


def _submodule(block: Any, path: str) -> Any:
    for name in path.split("."):
        block = getattr(block, name, None)
    return block
