"""What steering did, token by token, as arrays and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._base.checks import import_optional
from ..activations import token_strings
from ._positions import PositionTracker

if TYPE_CHECKING:
    import pandas as pd


class SteeredTokens:
    """Which tokens the forward passes inside a `MFASteerer.steer` block steered, for the last sequence read.

    Attributes
    ----------
    mask : ndarray of bool of shape (n, T)
        True where the token's activation was moved; one row per prompt, one column per token read, padding included.
    token_ids : ndarray of int of shape (n, T), or None
        The tokens; None for models whose calls cannot be watched.
    """

    def __init__(self, model: Any, tracker: PositionTracker) -> None:
        self._model, self._tracker = model, tracker

    @property
    def mask(self) -> np.ndarray:
        """Where activations were moved, (n, T)."""
        progress = self._tracker.sequence
        return np.zeros((0, 0), dtype=bool) if progress is None else progress.steered.cpu().numpy()

    @property
    def token_ids(self) -> np.ndarray | None:
        """The tokens read, (n, T)."""
        progress = self._tracker.sequence
        return None if progress is None or progress.ids is None else progress.ids.cpu().numpy()

    def to_frame(self) -> pd.DataFrame:
        """A table with a line per token read: prompt, position, token, steered. Padding is left out.

        Returns
        -------
        pandas.DataFrame
        """
        pd = import_optional("pandas", "SteeredTokens.to_frame")
        progress = self._tracker.sequence
        if progress is None:
            return pd.DataFrame({"prompt": [], "position": [], "token": [], "steered": []})
        real = progress.real.cpu()
        row, _ = (places := real.nonzero()).unbind(1)
        ids = [-1] * len(places) if progress.ids is None else progress.ids.cpu()[real].tolist()
        return pd.DataFrame(
            {
                "prompt": row.numpy(),
                "position": (real.cumsum(1) - 1)[real].numpy(),
                "token": token_strings(getattr(self._model, "tokenizer", None), ids),
                "steered": progress.steered.cpu()[real].numpy(),
            }
        )
