"""Which components overlap, in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..._base.checks import check_count, import_optional
from .._inputs import check_mixture, selected_components
from .gaussians import bhattacharyya_parts, gaussians

if TYPE_CHECKING:
    import pandas as pd

    from ...mixture import MFA


def neighbors(mfa: MFA, n_neighbors: int = 5, *, components: int | Sequence[int] | None = None) -> pd.DataFrame:
    """The components that each component overlaps most.

    Parameters
    ----------
    mfa : fitted MFA
    n_neighbors : int, default=5
        Most neighbors per component.
    components : int or array-like of int, optional
        Which components to list; by default all.

    Returns
    -------
    DataFrame
        Sorted by component and rank, with the columns

        * component, rank (from 1), neighbor;
        * distance: Bhattacharyya distance between the two Gaussians, in nats, at least 0;
        * overlap: ``exp(-distance)``, the integral of ``sqrt(p q)``, from 0 (disjoint) to 1 (equal).

    Notes
    -----
    With ``S = (S_1 + S_2) / 2``, the mean of the covariances, and ``d = mu_2 - mu_1``, ::

        distance = d^T S^-1 d / 8 + log(det S / sqrt(det S_1 det S_2)) / 2

    (Kailath, IEEE Trans. Communication Technology 15, 1967). The weights play no part. In hundreds of dimensions
    overlaps are tiny numbers; distances still rank them.

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn import MFA
    >>> from mfa_sklearn.interpret import neighbors
    >>> centers = np.array([[0.0, 0], [3, 0], [90, 0]])
    >>> X = np.random.default_rng(0).normal(centers, 1, size=(500, 3, 2)).reshape(-1, 2)
    >>> neighbors(MFA(3, 1, init=centers, max_iter=0).fit(X), 1)[["component", "neighbor"]].to_numpy().tolist()
    [[0, 1], [1, 0], [2, 1]]
    """
    pd = import_optional("pandas", "neighbors")
    chosen = selected_components(components, check_mixture(mfa))
    count = check_count("n_neighbors", n_neighbors)
    every = gaussians(mfa)
    # Distances are symmetric: where all are asked for, half of them are enough.
    whole = len(chosen) == len(every.means)
    distance = np.add(*(bhattacharyya_parts(every) if whole else bhattacharyya_parts(every.select(chosen), every)))
    distance[np.arange(len(chosen)), chosen] = np.inf
    order = np.argsort(distance, axis=1, kind="stable")[:, : min(count, len(every.means) - 1)]
    place, rank = np.indices(order.shape).reshape(2, -1)
    found = distance[place, order.ravel()]
    columns = {"component": chosen[place], "rank": rank + 1, "neighbor": order.ravel(), "distance": found}
    return pd.DataFrame({**columns, "overlap": np.exp(-found)})
