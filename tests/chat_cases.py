"""Chats, and small models whose tokenizers have a template for them."""

from __future__ import annotations

from pathlib import Path

from lm_fixtures import make_tokenizer, save_tiny_model

TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
CHATS = [
    [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "The cat sat on"},
        {"role": "assistant", "content": "the bank of a river"},
    ],
    [{"role": "user", "content": "Money"}, {"role": "assistant", "content": "in the bank"}],
    [{"role": "user", "content": "Two boats"}],
    [
        {"role": "user", "content": "It rained"},
        {"role": "assistant", "content": "for days"},
        {"role": "user", "content": "and so did the birds"},
    ],
]


def chatty(directory: Path, architecture: str) -> Path:
    """A small model with a chat template."""
    path = save_tiny_model(directory / architecture, architecture, n_ctx=128)
    tokenizer = make_tokenizer(architecture, n_ctx=128)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(path)
    return path
