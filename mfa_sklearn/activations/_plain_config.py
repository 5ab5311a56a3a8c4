"""What a model of `transformers` says of itself, by the names and with the defaults of TransformerLens."""

from __future__ import annotations

from typing import Any

from .._base.checks import import_optional
from ._model_config import site_width

_NOT_BEGUN = (
    "bloom ernie4_5 ernie4_5_moe exaone4 glm glm4 glm4_moe glm4_moe_lite glm_moe_dsa gpt_neox granite granitemoe "
    "granitemoehybrid minimax_m2 mpt phi qwen2 qwen2_moe qwen3 qwen3_5 qwen3_5_moe qwen3_5_moe_text qwen3_5_text "
    "qwen3_moe qwen3_next recurrent_gemma seed_oss smollm3 starcoder2"
)
#: Architectures whose texts TransformerLens does not begin with the beginning-of-text token; all others it does.
NOT_BEGUN = frozenset(_NOT_BEGUN.split())
# How configurations call the longest sequence, in the order in which TransformerLens looks.
_CONTEXT = ("n_positions", "max_position_embeddings", "seq_length", "max_seq_len", "max_sequence_length")
_NO_LIMIT = 2048  # of models whose positions know none


def facts_of(model: Any) -> dict[str, Any]:
    """What does not change of a model, by TransformerLens' names."""
    config = model.config
    text = config.get_text_config()
    try:
        d_mlp: int | None = site_width(config, "mlp")
    except ValueError:  # experts have no one width
        d_mlp = None
    embedding = model.get_input_embeddings()
    return {
        **({"model_name": config.name_or_path} if config.name_or_path else {}),
        "architecture": type(model).__name__,
        "n_layers": getattr(text, "num_hidden_layers", None),
        "d_model": getattr(text, "hidden_size", None),
        "d_mlp": d_mlp,
        "d_vocab": int(embedding.weight.shape[0]) if hasattr(embedding, "weight") else text.vocab_size,
        "n_ctx": _context(model, text),
        "eos_token_id": getattr(text, "eos_token_id", None),
        "attention_dir": "bidirectional" if fills_gaps(config) else "causal",
        "default_prepend_bos": text.model_type not in NOT_BEGUN,
    }


def _context(model: Any, text: Any) -> int:
    """The longest sequence."""
    limit = next((int(n) for name in _CONTEXT if isinstance(n := getattr(text, name, None), int)), _NO_LIMIT)
    table = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    return limit if padding is None else limit - padding - 1  # RoBERTa counts places from behind that of padding


def fills_gaps(config: Any) -> bool:
    """Whether a configuration is that of an encoder, whose tokens see those behind them."""
    masked = import_optional("transformers", "a language model").MODEL_FOR_MASKED_LM_MAPPING
    return type(config) in masked and not getattr(config, "is_decoder", False)
