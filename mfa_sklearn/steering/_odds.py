"""How probable a concept is at a row, and the smallest move that makes it as probable as asked for.

A concept has a membership ``c_k`` in [0, 1] for each region: 1 for a set of regions and 0 for the others, or the share
of a region's rows that are of the concept, ``p(concept | region k)``. Its posterior log odds at x are

    o(x) = log sum_k c_k w_k N(x; k) - log sum_k (1 - c_k) w_k N(x; k)

and a row x goes to the y that solves

    minimize  (y - x)^T C_r^-1 (y - x)    subject to    o(y) >= log(p / (1 - p))

where ``C_r = Psi_r + W_r W_r^T`` is the covariance of the row's own region r, the one most responsible for it: what
that region varies in costs little. This is the projection onto a level set of the posterior, which structural
reliability knows as the design point (Hasofer & Lind, J. Eng. Mech. Div. ASCE 100, 1974; Rackwitz & Fiessler,
Computers & Structures 9, 1978). For two regions of one covariance C the level sets are planes, and the move is a step
of the right length along the difference of their means. `_odds_solver` has the general case.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from ..mixture._model.density import Density, log_joint
from ..mixture._model.params import MFAParams
from ._odds_solver import Table, log_odds, solve
from ._operators import as_density
from ._parameters import FittedParameters
from ._regions import read_weights

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class Reached(NamedTuple):
    """Rows moved, and which of them are where they were to go."""

    moved: Tensor  # (n, D)
    reached: Tensor  # (n,) bool


def posterior_log_odds(
    mfa: FittedParameters | MFAParams | Density, x: Tensor, memberships: Mapping[int, float] | ArrayLike | Tensor
) -> Tensor:
    """Log odds that a row is of a concept: ``log sum_k c_k w_k N(x; k) - log sum_k (1 - c_k) w_k N(x; k)``.

    Parameters
    ----------
    mfa : MFA, or another object with `weights_`, `means_`, `loadings_` and `noise_variance_`
    x : Tensor (n, D)
    memberships : dict of region to number in [0, 1], or (K,) numbers
        ``c_k = p(concept | region k)``; regions that are not in the dict have 0. A set of regions has 1 for each.

    Returns
    -------
    Tensor (n,)
        In nats and double precision. Its logistic function is ``p(concept | x) = sum_k c_k p(k | x)``.

    Raises
    ------
    ValueError, TypeError
        If there is no such region, or a membership is not in [0, 1].

    Examples
    --------
    >>> import torch
    >>> from mfa_sklearn import MFA
    >>> from mfa_sklearn.steering import posterior_log_odds
    >>> mfa = MFA.from_params([0.5, 0.5], [[0.0, 0.0], [4.0, 0.0]], [[[1.0], [0.0]]] * 2, [1.0, 1.0])
    >>> posterior_log_odds(mfa, torch.tensor([[2.0, 0.0], [3.0, 0.0]]), {1: 1.0})
    tensor([0., 2.], dtype=torch.float64)
    """
    density = as_density(mfa, x.device)
    table = _table(read_memberships(memberships, len(density.params.means)), density)
    return log_odds(log_joint(density, x.detach().to(density.constant)), table)


def reach_posterior(
    mfa: FittedParameters | MFAParams | Density,
    x: Tensor,
    memberships: Mapping[int, float] | ArrayLike | Tensor,
    probability: float,
) -> Reached:
    """The smallest move of each row that makes a concept as probable as asked for.

    Smallest as the covariance ``C_r = Psi_r + W_r W_r^T`` of the row's own region measures it: ::

        minimize  (y - x)^T C_r^-1 (y - x)    subject to    sum_k c_k p(k | y) >= p

    Rows for which the concept is that probable already stay, the same bits. So strength is a probability, and a row
    goes as far as it has to; the module's notes have the method and its sources.

    Parameters
    ----------
    mfa, x, memberships
        As of `posterior_log_odds`.
    probability : float in (0, 1), or 0 for no move
        Below the largest membership: no row can be made more probable than a region that is wholly of it.

    Returns
    -------
    moved : Tensor (n, D)
        In the precision of `x`, whose rounding adds to the tolerance. Gradients of `x` go through as if all rows were
        moved by constants.
    reached : Tensor (n,) of bool
        Whether the log odds of the row, in double precision, are those asked for, to 1e-6. The others have moved to
        where the concept was most probable of what was tried, at most ten times as far as the mean it is most probable
        at, and stay where it is nowhere more probable. All reach it if some mean of a region does.

    Raises
    ------
    ValueError, TypeError
        If a probability or membership is out of range, or no row can reach it.

    Notes
    -----
    The solution is a local one: with regions that overlap and are shaped differently there are several. It takes at
    most 50 steps from each of two starts, each of an evaluation of all regions with its gradient and one to twelve
    without. Rows are solved side by side, and those that are done are left out.

    Examples
    --------
    Two regions of one covariance, C = diag(2, 1), and means 4 apart along the first column: the log odds are
    ``2 x_1 - 4``, and the odds nine to one where they are log 9.

    >>> import torch
    >>> from mfa_sklearn import MFA
    >>> from mfa_sklearn.steering import reach_posterior
    >>> mfa = MFA.from_params([0.5, 0.5], [[0.0, 0.0], [4.0, 0.0]], [[[1.0], [0.0]]] * 2, [1.0, 1.0])
    >>> moved, reached = reach_posterior(mfa, torch.tensor([[0.0, 5.0], [3.5, 5.0]]), {1: 1.0}, 0.9)
    >>> moved, reached
    (tensor([[3.0986, 5.0000],
            [3.5000, 5.0000]]), tensor([True, True]))
    """
    density = as_density(mfa, x.device)
    c = read_memberships(memberships, len(density.params.means))
    level = read_probability(probability, c)
    if level is None:
        return Reached(x, torch.ones(len(x), dtype=torch.bool, device=x.device))
    table, rows = _table(c, density), x.detach().to(density.constant)
    joint = log_joint(density, rows)
    excess = log_odds(joint, table) - level
    short = (excess < 0).nonzero()[:, 0]
    step, reached = torch.zeros_like(rows), excess >= 0
    if len(short):
        step[short], reached[short] = solve(density, table, level, rows[short], joint[short])
    is_moved = torch.zeros_like(reached).index_fill(0, short, True).to(x.device)
    return Reached(torch.where(is_moved[:, None], (x + step.to(x.device)).to(x), x), reached.to(x.device))


def read_memberships(memberships: Mapping[int, float] | ArrayLike | Tensor, n_components: int) -> Tensor:
    """Memberships (K,) of regions in a concept.

    Raises
    ------
    ValueError, TypeError
        If there is no such region, or a membership is not in [0, 1], or all are 0.
    """
    c = read_weights(memberships, n_components, "memberships")
    if not bool((c <= 1).all()):
        raise ValueError(
            f"memberships={memberships!r} must lie in [0, 1]: the share of each region's rows that are of the concept, "
            "1 for regions that are wholly of it"
        )
    return c


def read_probability(probability: Any, memberships: Tensor, name: str = "probability") -> float | None:
    """The log odds to reach; None for a probability of 0, which every row has.

    Raises
    ------
    TypeError
        If it is no number.
    ValueError
        If it is none that rows can reach, given the memberships (K,).
    """
    if isinstance(probability, bool) or not isinstance(probability, Real):
        raise TypeError(f"{name}={probability!r} must be a number from 0 to 1")
    p, most = float(probability), float(memberships.max())
    if not 0 <= p < 1:
        raise ValueError(f"{name}={p:g} must lie in [0, 1): 0.9 is a usual one, 0 moves nothing")
    if p >= most:
        raise ValueError(
            f"{name}={p:g} is out of reach: the region that is most of the concept has a membership of {most:g}. "
            "Give a smaller one, or memberships of 1 for a set of regions"
        )
    return math.log(p / (1 - p)) if p else None


def _table(memberships: Tensor, density: Density) -> Table:
    c = memberships.to(density.constant)
    return Table(c.log(), (-c).log1p())
