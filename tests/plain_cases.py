"""Small models of transformers of any architecture, in memory, and TransformerLens bridges of the same weights."""

from __future__ import annotations

import copy
from typing import Any

import torch

IDS = torch.tensor([[2, 30, 40, 50, 60, 71], [2, 13, 14, 15, 16, 17]])
_SHAPE = {
    "vocab_size": 96,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "head_dim": 8,
}
# What an architecture calls otherwise, or has besides; None leaves the default.
_OWN: dict[str, dict[str, Any]] = {
    "codegen": {"rotary_dim": 4},
    "falcon": {"num_kv_heads": 4, "head_dim": None, "num_key_value_heads": None},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "gptj": {"rotary_dim": 4},
    "mixtral": {"num_local_experts": 4},
    "olmoe": {"num_experts": 4, "num_experts_per_tok": 2},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32},
    "qwen2_moe": {"num_experts": 4, "mlp_only_layers": [0], "moe_intermediate_size": 16},
    "qwen3_moe": {"num_experts": 4, "moe_intermediate_size": 16, "num_experts_per_tok": 2},
    "gpt_oss": {"num_local_experts": 4, "num_experts_per_tok": 2},
}


def tiny_config(model_type: str, **options: Any) -> Any:
    """The configuration of a small model; names that the architecture does not know are left out."""
    from transformers import CONFIG_MAPPING

    kind = CONFIG_MAPPING[model_type]
    wanted = {**_SHAPE, **_OWN.get(model_type, {}), **options}
    default = kind()
    return kind(**{name: value for name, value in wanted.items() if value is not None and hasattr(default, name)})


def tiny_model(model_type: str, **options: Any) -> Any:
    """A random model in double precision, with biases and norms that are not trivial."""
    from transformers import MODEL_FOR_MASKED_LM_MAPPING, AutoModelForCausalLM, AutoModelForMaskedLM

    config = tiny_config(model_type, **options)
    loader = AutoModelForMaskedLM if type(config) in MODEL_FOR_MASKED_LM_MAPPING else AutoModelForCausalLM
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        # In steps: experts in double precision, and Gemma 2's cap on attention, are not in every fused kernel.
        steps = {"experts_implementation": "eager"}
        steps |= {"attn_implementation": "eager"} if model_type == "gemma2" else {}
        model = loader.from_config(config, **steps).double().eval()
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def bridge_of(model: Any) -> Any:
    """A TransformerLens bridge of a copy of a model's weights."""
    from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module

    own = copy.deepcopy(model)
    config = own.config
    config.architectures = [type(own).__name__]
    return build_bridge_from_module(own, type(own).__name__, hf_config=config).eval()


def read(model: Any, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """What stands at a hook point, and the logits."""
    seen: list[torch.Tensor] = []
    with torch.no_grad(), model.hooks(fwd_hooks=[(name, lambda activation, hook: seen.append(activation.clone()))]):
        logits = model(IDS)
    assert len(seen) == 1
    return seen[0], logits


def write(model: Any, name: str) -> torch.Tensor:
    """The logits with something else in the place of an activation."""
    with torch.no_grad(), model.hooks(fwd_hooks=[(name, lambda activation, hook: activation / 2 + 0.3)]):
        return model(IDS)
