"""Moves to sets of regions of a mixture and what bounds them, as pure functions of torch tensors.

    direction   x + a d                                 d = sum_k v_k (mu_k + W_k z_k) - sum_k pi_k mu_k
    gate        only rows for which sum_k c_k p(k | x) lies within bounds, over memberships c_k in [0, 1]
    norm        y |x| / |y|

Shapes: n rows, K regions (components), D features, q factors. Posteriors are taken in double precision, rows stay in
theirs, and a move of strength 0 returns its input, the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._base.checks import check_component
from .._base.devices import to_tensor
from ..mixture._model.density import Density
from ..mixture._model.params import MFAParams
from ._operators import as_density, responsibilities
from ._parameters import FittedParameters, read_params

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def region_direction(
    mfa: FittedParameters | MFAParams,
    weights: Mapping[int, float] | ArrayLike | Tensor,
    scores: ArrayLike | Tensor | None = None,
) -> Tensor:
    """The step from the mean of the mixture to a weighted set of its regions, ::

        d = sum_k v_k (mu_k + W_k z_k) - sum_k pi_k mu_k

    A row that is moved by ``alpha d`` stays all that it was otherwise. With the weights of `concept_regions` it is a
    difference of means in which a region counts by how much it sets the concept apart, not by how many rows it has:
    rows that say nothing of the concept, which are most of the rows of a text, are left out.

    Parameters
    ----------
    mfa : MFA, or another object with `weights_`, `means_`, `loadings_` and `noise_variance_`
    weights : dict of region to weight, or (K,) numbers
        What v is, on any scale: here they are made to sum to 1.
    scores : (K, q) numbers, optional
        Where in each region, as of `concept_scores`; in the middle by default. With ``v_k = p(region k | concept)``
        and these the step is a difference of means, but for what the factors leave out.

    Returns
    -------
    Tensor (D,)
        In double precision.

    Raises
    ------
    ValueError, TypeError
        If there is no such region, a weight is negative or no number, none is positive, or `scores` are not K x q
        finite numbers.

    See Also
    --------
    add_direction : Adds it to rows.

    Examples
    --------
    >>> from mfa_sklearn import MFA
    >>> from mfa_sklearn.steering import region_direction
    >>> mfa = MFA.from_params([0.5, 0.3, 0.2], [[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]], [[[1.0], [0.0]]] * 3, [1.0, 1.0])
    >>> region_direction(mfa, {1: 3, 2: 1})
    tensor([4.5000, 0.5000], dtype=torch.float64)
    """
    params = read_params(mfa)
    share = read_weights(weights, len(params.means)).to(params.means)
    ends = params.means
    if scores is not None:
        ends = ends + region_steps(params.loadings, read_region_scores(scores, params.loadings))
    return ((share / share.sum()) @ ends - params.log_weights.exp().to(ends) @ params.means).double()


def read_weights(weights: Mapping[int, float] | ArrayLike | Tensor, n_components: int, name: str = "weights") -> Tensor:
    """Weights (K,) of regions, in double precision, from a dict of some of them or from all.

    Raises
    ------
    ValueError, TypeError
        If there is no such region, a weight is negative or no number, or none is positive.
    """
    if isinstance(weights, Mapping):
        if not weights:
            raise ValueError(f"{name}={weights!r} is empty: give at least one region with its weight")
        full = np.zeros(n_components)
        for component, weight in weights.items():
            full[check_component(component, n_components)] = _weight(name, component, weight)
    else:
        full = np.asarray(weights.detach().cpu() if isinstance(weights, Tensor) else weights)
        if full.shape != (n_components,) or full.dtype.kind not in "fiub":
            raise ValueError(
                f"{name} of shape {full.shape} and {full.dtype}: give a number for each of the {n_components} regions, "
                "or a dict of region to number"
            )
    if not (np.isfinite(full).all() and (full >= 0).all() and full.any()):
        raise ValueError(f"{name}={weights!r} must be finite, not negative, and not all 0")
    return to_tensor(full, dtype=torch.float64)


def _weight(name: str, component: int, weight: Any) -> float:
    try:
        return float(weight)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}[{component}]={weight!r} must be a number") from error


def region_steps(loadings: Tensor, scores: Tensor) -> Tensor:
    """The steps ``W_k z_k`` (K, D) of loadings (K, D, q) and scores (K, q)."""
    return (loadings @ scores.to(loadings)[..., None])[..., 0]


def read_region_scores(scores: ArrayLike | Tensor, loadings: Tensor) -> Tensor:
    """Factor scores (K, q) beside loadings (K, D, q).

    Raises
    ------
    ValueError, TypeError
        If they are not of that shape, or not finite numbers.
    """
    n_components, _, n_factors = loadings.shape
    if isinstance(scores, Mapping):
        raise TypeError(
            f"z={scores!r} names factors of one component, and these are steps in {n_components} regions: give an "
            f"array ({n_components}, {n_factors}) of factor scores, as of concept_scores"
        )
    array = np.asarray(scores.detach().cpu() if isinstance(scores, Tensor) else scores)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"z={scores!r} must hold numbers: {n_components} regions of {n_factors} factor scores")
    if array.shape != (n_components, n_factors):
        raise ValueError(
            f"z has shape {array.shape}; for a set it has a row for each of the {n_components} regions, of "
            f"{n_factors} factor scores"
        )
    if not np.isfinite(array).all():
        raise ValueError("z holds NaN or infinity")
    return to_tensor(array, dtype=torch.float64)


class Gate(NamedTuple):
    """Which rows are to be moved: those with a summed responsibility in bounds.

    A row is moved where ``at_least <= sum_k c_k p(k | x) < below``; a bound that is None is none.

    Parameters
    ----------
    components : int, sequence of int, or dict of int to float
        Regions that count in full, or with memberships c in [0, 1]: with those that ``concept_regions(...,
        weights="purity")`` gives the sum is the probability of the concept.
    at_least, below : float in [0, 1], optional
        One of the two at least.

    Examples
    --------
    All rows but those that are of region 2 already:

    >>> from mfa_sklearn.steering import Gate
    >>> Gate(2, below=0.5)
    Gate(components=2, at_least=None, below=0.5)
    """

    components: int | Sequence[int] | Mapping[int, float]
    at_least: float | None = None
    below: float | None = None


class OpenGate(NamedTuple):
    """A gate that was checked."""

    memberships: Tensor  # (K,)
    at_least: float | None
    below: float | None

    def opens(self, density: Density, x: Tensor) -> Tensor:
        """Which rows (n, D) are moved, (n,) bool."""
        posterior = responsibilities(density, x)
        share = (posterior @ self.memberships.to(posterior)).to(x.device)
        is_open = torch.ones_like(share, dtype=torch.bool)
        if self.at_least is not None:
            is_open &= share >= self.at_least
        if self.below is not None:
            is_open &= share < self.below
        return is_open


def check_gate(gate: Gate, n_components: int) -> OpenGate:
    """What a gate says, checked.

    Raises
    ------
    TypeError
        If it is no gate, or a bound or component is no number.
    ValueError
        If a component does not exist, or memberships or bounds are none, out of range or leave nothing between them.
    """
    if not isinstance(gate, Gate):
        raise TypeError(f"gate={gate!r} must be a Gate: Gate([3, 5], at_least=0.5)")
    bounds = {name: value for name, value in (("at_least", gate.at_least), ("below", gate.below)) if value is not None}
    for name, value in bounds.items():
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise TypeError(f"gate's {name}={value!r} must be a probability")
        if not 0 <= value <= 1:
            raise ValueError(f"gate's {name}={value} must lie in [0, 1]")
    given = gate.components
    if not isinstance(given, Mapping):
        given = dict.fromkeys(np.atleast_1d(np.asarray(given, dtype=object)).tolist(), 1.0)
    if not given or not bounds:
        raise ValueError(f"{gate} moves every row: give components and at_least=, below= or both")
    if len(bounds) == 2 and bounds["at_least"] >= bounds["below"]:
        raise ValueError(f"{gate} moves no row: at_least must be less than below")
    memberships = read_weights(given, n_components, "gate's components")
    if bool((memberships > 1).any()):
        raise ValueError(f"gate's memberships must lie in [0, 1], got {float(memberships.max()):g}")
    return OpenGate(memberships, gate.at_least, gate.below)


def opens(mfa: FittedParameters | MFAParams | Density, x: Tensor, gate: Gate) -> Tensor:
    """Which rows (n, D) a gate lets move, (n,) bool.

    Examples
    --------
    >>> import torch
    >>> from mfa_sklearn import MFA
    >>> from mfa_sklearn.steering import Gate, opens
    >>> mfa = MFA.from_params([0.5, 0.5], [[0.0, 0.0], [9.0, 0.0]], [[[1.0], [0.0]]] * 2, [1.0, 1.0])
    >>> opens(mfa, torch.tensor([[1.0, 2.0], [8.0, 2.0]]), Gate(1, below=0.5))
    tensor([ True, False])
    """
    density = as_density(mfa, x.device)
    return check_gate(gate, len(density.params.means)).opens(density, x)


def keep_norm(moved: Tensor, x: Tensor) -> Tensor:
    """Rows ``moved |x| / |moved|``: where they point, as long as the rows `x` (..., D) were.

    Rows that were not moved stay, the same bits, and so do rows moved to the origin, which point nowhere.

    Examples
    --------
    >>> import torch
    >>> from mfa_sklearn.steering import keep_norm
    >>> keep_norm(torch.tensor([[6.0, 8.0]]), torch.tensor([[0.0, 1.0]]))
    tensor([[0.6000, 0.8000]])
    """
    wide = torch.float64 if x.device.type != "mps" else torch.float32
    norm, moved_norm = x.to(wide).norm(dim=-1, keepdim=True), moved.to(wide).norm(dim=-1, keepdim=True)
    ratio = torch.where(moved_norm > 0, norm / moved_norm.clamp_min(torch.finfo(wide).tiny), 1.0)
    return torch.where(ratio == 1, moved, (moved * ratio).to(x))
