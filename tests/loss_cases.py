"""Losses of small models by hand: transformers' own model, one text at a time, with a hook of torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lm_fixtures import ENCODERS, SENTENCES, save_tiny_encoder, save_tiny_model
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from mfa_sklearn.activations import load_model

LAYER = 1
# Of 43 to 64 single bytes in an encoder, whose loss takes a pass for each of them.
SHORT = ["The cat sat.", "Money.", "A river runs by"]


class Losses(NamedTuple):
    """Sums over the predicted tokens of one text."""

    n_tokens: int
    cross_entropy: float
    kl: float


class Plain:
    """A small model as transformers has it, and as a bridge."""

    def __init__(self, directory: Path, architecture: str) -> None:
        from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

        self.masked = architecture in ENCODERS
        save = save_tiny_encoder if self.masked else save_tiny_model
        self.path = save(directory / architecture, architecture)
        self.bridge = load_model(self.path, device="cpu")
        loader = AutoModelForMaskedLM if self.masked else AutoModelForCausalLM
        self.model = loader.from_pretrained(self.path).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(self.path)
        self.texts = SHORT if self.masked else SENTENCES
        # In the last layer of an encoder predictions depend on the masked token's own row alone.
        self.layer = 0 if self.masked else LAYER
        self.module = self._layers(architecture)[self.layer]
        self.begins = architecture == "gpt2"  # whose tokenizer puts nothing in front by itself

    def _layers(self, architecture: str) -> Any:
        if self.masked:
            return getattr(self.model, architecture).encoder.layer
        return self.model.transformer.h if architecture == "gpt2" else self.model.model.layers

    def read(self, text: str) -> tuple[list[int], list[int]]:
        """Token ids, and the positions of the text's own tokens."""
        ids = ([self.tokenizer.bos_token_id] if self.begins else []) + self.tokenizer(text)["input_ids"]
        special = {self.tokenizer.bos_token_id, self.tokenizer.cls_token_id, self.tokenizer.sep_token_id}
        return ids, [i for i, token in enumerate(ids) if token not in special]

    def logits(self, ids: list[int], change: Callable[[torch.Tensor], torch.Tensor] | None = None) -> torch.Tensor:
        """Logits (T, V), the layer's output (T, D) changed."""

        def hook(module: Any, args: Any, output: Any) -> Any:
            x = output[0] if isinstance(output, tuple) else output
            x = x if change is None else change(x[0].clone())[None]
            return (x, *output[1:]) if isinstance(output, tuple) else x

        handle = self.module.register_forward_hook(hook)
        try:
            with torch.no_grad():
                return self.model(torch.tensor([ids])).logits[0]
        finally:
            handle.remove()

    def rows(self, text: str) -> np.ndarray:
        """The layer's output at the text's own tokens."""
        ids, own = self.read(text)
        found: list[torch.Tensor] = []
        self.logits(ids, lambda x: found.append(x) or x)  # type: ignore[func-returns-value]
        return found[0][own].numpy()

    def losses(self, text: str, function: Callable[[np.ndarray], Any], every_row: bool = False) -> Losses:
        """Losses of a text, with its rows replaced by what a function makes of them."""
        ids, own = self.read(text)
        passes = [([i], [*ids[:i], self.tokenizer.mask_token_id, *ids[i + 1 :]]) for i in own]
        if not self.masked:
            passes = [([i - 1 for i in own if i > 0], ids)]
        targets = [ids[i] for i in own] if self.masked else [ids[i] for i in own if i > 0]
        before, after = [], []
        for places, read in passes:
            masked = [i for i in places if self.masked]
            moved = [i for i in range(len(read)) if every_row or (i in own and i not in masked)]

            def change(x: torch.Tensor, moved: list[int] = moved) -> torch.Tensor:
                if moved:
                    x[moved] = torch.as_tensor(np.asarray(function(x[moved].numpy())), dtype=x.dtype)
                return x

            before.append(self.logits(read)[places])
            after.append(self.logits(read, change)[places])
        old, new = log_softmax(torch.cat(before), -1), log_softmax(torch.cat(after), -1)
        loss = cross_entropy(torch.cat(after), torch.tensor(targets), reduction="sum")
        return Losses(len(targets), float(loss), float(kl_div(new, old, log_target=True, reduction="sum")))
