"""Ways to steer that are compared: for each concept a move of rows, of any strength."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .steered import RowsMoved, region_move

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._steerer import MFASteerer

Moved = Callable[[Tensor, float], Tensor]


@dataclass(frozen=True)
class Arm:
    """One way to steer: for each concept a move of activations, and the strengths to try.

    Parameters
    ----------
    moves : dict of concept to callable
        From rows (n, D) and a strength to moved rows (n, D). Strength 0 should leave rows as they are.
    strengths : sequence of float
        Above 0, each once; kept in ascending order. What a strength means is the arm's own affair: arms are compared
        by what they cost, not by their strengths.

    Raises
    ------
    TypeError, ValueError
        If there is no move or no strength, a move cannot be called, or a strength is not positive and finite.

    Examples
    --------
    >>> import torch
    >>> from mfa_sklearn.steering import Arm
    >>> arm = Arm.directions({"river": [1.0, 0.0]}, strengths=[0.5, 2])
    >>> arm.moves["river"](torch.zeros(1, 2), 2.0)
    tensor([[2., 0.]])
    >>> arm = Arm.centroids({"river": [1.0, 0.0]}, strengths=[0.5, 1])
    >>> arm.moves["river"](torch.ones(1, 2), 0.5)
    tensor([[1.0000, 0.5000]])
    """

    moves: Mapping[str, Moved]
    strengths: Sequence[float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "moves", _checked_moves(self.moves))
        object.__setattr__(self, "strengths", check_strengths(self.strengths))

    @classmethod
    def directions(cls, directions: Mapping[str, ArrayLike], strengths: Sequence[float]) -> Arm:
        """``x + s d``: along one direction for each concept.

        Parameters
        ----------
        directions : dict of concept to vector (D,)
        strengths : sequence of float
            In lengths of the direction.

        Returns
        -------
        Arm
        """
        return cls({concept: partial(_along, d) for concept, d in _vectors("directions", directions)}, strengths)

    @classmethod
    def centroids(cls, centroids: Mapping[str, ArrayLike], strengths: Sequence[float]) -> Arm:
        """``x + s (c - x)``: towards one point for each concept.

        Parameters
        ----------
        centroids : dict of concept to vector (D,)
        strengths : sequence of float
            1 goes all the way.

        Returns
        -------
        Arm
        """
        return cls({concept: partial(_towards, c) for concept, c in _vectors("centroids", centroids)}, strengths)

    @classmethod
    def regions(
        cls,
        steerer: MFASteerer,
        components: Mapping[str, Any],
        strengths: Sequence[float],
        method: str = "centroid",
        **options: Any,
    ) -> Arm:
        """A steerer's own moves, each concept to its region.

        Parameters
        ----------
        steerer : MFASteerer
        components : dict of concept to what `MFASteerer.steer` takes as `component`
            For instance `interpret.concept_components(mfa, activations)["component"].to_dict()`.
        strengths : sequence of float
            The `alpha` of `MFASteerer.steer`.
        method : str, default="centroid"
        **options
            More arguments of `MFASteerer.steer`, such as `source`. One that is a dict with all the concepts for keys
            has a value for each of them.

        Returns
        -------
        Arm

        Raises
        ------
        TypeError, ValueError
            As `MFASteerer.steer`, for every concept and strength.
        """
        if not isinstance(components, Mapping):
            raise TypeError(f"components must be a dict of concept to component, got {type(components).__name__}")
        chosen = check_strengths(strengths)
        moves = {}
        for concept, component in components.items():
            own = {name: _own(value, concept, components) for name, value in options.items()}
            moves[concept] = _Prepared({s: region_move(steerer, component, s, method, own) for s in chosen})
        return cls(moves, chosen)


class _Prepared:
    """Moves made and checked beforehand, one for each strength."""

    def __init__(self, moves: Mapping[float, RowsMoved]) -> None:
        self._moves = moves

    def __call__(self, x: Tensor, strength: float) -> Tensor:
        return self._moves[strength](x)


def _own(value: Any, concept: str, concepts: Mapping[str, Any]) -> Any:
    """An option's value for one concept."""
    return value[concept] if isinstance(value, Mapping) and set(concepts) <= set(value) else value


def _along(direction: Tensor, x: Tensor, strength: float) -> Tensor:
    return x + strength * direction.to(x)


def _towards(centroid: Tensor, x: Tensor, strength: float) -> Tensor:
    return x + strength * (centroid.to(x) - x)


def _vectors(name: str, given: Mapping[str, Any]) -> Iterable[tuple[str, Tensor]]:
    """Vectors as tensors in double precision, checked."""
    if not isinstance(given, Mapping):
        raise TypeError(f"{name} must be a dict of concept to vector, got {type(given).__name__}")
    for concept, value in given.items():
        values = value.detach().double().cpu().numpy() if isinstance(value, Tensor) else value
        vector = np.array(values, dtype=np.float64)
        if vector.ndim != 1 or not np.isfinite(vector).all():
            raise ValueError(f"{name}[{concept!r}] must be a vector of finite numbers, got shape {vector.shape}")
        yield concept, torch.as_tensor(vector)


def _checked_moves(moves: Any) -> dict[str, Moved]:
    if not isinstance(moves, Mapping):
        raise TypeError(f"moves must be a dict of concept to a function of rows, got {type(moves).__name__}")
    if not moves:
        raise ValueError("moves is empty: give a move for at least one concept")
    for concept, move in moves.items():
        if not callable(move):
            raise TypeError(f"moves[{concept!r}] must be a function of rows and a strength, got {move!r}")
    return dict(moves)


def check_strengths(strengths: Any) -> tuple[float, ...]:
    """Strengths in ascending order, each above 0."""
    if isinstance(strengths, str) or not isinstance(strengths, Iterable):
        raise TypeError(f"strengths={strengths!r} must be a list: pass [{strengths!r}]")
    given = list(strengths)
    for value in given:
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise TypeError(f"strengths holds {value!r}, which is no number")
        if not (isfinite(value) and value > 0):
            raise ValueError(
                f"strengths holds {value!r}: give finite ones above 0, the model unsteered is there anyway"
            )
    found = sorted({float(value) for value in given})
    if not found or len(found) < len(given):
        raise ValueError(f"strengths={given!r} must hold at least one number, and none twice")
    return tuple(found)
