"""From the `init` parameter of the estimator to the parameters a fit starts from."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import clone
from sklearn.cluster import kmeans_plusplus
from sklearn.utils import check_random_state
from torch import Tensor

from ..._base.annotated import shared_fact
from ..._base.devices import plain_array, to_tensor
from ..._base.group import ALONE, AnyGroup
from ..._base.isolation import others_code
from ..._base.origin import warn_other_source
from .._model.params import MFAParams, Structure, tie
from .._rows import Batches, Conditioner
from .clusters import nearest_center, params_from_labels
from .kmeans import Plan, k_means
from .samples import Sample
from .watching import Watching

# One pass over all rows after the samples: EM moves the centers further than more of them would.
_PLAN = Plan(refine_iter=1)

_NUMBERED = "number the clusters without gaps, as numpy.unique(labels, return_inverse=True)[1] does"

STRATEGIES = ("auto", "kmeans", "k-means++", "random_from_data", "random")


def given_centers(init: Any, X: Any, n_components: int | None, group: AnyGroup = ALONE) -> np.ndarray | None:
    """Centers (K, D) that the user, an estimator or an earlier pipeline step brings; None where there are none.

    An estimator is fitted to the rows of all processes of a group, if it can.

    Raises
    ------
    ValueError
        If there are other than `n_components` centers, or their width is not that of `X`; if the rows are those of
        several processes, and an estimator sees its own only.
    """
    if isinstance(init, str):
        centers = shared_fact(X, "cluster_centers") if init == "auto" else None
    elif hasattr(init, "fit"):
        centers = _centers_of(init, X, n_components, group)
    else:
        centers = np.asarray(plain_array(init))
        if centers.ndim == 1:
            return None  # labels
    if centers is None:
        return None
    centers = np.ascontiguousarray(plain_array(centers), dtype=np.float64)
    if centers.ndim != 2 or centers.shape[1] != X.shape[1]:
        raise ValueError(f"init gives centers of shape {centers.shape}, but X has n_features={X.shape[1]}")
    if n_components is not None and len(centers) != n_components:
        raise ValueError(
            f"init gives {len(centers)} centers, but n_components={n_components}; n_components=None takes them all"
        )
    if not np.isfinite(centers).all():
        raise ValueError("init gives centers that are not finite")
    return centers


def _centers_of(initializer: Any, X: Any, n_components: int | None, group: AnyGroup) -> np.ndarray:
    if hasattr(initializer, "cluster_centers_"):
        warn_other_source(initializer, X)
        return initializer.cluster_centers_
    fresh = clone(initializer)
    if n_components is not None and "n_clusters" in fresh.get_params(deep=False):
        fresh.set_params(n_clusters=n_components)
    if group.size > 1:
        if "distributed" not in fresh.get_params(deep=False):
            raise ValueError(
                f"init={initializer!r} would be fitted to the rows of one process only: fit it before, to rows of all, "
                "or use init=KMeansInitializer(), which goes through the rows of all processes"
            )
        fresh.set_params(distributed=True)
    with others_code():
        fresh.fit(X)
    if not hasattr(fresh, "cluster_centers_"):
        raise ValueError(f"init={initializer!r} has no cluster_centers_ after fit; use a clusterer that has centers")
    return fresh.cluster_centers_


def given_labels(init: Any, n_rows: int) -> np.ndarray | None:
    """Labels (n,) from 0 that the user starts from; None where `init` is something else."""
    if isinstance(init, str) or hasattr(init, "fit"):
        return None
    labels = np.asarray(plain_array(init))
    if labels.ndim != 1:
        return None
    if labels.shape != (n_rows,):
        raise ValueError(f"init holds {len(labels)} labels for n_samples={n_rows} rows; give one label per row")
    if labels.dtype.kind not in "iu":
        raise ValueError(f"init labels must be integers from 0, got dtype {labels.dtype}; {_NUMBERED}")
    if len(labels) and labels.min() < 0:
        raise ValueError(f"init labels must be integers from 0, got the minimum {labels.min()}; {_NUMBERED}")
    return labels


def count_labels(labels: np.ndarray, asked: int | None, group: AnyGroup = ALONE) -> int:
    """How many components labels from 0 stand for: `asked`, or as many as there are labels, which may leave none out.

    Those of all processes of a group count.

    Raises
    ------
    ValueError
        If there are more labels than `asked`; if there are none asked for and the labels have gaps.
    """
    used = np.unique(np.concatenate(group.objects(np.unique(labels))))
    found = int(used[-1]) + 1
    if asked is not None and asked < found:
        raise ValueError(f"init holds labels up to {found - 1}, but n_components={asked}; {_NUMBERED}")
    if asked is None and len(used) < found:
        unused = int(np.flatnonzero(used != np.arange(len(used)))[0])
        raise ValueError(f"init holds labels up to {found - 1}, but no row has the label {unused}; {_NUMBERED}")
    return asked or found


class Drawn(NamedTuple):
    """Centers that a strategy found, and the generator's state after it."""

    centers: Tensor  # (K, D)
    labels: Tensor | None  # (n,)  the nearest center of every row there is, where the strategy gives that too
    state: Any


class Draws:
    """What starts on one table drew, so that later ones with as many components need not draw it again.

    A draw is known by the rows that it was made on, and by what was asked for. It is handed out with the generator set
    to where the draw left it: a fit is what it would have been alone.
    """

    def __init__(self) -> None:
        self._drawn: dict[Hashable, Drawn] = {}

    def get(self, key: Hashable, rng: np.random.RandomState, draw: Callable[[], tuple[Tensor, Tensor | None]]) -> Drawn:
        """The draw known by `key`, made now if there is none."""
        if key not in self._drawn:
            self._drawn[key] = Drawn(*draw(), rng.get_state())
        elif rng is not check_random_state(None):
            # The global generator belongs to everyone and is not turned back.
            rng.set_state(self._drawn[key].state)
        return self._drawn[key]


class Start:
    """Draws starting parameters, in conditioned space; each draw is another one where the strategy is random.

    Parameters
    ----------
    batches : Batches
    conditioner : Conditioner
    ranks : tuple of K int
        Factors of each component.
    structure, floor
        As in `m_step`.
    rng : RandomState
    missing : bool
        Whether the rows may miss values.
    draws : Draws, optional
        What starts on the same table have drawn.
    watching : Watching, optional
        What k-means is shown by.

    Attributes
    ----------
    n_drawn : int
        Draws made so far, those of the process among them that this one goes on from.
    """

    def __init__(
        self,
        batches: Batches,
        conditioner: Conditioner,
        ranks: tuple[int, ...],
        structure: Structure,
        floor: float,
        rng: np.random.RandomState,
        missing: bool = False,
        draws: Draws | None = None,
        watching: Watching | None = None,
    ) -> None:
        self._batches, self._conditioner, self._rng = batches, conditioner, rng
        self._ranks, self._sizes = ranks, (len(ranks), max(ranks))
        self._structure, self._floor, self._missing = structure, floor, missing
        self._draws, self.n_drawn, self._watching = draws or Draws(), 0, watching

    def from_labels(self, labels: np.ndarray) -> MFAParams:
        """Local principal components of labeled rows."""
        rows = self._batches.draw(self._rng)
        own = torch.as_tensor(labels[self._batches.own(rows)], device=self._batches.device, dtype=torch.int64)
        return self._build(self._sample(rows), self._batches.group.gather(own), None)

    def from_centers(self, centers: np.ndarray) -> MFAParams:
        """Local principal components around centers in the space of the data; rows go to the nearest there."""
        sample = self._sample(self._batches.draw(self._rng))
        X = sample.X
        conditioner = Conditioner(*(t.to(X.device) for t in self._conditioner))
        c = to_tensor(centers, X.device, torch.float64)
        labels = nearest_center(X, (c - conditioner.center).to(X), conditioner.scale.to(X))
        return self._build(sample, labels, (c - conditioner.center) / conditioner.scale)

    def draw(self, strategy: str) -> MFAParams:
        """Parameters by one of the named strategies."""
        rows = self._batches.draw(self._rng)
        # What goes through all rows needs the memory that a sample would take.
        sample = None if self._sees_all(strategy) else self._sample(rows)
        drawn = self._draws.get(self._key(strategy, rows), self._rng, partial(self._draw_centers, strategy, sample))
        sample = sample or self._sample(rows)
        if drawn.labels is None:
            return self._build(sample, nearest_center(sample.X, drawn.centers), drawn.centers)
        own = drawn.labels[torch.as_tensor(self._batches.own(rows), device=sample.X.device)]
        return self._build(sample, self._batches.group.gather(own).long(), drawn.centers)

    def _sample(self, rows: np.ndarray) -> Sample:
        return Sample(*self._batches.sampled(rows))

    def _key(self, strategy: str, rows: np.ndarray) -> Hashable:
        """What a draw depends on, beside the table and the generator's state when the fit began."""
        self.n_drawn += 1
        seen = b"" if self._sees_all(strategy) else rows.tobytes()
        # Isotropic noise has its rows in other units.
        return strategy, self.n_drawn, self._sizes[0], self._structure.isotropic_noise, seen

    def _sees_all(self, strategy: str) -> bool:
        """Whether a strategy goes through all rows there are, whichever the parameters are then taken from."""
        return strategy == "kmeans" and not self._missing

    def _draw_centers(self, strategy: str, sample: Sample | None) -> tuple[Tensor, Tensor | None]:
        """Centers (K, D) found on a sample or on all rows, and the nearest (n,) of every row where known."""
        if sample is None:
            found = k_means(self._batches, self._sizes[0], self._rng, _PLAN, self._watching)
            return found.centers, found.labels
        draws = {"random": self._random, "random_from_data": self._random_rows, "k-means++": self._spread_rows}
        draw = draws.get(strategy, self._filled_k_means)
        return self._batches.group.decided(lambda: draw(sample), self._rng), None

    def _random(self, sample: Sample) -> Tensor:
        normal = self._rng.standard_normal((self._sizes[0], self._batches.n_features))
        return torch.as_tensor(normal, dtype=self._batches.dtype, device=self._batches.device)

    def _random_rows(self, sample: Sample) -> Tensor:
        w = _numbers(sample.weights)
        p = None if w is None else w / w.sum()
        chosen = self._rng.choice(sample.n_rows, self._sizes[0], replace=False, p=p)
        # A drawn row has the mean where it misses a value, as rows have for the other strategies.
        return torch.nan_to_num(sample.read(chosen))

    def _spread_rows(self, sample: Sample) -> Tensor:
        X, w = torch.nan_to_num(sample.X), _numbers(sample.weights)
        found, _ = kmeans_plusplus(X.cpu().numpy(), self._sizes[0], sample_weight=w, random_state=self._rng)
        return torch.as_tensor(found, device=X.device).to(X)

    def _filled_k_means(self, sample: Sample) -> Tensor:
        # A missing value is put at the mean.
        X = torch.nan_to_num(sample.X)
        unit = Conditioner(*torch.stack([torch.zeros(X.shape[1]), torch.ones(X.shape[1])]).double())
        batches = Batches(X, unit, X.dtype, X.device, _numbers(sample.weights))
        return k_means(batches, self._sizes[0], self._rng, _PLAN, self._watching).centers.to(X)

    def _build(self, sample: Sample, labels: Tensor, means: Tensor | None) -> MFAParams:
        generator = torch.Generator(device="cpu").manual_seed(int(self._rng.randint(2**31 - 1)))
        params = self._batches.group.decided(
            lambda: params_from_labels(
                sample.X,
                labels,
                *self._sizes,
                self._structure,
                self._floor,
                generator,
                sample.weights,
                means,
            )
        )
        return params._replace(loadings=params.loadings * self._allowed(sample.X.device))

    def _allowed(self, device: torch.device) -> Tensor:
        """One where a component has the factor, else zero, (K, 1, q). EM keeps zero columns at zero."""
        ranks = torch.tensor(self._ranks, device=device)[:, None, None]
        return (torch.arange(self._sizes[1], device=device) < ranks).double()

    def redraw_loadings(self, params: MFAParams) -> MFAParams:
        """Another start from the same centers: half of each variance given to random factors."""
        K, D, q = params.loadings.shape
        if q == 0:
            return params
        variance = params.loadings.square().sum(-1) + params.noise_variance
        random = self._rng.standard_normal((1 if self._structure.common_loadings else K, D, q)) / q**0.5
        axes = torch.as_tensor(random, device=params.means.device).expand(K, D, q) * self._allowed(params.means.device)
        loadings = (variance / 2).sqrt()[:, :, None] * axes
        return tie(params._replace(loadings=loadings, noise_variance=variance / 2), self._structure)


def _numbers(weights: Tensor | None) -> np.ndarray | None:
    return None if weights is None else weights.cpu().numpy()
