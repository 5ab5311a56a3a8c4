"""A mixture as steering needs it, and a move as it is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .._base.checks import check_flag
from .._base.devices import without_autocast
from ..mixture._model.density import Density
from ._move_arguments import (
    check_method,
    check_strength,
    largest,
    read_alpha,
    read_components,
    read_scores,
    read_targets,
)
from ._operators import evaluable, responsibilities, shift, subspace_offset, two_stage, weighted_centroid
from ._parameters import FittedParameters, read_params
from ._range import check_range
from ._regions import Gate, check_gate, keep_norm, region_direction
from ._transport import TransportMap, transport, transport_map

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class Mixture:
    """Parameters of a fitted mixture in double precision, with factorizations and transport maps made once.

    Parameters
    ----------
    mfa : MFA, or another object
        With `weights_` (K,), `means_` (K, D), `loadings_` (K, D, q) and `noise_variance_`, of shape (D,) where
        the components share it or (K, D).
    """

    @torch.inference_mode(False)  # what is kept may meet gradients later, whatever mode it is made in
    def __init__(self, mfa: FittedParameters) -> None:
        self.params = read_params(mfa)
        self.n_components, self.n_features, self.n_factors = self.params.loadings.shape
        self._densities: dict[torch.device, Density] = {}
        self._routes: dict[tuple[int, int], TransportMap] = {}

    def density(self, device: torch.device) -> Density:
        """The mixture, ready to be evaluated on rows of `device`."""
        if device not in self._densities:
            with torch.inference_mode(False):
                self._densities[device] = evaluable(self.params, device)
        return self._densities[device]

    def route(self, source: int, target: int) -> TransportMap:
        """The transport map between two components."""
        if (source, target) not in self._routes:
            with torch.inference_mode(False):
                self._routes[source, target] = transport_map(self.params, source, target)
        return self._routes[source, target]


class Move:
    """One move of activations, checked when it is made and applied to rows (n, D) of any precision and device.

    What goes out of the range that a model computes with is refused here (`checks_range`), and need not be looked at
    again.

    Parameters
    ----------
    mixture : Mixture
    component : int, sequence of int, dict of int to float, or None
        The target: one for all rows, one per prompt, or, for "direction", a weighted set. None takes the mean of all
        centroids under the row's posterior.
    alpha : float, or None for 0
        Strength. 0 changes nothing, to the bit.
    z : dict of int to float, vector of length q, or None
        Factor scores of the step ``W_k z`` in the target; for a set an array (K, q) of scores for each region.
    method : {"centroid", "direction", "transport"}
        See `two_stage`, `region_direction` and `transport`.
    source : int or None
        Where transport starts from; None takes each activation's most responsible component.
    dtype : torch.dtype
        What the model computes in, which a move must not leave.
    gate : Gate, optional
        Which rows are moved; all by default.
    keep_norm : bool, default=False
        Give a moved row the length it had.
    """

    checks_range = True

    @torch.inference_mode(False)
    def __init__(
        self,
        mixture: Mixture,
        component: int | Sequence[int] | Mapping[int, float] | None,
        alpha: float | None,
        z: Mapping[int, float] | ArrayLike | None,
        method: str,
        source: int | None,
        dtype: torch.dtype = torch.float32,
        *,
        gate: Gate | None = None,
        keep_norm: bool = False,
    ) -> None:
        n_components = mixture.n_components
        self._mixture, self._method = mixture, method
        self._targets = read_targets(component, n_components)
        self._alpha = read_alpha(0.0 if alpha is None else alpha)
        check_method(method, source, z, self._targets)
        self._offsets: Tensor | None = None
        self._directions: Tensor | None = None
        if z is not None:
            self._read_z(z)
        if method == "direction":
            self._directions = self._to_targets(z)
        if alpha is None and (z is None or self._is_to_set):
            raise ValueError("nothing to do: give alpha (0.6 is usual), z or both; alpha=0 looks at the model as it is")
        self._check_reach(dtype)
        check_strength(method, self._alpha)
        self._source = None if source is None else int(read_components(source, n_components, "source")[0])
        self._gate = None if gate is None else check_gate(gate, n_components)
        self._keep_norm = check_flag("keep_norm", keep_norm)
        self._rows_per_prompt = 1
        self._cast: dict[tuple[torch.dtype, torch.device], tuple[Tensor, Tensor | None]] = {}

    @property
    def is_nothing(self) -> bool:
        """Whether every activation stays as it is."""
        return self._alpha == 0 and self._offsets is None

    def __call__(self, x: Tensor, batch_row: Tensor) -> Tensor:
        """Rows `x` (n, D) moved; `batch_row` (n,) says which row of the batch each comes from."""
        if x.shape[-1] != self._mixture.n_features:
            raise ValueError(
                f"the mixture has {self._mixture.n_features} features, but activations at this hook have {x.shape[-1]}"
            )
        if self.is_nothing:
            return x
        with without_autocast(x.device):
            if self._gate is None:
                return check_range(self._moved(x, batch_row), x)
            is_open = self._gate.opens(self._mixture.density(x.device), x)
            n_open = int(is_open.sum())
            if n_open in (0, len(x)):  # as for one row, of a generated token, always
                return check_range(self._moved(x, batch_row), x) if n_open else x
            moved = x.clone()
            moved[is_open] = check_range(self._moved(x[is_open], batch_row[is_open]), x[is_open])
            return moved

    def check_rows(self, n_rows: int) -> None:
        """Refuse a batch of other prompts than there are components; one of m rows for each prompt is a beam search."""
        n_prompts = None if self._targets is None else self._targets.n_prompts
        if n_prompts is not None:
            if n_rows == 0 or n_rows % n_prompts:
                raise ValueError(f"{n_prompts} components were given for a batch of {n_rows} prompts")
            self._rows_per_prompt = n_rows // n_prompts

    def check_prompts(self, n_prompts: int) -> None:
        """Refuse another number of prompts than there are components, where there is one for each."""
        expected = None if self._targets is None else self._targets.n_prompts
        if expected not in (None, n_prompts):
            raise ValueError(f"{expected} components were given for a batch of {n_prompts} prompts")

    def _moved(self, x: Tensor, batch_row: Tensor) -> Tensor:
        moved = self._unscaled(x, batch_row)
        return keep_norm(moved, x) if self._keep_norm else moved

    def _unscaled(self, x: Tensor, batch_row: Tensor) -> Tensor:
        if self._directions is not None:
            return self._directed(x, batch_row)
        if self._targets is None:
            return two_stage(x, weighted_centroid(self._mixture.density(x.device), x), self._alpha, None)
        ends, offsets = self._cast_of(x)
        if self._method == "centroid" and len(ends) == 1:
            return two_stage(x, ends, self._alpha, offsets)  # one target for all rows: there is nothing to pick out
        index = self._of_prompt(batch_row)
        offset = None if offsets is None else offsets[index]
        if self._method == "transport":
            return shift(self._transported(x, index) if self._alpha else x, offset)
        return two_stage(x, ends[index], self._alpha, offset)

    def _directed(self, x: Tensor, batch_row: Tensor) -> Tensor:
        """Along a direction, the same for all rows or for those of each prompt."""
        steps, offsets = self._cast_of(x)
        if len(steps) > 1:
            index = self._of_prompt(batch_row)
            steps, offsets = steps[index], None if offsets is None else offsets[index]
        return shift(x if self._alpha == 0 else x + steps, offsets)

    def _of_prompt(self, batch_row: Tensor) -> Tensor:
        """Which of the targets the rows of each prompt go to, (n,)."""
        assert self._targets is not None
        return torch.zeros_like(batch_row) if self._targets.n_prompts is None else batch_row // self._rows_per_prompt

    def _cast_of(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Where rows go, or by how much in a direction, and the offsets, in their precision and on their device."""
        key = (x.dtype, x.device)
        if key not in self._cast:
            assert self._targets is not None
            with torch.inference_mode(False):
                if self._directions is not None:
                    ends = self._alpha * self._directions.to(x)
                else:
                    ends = self._mixture.params.means[self._targets.components].to(x)
                self._cast[key] = ends, None if self._offsets is None else self._offsets.to(x)
        return self._cast[key]

    def _transported(self, x: Tensor, index: Tensor) -> Tensor:
        assert self._targets is not None
        targets = self._targets.components.to(x.device)[index]
        if self._source is None:
            sources = responsibilities(self._mixture.density(x.device), x).argmax(-1).to(x.device)
        else:
            sources = torch.full_like(targets, self._source)
        moved = x.clone()
        pairs, place = torch.stack([sources, targets], dim=1).unique(dim=0, return_inverse=True)
        for number, (source, target) in enumerate(pairs.tolist()):
            rows = place == number
            moved[rows] = transport(x[rows], self._mixture.route(source, target), self._alpha)
        return moved

    def _read_z(self, z: Mapping[int, float] | ArrayLike) -> None:
        """Offsets (m, D) of the targets; for a set they are a part of the direction."""
        if self._targets is None or self._is_to_set:
            return
        loadings = self._mixture.params.loadings
        scores = read_scores(z, self._mixture.n_factors)
        if scores.any():
            self._offsets = subspace_offset(loadings[self._targets.components], scores)

    @property
    def _is_to_set(self) -> bool:
        """Whether `z` is a part of the direction, and alpha the strength of both."""
        return self._targets is not None and self._targets.weights is not None

    def _to_targets(self, z: Any) -> Tensor:
        """Directions (m, D): one to a set, or one to each of the components."""
        assert self._targets is not None
        params, weights = self._mixture.params, self._targets.weights
        if weights is not None:
            return region_direction(params, weights, z)[None]
        own = torch.eye(len(params.means), dtype=torch.float64)[self._targets.components]
        return torch.stack([region_direction(params, row) for row in own])

    def _check_reach(self, dtype: torch.dtype) -> None:
        """Refuse what no activation could be moved by."""
        means = self._mixture.params.means
        aims = means if self._targets is None else means[self._targets.components]
        parts = (aims if self._directions is None else self._directions, self._offsets)
        farthest, offset = (0.0 if part is None else float(part.abs().max()) for part in parts)
        reach, limit = abs(self._alpha) * farthest + offset, largest(dtype)
        if not reach <= limit:
            raise ValueError(
                f"alpha={self._alpha:g} and z move activations by up to {reach:.2g}, beyond the {limit:.2g} that the "
                "model can compute with: give smaller ones"
            )
