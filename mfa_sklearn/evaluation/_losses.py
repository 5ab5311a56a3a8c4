"""Losses of a language model per text, and what is recovered of what an ablation costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .._base.checks import check_choice, import_optional

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

ORIGINAL = "original"
ABLATIONS = ("zero", "mean")
MEASURES = ("cross_entropy", "kl", *(f"recovered_{ablation}" for ablation in ABLATIONS))


@dataclass(frozen=True)
class ReconstructionLoss:
    """What `reconstruction_loss` measured, text by text.

    Attributes
    ----------
    names : tuple of str
        "original", "zero", "mean" and the candidates.
    n_tokens : ndarray of int of shape (n_texts,)
        Tokens that were predicted.
    n_replaced : ndarray of int of shape (n_texts,)
        Rows that were replaced.
    cross_entropy : ndarray of shape (n_names, n_texts)
        Sums over a text's predicted tokens, in nats.
    kl : ndarray of shape (n_names, n_texts)
        Sums over the same tokens, in nats.
    hook_name : str
        Where rows were replaced.
    """

    names: tuple[str, ...]
    n_tokens: np.ndarray
    n_replaced: np.ndarray
    cross_entropy: np.ndarray
    kl: np.ndarray
    hook_name: str

    def measure(self, name: str, measure: str, sample_weight: ArrayLike | None = None) -> float:
        """One number of a candidate, over all texts.

        Parameters
        ----------
        name : str
            One of `names`.
        measure : {"cross_entropy", "kl", "recovered_zero", "recovered_mean"}
            Nats per token, or a share: ``(CE_ablated - CE_name) / (CE_ablated - CE_original)``.
        sample_weight : array-like of shape (n_texts,), optional
            How often each text counts, as a bootstrap draws them; every text once by default.

        Returns
        -------
        float
            NaN of a share where the ablation does not raise the cross-entropy: then there is nothing to recover.

        Raises
        ------
        ValueError
            For an unknown name or measure, or weights that are not one per text, negative, or zero for every token.
        """
        check_choice("name", name, self.names)
        check_choice("measure", measure, MEASURES)
        weights = self._weights(sample_weight)
        if measure == "kl":
            return float(self.kl[self.names.index(name)] @ weights)
        own = self._mean_loss(name, weights)
        if measure == "cross_entropy":
            return own
        ablated = self._mean_loss(measure.removeprefix("recovered_"), weights)
        cost = ablated - self._mean_loss(ORIGINAL, weights)
        return (ablated - own) / cost if cost > 0 else float("nan")

    def summary(self, sample_weight: ArrayLike | None = None) -> pd.DataFrame:
        """A line per name, with every measure.

        Parameters
        ----------
        sample_weight : array-like of shape (n_texts,), optional
            As of `measure`.

        Returns
        -------
        pandas.DataFrame
            Columns: candidate, cross_entropy, kl, recovered_zero, recovered_mean.
        """
        pandas = import_optional("pandas", "ReconstructionLoss.summary")
        lines = [
            {"candidate": name} | {measure: self.measure(name, measure, sample_weight) for measure in MEASURES}
            for name in self.names
        ]
        return pandas.DataFrame(lines)

    def to_frame(self) -> pd.DataFrame:
        """A line per name and text, with sums over the text's tokens.

        Returns
        -------
        pandas.DataFrame
            Columns: candidate, text (its number), n_tokens, n_replaced, cross_entropy, kl.
        """
        pandas = import_optional("pandas", "ReconstructionLoss.to_frame")
        n_names, n_texts = self.cross_entropy.shape
        return pandas.DataFrame(
            {
                "candidate": np.repeat(np.array(self.names, dtype=object), n_texts),
                "text": np.tile(np.arange(n_texts), n_names),
                "n_tokens": np.tile(self.n_tokens, n_names),
                "n_replaced": np.tile(self.n_replaced, n_names),
                "cross_entropy": self.cross_entropy.ravel(),
                "kl": self.kl.ravel(),
            }
        )

    def _mean_loss(self, name: str, weights: np.ndarray) -> float:
        return float(self.cross_entropy[self.names.index(name)] @ weights)

    def _weights(self, sample_weight: ArrayLike | None) -> np.ndarray:
        """What a text's sums are multiplied by, so that they add up to nats per token."""
        n_texts = len(self.n_tokens)
        weights = np.ones(n_texts) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        if weights.shape != (n_texts,):
            raise ValueError(f"sample_weight has shape {weights.shape} for {n_texts} texts: give one weight per text")
        total = float(weights @ self.n_tokens)
        if (weights < 0).any() or not total > 0:
            raise ValueError(f"sample_weight must not be negative, nor zero for all tokens: {total:g} tokens count")
        return weights / total
