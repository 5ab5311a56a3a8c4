"""What steering did, token by token and to the next one, as arrays, tables and HTML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .._base.checks import import_optional
from ..activations import token_strings
from ._html import Token, tokens_html
from ._positions import Progress

if TYPE_CHECKING:
    import pandas as pd

    from ._hooking import Run

_LEGEND = "the darker a token, the farther it was moved (at most {:.3g}); underlined: generated"


class SteeredTokens:
    """Which tokens a steering chose, and how far it moved them, for the last sequence that the model read.

    Attributes
    ----------
    mask : ndarray of bool of shape (n, T)
        True where the token was chosen; one row per prompt, or per sequence of a beam search, and one column per token
        read, padding included.
    distances : ndarray of float of shape (n, T)
        Euclidean length of each move, in the units of the activations: 0 for tokens that were not chosen, and for those
        that the move itself left where they were. Of a composed steering the sum over its parts.
    token_ids : ndarray of int of shape (n, T), or None
        The tokens; None for models whose calls cannot be watched.
    parts : tuple of SteeredTokens
        What each part of a composed steering did, in their order; of any other steering one, the same.

    Notes
    -----
    A notebook shows the tokens shaded by distance.
    """

    def __init__(self, model: Any, runs: Sequence[Run]) -> None:
        self._model, self._runs = model, tuple(runs)

    @property
    def parts(self) -> tuple[SteeredTokens, ...]:
        """One for each part, in their order."""
        return tuple(SteeredTokens(self._model, [run]) for run in self._runs)

    @property
    def mask(self) -> np.ndarray:
        """Which tokens were chosen, (n, T)."""
        reached = self._reached()
        return np.any([_array(progress.steered) for progress, _ in reached], axis=0) if reached else _nothing(bool)

    @property
    def distances(self) -> np.ndarray:
        """How far they were moved, (n, T)."""
        reached = self._reached()
        return np.sum([_array(distances) for _, distances in reached], axis=0) if reached else _nothing(np.float32)

    @property
    def token_ids(self) -> np.ndarray | None:
        """The tokens read, (n, T)."""
        reached = self._reached()
        return None if not reached or reached[0][0].ids is None else _array(reached[0][0].ids)

    def _reached(self) -> list[tuple[Progress, Tensor]]:
        """Sequences and distances of the parts that saw the last pass: one that ended early reached no late layer."""
        seen = [(r.tracker.sequence, r.distances) for r in self._runs]
        found = [
            (progress, distances) for progress, distances in seen if progress is not None and distances is not None
        ]
        return [pair for pair in found if pair[1].shape == found[0][1].shape]

    def to_frame(self) -> pd.DataFrame:
        """A table with a line per token read. Padding is left out.

        Returns
        -------
        pandas.DataFrame
            Columns prompt, position, token, steered (whether it was chosen), distance, generated.
        """
        pd = import_optional("pandas", "SteeredTokens.to_frame")
        reached = self._reached()
        if not reached:
            names = ("prompt", "position", "token", "steered", "distance", "generated")
            return pd.DataFrame({name: [] for name in names})
        progress = reached[0][0]
        real = _array(progress.real)
        row, column = real.nonzero()
        ids = [-1] * len(row) if progress.ids is None else _array(progress.ids)[real].tolist()
        return pd.DataFrame(
            {
                "prompt": row,
                "position": (real.cumsum(1) - 1)[real],
                "token": token_strings(getattr(self._model, "tokenizer", None), ids),
                "steered": self.mask[real],
                "distance": self.distances[real],
                "generated": column >= progress.prompt_width,
            }
        )

    def to_html(self) -> str:
        """The tokens of each prompt, shaded by how far they were moved; what was generated is underlined.

        Returns
        -------
        str
            A snippet without scripts, whose strings are escaped. Spaces show as dots, control characters as escapes.
        """
        farthest = float(self.distances.max(initial=0.0))
        rows: dict[int, list[Token]] = {}
        for line in self.to_frame().itertuples():
            how = (
                f"moved by {line.distance:.3g}"
                if line.distance
                else "chosen, not moved"
                if line.steered
                else "not moved"
            )
            shade = line.distance / farthest if farthest else 0.0
            token = Token(line.token, f"position {line.position}: {how}", shade, line.generated)
            rows.setdefault(line.prompt, []).append(token)
        return tokens_html([(f"{prompt}:", tokens) for prompt, tokens in rows.items()], _LEGEND.format(farthest))

    def _repr_html_(self) -> str:
        return self.to_html()

    def __repr__(self) -> str:
        mask = self.mask
        return f"SteeredTokens({int(mask.sum())} of {mask.size} tokens chosen, in {len(mask)} rows)"


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.cpu().numpy()


def _nothing(dtype: Any) -> np.ndarray:
    return np.zeros((0, 0), dtype=dtype)


def logit_table(tokenizer: Any, before: Tensor, after: Tensor, top_k: int, by: str) -> pd.DataFrame:
    """The tokens whose logits, before (V,) and after (V,), change most: see `Steering.logit_diff`."""
    change = after - before
    top_k = min(top_k, len(change))
    if by == "absolute":
        ids = change.abs().topk(top_k).indices
    else:
        n_falling = min(top_k, len(change) - top_k)  # no token twice, where they are nearly all
        ids = torch.cat([change.topk(top_k).indices, change.topk(n_falling, largest=False).indices.flip(0)])
    columns = {"before": before[ids], "after": after[ids], "change": change[ids]}
    table = {"token": token_strings(tokenizer, ids.cpu()), "token_id": ids.cpu().numpy()}
    numbers = {name: column.cpu().numpy() for name, column in columns.items()}
    return import_optional("pandas", "logit_diff").DataFrame({**table, **numbers})


def stacked(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Tables of several prompts as one, with a column prompt before the others."""
    whole = import_optional("pandas", "logit_diff").concat(tables, keys=range(len(tables)), names=["prompt", None])
    return whole.reset_index(level="prompt").reset_index(drop=True)
