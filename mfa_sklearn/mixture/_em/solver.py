"""The EM solver: a step of `_fit.loop` each, annealed, accelerated, dead components revived."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..._base.group import ALONE, AnyGroup
from .._fit.loop import Step
from .._model.params import MFAParams, Structure
from .acceleration import Anderson, flatten, unflatten
from .exact import Pass
from .moves import Moves
from .shrinkage import FixedPrior
from .together import Together

# A component that holds less than half an average row is dead; in the first steps it is given half of a heavy one.
_DEAD_ROWS = 0.5
_RESEED_UNTIL = 10
# How often components are given other places: once after annealing, which has moved them already, else twice.
_ROUNDS, _ROUNDS_AFTER_ANNEALING = 2, 1
# What the temperature is multiplied by at each step.
_DECAY = 0.5
# Attributes of a solver, without their underscore, that change from step to step and are plain values.
_PLAIN_STATE = ("temperature", "plain", "rounds", "moved", "last", "weight", "steps")


class _Safe(NamedTuple):
    """Where to fall back to when an extrapolation fails."""

    bound: float  # the best so far
    params: MFAParams  # the plain EM step from there
    memory: Any  # of the pass, after it found that bound


class EMSolver:
    """Closed-form EM, from a temperature down to one, and accelerated from there.

    Each step costs one E-step. An extrapolated point whose likelihood turns out below the best one is dropped for the
    plain EM step from there, so that the bounds never fall once the temperature is one.

    Parameters
    ----------
    params : MFAParams
        In conditioned space.
    rows : Pass
        Gives statistics of the rows at parameters and a temperature.
    structure, floor
        As in `m_step`.
    temperature, decay : float
        Where the temperature starts, and what it is multiplied by at each step down to one.
    row_weight : float
        Mean weight of a row.
    shrinkage : FixedPrior, optional
        Says what prior the noise has; by default none.
    moves : Moves, optional
        Proposes other places for components when steps have come to an end; by default none are looked for.
    group : Alone or Group
        Of the processes that the passes sum over. Their parameters may differ by rounding where their machines do;
        the first one's bound is what all decide by.
    """

    def __init__(
        self,
        params: MFAParams,
        rows: Pass,
        structure: Structure,
        floor: float,
        temperature: float = 1.0,
        decay: float = _DECAY,
        acceleration: bool = True,
        row_weight: float = 1.0,
        shrinkage: FixedPrior | None = None,
        moves: Moves | None = None,
        group: AnyGroup = ALONE,
    ) -> None:
        self._group = group
        self._moves, self._rounds = moves, _ROUNDS_AFTER_ANNEALING if temperature > 1 else _ROUNDS
        self._moved = ""  # what is to be said of the last moves
        self._rested: _Safe | None = None  # where steps came to an end before the last moves
        self.shrinkage, self._weight = shrinkage or FixedPrior(), 1.0
        self._params, self._pass, self._structure, self._floor = params, rows, structure, floor
        self._temperature, self._decay, self._row_weight = temperature, decay, row_weight
        self._accelerator = Anderson(sum(t.numel() for t in params)) if acceleration else None
        self._plain = not acceleration
        self._memory: Any = None  # what the pass remembers
        self._safe: _Safe | None = None
        self._last = -math.inf  # bound of the last comparable step
        self._steps = self.reseeded = 0

    @property
    def plain(self) -> bool:
        """Whether steps are those of EM, without extrapolation."""
        return self._plain

    @plain.setter
    def plain(self, value: bool) -> None:
        if self._accelerator is None:
            return
        self._plain = value
        if value and self._safe is not None:
            self._fall_back(self._safe)

    @property
    def params(self) -> MFAParams:
        """The parameters that stand; of an extrapolation the plain step that it may yet be dropped for."""
        return self._params if self._safe is None else self._safe.params

    def step(self) -> Step:
        """One E-step over all batches and one M-step."""
        temperature, kind = self._temperature, self._kind()
        mine, self._memory, looked = self._pass(self._params, temperature, self._memory)
        statistics = Together(mine, self._group, self._structure)
        self._weight = float(statistics.weight)
        if temperature == 1:
            self.shrinkage.follow(self._params, statistics.whole)
        bound = self._group.tell(float(statistics.log_likelihood) / self._weight + self.log_prior(self._params))
        if self._safe is not None and not bound >= self._safe.bound:
            assert self._accelerator is not None
            self._accelerator.restart()
            best = self._fall_back(self._safe)
            return Step(best, False, "extrapolation dropped", kind="dropped")
        params = statistics.m_step(self._params, self._floor, self.shrinkage.prior)
        self._steps += 1
        dead = statistics.mass < _DEAD_ROWS * self._row_weight
        revive = bool(dead.any()) and self._steps <= _RESEED_UNTIL
        if revive:
            params = split_heaviest(params, dead)
            self.reseeded += int(dead.sum())
        slow = bound - self._last < self._pass.slow_gain
        comparable = temperature == 1 and self.shrinkage.settled and not revive
        self._last = bound if comparable else -math.inf
        self._advance(params, bound, comparable and slow)
        cooler = temperature * self._decay
        # Less than half a step above one, on the scale of logarithms, counts as one.
        self._temperature = cooler if cooler > self._decay**-0.5 else 1.0
        note = f"temperature {temperature:.2f}" if temperature > 1 else self._moved
        self._moved = ""
        # Between passes that look for pairs the bound lags behind what a look would give.
        return Step(bound, comparable and looked, note, temperature, kind)

    def _kind(self) -> str:
        """What led to the parameters that stand."""
        return "moved" if self._moved else "extrapolated" if self._safe is not None else "plain"

    def log_prior(self, params: MFAParams) -> float:
        """Log density of the noise, per row."""
        return self.shrinkage.log_density(params) / self._weight

    def _advance(self, params: MFAParams, bound: float, settled: bool) -> None:
        if self._accelerator is None or not settled:
            # What a revival or a temperature moves is not for the acceleration to undo.
            self._params, self._safe = params, None
            if self._accelerator is not None:
                self._accelerator.restart()
            return
        ahead = self._accelerator.propose(flatten(self._params), flatten(params))
        # Plain steps are remembered all the same: they say where to go on to, should that be needed.
        extrapolated = not self._plain and self._accelerator.extrapolates and bool(ahead.isfinite().all())
        self._safe = _Safe(bound, params, self._memory) if extrapolated else None
        self._params = unflatten(ahead, params, self._floor) if extrapolated else params

    def rearrange(self, bound: float) -> bool:
        """Give a few components other places, now that steps gain little."""
        if self._moves is None or not self._rounds:
            return False
        if self._safe is not None:
            # Nobody knows yet whether the extrapolated point is worth coming back to.
            self._fall_back(self._safe)
        move = self._moves.propose(self._params)
        if move is None:
            self._rounds = 0
            return False
        self._rested = _Safe(bound, self._params, self._memory)
        self._rounds -= 1
        self._moved = f"after moves of {len(move.split)} components"
        self._memory = self._pass.after(self._memory, move)
        self._params, self._safe, self._last = move.params, None, -math.inf
        if self._accelerator is not None:
            self._plain = False
            self._accelerator.restart()
        return True

    def _fall_back(self, safe: _Safe) -> float:
        self._params, self._memory, self._safe = safe.params, safe.memory, None
        return safe.bound

    def finish(self) -> tuple[MFAParams, float]:
        """The parameters, their mean log-likelihood and with it the log prior per row."""
        bound = self._bound()
        if self._safe is not None and not bound >= self._safe.bound:
            self._fall_back(self._safe)
            bound = self._bound()
        if self._rested is not None and not bound >= self._rested.bound:
            self._fall_back(self._rested)
            bound = self._bound()
        return self._params, bound

    def state(self) -> dict[str, Any]:
        """What the next steps depend on; see `Solver`."""
        return {
            "params": tuple(self._params),
            "memory": self._pass.packed(self._memory),
            "pass": self._pass.state(),
            "safe": self._packed(self._safe),
            "rested": self._packed(self._rested),
            "shrinkage": self.shrinkage.state(),
            "accelerator": None if self._accelerator is None else self._accelerator.state(),
            **{name: getattr(self, f"_{name}") for name in _PLAIN_STATE},
            "reseeded": self.reseeded,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from such a state."""
        self._params, self._memory = MFAParams(*state["params"]), self._pass.unpacked(state["memory"])
        self._pass.restore(state["pass"])
        self._safe, self._rested = self._unpacked(state["safe"]), self._unpacked(state["rested"])
        self.shrinkage.restore(state["shrinkage"])
        if self._accelerator is not None:
            self._accelerator.restore(state["accelerator"])
        for name in _PLAIN_STATE:
            setattr(self, f"_{name}", state[name])
        self.reseeded = state["reseeded"]

    def _packed(self, safe: _Safe | None) -> tuple[Any, ...] | None:
        return None if safe is None else (safe.bound, tuple(safe.params), self._pass.packed(safe.memory))

    def _unpacked(self, packed: tuple[Any, ...] | None) -> _Safe | None:
        if packed is None:
            return None
        return _Safe(packed[0], MFAParams(*packed[1]), self._pass.unpacked(packed[2]))

    def _bound(self) -> float:
        return self._group.tell(self._pass.log_likelihood(self._params, self._memory) + self.log_prior(self._params))


def split_heaviest(params: MFAParams, dead: Tensor) -> MFAParams:
    """Give each dead component half of one of the heaviest, moved apart along its strongest loading."""
    weights, means = params.log_weights.clone(), params.means.clone()
    loadings = params.loadings.clone()
    noise = params.noise_variance.clone() if len(params.noise_variance) > 1 else None
    for k in dead.nonzero()[:, 0].tolist():
        source = int(weights.masked_fill(dead, -torch.inf).argmax())
        strongest = loadings[source].square().sum(0).argmax() if loadings.shape[2] else None
        spread = (
            loadings[source, :, strongest]
            if strongest is not None
            else params.noise_variance[min(source, len(params.noise_variance) - 1)].sqrt()
        )
        means[k], means[source] = means[source] + spread / 2, means[source] - spread / 2
        loadings[k] = loadings[source] * (loadings[k] != 0).any(0)  # a factor it may not have stays zero
        weights[source] = weights[source] - math.log(2)
        weights[k] = weights[source]
        if noise is not None:
            noise[k] = noise[source]
    return MFAParams(weights.log_softmax(0), means, loadings, params.noise_variance if noise is None else noise)
