"""Four activations with their facts, labels of sentences, and the ids that a model reads."""

from __future__ import annotations

import numpy as np

from mfa_sklearn.activations import ActivationArray


def four_rows() -> ActivationArray:
    """Tokens of two texts with all that is known of them."""
    return ActivationArray(
        np.arange(12, dtype=np.float32).reshape(4, 3),
        rows={
            "token_ids": np.array([5, 6, 5, 7]),
            "tokens": np.array(["The", " cat", "The", " dog"]),
            "text_index": np.array([0, 0, 1, 1]),
            "positions": np.array([1, 2, 1, 2]),
            "labels": np.array(["pets", "pets", "dogs", "dogs"]),
        },
        shared={"texts": ("The cat", "The dog"), "source": {"layer": 4}},
    )


LABELS = ["pets", "nature", "finance", "finance", "nature", "nature"]
