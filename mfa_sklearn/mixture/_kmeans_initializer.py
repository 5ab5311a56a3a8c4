"""k-means for the start of a mixture: scikit-learn's contract around the functions of `_start.kmeans`."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClusterMixin, OneToOneFeatureMixin, TransformerMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from .._base.annotated import AnnotatedArray, annotate, given_rows
from .._base.checks import warn_user
from .._base.devices import resolve_device, to_numpy, to_tensor, working_dtype
from .._base.frames import FramesKeepFacts, carried
from .._base.group import ALONE, AnyGroup
from .._base.isolation import isolated
from .._base.origin import warn_incomplete
from .._base.sklearn_private import Interval, StrOptions, fit_context
from ._callbacks import Task
from ._rows import Batches, Conditioner
from ._shares import check_shares, failing_together, group_for, least_rows, shared_source, told_random_state
from ._start.kmeans import Assignment, Clustering, Plan, assign, k_means
from ._start.pruning import best_pruning
from ._start.samples import FiniteBatches, UnitBatches, check_all_finite, row_conditioner
from ._start.watching import Watching
from ._token_weights import token_weights
from ._validation import RowWeights, check_rows, check_weights

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._base.annotated import RowSource

DEFAULT_CLUSTERS = 8


class KMeansInitializer(
    FramesKeepFacts, CallbackSupportMixin, OneToOneFeatureMixin, TransformerMixin, ClusterMixin, BaseEstimator
):
    """k-means centers for a mixture to start from, found in a few passes over the rows.

    Minimizes, over centers c and labels l, ::

        sum_i w_i d(x_i, c_(l_i)),    d(x, c) = |x - c|^2  or  1 - cos(x, c).

    Seeds are drawn on a pool of rows by greedy k-means++ and improved by Lloyd's steps there, then on samples of twice
    the size each, then in `refine_iter` passes over all rows. Where all rows fit the pool this is plain k-means. Rows
    are read in batches and never all held unless they fit a memory budget, so `X` may be a memory map or an activation
    store larger than memory.

    As a step of a `Pipeline` it hands the rows on as they are, with its centers attached, and `MFA` starts from those;
    as `MFA(init=KMeansInitializer())` it is cloned and fitted by the estimator.

    Parameters
    ----------
    n_clusters : int, default=None
        Number of clusters K. None takes as many as the estimator asks for that it is the `init` of, and 8 by itself.
    pool_size : int, default=None
        Rows that seeds are drawn from, and that the first steps are made on. None takes 32 per cluster, or 20,000 if
        that is more. All rows, if there are no more than that.
    sampling : {"uniform", "token_frequency"}, default="uniform"
        How much a row counts. "token_frequency" divides its weight by the total weight of the rows with its token id,
        so that rare tokens count as much as frequent ones, in the drawing of samples and in the passes over all rows.
        It needs the token ids that an `ActivationArray` carries.
    projection : int, default=128
        Dimensions of the random orthonormal projection in which seeds are drawn; None draws them in all dimensions.
        Lloyd's steps always see all dimensions.
    metric : {"euclidean", "cosine"}, default="euclidean"
        "cosine" is spherical k-means. Its centers all have one length, the root mean square length of the rows, so
        that the most similar of them is also the nearest.
    n_init : int, default=1
        Drawings of seeds on the pool; the one with the least inertia there is kept.
    max_iter : int, default=300
        Most steps on the pool and on each sample.
    refine_iter : int, default=3
        Most steps over all rows, where these are more than the pool. 0 leaves the centers of the pool.
    tol : float, default=1e-4
        Steps end when one lowers the inertia by no more than this share of it.
    batch_size : int, default=None
        Rows read at once (None: sized to a budget).
    distributed : bool, default=False
        Whether `fit` goes through the rows of all processes of the default group of `torch.distributed`, each of which
        calls it with its own; see `MFA`. `labels_` are those of a process's own rows; `predict`, `transform` and
        `score` are of the rows they are given.
    random_state : int, RandomState or None, default=None
    device : str or torch.device, default="auto"
        Where to compute; "auto" is CUDA where there is one.
    dtype : {"auto", "float32", "float64"}, default="auto"
        Working precision; "auto" is double for double input and single for narrower. Sums are double in any case.
    verbose : int, default=0
        Whether to show how it goes, on standard error: for each sample, and for all rows, how many rows were gone
        through, the step and the inertia; a bar on a terminal, where tqdm is installed, else lines with the time.

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (K, D)
        In double precision.
    labels_ : ndarray of shape (n_samples,)
        The nearest center of each row, int32.
    inertia_ : float
        The minimum found: squared distances (or cosine distances) to the nearest center, summed with the rows' weights.
        Under "token_frequency" these are scaled to the same total.
    n_iter_ : int
        Lloyd's steps made, on samples and on all rows.
    source_ : dict or None
        What the rows were, if they came from an `ActivationExtractor`.
    n_features_in_ : int

    References
    ----------
    Arthur & Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007.
    Newling & Fleuret, "Nested mini-batch k-means", NIPS 2016.
    Dhillon & Modha, "Concept decompositions for large sparse text data using clustering", Mach. Learn. 42, 2001.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.pipeline import make_pipeline
    >>> from mfa_sklearn import MFA, KMeansInitializer
    >>> X, _ = load_wine(return_X_y=True)
    >>> kmeans = KMeansInitializer(n_clusters=3, random_state=0).fit(X)
    >>> kmeans.cluster_centers_.shape, kmeans.labels_.shape
    ((3, 13), (178,))
    >>> pipe = make_pipeline(KMeansInitializer(n_clusters=3, random_state=0), MFA(n_factors=2)).fit(X)
    >>> pipe[-1].means_.shape
    (3, 13)
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        "n_clusters": [Interval(Integral, 1, None, closed="left"), None],
        "pool_size": [Interval(Integral, 1, None, closed="left"), None],
        "sampling": [StrOptions({"uniform", "token_frequency"})],
        "projection": [Interval(Integral, 1, None, closed="left"), None],
        "metric": [StrOptions({"euclidean", "cosine"})],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "refine_iter": [Interval(Integral, 0, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left"), None],
        "distributed": ["boolean"],
        "random_state": ["random_state"],
        "device": [str, torch.device],
        "dtype": [StrOptions({"auto", "float32", "float64"}), torch.dtype, type, np.dtype],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_clusters: int | None = None,
        *,
        pool_size: int | None = None,
        sampling: Literal["uniform", "token_frequency"] = "uniform",
        projection: int | None = 128,
        metric: Literal["euclidean", "cosine"] = "euclidean",
        n_init: int = 1,
        max_iter: int = 300,
        refine_iter: int = 3,
        tol: float = 1e-4,
        batch_size: int | None = None,
        distributed: bool = False,
        random_state: int | np.random.RandomState | None = None,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype | np.dtype | type = "auto",
        verbose: int = 0,
    ) -> None:
        self.n_clusters = n_clusters
        self.pool_size = pool_size
        self.sampling = sampling
        self.projection = projection
        self.metric = metric
        self.n_init = n_init
        self.max_iter = max_iter
        self.refine_iter = refine_iter
        self.tol = tol
        self.batch_size = batch_size
        self.distributed = distributed
        self.random_state = random_state
        self.device = device
        self.dtype = dtype
        self.verbose = verbose

    @failing_together
    @fit_context(prefer_skip_nested_validation=True)
    @isolated
    def fit(
        self, X: ArrayLike | Tensor | RowSource, y: object = None, sample_weight: ArrayLike | None = None
    ) -> KMeansInitializer:
        """Find the centers.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Numpy array, memory map, torch tensor or activation store.
        y : ignored
        sample_weight : array-like of shape (n_samples,), optional
            A weight of 2 counts as the row twice, of 0 as if it were not there; it has a label all the same. A common
            factor of all weights changes nothing but `inertia_`, which is a sum.

        Returns
        -------
        self

        Raises
        ------
        ValueError, RuntimeError
            If `X` holds NaN or infinity, has fewer rows than there are clusters, lacks token ids that `sampling` needs,
            or has a row of zeros under the cosine metric; if it is `distributed`, as `MFA.fit`.
        """
        X, group = given_rows(X), group_for(self)
        warn_incomplete(X)
        with group.failing_together():
            return self._fit(X, y, sample_weight, group)

    def _fit(self, X: Any, y: Any, sample_weight: Any, group: AnyGroup) -> KMeansInitializer:
        rows = check_rows(self, X, reset=True, least_rows=least_rows(group))
        check_shares(self, rows, sample_weight, group)
        source = shared_source(X, group)
        n_clusters = self._check_sizes(sum(group.numbers(rows.shape[0])))
        weights = check_weights(sample_weight, rows, group)
        if self.sampling == "token_frequency":
            by_token = check_weights(token_weights(X, weights.spread(rows.shape[0]), group), rows, group)
            weights = by_token._replace(unit=by_token.unit * weights.unit)
        device, rng = resolve_device(self.device), told_random_state(self, group)
        conditioner = row_conditioner(rows, weights, device, rng, self.metric == "euclidean", group)
        batches = self._batches(rows, conditioner, weights, keep=True, group=group)
        unit = self._unit(conditioner) * weights.unit
        task = Task.of(self, X, y, sample_weight, None).begin()
        watching = Watching(bool(self.verbose) and group.first, unit, during=task.during)
        found = k_means(batches, n_clusters, rng, self._plan(), watching)
        found = found._replace(centers=group.tell(found.centers))
        self._keep(found, conditioner, unit, self._all_labels(found, rows, conditioner, weights), group)
        self.source_ = source
        task.end(dict)
        return self

    def _all_labels(self, found: Clustering, rows: Any, conditioner: Conditioner, weights: RowWeights) -> np.ndarray:
        """The nearest center of every row, those that do not count among them, (n_samples,)."""
        if weights.places is None:
            return to_numpy(found.labels)
        labels = np.empty(rows.shape[0], dtype=np.int32)
        labels[weights.places] = to_numpy(found.labels)
        others = RowWeights(places=np.flatnonzero(weights.spread(len(labels)) == 0))
        labels[others.places] = to_numpy(assign(self._batches(rows, conditioner, others), found.centers).labels)
        return labels

    def fit_transform(
        self, X: ArrayLike | Tensor | RowSource, y: object = None, sample_weight: ArrayLike | None = None
    ) -> AnnotatedArray:
        """Find the centers, and hand the rows on with them attached.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : ignored
        sample_weight : array-like of shape (n_samples,), optional

        Returns
        -------
        AnnotatedArray of shape (n_samples, n_features)
            See `transform`.
        """
        X = given_rows(X)
        self.fit(X, sample_weight=sample_weight)
        return self._attach(X, check_rows(self, X, reset=False, least_rows=least_rows(group_for(self))))

    @isolated
    def transform(self, X: ArrayLike | Tensor | RowSource) -> AnnotatedArray:
        """Hand the rows on as they are, with the centers attached.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            An activation store is read into memory.

        Returns
        -------
        AnnotatedArray of shape (n_samples, n_features)
            The numbers of `X`, not copied, with what facts it carries; the centers are ``shared["cluster_centers"]``.
        """
        check_is_fitted(self)
        X = given_rows(X)
        rows = check_rows(self, X, reset=False)
        array = self._attach(X, rows)
        check_all_finite(array)
        return array

    @isolated
    def predict(self, X: ArrayLike | Tensor | RowSource) -> np.ndarray:
        """The nearest center of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,), int32
        """
        return to_numpy(self._assign(X)[0].labels)

    @isolated
    def score(
        self, X: ArrayLike | Tensor | RowSource, y: object = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Minus the inertia of the rows: higher is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : ignored
        sample_weight : array-like of shape (n_samples,), optional

        Returns
        -------
        float
        """
        found, unit = self._assign(X, sample_weight)
        return -found.inertia * unit

    def _check_sizes(self, n_rows: int) -> int:
        n_clusters = DEFAULT_CLUSTERS if self.n_clusters is None else self.n_clusters
        if n_rows < n_clusters:
            raise ValueError(
                f"n_samples={n_rows} should be >= n_clusters={n_clusters}; give more rows or ask for fewer clusters."
            )
        if self.pool_size is not None and self.pool_size < n_clusters:
            raise ValueError(f"pool_size={self.pool_size} should be >= n_clusters={n_clusters}, better 32 times that.")
        return int(n_clusters)

    def _plan(self) -> Plan:
        unit = self.metric == "cosine"
        return Plan(self.pool_size, self.projection, self.n_init, self.max_iter, self.refine_iter, self.tol, unit)

    def _batches(
        self, rows: Any, conditioner: Conditioner, weights: RowWeights, keep: bool = False, group: AnyGroup = ALONE
    ) -> Batches:
        kind = UnitBatches if self.metric == "cosine" else FiniteBatches
        dtype, device = working_dtype(self.dtype, rows), conditioner.center.device
        return kind(rows, conditioner, dtype, device, weights.values, self.batch_size, keep, weights.places, group)

    def _assign(self, X: Any, sample_weight: Any = None) -> tuple[Assignment, float]:
        """The nearest centers of the rows that count, and what their inertia is to be multiplied by."""
        check_is_fitted(self)
        rows = check_rows(self, X, reset=False)
        device, weights = resolve_device(self.device), check_weights(sample_weight, rows)
        conditioner = Conditioner(*(to_tensor(part, device) for part in self._conditioner))
        centers = (to_tensor(self.cluster_centers_, device) - conditioner.center) / conditioner.scale
        if self.metric == "cosine":
            centers = torch.nn.functional.normalize(centers, dim=1)
        batches = self._batches(rows, conditioner, weights)
        found = assign(batches, centers, best_pruning(batches, centers, n_passes=1))
        return found, self._unit(conditioner) * weights.unit

    def _unit(self, conditioner: Conditioner) -> float:
        """What the squared distances of conditioned rows are to be multiplied by."""
        return 0.5 if self.metric == "cosine" else float(conditioner.scale[0]) ** 2

    def _keep(
        self, found: Clustering, conditioner: Conditioner, unit: float, labels: np.ndarray, group: AnyGroup
    ) -> None:
        centers = found.centers * conditioner.scale + conditioner.center
        if self.metric == "cosine":
            # Rows have this length in the root mean square, because the unit is that of one of D columns.
            centers = centers * centers.shape[1] ** 0.5
        self._conditioner = tuple(to_numpy(part) for part in conditioner)
        self.cluster_centers_ = to_numpy(centers)
        self.labels_ = labels
        self.inertia_ = found.inertia * unit
        self.n_iter_ = found.n_iter
        distinct = len(np.unique(np.concatenate(group.objects(np.unique(self.labels_)))))
        if distinct < len(self.cluster_centers_):
            warn_user(
                f"Number of distinct clusters ({distinct}) found smaller than n_clusters "
                f"({len(self.cluster_centers_)}). Possibly due to duplicate points in X.",
                ConvergenceWarning,
            )

    def _attach(self, X: Any, rows: Any) -> AnnotatedArray:
        """The rows in memory, with the facts that `X` carries and the centers."""
        facts = {**carried(X), "cluster_centers": self.cluster_centers_}
        return annotate(_whole(X, rows), **facts)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _whole(X: Any, rows: Any) -> np.ndarray:
    """The rows as an array, with the facts that `X` carries."""
    if isinstance(X, AnnotatedArray):
        return X
    if isinstance(rows, Tensor):
        return to_numpy(rows)
    return rows[:]
