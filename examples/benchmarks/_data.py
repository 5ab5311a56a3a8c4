"""Rows to measure on: activations of a pretrained encoder on real text, and tables made of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from _items import Setting

from mfa_sklearn import MFA, ActivationExtractor

_CHUNK = 20_000


def prepare(setting: Setting) -> dict[str, Any]:
    """Extract activations unless an earlier run has."""
    if setting.activations.exists() and len(np.load(setting.activations, mmap_mode="r")) >= setting.sizes.needed:
        return {"extracted": 0}
    extract(setting.activations, setting.tokens, setting.sizes.needed)
    return {"extracted": setting.sizes.needed}


def extract(activations: Path, tokens: Path, n_rows: int) -> None:
    """Write `n_rows` rows and their tokens, of the texts that `examples/real_encoder.py` reads.

    The layer's rows are transformers' ``hidden_states[4]``.
    """
    sys.path.append(str(Path(__file__).resolve().parents[1]))
    import real_encoder as example

    texts, _ = example.paragraphs(example.PACKAGES)
    n_texts = example.enough(texts, n_rows)
    settings = {"layer": example.LAYER, "max_length": example.MAX_LENGTH, "batch_size": 64}
    X = ActivationExtractor(example.MODEL, **settings).fit_transform(texts[:n_texts])[:n_rows]
    activations.parent.mkdir(parents=True, exist_ok=True)
    np.save(tokens, np.asarray(X.tokens, dtype=str))
    np.save(activations, np.asarray(X, dtype=np.float32))


def train_rows(setting: Setting, n_rows: int) -> np.ndarray:
    """The first rows, (n_rows, D) float32, in memory."""
    return np.array(_all_rows(setting)[:n_rows], dtype=np.float32)


def held_out_rows(setting: Setting) -> np.ndarray:
    """The last of the rows needed, which no item fits on."""
    needed = setting.sizes.needed
    return np.array(_all_rows(setting)[needed - setting.sizes.held_out : needed], dtype=np.float32)


def _all_rows(setting: Setting) -> np.ndarray:
    rows = np.load(setting.activations, mmap_mode="r")
    if len(rows) < setting.sizes.needed:
        raise SystemExit(f"{setting.activations} holds {len(rows):,} rows, {setting.sizes.needed:,} are needed")
    return rows


def token_strings(setting: Setting, n_rows: int) -> np.ndarray:
    """The rows' tokens, or where nothing is known of them, words as frequent as those of a text."""
    if setting.tokens.exists():
        return np.load(setting.tokens)[:n_rows]
    ranks = np.minimum(np.random.default_rng(0).zipf(1.3, n_rows), 30_000)
    return np.char.add("word", ranks.astype(str))


def write_map(setting: Setting, path: Path) -> tuple[int, int]:
    """A file of float16 rows, real ones again and again with a little noise; its shape."""
    real = train_rows(setting, min(_CHUNK, setting.sizes.rows))
    rng, n_rows = np.random.default_rng(0), setting.sizes.map_rows
    with path.open("wb") as file:
        for start in range(0, n_rows, len(real)):
            some = real[: n_rows - start]
            file.write((some + 0.05 * rng.standard_normal(some.shape, dtype=np.float32)).astype(np.float16).tobytes())
    return n_rows, real.shape[1]


def mixture_on(X: np.ndarray, n_components: int, n_factors: int, seed: int) -> MFA:
    """A mixture put together, not fitted: rows for means, random loadings, half of the variance for noise."""
    rng, variance = np.random.default_rng(seed), X.var(0) + 1e-6
    means = X[rng.choice(len(X), n_components, replace=False)]
    loadings = rng.standard_normal((n_components, X.shape[1], n_factors)) * np.sqrt(variance / (4 * n_factors))[:, None]
    return MFA.from_params(np.full(n_components, 1 / n_components), means, loadings, variance / 2)
