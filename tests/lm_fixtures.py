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


ENCODERS = ("bert", "roberta")
EXPERTS = ("mixtral", "qwen2_moe")


def save_tiny_encoder(directory: str | Path, architecture: str = "roberta", n_ctx: int = 64) -> Path:
    """Write a random masked model of two layers, and a byte-level tokenizer that opens and closes each text.

    BERT's tokenizer says ``[CLS] text [SEP]`` and has no end-of-text token; RoBERTa's says ``<s> text </s>``, where the
    closing token is the end-of-text token of a causal model.
    """
    import torch
    from transformers import AutoModelForMaskedLM, BertConfig, RobertaConfig

    path = Path(directory)
    tokenizer = make_closing_tokenizer(architecture, n_ctx)
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "initializer_range": 0.2,
        "pad_token_id": tokenizer.pad_token_id,
    }
    if architecture == "bert":
        config: Any = BertConfig(max_position_embeddings=n_ctx, **shape)
    else:
        config = RobertaConfig(max_position_embeddings=n_ctx + tokenizer.pad_token_id + 1, type_vocab_size=1, **shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForMaskedLM.from_config(config).float().eval()
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def make_closing_tokenizer(architecture: str, n_ctx: int = 64) -> Any:
    """A byte-level tokenizer that puts tokens of its own before and behind a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    bert = architecture == "bert"
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] if bert else ["<pad>", "<unk>", "<s>", "</s>", "<mask>"]
    pad, unk, first, last, mask = names
    vocabulary = [*names, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    core = Tokenizer(models.BPE(vocab={name: i for i, name in enumerate(vocabulary)}, merges=[], unk_token=unk))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}", special_tokens=[(token, names.index(token)) for token in (first, last)]
    )
    special = {"pad_token": pad, "unk_token": unk, "cls_token": first, "sep_token": last, "mask_token": mask}
    ends = {} if bert else {"bos_token": first, "eos_token": last}
    return PreTrainedTokenizerFast(tokenizer_object=core, model_max_length=n_ctx, **special, **ends)


def save_tiny_experts(directory: str | Path, architecture: str = "mixtral", n_ctx: int = 64) -> Path:
    """Write a random mixture of experts of two layers, with GPT-2's tokenizer in small."""
    import torch
    from transformers import AutoModelForCausalLM, MixtralConfig, Qwen2MoeConfig

    path, tokenizer = Path(directory), make_tokenizer("gpt2", n_ctx=n_ctx)
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": n_ctx,
        "num_experts_per_tok": 2,
        "initializer_range": 0.2,
    }
    if architecture == "mixtral":
        config: Any = MixtralConfig(num_local_experts=4, head_dim=8, **shape)
    else:
        own = {"moe_intermediate_size": 16, "shared_expert_intermediate_size": 24}
        config = Qwen2MoeConfig(num_experts=4, mlp_only_layers=[0], **own, **shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config).float().eval()
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def save_tiny_translator(directory: str | Path) -> Path:
    """Write a random sequence-to-sequence model with a tokenizer."""
    from transformers import T5Config, T5ForConditionalGeneration

    path, tokenizer = Path(directory), make_tokenizer("llama")
    config = T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, decoder_start_token_id=0
    )
    T5ForConditionalGeneration(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def hidden_rows(directory: str | Path, text: str, layer: int, **options: Any) -> Any:
    """transformers' own hidden states (T, d) after a layer, of a text as its own tokenizer reads it, and the ids."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

    architecture = (AutoConfig.from_pretrained(directory).architectures or [""])[0]
    loader = AutoModelForMaskedLM if architecture.endswith("MaskedLM") else AutoModelForCausalLM
    inputs = AutoTokenizer.from_pretrained(directory)(text, return_tensors="pt", **options)
    with torch.no_grad():
        states = loader.from_pretrained(directory).eval()(**inputs, output_hidden_states=True).hidden_states
    # The last one may stand behind a norm, so layers are those before it.
    return states[layer + 1][0].numpy(), inputs["input_ids"][0].tolist()
