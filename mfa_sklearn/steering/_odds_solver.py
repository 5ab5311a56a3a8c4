"""The shortest moves to given log odds, by sequential quadratic programming. Torch only, double precision.

    minimize  d^T C_r^-1 d / 2    subject to    h(d) = o(x + d) - level >= 0

with o the log odds of `_odds` and r a row's own region; a problem with several local solutions. From a move d the next
lies on the way to the solution of a quadratic problem (Nocedal & Wright, Numerical Optimization, 2006, chapter 18),

    minimize  v^T M v / 2 + v^T C_r^-1 d    subject to    h_j + v^T grad h_j >= 0    for j = 0, ..., m
    M = max(1 - l b_r, 0.1) C_r^-1 + l C_s^-1 + l sum_j b_j (grad j_j - mean) (grad j_j - mean)^T

The constraints are h itself and those that it implies, that each of the m regions most responsible without the concept
be as much less probable than the concept: regions meet in edges, and across them the gradient of h alone leads back and
forth.
M is the Hessian of the Lagrangian where it is positive: l is the sum of the multipliers of the problem before, s the
region most responsible within the concept, ``b_j`` the responsibilities without it, ``grad j_j`` the gradient of a
region's log density. The step v is halved until the exact penalty ``d^T C_r^-1 d / 2 + rho max(0, -h)`` falls, and -h
does not exceed a quarter of what the row was short of. Of the solutions from two starts, the row itself and the nearest
mean that is probable enough, the shorter is taken.

Nothing of size D x D is formed: M is a diagonal and a product of 2 q + m columns. Shapes: n rows, K regions, D
features, q factors.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..mixture._model.density import Density, log_joint, scores_and_log_joint
from ..mixture._model.lowrank import LowRank

#: Log odds that a row may be short of and still counts as there.
TOLERANCE = 1e-6
_MAX_STEPS = 50
_MAX_HALVINGS = 12
_BISECTIONS = 25
# A row is done once a step changes its move by less than this share: its length is then right to the square of that.
_STATIONARY = 1e-5
# Share of the promised fall of the penalty function that a step has to bring (Armijo's condition).
_SUFFICIENT = 1e-4
# Share of what a row is short of that a move on its way may be short of: where memberships are soft the odds are flat
# but for the walls between regions, and a step over one would not find back.
_SLACK = 0.25
# How much longer than the move to a mean a move may be, both squared: far out, odds are made of rounding. D, which the
# squared lengths of a region's rows are on average, is added to that of the former.
_FARTHEST = 100.0
# Regions without the concept whose constraints stand beside that of all.
_OUTSIDE = 3
_SWEEPS = 40
# Least share of C_r^-1 in M, which keeps it positive definite.
_LEAST_OWN = 0.1
# Rows are solved in pieces whose factors take no more than this.
_PIECE_BYTES = 2**27


class Table(NamedTuple):
    """Logarithms of memberships."""

    within: Tensor  # (K,)  log c_k
    without: Tensor  # (K,)  log (1 - c_k)


class _Gradient(NamedTuple):
    """What the m + 1 constraints of each row are like around a move: h itself, and h_k for m regions k."""

    excess: Tensor  # (n, m + 1)
    gradient: Tensor  # (n, D, m + 1)
    share: Tensor  # (n, m + 1)  of the row's own region in each, without the concept
    inner: Tensor  # (n,)  the region most responsible within the concept
    spread: Tensor  # (n, D, m)  whose product with its transpose is the covariance of the gradients outside the concept


class _Problem(NamedTuple):
    """Rows to move, in double precision, and where to."""

    density: Density
    table: Table
    level: float  # log odds to reach
    x: Tensor  # (n, D)
    region: Tensor  # (n,)  the row's own
    own: LowRank  # of n covariances, those of the rows' own regions
    slack: Tensor  # (n,)  log odds that a move on the way may be short of
    limit: Tensor  # (n,)  squared length that no move exceeds

    def take(self, rows: Tensor) -> _Problem:
        """The problem of some of the rows."""
        parts = {name: getattr(self, name)[rows] for name in ("x", "region", "slack", "limit")}
        return self._replace(**parts, own=_take(self.own, rows))

    def excess(self, step: Tensor) -> Tensor:
        """Log odds at ``x + step`` beyond those to reach, (n,)."""
        return log_odds(log_joint(self.density, self.x + step), self.table) - self.level

    def gradient(self, step: Tensor) -> _Gradient:
        """What the constraints are like at ``y = x + step``; ``grad j_k = C_k^-1 (mu_k - y)``."""
        density, y = self.density, self.x + step
        u, joint = scores_and_log_joint(density, y)
        within, without = joint + self.table.within, joint + self.table.without
        a, b = within.softmax(-1), without.softmax(-1)
        total = within.logsumexp(-1) - self.level
        best = without.topk(min(_OUTSIDE, without.shape[1]))
        pulls = torch.stack([self._pulls(u, y, b), *(self._one(y, k) for k in best.indices.unbind(-1))], dim=-1)
        excess = total[:, None] - torch.cat([without.logsumexp(-1, keepdim=True), best.values], dim=-1)
        own = (best.indices == self.region[:, None]).to(b)
        share = torch.cat([b.gather(1, self.region[:, None]), own], dim=-1)
        spread = (pulls[..., 1:] - pulls[..., :1]) * b.gather(1, best.indices).sqrt()[:, None]
        return _Gradient(excess, self._pulls(u, y, a)[..., None] - pulls, share, within.argmax(-1), spread)

    def _pulls(self, u: Tensor, y: Tensor, share: Tensor) -> Tensor:
        """``sum_k share_k C_k^-1 (mu_k - y)``, (n, D), of shares (n, K) that add to one."""
        density = self.density
        shared = density.precision.shape[1] == 1
        precision = density.precision[:, 0] if shared else share @ density.precision.T
        along = (u * share[:, None, :]).reshape(len(y), -1) @ density.basis.T
        return share @ density.cross.T - y * precision + along

    def _one(self, y: Tensor, region: Tensor) -> Tensor:
        """``C_k^-1 (mu_k - y)``, (n, D), of one region (n,) of each row, with ``C^-1 = Psi^-1 - B B^T``."""
        cov = self.density.cov
        noise = cov.noise_variance.expand(len(cov.loadings), -1)[region]
        basis, deviation = cov.basis[region], self.density.params.means[region] - y
        return deviation / noise - ((deviation[:, None] @ basis) @ basis.mT)[:, 0]

    def flat(self, step: Tensor) -> Tensor:
        """Coordinates (n, D + q) whose squares add to ``step^T C_r^-1 step``: no digits cancel."""
        rest, z = self._parts(step)
        return torch.cat([rest / self.own.noise_variance.sqrt(), z], dim=-1)

    def pull(self, step: Tensor) -> Tensor:
        """``C_r^-1 step``, (n, D)."""
        return self._parts(step)[0] / self.own.noise_variance

    def _parts(self, step: Tensor) -> tuple[Tensor, Tensor]:
        z = step[:, None] @ self.own.basis @ self.own.whitener
        return step - (z @ self.own.loadings.mT)[:, 0], z[:, 0]

    def solve(self, vectors: Tensor, multiplier: Tensor, share: Tensor, at: _Gradient) -> Tensor:
        """``M^-1 v`` of vectors (n, D, m), given l and ``l b_r``, (n,); see the notes of the module."""
        inner, own = _take(self.density.cov, at.inner), (1 - share).clamp_min(_LEAST_OWN)
        diagonal = (own[:, None] / self.own.noise_variance + multiplier[:, None] / inner.noise_variance)[..., None]
        roots = own.sqrt()[:, None, None], multiplier.sqrt()[:, None, None]
        columns = torch.cat([roots[0] * self.own.basis, roots[1] * inner.basis, roots[1] * at.spread], dim=-1)
        scaled, plain = columns / diagonal, vectors / diagonal
        sign = torch.ones_like(columns[0, 0])
        sign[: -at.spread.shape[-1]] = -1
        # A small matrix that rounding made singular gives no numbers, and the search refuses the step.
        inverse = torch.linalg.solve_ex(sign.diag() + columns.mT @ scaled, columns.mT @ plain).result
        return plain - scaled @ inverse

    def move(self, step: Tensor) -> _Moves:
        """A move with what is known of it."""
        return _Moves(step, self.flat(step).square().sum(-1), self.excess(step))


class _Moves(NamedTuple):
    """A move of each row."""

    step: Tensor  # (n, D)  y - x
    length: Tensor  # (n,)  step^T C_r^-1 step
    excess: Tensor  # (n,)

    def take(self, rows: Tensor) -> _Moves:
        """Those of some of the rows."""
        return _Moves(*(part[rows] for part in self))

    def put(self, rows: Tensor, others: _Moves) -> None:
        """Take the moves of some rows from others, in place."""
        for part, other in zip(self, others, strict=True):
            part[rows] = other

    def copy(self) -> _Moves:
        """The same in memory of their own."""
        return _Moves(*(part.clone() for part in self))

    def beaten_by(self, others: _Moves) -> Tensor:
        """Which others go far enough and are shorter, or go farther than these that do not, (n,) bool."""
        there, others_there = self.excess >= -TOLERANCE, others.excess >= -TOLERANCE
        shorter, farther = others.length < self.length, others.excess > self.excess + TOLERANCE
        return torch.where(there, others_there & shorter, others_there | farther)


class _Line(NamedTuple):
    """From each row's move to the solution of a quadratic problem."""

    start: _Moves
    change: Tensor  # (n, D)
    inner: Tensor  # (n,)  step^T C_r^-1 change
    change_length: Tensor  # (n,)  change^T C_r^-1 change
    multiplier: Tensor  # (n,)
    share: Tensor  # (n,)  of it that is the own region's

    def take(self, rows: Tensor) -> _Line:
        """Those of some of the rows."""
        return _Line(self.start.take(rows), *(part[rows] for part in self[1:]))

    def at(self, problem: _Problem, share: float) -> _Moves:
        """The moves that lie a share of the way along."""
        step = self.start.step + share * self.change
        length = self.start.length + 2 * share * self.inner + share**2 * self.change_length
        return _Moves(step, length, problem.excess(step))

    def is_point(self) -> Tensor:
        """Where there is nowhere left to go, (n,) bool."""
        return self.change_length <= _STATIONARY**2 * self.start.length


def solve(density: Density, table: Table, level: float, rows: Tensor, joint: Tensor) -> tuple[Tensor, Tensor]:
    """The shortest moves found of rows that are short of a level of log odds.

    Parameters
    ----------
    density : Density
        In double precision.
    table : Table
    level : float
    rows : Tensor (n, D)
        In double precision.
    joint : Tensor (n, K)
        The log joint density of the rows.

    Returns
    -------
    step : Tensor (n, D)
    reached : Tensor (n,) of bool
        Whether it leads to the level, to `TOLERANCE`. The others lead to where the odds were best of what was tried.
    """
    steps, reached = torch.zeros_like(rows), torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
    for piece in torch.arange(len(rows), device=rows.device).split(_piece(density)):
        own, slack = joint[piece].argmax(-1), _SLACK * (level - log_odds(joint[piece], table))
        limit = torch.full_like(slack, torch.inf)
        best = _solved(_Problem(density, table, level, rows[piece], own, _take(density.cov, own), slack, limit))
        steps[piece], reached[piece] = best.step, best.excess >= -TOLERANCE
    return steps, reached


def _solved(problem: _Problem) -> _Moves:
    """The best moves found."""
    far = _to_a_mean(problem)
    problem = problem._replace(limit=_FARTHEST * (far.length + problem.x.shape[1]))
    best = _descended(problem, problem.move(torch.zeros_like(problem.x)))
    others = _descended(problem, _shortened(problem, far))
    better = best.beaten_by(others)
    best.put(better, others.take(better))
    return best


def _descended(problem: _Problem, start: _Moves) -> _Moves:
    """The best moves on the way from a start to a local solution."""
    best, moves = start.copy(), start
    rows = torch.arange(len(problem.x), device=problem.x.device)
    multiplier = share = penalty = torch.zeros_like(start.length)
    for _ in range(_MAX_STEPS):
        line = _quadratic(problem, moves, multiplier, share)
        penalty = torch.maximum(penalty, 2 * line.multiplier)
        moves, moved = _searched(problem, line, penalty)
        better = best.take(rows).beaten_by(moves)
        best.put(rows[better], moves.take(better))
        going = (moved & ~line.is_point()).nonzero()[:, 0]
        if not len(going):
            break
        rows, problem, moves, penalty = rows[going], problem.take(going), moves.take(going), penalty[going]
        multiplier, share = line.multiplier[going], line.share[going]
    return best


def _quadratic(problem: _Problem, moves: _Moves, multiplier: Tensor, share: Tensor) -> _Line:
    """The way to the solution of the quadratic problem at each move."""
    at = problem.gradient(moves.step)
    vectors = torch.cat([at.gradient, problem.pull(moves.step)[..., None]], dim=-1)
    solved = problem.solve(vectors, multiplier, share, at)
    rise, fall = solved[..., :-1], solved[..., -1:]
    wanted = (at.gradient.mT @ fall)[..., 0] - at.excess
    following = _multipliers(at.gradient.mT @ rise, wanted)
    change = (rise @ following[..., None] - fall)[..., 0]
    flat, flat_change = problem.flat(moves.step), problem.flat(change)
    inner, length = (flat * flat_change).sum(-1), flat_change.square().sum(-1)
    return _Line(moves, change, inner, length, following.sum(-1), (following * at.share).sum(-1))


def _multipliers(matrix: Tensor, wanted: Tensor) -> Tensor:
    """The ``v >= 0`` (n, m) that minimize ``v^T A v / 2 - v^T b``, to a percent: coordinate after coordinate.

    (Hildreth, Naval Research Logistics Quarterly 4, 1957.) The next quadratic problem mends what is missing.
    """
    found = torch.zeros_like(wanted)
    diagonal = matrix.diagonal(dim1=-2, dim2=-1).clamp_min(torch.finfo(matrix.dtype).tiny)
    for _ in range(_SWEEPS if wanted.shape[1] > 1 else 1):
        for j in range(wanted.shape[1]):
            rest = wanted[:, j] - (matrix[:, j] * found).sum(-1)
            found[:, j] = (found[:, j] + rest / diagonal[:, j]).clamp_min(0)
    return found


def _searched(problem: _Problem, line: _Line, penalty: Tensor) -> tuple[_Moves, Tensor]:
    """Moves along a line where the penalty function is less, and which rows have found one, (n,) bool."""
    shortage = penalty * (-line.start.excess).clamp_min(0)
    value, slope = line.start.length / 2 + shortage, line.inner - shortage
    least = torch.minimum(line.start.excess, -problem.slack)
    found, pending, share = line.start.copy(), torch.arange(len(value), device=value.device), 1.0
    for _ in range(_MAX_HALVINGS):
        tried = line.take(pending).at(problem.take(pending), share)
        now = tried.length / 2 + penalty[pending] * (-tried.excess).clamp_min(0)
        falls = now <= value[pending] + _SUFFICIENT * share * slope[pending]
        falls &= (tried.excess >= least[pending]) & (tried.length <= problem.limit[pending])
        found.put(pending[falls], tried.take(falls))
        pending, share = pending[~falls], share / 2
        if not len(pending):
            break
    return found, torch.ones_like(value, dtype=torch.bool).index_fill(0, pending, False)


def _to_a_mean(problem: _Problem) -> _Moves:
    """Moves to the nearest mean that is probable enough, else to the most probable one."""
    means = problem.density.params.means
    excess = log_odds(log_joint(problem.density, means), problem.table) - problem.level
    there = (excess >= 0).nonzero()[:, 0]
    if not len(there):
        return problem.move(means[excess.argmax()] - problem.x)
    nearest = problem.move(means[there[0]] - problem.x)
    for goal in means[there[1:]]:
        moves = problem.move(goal - problem.x)
        nearer = moves.length < nearest.length
        nearest.put(nearer, moves.take(nearer))
    return nearest


def _shortened(problem: _Problem, far: _Moves) -> _Moves:
    """Moves that go far enough, cut where they just do; the others as they are."""
    low, high = torch.zeros_like(far.length), torch.ones_like(far.length)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        there = problem.excess(middle[:, None] * far.step) >= 0
        low, high = torch.where(there, low, middle), torch.where(there, middle, high)
    step = high[:, None] * far.step
    return _Moves(step, high**2 * far.length, problem.excess(step))


def log_odds(joint: Tensor, table: Table) -> Tensor:
    """Log odds (n,) of a concept from log joint densities (n, K)."""
    return (joint + table.within).logsumexp(-1) - (joint + table.without).logsumexp(-1)


def _take(cov: LowRank, components: Tensor) -> LowRank:
    """The factorizations of components (n,), as a batch of n."""
    noise = cov.noise_variance.expand(len(cov.loadings), -1)[components]
    parts = (cov.basis, cov.whitener, cov.log_det, cov.signal)
    return LowRank(cov.loadings[components], noise, *(part[components] for part in parts))


def _piece(density: Density) -> int:
    """How many rows to solve together."""
    n_components, n_features, n_factors = density.cov.basis.shape
    numbers = (n_factors + _OUTSIDE + 1) * (10 * n_features + 3 * n_components)
    return max(1, _PIECE_BYTES // (numbers * density.constant.element_size()))
