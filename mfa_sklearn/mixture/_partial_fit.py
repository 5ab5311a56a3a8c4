"""Fitting batch after batch. Part of the estimator `MFA`."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from sklearn.exceptions import ConvergenceWarning

from .._base.annotated import given_rows
from .._base.group import AnyGroup
from .._base.isolation import isolated
from .._base.origin import warn_incomplete
from .._base.sklearn_private import fit_context
from ._fit.progress import Progress
from ._fitting import fit_mixture
from ._learned import LearnedAttributes
from ._shares import check_shares, failing_together, group_for, least_rows
from ._stream import Stream
from ._validation import check_rows, check_weights

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import ArrayLike
    from torch import Tensor

    from .._base.annotated import RowSource


class PartialFitMethods(LearnedAttributes):
    """What an estimator learns from a stream."""

    n_components: int | None
    distributed: bool
    component_tokens_: dict[int, list[str]] | None
    _progress: Progress | None = None

    @failing_together
    @fit_context(prefer_skip_nested_validation=True)
    @isolated
    def partial_fit(
        self, X: ArrayLike | Tensor | RowSource, y: object = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Update the mixture with one more batch of a stream.

        The first batch starts the mixture and must hold at least as many rows as there are components. Later ones move
        running averages of the sufficient statistics (stepwise EM; Cappe & Moulines, J. R. Stat. Soc. B 71, 2009), or
        take one epoch of gradient steps. All rows of a batch are fitted on, whatever `held_out` says, and no
        `checkpoint` is kept: between batches the estimator itself can be pickled.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : ignored
        sample_weight : array-like of shape (n_samples,), optional
            What the rows count; their sum is what the batch counts against those before it.

        Returns
        -------
        self

        Raises
        ------
        ValueError, RuntimeError
            As `fit`; and if `n_components` was changed since the first batch, or processes of a group do not go on from
            the same stream.
        """
        X = given_rows(X)
        if hasattr(self, "weights_") and self.n_components not in (None, len(self.weights_)):
            raise ValueError(
                f"n_components={self.n_components}, but the stream's mixture has {len(self.weights_)} components: set "
                "that back, or start another stream with sklearn.base.clone"
            )
        if not hasattr(self, "weights_"):
            warn_incomplete(X)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                fit_mixture(self, X, sample_weight, stream=True)
            return self
        group = group_for(self)
        with group.failing_together():
            return self._update(group, X, sample_weight)

    def _update(self, group: AnyGroup, X: Any, sample_weight: Any) -> Self:
        """`partial_fit` of a batch that is not the first; in a group, of the rows of all processes."""
        self._stream = stream = self._stream or Stream(self._params())
        rows = check_rows(self, X, reset=False, least_rows=least_rows(group))
        check_shares(self, rows, sample_weight, group, goes_on=True)
        group.check_alike({"batches that partial_fit remembers, and their rows": (stream.n_batches, stream.seen)})
        weights = check_weights(sample_weight, rows, group)
        params, bound = stream.update(self, rows, weights, group)
        self._set_params_from(params)
        self._progress = None
        self.lower_bound_, self.log_prior_ = bound, 0.0  # of the batch's rows alone
        self.lower_bounds_ = [*getattr(self, "lower_bounds_", []), bound]
        self.n_iter_ = getattr(self, "n_iter_", 0) + 1
        self.n_samples_seen_ = getattr(self, "n_samples_seen_", 0) + sum(group.numbers(weights.count(rows.shape[0])))
        self.component_tokens_ = None  # of a mixture that is no more
        return self
