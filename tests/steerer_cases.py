"""A small model beside transformers with a hook written by hand, selections, and words of concepts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from lm_fixtures import save_tiny_model

from mfa_sklearn import TokenSelection
from mfa_sklearn.steering import MFASteerer

LAYER, ALPHA, D, K, Q = 1, 0.6, 32, 5, 3
WORDS = {"water": ["river", "boats"], "money": ["bank", "money"], "birds": ["birds", "bank"]}
PROMPTS = ["The cat sat on", "The", "Two boats, three birds"]


def make_mixture(width: int = D, **source: Any) -> SimpleNamespace:
    rng = np.random.default_rng(0)
    return SimpleNamespace(
        weights_=np.full(K, 1 / K),
        means_=rng.normal(0, 3, (K, width)),
        loadings_=rng.normal(0, 1, (K, width, Q)),
        noise_variance_=rng.uniform(0.5, 1, width),
        source_=source or None,
    )


# Of a token's string, its place, the length of its prompt, and the tokens before the text: whether it is moved.
Rule = Callable[[str, int, int, int], bool]


class Pair:
    """The same small model as a bridge and as transformers has it."""

    def __init__(self, directory: Any, architecture: str) -> None:
        from transformer_lens.model_bridge import TransformerBridge
        from transformers import AutoModelForCausalLM

        path = str(save_tiny_model(directory / architecture, architecture))
        self.path, self.architecture = path, architecture
        self.bridge = TransformerBridge.boot_transformers(path, device="cpu", dtype=torch.float32)
        self.bridge.eval()
        self.plain = AutoModelForCausalLM.from_pretrained(path).eval()
        self.steerer = MFASteerer(self.bridge, make_mixture(), layer=LAYER)

    def tokens(self, prompt: str) -> torch.Tensor:
        return self.bridge.to_tokens(prompt)

    @contextmanager
    def by_hand(self, place: Callable[[int], bool], component: int = 2, alpha: float = ALPHA) -> Iterator[Any]:
        """transformers' model with the layer's output moved at the columns that `place` accepts."""
        mean = torch.as_tensor(make_mixture().means_[component], dtype=torch.float32)
        inner = self.plain.transformer.h if self.architecture == "gpt2" else self.plain.model.layers

        def hook(module: Any, args: Any, output: Any) -> Any:
            x = output[0] if isinstance(output, tuple) else output
            columns = torch.tensor([place(c) for c in range(x.shape[1])])
            moved = torch.where(columns[None, :, None], (1 - alpha) * x + alpha * mean, x)
            return (moved, *output[1:]) if isinstance(output, tuple) else moved

        handle = inner[LAYER].register_forward_hook(hook)
        try:
            yield self.plain
        finally:
            handle.remove()

    def greedy_by_hand(self, prompt: str, place: Callable[[int, int], bool], n: int) -> list[int]:
        """Greedy tokens without a cache; `place` is told the column and the prompt's length."""
        ids = self.tokens(prompt)
        n_prompt = ids.shape[1]
        with self.by_hand(lambda c: place(c, n_prompt)) as model, torch.no_grad():
            for _ in range(n):
                ids = torch.cat([ids, model(ids, use_cache=False).logits[:, -1:].argmax(-1)], dim=1)
        return ids[0].tolist()

    @contextmanager
    def by_rule(self, rule: Rule, lengths: list[int], component: int = 2, alpha: float = ALPHA) -> Iterator[Any]:
        """transformers' model, run without a cache on prompts padded on the left, moved at the tokens of a rule.

        Rows belong to the prompts in blocks of one size, as beams do.
        """
        mean = torch.as_tensor(make_mixture().means_[component], dtype=torch.float32)
        inner = self.plain.transformer.h if self.architecture == "gpt2" else self.plain.model.layers
        read: list[torch.Tensor] = []
        decode, padded = self.bridge.tokenizer.decode, max(lengths)

        def chosen(row: int, column: int, n_rows: int) -> bool:
            n = lengths[row // (n_rows // len(lengths))]
            place = column - (padded - n)
            return place >= 0 and rule(decode([int(read[-1][row, column])]), place, n, bos(self))

        def hook(module: Any, args: Any, output: Any) -> Any:
            x = output[0] if isinstance(output, tuple) else output
            rows, columns = x.shape[:2]
            where = torch.tensor([[chosen(r, c, rows) for c in range(columns)] for r in range(rows)])
            moved = torch.where(where[..., None], (1 - alpha) * x + alpha * mean, x)
            return (moved, *output[1:]) if isinstance(output, tuple) else moved

        handles = [
            self.plain.register_forward_pre_hook(lambda m, a, k: read.append(k["input_ids"]), with_kwargs=True),
            inner[LAYER].register_forward_hook(hook),
        ]
        try:
            yield self.plain
        finally:
            for handle in handles:
                handle.remove()


def bos(pair: Pair) -> int:
    """How many tokens stand before the text."""
    return 0 if pair.architecture == "qwen2" else 1


# What each selection means, of column c and prompt length n, for a model with `b` tokens before the text.
CHOICES: dict[str, tuple[Any, Callable[[int, int, int], bool]]] = {
    "all": ("all", lambda c, n, b: c >= b),
    "prompt": ("prompt", lambda c, n, b: b <= c < n),
    "last": ("last", lambda c, n, b: c == n - 1),
    "beginning": (0, lambda c, n, b: c == 0),
    "from the end": ([-2, -1], lambda c, n, b: c in (n - 2, n - 1)),
    "written": ([9, 10], lambda c, n, b: c in (9, 10)),
    "generated": ("generated", lambda c, n, b: c >= n),
    "first": (TokenSelection(first=2), lambda c, n, b: b <= c < b + 2),
    "window at the end": (TokenSelection(last=2), lambda c, n, b: n - 2 <= c < n),
    "first generated": (TokenSelection(phase="generated", first=3), lambda c, n, b: n <= c < n + 3),
    "joined": (
        (TokenSelection(first=3) - TokenSelection(at=-1)) | TokenSelection(phase="generated", first=1),
        lambda c, n, b: (b <= c < b + 3 and c != n - 1) or c == n,
    ),
    "special": (TokenSelection(special=True) - "last", lambda c, n, b: c != n - 1),
}


def odd(string: str) -> bool:
    """A property that about half of all tokens have."""
    return sum(string.encode()) % 2 == 1


# The same where it depends on which token it is.
RULES: dict[str, tuple[Any, Rule]] = {
    "all": ("all", lambda s, c, n, b: c >= b),
    "prompt": ("prompt", lambda s, c, n, b: b <= c < n),
    "generated": ("generated", lambda s, c, n, b: c >= n),
    "last": ("last", lambda s, c, n, b: c == n - 1),
    "predicate": (odd, lambda s, c, n, b: c >= b and odd(s)),
    "predicate, written": (
        TokenSelection(phase="generated", predicate=odd, first=4),
        lambda s, c, n, b: n <= c < n + 4 and odd(s),
    ),
    "strings": ({" sat", "a", "e", "t"}, lambda s, c, n, b: s in (" sat", "a", "e", "t")),
    "exclusions": (
        (TokenSelection(phase="prompt") - TokenSelection(predicate=odd)) | TokenSelection(phase="generated"),
        lambda s, c, n, b: c >= b and not odd(s),
    ),
    "windows": (
        TokenSelection(last=2) | TokenSelection(phase="generated", first=2) | 0,
        lambda s, c, n, b: max(b, n - 2) <= c < n + 2 or c == 0,
    ),
}
