"""The estimator: scikit-learn's contract around the pure functions of this folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from sklearn.base import BaseEstimator, DensityMixin, TransformerMixin
from sklearn.callback import CallbackSupportMixin

from .._base.annotated import given_rows
from .._base.isolation import isolated
from .._base.origin import warn_incomplete
from .._base.sklearn_private import HasMethods, Interval, StrOptions, fit_context
from ._codes import CodeMethods
from ._conditional import ConditionalMethods
from ._fit.progress import Progress
from ._fitting import fit_mixture
from ._mixture_html import DisplayMethods
from ._partial_fit import PartialFitMethods
from ._persistence import PersistenceMethods
from ._shares import failing_together
from ._start.start import STRATEGIES, Draws

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

    from .._base.annotated import RowSource


class MFA(
    CodeMethods,
    ConditionalMethods,
    PersistenceMethods,
    DisplayMethods,
    PartialFitMethods,
    CallbackSupportMixin,
    DensityMixin,
    TransformerMixin,
    BaseEstimator,
):
    """Mixture of factor analyzers.

    Each component is a Gaussian whose covariance is a few factors plus diagonal noise, ::

        x | k ~ N(mu_k, W_k W_k^T + Psi_k),    z ~ N(0, I_q),    x = mu_k + W_k z + eps,

    fitted by closed-form expectation-maximization or by minibatch gradients, in memory proportional to a batch.

    Parameters
    ----------
    n_components : int, default=None
        Number of components K. None takes as many as the centers that `init` or an earlier pipeline step gives; where
        none arrive it is 1, with a warning.
    n_factors : int or sequence of K int, default=1
        Factors q per component, below the number of features; 0 is the diagonal Gaussian mixture. With one number for
        each component, `loadings_` is as wide as the largest and zero where a component has fewer.
    noise : {"shared", "component"}, default="shared"
        Whether the noise variance is one for all components or each has its own.
    noise_form : {"diagonal", "isotropic"}, default="diagonal"
        Whether the noise variance is one per feature or one for all. Isotropic noise is the mixture of probabilistic
        principal component analyzers.
    loading_type : {"component", "common"}, default="component"
        Whether each component has its own loadings. With `noise` and `noise_form` this gives the eight parsimonious
        structures of McNicholas & Murphy (2008).
    solver : {"em", "gradient"}, default="em"
        Closed-form EM, or Adam on minibatches of the log-likelihood.
    init : {"auto", "kmeans", "k-means++", "random_from_data", "random"}, array or estimator, default="auto"
        Where to start. "auto" takes the centers attached by an earlier pipeline step (`KMeansInitializer`), else
        "kmeans" on standardized rows. An array (K, D) holds centers, an integer array (n_samples,) labels from 0. An
        estimator is cloned, given `n_components` as its ``n_clusters``, and fitted for its ``cluster_centers_``; one
        that has them already is used as it is.
    tol : "auto" or float, default="auto"
        EM stops when the mean log-likelihood per row, extrapolated to convergence, has no more than this to gain, in
        nats; the gradient solver when it has not risen by this for `n_iter_no_change` epochs, also where this is 0: a
        mean over minibatches goes up and down, the more the larger `learning_rate` is. "auto" is 1e-4, and EM
        on many rows then also stops where more iterations are not worth their time: where a fit longer by a tenth would
        gain less than a thousandth of a nat per value of a row (0.4 nats for a row of 384 features).
    max_iter : int, default=100
        Most iterations (EM) or epochs (gradient).
    n_init : int, default=1
        Starts to try; the one with the highest likelihood is kept. From given centers or labels the first start has
        principal components for loadings, the others random ones.
    annealing : "auto" or float, default="auto"
        Temperature (at least 1) that EM starts from: the posterior is flattened to ``p(k | x)^(1 / T)`` and T halves at
        each iteration down to 1. "auto" reads the start off the data: none where the posterior is soft by itself, where
        components have fewer than ten rows for each factor and the mean, nor where `init` is an array of labels or
        centers, so that components stay what they were said to be. 1 is plain EM, and keeps to centers of an estimator
        or a pipeline step as well.
    split_merge : "auto" or bool, default="auto"
        Whether EM, once settled, takes components that are hardly missed to where one should be two, and goes on; what
        does not raise the bound is undone. "auto" does so where `annealing` is "auto" and `init` no array. Not for
        rows with missing values, `loading_type="common"` or a number of factors for each component.
    acceleration : bool, default=True
        Whether EM extrapolates over its last iterations (Anderson acceleration). The likelihood never falls by it.
    noise_floor : float, default=1e-6
        Smallest noise variance, as a share of the feature's variance (of the mean variance for isotropic noise). At
        least 1e-18, or 1e-12 where the working precision is single.
    noise_prior : "auto", float or None, default="auto"
        Rows of a wider pool that noise variances are mixed with: of the noise psi of all components for a component's
        own, so that n_k rows that leave over S_k give ``psi_k = (S_k + a psi) / (n_k + a)``, and of the column's whole
        variance for shared diagonal noise. "auto" reads `a` off the data: rows are most probable under noise estimated
        without them. None or 0 is maximum likelihood, as are one component and shared isotropic noise.
    rotation : {"varimax", "quartimax"}, default=None
        Rotate each component's loadings to simple structure; no density changes.
    learning_rate : float, default=None
        Of Adam, on standardized features. None is 1e-3 for each 128 rows of a gradient step, but at least 1e-3 and at
        most 4e-3.
    batch_size : int, default=None
        Rows per gradient step, or rows per batch that EM reads at once (None: sized to a budget). For the gradient None
        is a 64th of the rows, but at least 128, and at most 512 on a processor or 4096 on a GPU: beyond that a step's
        time is its matrix products', and larger batches bring no more rows per second.
    early_stopping : bool, default=False
        For the gradient solver: hold `validation_fraction` of the rows out, stop on their likelihood and keep the best.
    validation_fraction : float, default=0.1
        Share of rows held out under `early_stopping`.
    n_iter_no_change : int, default=10
        Epochs without progress after which the gradient solver stops; as many as `max_iter` to make them all.
    held_out : float, default=None
        Share of the rows (of weight above zero) that are not fitted on. Their mean log-likelihood is told after each
        iteration: in ``history_["held_out"]``, to callbacks, and under `verbose`. It ends no fit. Which rows these are
        is drawn by `random_state`: with `warm_start` give a number, so that they stay the same.
    held_out_by : {"row", "text"}, default="row"
        Whether single rows are held out or whole texts, by the ``text_index`` that rows of an `ActivationExtractor`
        carry. Rows of one text are alike, so that likelihoods of single rows look better than those of new texts.
    checkpoint : path, default=None
        Folder where `fit` keeps its state, made if it does not exist. A fit that ended early, even if it was killed,
        goes on from there when the same fit is run again: with EM to the same bytes on the same machine, with gradients
        to the same up to rounding. One that had ended goes straight to its end; `max_iter` may be raised. The folder
        serves one fit: with other parameters or rows it is refused, and so are clones that share it, as those of a
        search of scikit-learn's would (`MFASearch` gives each its own). Delete it when it is no longer needed.
    checkpoint_interval : float, default=300
        Seconds between two states, which are written after an iteration; 0 writes one after each.
    sparse_output : bool, default=True
        Whether `transform` gives a CSR matrix. For frames by `set_output` take False.
    warm_start : bool, default=False
        Start `fit` from the parameters of the last one. A `checkpoint` of a fit that ended there is then replaced.
    distributed : bool, default=False
        Whether `fit` and `partial_fit` go through the rows of all processes of the default group of
        `torch.distributed`, as torchrun starts them: each calls the method with its own rows (see `share_rows`), which
        may be none, and all end with the same mixture, that of a fit to all rows in the order of the ranks. The first
        rank's `random_state` is the one that counts, and only it reports and warns. What is asked of a fitted mixture
        is of the rows given.
    random_state : int, RandomState or None, default=None
        Where a fit goes on from a `checkpoint`, the state kept there counts.
    device : str or torch.device, default="auto"
        Where to compute; "auto" is CUDA where there is one.
    dtype : {"auto", "float32", "float64"}, default="auto"
        Working precision; "auto" is double for double input and single for narrower.
    verbose : int, default=0
        Whether to show how a fit goes, on standard error: what it works on, how much of it is done, rate, time left and
        log-likelihood; a bar on a terminal, where tqdm is installed, else lines with the time.

    Attributes
    ----------
    weights_ : ndarray of shape (K,)
    means_ : ndarray of shape (K, D)
    loadings_ : ndarray of shape (K, D, q)
    noise_variance_ : ndarray of shape (D,), or (K, D) for noise per component
    n_components_, n_factors_ : int
    noise_prior_ : float
        Rows that the noise was lent; 0 for none.
    lower_bound_ : float
        Mean log-likelihood per row of the rows fitted on, plus `log_prior_`; after `partial_fit`, of the last batch.
    log_prior_ : float
        Log density of the noise under its prior, over the number of rows; at most zero, and zero without a prior.
    lower_bounds_ : list of float
        Its history, before each iteration and at the end.
    history_ : dict of list
        What the iterations of the last `fit` were, an entry for each: "temperature", above one while `annealing`
        flattens posteriors; "step", what parameters the bound is of: "plain", where the iteration before led to;
        "extrapolated" from there by `acceleration`; "moved" by `split_merge`; "dropped" where an extrapolation was;
        and where rows are held out "held_out", their mean log-likelihood under the parameters that the iteration led
        to.
    n_iter_ : int
    converged_ : bool
    heywood_ : ndarray of bool, of the shape of `noise_variance_`
        Noise variances at the noise floor, or below 1e-4 of the feature's variance and so on their way to zero (Heywood
        cases).
    n_reseeded_ : int
        Components that lost their rows in the first iterations and were given half of a heavy one.
    source_ : dict or None
        What the rows were, if they came from an `ActivationExtractor`. Later methods warn of rows that are known to be
        of another model, layer, site, pooling or processing of the weights; tables of `interpret` refuse them.
    n_samples_seen_ : int
        Rows fitted on, without those held out by `held_out`; with `partial_fit`, of all batches; 0 for a mixture made
        from parameters.
    component_tokens_ : dict of int to list of str, or None
        Of the ten heaviest components, the tokens that they have more often than the others: in a sample of 4,096 rows,
        if these carry tokens and no `partial_fit` has gone on since. For notebooks; `top_tokens` looks at all rows.
    n_features_in_ : int

    References
    ----------
    Ghahramani & Hinton, "The EM algorithm for mixtures of factor analyzers", CRG-TR-96-1 (1997).

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from mfa_sklearn import MFA
    >>> X, y = load_wine(return_X_y=True)
    >>> mfa = MFA(n_components=3, n_factors=2, random_state=0).fit(X)
    >>> mfa.means_.shape, mfa.loadings_.shape
    ((3, 13), (3, 13, 2))
    >>> mfa.predict_proba(X).shape
    (178, 3)
    """

    _progress: Progress | None = None
    # scikit-learn's set_output wraps what the class itself defines.
    transform = CodeMethods.transform

    _parameter_constraints: dict = {  # noqa: RUF012
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "n_factors": [Interval(Integral, 0, None, closed="left"), "array-like"],
        "noise": [StrOptions({"shared", "component"})],
        "noise_form": [StrOptions({"diagonal", "isotropic"})],
        "loading_type": [StrOptions({"component", "common"})],
        "solver": [StrOptions({"em", "gradient"})],
        "init": [StrOptions(set(STRATEGIES)), "array-like", HasMethods("fit")],
        "tol": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "annealing": [StrOptions({"auto"}), Interval(Real, 1, None, closed="left")],
        "split_merge": [StrOptions({"auto"}), "boolean"],
        "acceleration": ["boolean"],
        "noise_floor": [Interval(Real, 0, 1, closed="neither")],
        "noise_prior": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left"), None],
        "rotation": [StrOptions({"varimax", "quartimax"}), None],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), None],
        "batch_size": [Interval(Integral, 1, None, closed="left"), None],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "held_out": [Interval(Real, 0, 1, closed="neither"), None],
        "held_out_by": [StrOptions({"row", "text"})],
        "checkpoint": [str, os.PathLike, None],
        "checkpoint_interval": [Interval(Real, 0, None, closed="left")],
        "sparse_output": ["boolean"],
        "warm_start": ["boolean"],
        "distributed": ["boolean"],
        "random_state": ["random_state"],
        "device": [str, torch.device],
        "dtype": [StrOptions({"auto", "float32", "float64"}), torch.dtype, type, np.dtype],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_components: int | None = None,
        n_factors: int | Sequence[int] = 1,
        *,
        noise: Literal["shared", "component"] = "shared",
        noise_form: Literal["diagonal", "isotropic"] = "diagonal",
        loading_type: Literal["component", "common"] = "component",
        solver: Literal["em", "gradient"] = "em",
        init: str | ArrayLike | BaseEstimator = "auto",
        tol: float | Literal["auto"] = "auto",
        max_iter: int = 100,
        n_init: int = 1,
        annealing: float | Literal["auto"] = "auto",
        split_merge: bool | Literal["auto"] = "auto",
        acceleration: bool = True,
        noise_floor: float = 1e-6,
        noise_prior: float | Literal["auto"] | None = "auto",
        rotation: Literal["varimax", "quartimax"] | None = None,
        learning_rate: float | None = None,
        batch_size: int | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        held_out: float | None = None,
        held_out_by: Literal["row", "text"] = "row",
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_interval: float = 300.0,
        sparse_output: bool = True,
        warm_start: bool = False,
        distributed: bool = False,
        random_state: int | np.random.RandomState | None = None,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype | np.dtype | type = "auto",
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.n_factors = n_factors
        self.noise = noise
        self.noise_form = noise_form
        self.loading_type = loading_type
        self.solver = solver
        self.init = init
        self.tol = tol
        self.max_iter = max_iter
        self.n_init = n_init
        self.annealing = annealing
        self.split_merge = split_merge
        self.acceleration = acceleration
        self.noise_floor = noise_floor
        self.noise_prior = noise_prior
        self.rotation = rotation
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.held_out = held_out
        self.held_out_by = held_out_by
        self.checkpoint = checkpoint
        self.checkpoint_interval = checkpoint_interval
        self.sparse_output = sparse_output
        self.warm_start = warm_start
        self.distributed = distributed
        self.random_state = random_state
        self.device = device
        self.dtype = dtype
        self.verbose = verbose

    @failing_together
    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike | Tensor | RowSource, y: object = None, sample_weight: ArrayLike | None = None) -> MFA:
        """Fit the mixture.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Numpy array, memory map, torch tensor, activation store, the path of its folder, or a list of these. NaN is
            a value missing at random.
        y : ignored
        sample_weight : array-like of shape (n_samples,), optional
            How much each row counts, relative to the others: a weight of 2 as the row twice, of 0 as if it were not
            there. Any common factor of all weights gives the same fit.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If `X` holds infinity, has fewer rows than there are components, or no more features than factors; if
            `noise_floor` is below what the working precision can tell from rounding; if `checkpoint` holds the state of
            another fit, or a damaged one; if it is `distributed` and there is no process group, or its processes differ
            in parameters, or in width, type or source of rows. What is refused on one process is an error on all.
        RuntimeError
            If another process of a `distributed` fit has ended or goes another way, or another thread of this one is in
            such a fit.
        FloatingPointError
            If a gradient step leads to a likelihood that is no number.
        OSError
            If `checkpoint` cannot be written to; the last state that was kept whole stays.
        KeyboardInterrupt
            As raised; if iterations had begun, the estimator is then fitted as far as it came. One on any process of a
            `distributed` fit ends all, and nothing is learned; the last state in `checkpoint` stays.

        Notes
        -----
        `set_callbacks` takes scikit-learn's callbacks. Each iteration is a task, and its ``fitted_estimator`` has the
        attributes of a fit that ended there, with ``lower_bounds_`` and ``history_`` up to it. A callback that returns
        True ends the fit. `ScoringMonitor` scores only fits that are given a `y`, which may be anything.
        """
        X = given_rows(X)
        warn_incomplete(X)
        return self._fit(X, sample_weight, y=y)

    @isolated
    def _fit(self, X: Any, sample_weight: Any, draws: Draws | None = None, y: Any = None) -> MFA:
        """`fit` of parameters that are checked; `draws` are those of other fits to the same rows."""
        fit_mixture(self, X, sample_weight, draws, y)
        return self

    def fit_predict(
        self, X: ArrayLike | Tensor | RowSource, y: object = None, sample_weight: ArrayLike | None = None
    ) -> np.ndarray:
        """Fit, and the most probable component of each row, (n_samples,)."""
        X = given_rows(X)
        self.fit(X, sample_weight=sample_weight)
        # In a group others may have had all the rows.
        none = self.distributed and getattr(X, "shape", (1,))[0] == 0
        return np.empty(0, dtype=np.int64) if none else self.predict(X)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "weights_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
