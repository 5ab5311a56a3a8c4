"""How far the components of a mixture, or of two, are from each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._base.checks import import_optional, warn_user
from ..._base.origin import differences
from .._inputs import check_mixture, selected_components
from .gaussians import Gaussians, bhattacharyya_parts, gaussians, symmetric_kl

if TYPE_CHECKING:
    import pandas as pd

    from ...mixture import MFA


@dataclass(frozen=True, eq=False)
class ComponentDistances:
    """Distances between components; `component_distances` makes it.

    Attributes
    ----------
    components : ndarray of shape (K,)
        Which component each line is of.
    others : ndarray of shape (L,)
        Which component each column is of.
    mean, covariance : ndarray of shape (K, L)
        The two terms of the Bhattacharyya distance, in nats, at least 0: what the means differ in, measured by the
        average covariance, and what the covariances differ in.
    bhattacharyya : ndarray of shape (K, L)
        Their sum.
    overlap : ndarray of shape (K, L)
        ``exp(-bhattacharyya)``, the integral of ``sqrt(p q)``, from 0 (disjoint) to 1 (equal).
    symmetric_kl : ndarray of shape (K, L)
        ``KL(p || q) + KL(q || p)`` in nats, at least 0; computed when it is first asked for.
    """

    components: np.ndarray
    others: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    _first: Gaussians = field(repr=False)
    _second: Gaussians | None = field(repr=False, default=None)

    @property
    def of_two(self) -> bool:
        """Whether the columns are components of another mixture than the lines."""
        return self._second is not None

    @property
    def bhattacharyya(self) -> np.ndarray:
        return self.mean + self.covariance

    @property
    def overlap(self) -> np.ndarray:
        return np.exp(-self.bhattacharyya)

    @cached_property
    def symmetric_kl(self) -> np.ndarray:
        return symmetric_kl(self._first, self._second)

    def __len__(self) -> int:
        return len(self.components)

    def __repr__(self) -> str:
        what = "of two mixtures" if self.of_two else "of one mixture"
        return f"ComponentDistances({len(self.components)} x {len(self.others)} components {what})"

    def to_frame(self) -> pd.DataFrame:
        """One line per pair, nearest first within a component, each pair of one mixture once.

        Columns: component, other, mean, covariance, bhattacharyya, overlap, symmetric_kl.
        """
        pd = import_optional("pandas", "ComponentDistances.to_frame")
        pairs = tuple(np.indices(self.mean.shape).reshape(2, -1)) if self.of_two else np.triu_indices(len(self), 1)
        names = ("mean", "covariance", "bhattacharyya", "overlap", "symmetric_kl")
        columns = {"component": self.components[pairs[0]], "other": self.others[pairs[1]]}
        table = pd.DataFrame({**columns, **{name: getattr(self, name)[pairs] for name in names}})
        return table.sort_values(["component", "bhattacharyya"], kind="stable", ignore_index=True)


def component_distances(
    mfa: MFA, other: MFA | None = None, *, components: int | Sequence[int] | None = None
) -> ComponentDistances:
    """Distances between all components of a mixture, or between those of two.

    Parameters
    ----------
    mfa : fitted MFA
    other : fitted MFA, optional
        Another mixture of the same features, whose components are the columns; their numbers of components and factors
        may differ.
    components : int or array-like of int, optional
        Which components of `mfa`; by default all. Without another mixture the distances are those among them.

    Returns
    -------
    ComponentDistances

    Raises
    ------
    ValueError
        If the mixtures have not equally many features, or a component is out of range.

    Warns
    -----
    UserWarning
        If the two are known to be fitted on activations of different places, whose coordinates may mean other things.

    See Also
    --------
    neighbors : the nearest components of each, as a table.
    match_components : which component of one mixture is which of another.

    Notes
    -----
    With ``S = (S_1 + S_2) / 2``, ``d = mu_2 - mu_1`` and D features, ::

        mean = d^T S^-1 d / 8
        covariance = log(det S / sqrt(det S_1 det S_2)) / 2
        symmetric_kl = (tr(S_2^-1 S_1) + tr(S_1^-1 S_2) - 2 D + d^T (S_1^-1 + S_2^-1) d) / 2

    (Kailath, IEEE Trans. Communication Technology 15, 1967; Jeffreys, Proc. R. Soc. A 186, 1946). The weights play no
    part. In hundreds of dimensions overlaps are tiny numbers; distances still rank them. Each pair costs of the
    order of ``D q^2``, and nothing of size D x D is formed.

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn import MFA
    >>> from mfa_sklearn.interpret import component_distances
    >>> centers = np.array([[0.0, 0], [4, 0], [90, 0]])
    >>> X = np.random.default_rng(0).normal(centers, 1, size=(500, 3, 2)).reshape(-1, 2)
    >>> distances = component_distances(MFA(3, 1, init=centers, max_iter=0).fit(X))
    >>> distances.overlap.round(1)
    array([[1. , 0.1, 0. ],
           [0.1, 1. , 0. ],
           [0. , 0. , 1. ]])
    """
    chosen, first, second = compared(mfa, other, components)
    others = chosen if second is None else np.arange(len(second.means))
    return ComponentDistances(chosen, others, *bhattacharyya_parts(first, second), _first=first, _second=second)


def compared(mfa: MFA, other: MFA | None, components: Any) -> tuple[np.ndarray, Gaussians, Gaussians | None]:
    """The chosen components of a mixture, and those of another, checked: their numbers, and both as Gaussians."""
    chosen = selected_components(components, check_mixture(mfa))
    first = gaussians(mfa).select(chosen)
    if other is None:
        return chosen, first, None
    check_mixture(other)
    second = gaussians(other)
    if first.means.shape[1] != second.means.shape[1]:
        raise ValueError(
            f"the mixtures have {first.means.shape[1]} and {second.means.shape[1]} features: distances are between "
            "components of one space; match_components compares mixtures by the rows they share"
        )
    found = differences(getattr(mfa, "source_", None), getattr(other, "source_", None))
    if found:
        facts = ", ".join(f"{fact.fact} ({fact.fitted} and {fact.here})" for fact in found)
        warn_user(
            f"the mixtures were fitted on activations that differ in {facts}: their coordinates may mean other things. "
            "match_components compares mixtures by the rows they share."
        )
    return chosen, first, second
