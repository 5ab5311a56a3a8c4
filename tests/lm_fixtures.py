"""Small random language models in local directories laid out as a hub directory, for tests.

The tokenizers are those the architectures come with, in small: GPT-2's pads, begins and ends with one token and adds
none by itself, Llama's begins every text with ``<s>``, Qwen's has no beginning token at all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

SENTENCES = [
    "The cat sat on the mat.",
    "A river runs by the old bank, and the bank is full of willows.",
    "Money.",
    "She put her money in the bank because the bank was near the river.",
    "Two boats, three birds and a heron!",
    "It rained for days; the boats stayed home, and so did the birds.",
]

ARCHITECTURES = ("gpt2", "llama", "qwen2", "qwen3")


def save_tiny_model(
    directory: str | Path,
    architecture: str = "llama",
    n_layers: int = 3,
    d_model: int = 32,
    n_heads: int = 4,
    n_ctx: int = 64,
    vocab_size: int = 384,
    seed: int = 0,
) -> Path:
    """Write a random model and its tokenizer to `directory` and return it.

    Parameters
    ----------
    directory : path
        Made if missing.
    architecture : one of ARCHITECTURES
    n_layers, d_model, n_heads, n_ctx : int
        Shape of the model; its MLP is ``4 * d_model`` wide and its weights are large enough for layers to differ.
    vocab_size : int
        At least 300: 256 bytes, the special tokens and a few merges.
    seed : int
        Of the weights.
    """
    import torch
    from transformers import AutoModelForCausalLM

    path = Path(directory)
    path.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(architecture, vocab_size, n_ctx)
    config = _config(architecture, n_layers, d_model, n_heads, n_ctx, tokenizer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config).float().eval()
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def make_tokenizer(architecture: str = "llama", vocab_size: int = 384, n_ctx: int = 64) -> Any:
    """A byte-level BPE tokenizer learned from SENTENCES, with the special tokens of `architecture`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = {
        "gpt2": {k: "<|endoftext|>" for k in ("bos_token", "eos_token", "pad_token")},
        "llama": {"bos_token": "<s>", "eos_token": "</s>"},
        "qwen2": {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
        "qwen3": {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
    }[architecture]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=sorted(set(special.values())),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    if architecture == "llama":
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
        )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=n_ctx, **special)


def _config(architecture: str, n_layers: int, d_model: int, n_heads: int, n_ctx: int, tokenizer: Any) -> Any:
    from transformers import GPT2Config, LlamaConfig, Qwen2Config, Qwen3Config

    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    common = {"vocab_size": len(tokenizer), "initializer_range": 0.2, **ids}
    if architecture == "gpt2":
        return GPT2Config(n_layer=n_layers, n_embd=d_model, n_head=n_heads, n_positions=n_ctx, **common)
    rotary = {"llama": LlamaConfig, "qwen2": Qwen2Config, "qwen3": Qwen3Config}[architecture]
    head_dim = {"head_dim": d_model // n_heads} if architecture == "qwen3" else {}
    return rotary(
        num_hidden_layers=n_layers,
        hidden_size=d_model,
        intermediate_size=4 * d_model,
        num_attention_heads=n_heads,
        num_key_value_heads=max(1, n_heads // 2),
        max_position_embeddings=n_ctx,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        **head_dim,
        **common,
    )
