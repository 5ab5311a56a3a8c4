"""scikit-learn's callbacks, told of a fit: which task begins, which has ended, and what is known by then.

Metadata of a task are what a scorer is given beside the rows, so figures of an iteration cannot stand there: they are
attributes of its ``fitted_estimator``, which is made only if a callback asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .._base.isolation import others_code
from .._base.sklearn_private import callback_context

Attributes = Callable[[], dict[str, Any]]


class Task:
    """A part of a fit that callbacks are told of; without callbacks nothing is told or computed.

    Parameters
    ----------
    context : CallbackContext or None
    given : dict
        What all hooks are told: the estimator, X, y and metadata.
    """

    def __init__(self, context: Any, given: dict[str, Any]) -> None:
        self._context, self._given = context, given

    @classmethod
    def of(cls, estimator: Any, X: Any, y: Any, sample_weight: Any, most: int | None) -> Task:
        """The whole fit of an estimator, which has so many parts at most; None where nobody knows."""
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        given = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        return cls(callback_context(estimator, most), given)

    def part(self, name: str, most: int = 0) -> Task:
        """A part of it, which has so many parts at most."""
        context = self._context
        return Task(context and context.subcontext(task_name=name, max_subtasks=most), self._given)

    def begin(self, attributes: Attributes | None = None) -> Task:
        """Tell that it begins, with what is learned so far."""
        if self._context is not None:
            with others_code():
                self._context.call_on_fit_task_begin(**self._given, reconstruction_attributes=attributes)
        return self

    def end(self, attributes: Attributes | None = None) -> bool:
        """Tell that it has ended; whether a callback says that no other of its kind is to follow."""
        if self._context is None:
            return False
        with others_code():
            return bool(self._context.call_on_fit_task_end(**self._given, reconstruction_attributes=attributes))

    @contextmanager
    def during(self, name: str) -> Iterator[None]:
        """A part of it that takes as long as the block."""
        part = self.part(name).begin()
        yield
        part.end()


class Tasks:
    """The tasks of a mixture's fit: the fit itself, each start where there are several, and each iteration.

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
        self._fit = Task.of(estimator, X, y, sample_weight, max_iter if n_starts == 1 else n_starts).begin()
        self._start = self._iteration = self._fit

    def start(self) -> None:
        """Another start begins."""
        if self._n_starts > 1:
            self._start = self._fit.part("start", self._max_iter).begin()

    def iteration(self, attributes: Attributes) -> None:
        """Another iteration begins, with what is learned so far."""
        self._iteration = self._start.part("iteration").begin(attributes)

    def end_iteration(self, attributes: Attributes) -> bool:
        """It has ended; whether a callback says that iterations are to end."""
        return self._iteration.end(attributes)

    def end_start(self, attributes: Attributes) -> bool:
        """A start has ended; whether a callback says that no other is to be made."""
        return self._n_starts > 1 and self._start.end(attributes)

    def end(self) -> None:
        """The fit has ended, and its attributes are the estimator's."""
        self._fit.end(dict)
