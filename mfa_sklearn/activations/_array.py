"""The array of activations, whose rows know the token they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._base.annotated import AnnotatedArray
from .._base.checks import import_optional
from .._base.frames import carry
from ._activations_html import activations_html

if TYPE_CHECKING:
    import pandas as pd


class ActivationArray(AnnotatedArray):
    """Activations of shape (n, d) with, per row, the token, its text, its position and its label.

    Selecting rows selects those too; arithmetic, reductions and selections of columns give a plain ndarray.

    Parameters
    ----------
    data : array-like of shape (n, d)
        One row per token, or per text where tokens were pooled.
    rows : dict of str to array-like of length n
        Any of "token_ids", "tokens", "text_index", "positions", "labels", "starts", "ends" and "roles", and others.
    shared : dict of str to object
        "texts" and "source", and others.

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn.activations import ActivationArray
    >>> X = ActivationArray(
    ...     np.eye(3),
    ...     rows={"tokens": ["The", " cat", " sat"], "text_index": [0, 0, 0], "labels": ["pets"] * 3},
    ...     shared={"texts": ("The cat sat",)},
    ... )
    >>> X[1:].tokens.tolist(), X[1:].labels.tolist(), X.texts
    ([' cat', ' sat'], ['pets', 'pets'], ('The cat sat',))
    >>> X[X.tokens == " cat"].shape
    (1, 3)
    >>> X.positions is None
    True
    >>> X
    ActivationArray of 3 rows x 3 (float64)
      tokens: 'The', ' cat', ' sat'
      labels: 'pets', 'pets', 'pets'
      with text_index
      [[1. 0. 0.]
       [0. 1. 0.]
       [0. 0. 1.]]
    """

    @property
    def token_ids(self) -> np.ndarray | None:
        """Token id per row (int64), in the model's vocabulary."""
        return self.rows.get("token_ids")

    @property
    def tokens(self) -> np.ndarray | None:
        """Token per row, as the tokenizer decodes it by itself (``" cat"``)."""
        return self.rows.get("tokens")

    @property
    def text_index(self) -> np.ndarray | None:
        """Index in `texts` per row (int64)."""
        return self.rows.get("text_index")

    @property
    def positions(self) -> np.ndarray | None:
        """Position per row (int64) in the sequence the model read, which counts special tokens."""
        return self.rows.get("positions")

    @property
    def labels(self) -> np.ndarray | None:
        """Label of the row's text, or None if none were given."""
        return self.rows.get("labels")

    @property
    def starts(self) -> np.ndarray | None:
        """Where the row's token starts in its text, in characters (int64)."""
        return self.rows.get("starts")

    @property
    def ends(self) -> np.ndarray | None:
        """Where the row's token ends in its text, in characters (int64), itself excluded."""
        return self.rows.get("ends")

    @property
    def roles(self) -> np.ndarray | None:
        """Who says the row's token, where texts are chats; "" for what the chat template puts in."""
        return self.rows.get("roles")

    @property
    def texts(self) -> Sequence[str] | None:
        """The texts, indexed by `text_index`."""
        return self.shared.get("texts")

    @property
    def source(self) -> dict[str, Any] | None:
        """Where the activations come from: model, revision, layer, site, hooks, processing, pooling, dtype, d_model."""
        return self.shared.get("source")

    def __repr__(self) -> str:
        """What the rows are of, above the numbers."""
        if not (self.rows or self.shared):
            return super().__repr__()
        numbers = np.array2string(np.asarray(self), precision=4, threshold=1, edgeitems=2, prefix="  ")
        rows = f"{len(self):,} row{'s' * (len(self) != 1)}"
        lines = [f"ActivationArray of {rows} x {self.shape[1]:,} ({self.dtype})"]
        source = self.source or {}
        place = {name: source[name] for name in ("layer", "site", "pooling", "model") if source.get(name) is not None}
        lines += [", ".join(f"{name}={value!r}" for name, value in place.items())] if place else []
        lines += [f"{name}: {_few(self.rows[name])}" for name in ("tokens", "labels") if len(self.rows.get(name, ()))]
        others = [name for name in self.rows if name not in ("tokens", "labels")]
        lines += [f"with {', '.join(others)}"] if others else []
        return "\n  ".join([*lines, numbers])

    def _repr_html_(self) -> str | None:
        """What a notebook shows; None, so that it takes the text, where nothing is known of the rows."""
        if not (self.rows or self.shared) or self.ndim != 2:
            return None
        return activations_html((len(self), self.shape[1]), self.dtype, self.rows, self.shared)

    def to_frame(self) -> pd.DataFrame:
        """The activations as a pandas DataFrame with the row facts as its index.

        Returns
        -------
        pandas.DataFrame of shape (n, d)
            With a MultiIndex of the levels text_index, position, token, token_id, label, start, end (those there are,
            then any others); an Index if there is one fact, a RangeIndex if there is none. A mixture fitted on this
            very frame knows its `source`; what is made of the frame has none.

        Raises
        ------
        ImportError
            If pandas is missing.

        Examples
        --------
        >>> import numpy as np
        >>> from mfa_sklearn.activations import ActivationArray
        >>> X = ActivationArray(np.eye(2), rows={"tokens": ["a", "b"], "labels": ["x", "y"]})
        >>> X.to_frame().loc[("b", "y")].tolist()
        [0.0, 1.0]
        """
        pd = import_optional("pandas", "to_frame")
        order = [*(name for name in _LEVELS if name in self.rows), *(n for n in self.rows if n not in _LEVELS)]
        levels = [pd.Index(self.rows[name], name=_LEVELS.get(name, name)) for name in order]
        index = pd.MultiIndex.from_arrays(levels) if len(levels) > 1 else (levels[0] if levels else None)
        frame = pd.DataFrame(np.asarray(self), index=index)
        carry(frame, self.shared)
        return frame


_LEVELS = {
    "text_index": "text_index",
    "positions": "position",
    "tokens": "token",
    "token_ids": "token_id",
    "labels": "label",
    "starts": "start",
    "ends": "end",
    "roles": "role",
}
# Entries of a fact that are shown.
_SHOWN = 6


def _few(fact: np.ndarray) -> str:
    """The first entries of a row fact, shortened."""
    entries = [repr(value) for value in fact[:_SHOWN].tolist()]
    shown = [entry if len(entry) <= 20 else f"{entry[:18]}…'" for entry in entries]
    return ", ".join(shown) + (", …" if len(fact) > _SHOWN else "")
