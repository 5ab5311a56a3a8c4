"""Beginnings that suggest no topic, and how they are split into two halves alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

#: Beginnings that suggest no topic, every second one ending where a noun must follow.
NEUTRAL_PROMPTS = (
    "I think that",
    "We know that the",
    "They say that",
    "It was clear that the",
    "My friend told me that",
    "The people said that a",
    "In the end",
    "Of course the",
    "She remembered that",
    "He talked about the",
    "Everybody knows that",
    "My sister wanted the",
    "It seems that",
    "They were waiting for the",
    "I am sure that",
    "Some people say that the",
    "As usual",
    "Her brother saw a",
    "You can see that",
    "The children looked at the",
    "It is true that",
    "My mother found the",
    "They told us that",
    "This was the",
    "Nobody thought that",
    "He could not find the",
    "At first",
    "Nobody saw the",
    "You should know that",
    "There was a",
    "After that",
    "They wanted a",
    "My father said that",
    "We talked about the",
    "After a while",
    "I looked at the",
    "The others said that",
    "I remember the",
    "Last week",
    "His friend wanted a",
)

HALVES = ("choose", "judge")


def balanced_halves(values: ArrayLike) -> np.ndarray:
    """Split prompts into two halves that are alike in one figure, to choose settings on one and judge on the other.

    Prompts are sorted by the figure and dealt out in the order A B B A. For prompts the figure that matters is how
    probable it is that a content word comes next, to the model as it is: the ones that end in "the" have to go to both
    halves in equal number. `evaluate_steering` measures it and splits by it.

    Parameters
    ----------
    values : array-like of shape (n,)

    Returns
    -------
    ndarray of str of shape (n,)
        "choose" or "judge"; of an odd number of prompts one half has one more.

    Raises
    ------
    ValueError
        If the values are not one finite number per prompt.

    Examples
    --------
    >>> from mfa_sklearn.steering import balanced_halves
    >>> balanced_halves([0.9, 0.1, 0.8, 0.2]).tolist()
    ['judge', 'judge', 'choose', 'choose']
    """
    figures = np.asarray(values, dtype=np.float64)
    if figures.ndim != 1 or not np.isfinite(figures).all():
        raise ValueError(f"values must hold one finite number per prompt, got shape {figures.shape}: {values!r}")
    dealt = np.array([1, 0, 0, 1])[np.arange(len(figures)) % 4]
    halves = np.empty(len(figures), dtype="<U6")
    halves[np.argsort(figures, kind="stable")] = np.array(HALVES)[dealt]
    return halves
