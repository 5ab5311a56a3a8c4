"""Choosing the number of components, the number of factors and the structure of a mixture."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.model_selection import KFold, check_cv
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from .._base.annotated import given_rows
from .._base.checks import import_optional
from .._base.origin import warn_incomplete
from .._base.sklearn_private import BaseSearchCV, HasMethods, StrOptions, fit_context, format_results
from ._callbacks import Task
from ._codes import check_frame_holds
from ._search_names import STRUCTURES, Complaint, Fit, code, messages, spoken_for, structure, warn_of
from ._trial import CRITERIA, Trial, fit_checked, fit_group, place_of
from ._validation import check_rows, check_sizes, check_weights

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike
    from sklearn.model_selection import BaseCrossValidator
    from torch import Tensor

    from .._base.annotated import RowSource
    from ._mfa import MFA


class MFASearch(TransformerMixin, BaseSearchCV):
    """Search over numbers of components and factors and over structures, by an information criterion or by held-out
    likelihood.

    Candidates with the same number of components start from the same centers: k-means (or the estimator that `init`
    is) runs once per number of components and split, not once per candidate. Each fit is what it would be alone.

    Parameters
    ----------
    estimator : MFA
        Gives all other parameters. Candidates keep their checkpoints in folders of their own in its `checkpoint`, so
        that a search that was killed does not fit anew what it had fitted. Its callbacks are told of every fit, those
        of the search only of the search.
    n_components, n_factors : sequence of int, or int
        Values to try.
    structures : sequence of str, "all" or None, default=None
        Three letters each, as McNicholas & Murphy (Stat. Comput. 18, 2008) name them: whether loadings are common to
        the components (C) or not (U), the noise is shared by the components (C) or not, the noise is isotropic (C) or
        not. "all" is all eight, None that of the estimator.
    criterion : {"bic", "icl", "aic", "likelihood"}, default="bic"
        Information criteria are of fits to all rows. "likelihood" is the mean log-likelihood of rows held out, over
        the splits of `cv`.
    cv : int, splitter or iterable, default=5
        Splits for "likelihood". A number makes so many folds of shuffled rows, always the same ones. Rows that belong
        together, such as the tokens of a text, should be in one fold:
        ``cv=list(GroupKFold(5).split(X, groups=X.text_index))``.
    n_jobs : int, default=None
        Processes; the fits with one number of components on one split go together.
    verbose : int, default=0
        Whether to print a line per fit.

    Attributes
    ----------
    best_estimator_ : MFA
        The best candidate, fitted on all rows.
    best_params_ : dict
    best_score_ : float
        Its score, higher is better: the information criterion times -1, or the held-out mean log-likelihood.
    best_index_ : int
    cv_results_ : dict of arrays
        As scikit-learn's search classes have it, with ``n_parameters``, ``n_iter``, ``converged``, ``warnings`` (a
        tuple of messages) and, where fits are to all rows, ``log_likelihood`` (a sum), ``aic``, ``bic`` and ``icl``.
    results_ : pandas.DataFrame
        The same as a table with a row per candidate.
    n_splits_ : int
    n_features_in_ : int

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn import MFA, MFASearch
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.standard_normal((60, 4)), 8 + rng.standard_normal((60, 4))])
    >>> search = MFASearch(MFA(max_iter=5000, random_state=0), n_components=[1, 2, 3], n_factors=[0, 1]).fit(X)
    >>> search.best_params_
    {'n_components': 2, 'n_factors': 0}
    >>> search.predict(X).shape
    (120,)
    >>> search.results_.sort_values("rank")[["n_components", "n_factors", "structure"]].head(2)
       n_components  n_factors structure
    2             2          0       UCU
    4             3          0       UCU
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        "estimator": [HasMethods(["fit", "score", "iter_log_joint"])],
        "n_components": ["array-like", Integral],
        "n_factors": ["array-like", Integral],
        "structures": ["array-like", StrOptions({"all"}), None],
        "criterion": [StrOptions(set(CRITERIA))],
        "cv": ["cv_object"],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    }
    # What the base class asks of its own parameters.
    refit = True
    return_train_score = True
    multimetric_ = False

    def __init__(
        self,
        estimator: MFA,
        n_components: int | Sequence[int] = (1, 2, 3, 4, 5),
        n_factors: int | Sequence[int] = (1, 2),
        *,
        structures: Sequence[str] | Literal["all"] | None = None,
        criterion: Literal["bic", "icl", "aic", "likelihood"] = "bic",
        cv: int | BaseCrossValidator | Iterable[Any] = 5,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.n_components = n_components
        self.n_factors = n_factors
        self.structures = structures
        self.criterion = criterion
        self.cv = cv
        self.n_jobs = n_jobs
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=False)
    def fit(
        self, X: ArrayLike | Tensor | RowSource, y: object = None, sample_weight: ArrayLike | None = None
    ) -> MFASearch:
        """Fit all candidates and keep the best.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows of a store are read into memory where `cv` splits them, those of one split at a time.
        y : ignored
            Handed to the splitter.
        sample_weight : array-like of shape (n_samples,), optional
            As `MFA.fit` takes them: relative to one another. In the criteria whole multiples of a common unit count
            rows; other weights have a mean of one.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there are no candidates, or the rows are too few or too narrow for one of them. An error of any kind
            from a fit names its candidate and split.

        Warns
        -----
        ConvergenceWarning
            What the fits say, once for all that say the same, with the names of the candidates and splits.
        """
        # What a clone refuses, all candidates would; the rows go on as they are, with what is attached to them.
        if self.estimator.distributed:
            raise ValueError(
                "a search fits its candidates in one process, or in several that each have all rows: set "
                "distributed=False in its estimator, or fit the candidates one by one with distributed=True"
            )
        X = given_rows(X)
        warn_incomplete(X)
        task = Task.of(self, X, y, sample_weight, 0).begin()
        rows = check_rows(clone(self.estimator), X, reset=True)
        X = X if hasattr(X, "shape") else rows
        candidates = self._candidates()
        splits = self._splits(rows.shape[0], y)
        weights = None if sample_weight is None else check_weights(sample_weight, rows).spread(rows.shape[0])
        _check_feasible(rows.shape, candidates, splits, weights)
        trials = self._trials(X, weights, candidates, splits)
        self._keep(trials, candidates, len(splits))
        complaints = [complaint for trial in trials for complaint in trial.complaints]
        held_out = self.criterion == "likelihood"
        if held_out:
            complaints += self._fit_best(X, weights)
        self.cv_results_["warnings"] = messages(complaints, candidates)
        warn_of(complaints, len(trials) + held_out, len(splits) * held_out, self.estimator.random_state)
        if hasattr(self.best_estimator_, "feature_names_in_"):
            self.feature_names_in_ = self.best_estimator_.feature_names_in_
        task.end(dict)
        return self

    def _trials(
        self, X: Any, weights: np.ndarray | None, candidates: list[dict[str, Any]], splits: list[tuple[Any, Any]]
    ) -> list[Trial]:
        """All fits; those with equally many components on one split go together."""
        groups = [list(group) for _, group in itertools.groupby(enumerate(candidates), _components_of)]
        numbers = range(len(splits)) if self.criterion == "likelihood" else [None]
        fits = Parallel(n_jobs=self.n_jobs)(
            delayed(fit_group)(self.estimator, group, X, weights, split, self.criterion, self.verbose, number)
            for number, split in zip(numbers, splits, strict=True)
            for group in groups
        )
        return [trial for group in fits for trial in group]

    def _fit_best(self, X: Any, weights: np.ndarray | None) -> list[Complaint]:
        """Fit the best candidate to all rows; gives what that warned of."""
        complaints: list[Complaint] = []
        best = self.best_estimator_ = clone(self.estimator).set_params(**self.best_params_)
        best.checkpoint = place_of(self.estimator, self.best_params_)
        with spoken_for(Fit(self.best_params_), self.estimator.random_state, complaints):
            fit_checked(best, X, weights)
        best.checkpoint = self.estimator.checkpoint
        return complaints

    def _candidates(self) -> list[dict[str, Any]]:
        """Settings of the estimator, those with equally many components side by side."""
        n_components, n_factors = _values("n_components", self.n_components), _values("n_factors", self.n_factors)
        codes = STRUCTURES if isinstance(self.structures, str) else self.structures
        structures = [{}] if codes is None else [structure(letters) for letters in codes]
        candidates = [
            {"n_components": K, "n_factors": q, **settings}
            for K, settings, q in itertools.product(n_components, structures, n_factors)
        ]
        if not candidates:
            raise ValueError(
                f"no candidates: n_components={self.n_components!r}, n_factors={self.n_factors!r}, "
                f"structures={self.structures!r}; give at least one value of each"
            )
        return candidates

    def _splits(self, n_rows: int, y: Any) -> list[tuple[Any, Any]]:
        if self.criterion != "likelihood":
            return [(slice(None), slice(None))]
        folds = 5 if self.cv is None else self.cv
        if isinstance(folds, Integral):
            folds = KFold(int(folds), shuffle=True, random_state=0)
        return list(check_cv(folds).split(np.empty(n_rows), y))

    def _keep(self, trials: list[Trial], candidates: list[dict[str, Any]], n_splits: int) -> None:
        trials = sorted(trials, key=lambda trial: trial.candidate)  # stable: splits stay in order
        more = {}
        for name in trials[0].facts:
            values = np.reshape([trial.facts[name] for trial in trials], (-1, n_splits))
            more[name] = values.all(1) if values.dtype == bool else values.mean(1)
        self.n_splits_ = n_splits
        self.cv_results_ = format_results(self, candidates, n_splits, [trial.scores for trial in trials], more)
        self.best_index_ = int(self.cv_results_["mean_test_score"].argmax())
        self.best_score_ = float(self.cv_results_["mean_test_score"][self.best_index_])
        self.best_params_ = dict(candidates[self.best_index_])
        self.best_estimator_ = trials[self.best_index_ * n_splits].estimator

    @property
    def results_(self) -> pd.DataFrame:
        """A table with a row per candidate, in the order of `cv_results_`."""
        check_is_fitted(self)
        pd = import_optional("pandas", "results_")
        found = self.cv_results_
        table = pd.DataFrame(
            {
                "n_components": [params["n_components"] for params in found["params"]],
                "n_factors": [params["n_factors"] for params in found["params"]],
                "structure": [code(self.estimator, params) for params in found["params"]],
                "n_parameters": found["n_parameters"].astype(int),
            }
        )
        if self.criterion == "likelihood":
            table["likelihood"], table["likelihood_std"] = found["mean_test_score"], found["std_test_score"]
            # Of the mean: the deviation is that of scikit-learn, which divides by the number of splits. One split tells
            # nothing of it.
            others = self.n_splits_ - 1 or np.nan
            table["likelihood_sem"] = table["likelihood_std"] / np.sqrt(others)
            table["train_likelihood"] = found["mean_train_score"]
        else:
            names = ("log_likelihood", "aic", "bic", "icl")
            table[list(names)] = np.stack([found[name] for name in names], axis=1)
        last = {"n_iter": "n_iter", "converged": "converged", "mean_fit_time": "fit_time", "rank_test_score": "rank"}
        return table.assign(**{new: found[name] for name, new in last.items()})

    def plot(self, ax: Axes | None = None) -> Axes:
        """The criterion over the number of components, a line for each number of factors and structure.

        The same as ``SearchDisplay.from_estimator(search).ax_``.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes of a new figure by default.

        Returns
        -------
        ax : matplotlib Axes
        """
        from ._displays.search import SearchDisplay

        return SearchDisplay.from_estimator(self, ax=ax).ax_

    def score(
        self, X: ArrayLike | Tensor | RowSource, y: object = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Mean log-likelihood per row of the best mixture, in nats."""
        check_is_fitted(self)
        return self.best_estimator_.score(X, sample_weight=sample_weight)

    def transform(self, X: ArrayLike | Tensor | RowSource) -> Any:
        """The code of each row under the best mixture, as `MFA.transform` gives it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        code : CSR matrix (or ndarray if the mixture has ``sparse_output=False``)

        Raises
        ------
        ValueError
            If `set_output` asks for frames, which hold no sparse matrix, and the mixtures have ``sparse_output=True``.
        """
        # Stands here, and not in the base class only, because `set_output` wraps what a class itself defines.
        check_is_fitted(self)
        check_frame_holds(self, self.best_estimator_.sparse_output)
        return self.best_estimator_.transform(X)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Names of the columns of `transform`, those of the best mixture."""
        check_is_fitted(self)
        return self.best_estimator_.get_feature_names_out(input_features)

    def get_metadata_routing(self) -> Any:
        """What metadata `fit` and `score` take; `sample_weight` is handed on to the mixtures."""
        return BaseEstimator.get_metadata_routing(self)

    def _run_search(self, evaluate_candidates: Callable[..., Any]) -> None:
        raise NotImplementedError("fit groups candidates by their number of components and does not come here")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        mixture = get_tags(self.estimator)
        tags.input_tags, tags.transformer_tags = deepcopy(mixture.input_tags), deepcopy(mixture.transformer_tags)
        return tags


def _values(name: str, given: Any) -> list[Any]:
    values = [given] if isinstance(given, Integral) else list(given)
    for value in values:
        if isinstance(value, str):
            raise TypeError(f"{name} holds {value!r}, which is no number; give values to try, such as {name}=[1, 2, 3]")
    return [int(value) if isinstance(value, Integral) else value for value in values]


def _components_of(numbered: tuple[int, dict[str, Any]]) -> Any:
    return numbered[1]["n_components"]


def _check_feasible(
    shape: tuple[int, int],
    candidates: list[dict[str, Any]],
    splits: list[tuple[Any, Any]],
    weights: np.ndarray | None,
) -> None:
    """Refuse candidates that the rows that count cannot carry, and splits without such rows, before any is fitted."""
    counted = np.ones(shape[0], dtype=bool) if weights is None else weights > 0
    if not all(counted[part].any() for split in splits for part in split):
        raise ValueError("sample_weight is zero for all rows of a split; give another cv, or leave such rows out")
    n_rows = min(int(counted[train].sum()) for train, _ in splits)
    for params in candidates:
        check_sizes(n_rows, shape[1], params["n_components"], int(np.max(params["n_factors"])))
