"""Which axes of a component's subspace a picture is drawn along, and what they are called."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

NOUNS = {"factors": "factor", "principal": "axis"}


def chosen_axes(
    factors: int | Sequence[int] | None, directions: np.ndarray, n_default: int, n_most: int | None = None
) -> list[int]:
    """The axes to draw, of those with the directions (D, q); a direction of zeros belongs to none.

    Parameters
    ----------
    factors : int or sequence of int, optional
        Their numbers; by default the first `n_default` that there are.
    directions : ndarray of shape (D, q)
    n_default : int
    n_most : int, optional
        How many a picture can show.

    Examples
    --------
    >>> import numpy as np
    >>> chosen_axes(None, np.array([[1.0, 0, 2], [0, 0, 1]]), 2), chosen_axes(2, np.ones((2, 3)), 2)
    ([0, 2], [2])
    """
    lengths, n_factors = np.linalg.norm(directions, axis=0), directions.shape[1]
    own = np.flatnonzero(lengths > 1e-12 * lengths.max(initial=0)).tolist()
    if not own:
        raise ValueError(
            "this component has no factors (n_factors=0), so there is no subspace to draw: fit a mixture with "
            "n_factors=1 or more"
        )
    if factors is None:
        return own[:n_default]
    numbers = list(factors) if isinstance(factors, Iterable) and not isinstance(factors, str) else [factors]
    if not all(isinstance(j, int | np.integer) and not isinstance(j, bool) for j in numbers):
        raise TypeError(f"factors={factors!r} must be whole numbers, such as 0 or [0, 1]")
    if not numbers or len(set(numbers)) != len(numbers) or len(numbers) > (n_most or n_factors):
        most = "" if n_most is None else f" at most {n_most}"
        raise ValueError(f"factors={factors!r} must name{most} different axes, at least one")
    for j in numbers:
        if not 0 <= j < n_factors:
            known = f"there are factors 0 to {n_factors - 1}" if n_factors > 1 else "there is factor 0 alone"
            raise ValueError(f"factors={factors!r}: factor {j} is out of range; {known}")
    return [int(j) for j in numbers]
