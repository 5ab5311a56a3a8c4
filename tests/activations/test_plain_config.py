"""What is read off a configuration is what TransformerLens reads off it."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from plain_cases import bridge_of, tiny_config, tiny_model

from mfa_sklearn.activations._plain_config import NOT_BEGUN, facts_of, fills_gaps


def default_prepend_bos() -> dict[str, bool]:
    """Whether TransformerLens begins texts with a token, by model type, of all that both packages know."""
    from transformer_lens.factories.architecture_adapter_factory import (
        SUPPORTED_ARCHITECTURES,
        ArchitectureAdapterFactory,
    )
    from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_config_from_hf
    from transformers import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    found = {}
    for model_type, names in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.items():
        names = names if isinstance(names, tuple) else (names,)
        architecture = next((name for name in names if name in SUPPORTED_ARCHITECTURES), None)
        if architecture is None or model_type == "gemma3n":  # whose adapter needs another package
            continue
        config = CONFIG_MAPPING[model_type]()
        config.architectures = [architecture]
        cfg = build_bridge_config_from_hf(config, architecture, "model", torch.float32)
        ArchitectureAdapterFactory.select_architecture_adapter(cfg)
        found[model_type] = bool(cfg.default_prepend_bos)
    return found


def test_texts_begin_as_transformer_lens_begins_them() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of configurations without weights
        begun = default_prepend_bos()
    assert len(begun) > 80
    assert {name for name, begins in begun.items() if not begins} == NOT_BEGUN


@pytest.mark.parametrize("model_type", ["gpt2", "llama", "gpt_neox", "bloom", "bert", "falcon"])
def test_facts_are_those_of_a_bridge(model_type: str) -> None:
    model = tiny_model(model_type)
    facts, cfg = facts_of(model), bridge_of(model).cfg
    for name in ("n_layers", "d_model", "d_mlp", "d_vocab", "n_ctx", "eos_token_id", "default_prepend_bos"):
        assert facts[name] == getattr(cfg, name), name
    assert facts["attention_dir"] == getattr(cfg, "attention_dir", "causal")
    assert facts["architecture"] == type(model).__name__ and "model_name" not in facts


def test_facts_that_a_bridge_has_otherwise() -> None:
    """Places that RoBERTa has for no token, and widths that experts do not have."""
    roberta = tiny_model("roberta", max_position_embeddings=66, pad_token_id=1)
    assert facts_of(roberta)["n_ctx"] == 64
    with torch.no_grad():
        assert roberta(torch.full((1, 64), 5)).logits.shape[1] == 64
        with pytest.raises((IndexError, RuntimeError)):
            roberta(torch.full((1, 65), 5))
    assert facts_of(tiny_model("mixtral"))["d_mlp"] is None
    assert facts_of(tiny_model("opt"))["d_mlp"] == 64


@pytest.mark.parametrize(
    ("model_type", "options", "expected"),
    [
        ("bert", {}, True),
        ("roberta", {}, True),
        ("modernbert", {}, True),
        ("bert", {"is_decoder": True}, False),
        ("gpt2", {}, False),
        ("llama", {}, False),
    ],
)
def test_what_an_encoder_is(model_type: str, options: dict[str, Any], expected: bool) -> None:
    assert fills_gaps(tiny_config(model_type, **options)) is expected
