"""scikit-learn's callbacks, told of a fit: which task begins, which has ended, and what is known by then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._base.isolation import others_code
from .._base.sklearn_private import callback_context

Attributes = Callable[[], dict[str, Any]]


class Tasks:
    """A task for the fit, one for each start where there are several, and one for each iteration.

    Nothing is computed for callbacks that do not ask for it, and nothing at all where there are none.

    Parameters
    ----------
    estimator : MFA
    X, y : array-like
        As the user gave them.
    sample_weight : array-like or None
    n_starts : int
    max_iter : int
        Most iterations of each.
    """

    def __init__(self, estimator: Any, X: Any, y: Any, sample_weight: Any, n_starts: int, max_iter: int) -> None:
        self._n_starts, self._max_iter = n_starts, max_iter
        most = max_iter if n_starts == 1 else n_starts
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self._given = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        self._fit = callback_context(estimator, most)
        self._start = self._iteration = None
        self._begin(self._fit)

    def start(self) -> None:
        """Another start begins."""
        self._start = self._fit
        if self._fit is not None and self._n_starts > 1:
            self._start = self._fit.subcontext(task_name="start", max_subtasks=self._max_iter)
            self._begin(self._start)

    def iteration(self, attributes: Attributes) -> None:
        """Another iteration begins, with what is learned so far."""
        if self._start is not None:
            self._iteration = self._start.subcontext(task_name="iteration")
            self._begin(self._iteration, attributes)

    def end_iteration(self, attributes: Attributes) -> bool:
        """It has ended; whether a callback says that iterations are to end."""
        return self._end(self._iteration, attributes)

    def end_start(self, attributes: Attributes) -> bool:
        """A start has ended; whether a callback says that no other is to be made."""
        return self._n_starts > 1 and self._end(self._start, attributes)

    def end(self, attributes: Attributes) -> None:
        """The fit has ended."""
        self._end(self._fit, attributes)

    def _begin(self, task: Any, attributes: Attributes | None = None) -> None:
        if task is not None:
            with others_code():
                task.call_on_fit_task_begin(**self._given, reconstruction_attributes=attributes)

    def _end(self, task: Any, attributes: Attributes) -> bool:
        if task is None:
            return False
        with others_code():
            return bool(task.call_on_fit_task_end(**self._given, reconstruction_attributes=attributes))
