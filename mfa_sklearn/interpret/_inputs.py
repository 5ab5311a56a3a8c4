"""What the functions of this folder may be handed, checked before work is spent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from .._base.annotated import given_rows, is_row_source
from .._base.checks import check_component, import_optional
from .._base.coded import Coded, compact_fact, short_fact
from .._base.labels import check_strings, is_missing, label_array, none_where_missing
from .._base.origin import other_source, warn_incomplete
from ..mixture._validation import check_rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def check_mixture(mfa: Any) -> int:
    """The number of components of a fitted mixture."""
    if isinstance(mfa, Pipeline):
        raise TypeError(
            "expected a fitted MFA, got a Pipeline; pass its last step, pipe[-1], and the activations it sees"
        )
    if not hasattr(mfa, "iter_log_joint"):
        raise TypeError(f"expected a fitted MFA, got {type(mfa).__name__}, which has no method iter_log_joint")
    if not hasattr(mfa, "means_"):
        check_is_fitted(mfa)
    return len(mfa.means_)


def as_rows(activations: Any, mfa: Any = None) -> Any:
    """`activations` as something with ``shape`` and rows to read by number; whatever `fit` takes is taken.

    Arrays, stores and tensors are handed on as they are, with the facts they carry; a store of activations stands for
    those of its only layer. Frames, lists and what else scikit-learn reads become a tensor, after the names of their
    columns were compared with those that the mixture was fitted on: nothing that reads them later can. Rows that are
    known to come from elsewhere than those that `mfa` was fitted on are refused: no table of them would mean anything.
    """
    activations = given_rows(activations)
    said = other_source(getattr(mfa, "source_", None), activations)
    if said:
        raise ValueError(
            f"the mixture says nothing of activations from elsewhere: {said}. Extract them where it was fitted, or "
            "pass numpy.asarray(activations), which has no source, if that is meant"
        )
    warn_incomplete(activations)
    if not (isinstance(activations, np.ndarray | Tensor) or is_row_source(activations)):
        if isinstance(mfa, BaseEstimator):
            rows = check_rows(mfa, activations, reset=False)
            return torch.from_numpy(rows if rows.flags.writeable else rows.copy())
        activations = np.asarray(activations)
    if len(activations.shape) != 2:
        shape = tuple(activations.shape)
        raise ValueError(f"activations must be two-dimensional, one row per token; got shape {shape}")
    return activations.detach() if isinstance(activations, Tensor) else activations


def optional_fact(activations: Any, name: str, given: ArrayLike | Coded | None = None) -> np.ndarray | Coded | None:
    """One entry per row: as `given`, else what the activations carry under that name, else None.

    Labels that are missing are None. Strings of rows that are read from disk are codes.
    """
    fact = compact_fact(activations, name) if given is None else given
    if fact is None:
        return None
    if isinstance(fact, Coded):
        values: np.ndarray | Coded = fact
    else:
        values = label_array(fact) if name == "labels" and given is not None else np.asarray(fact)
    if values.ndim != 1 or len(values) != len(activations):
        raise ValueError(
            f"{name} must hold one entry per row: got shape {values.shape} for {len(activations)} rows of activations"
        )
    if name == "labels":
        return values if isinstance(values, Coded) else none_where_missing(values)
    _check_known(name, fact, values)
    return values


def any_known(labels: np.ndarray | Coded) -> bool:
    """Whether any of the labels that `optional_fact` gives is known."""
    return len(labels.values) > 0 if isinstance(labels, Coded) else any(label is not None for label in labels)


def _check_known(name: str, fact: Any, values: np.ndarray | Coded) -> None:
    """Refuse entries that are masked, None or NaN, which would be shown as if they were something."""
    if isinstance(fact, np.ma.MaskedArray):
        unknown = np.ma.getmaskarray(fact)
    elif values.dtype.kind == "O":
        among = values.values if isinstance(values, Coded) else values
        unknown = np.array([is_missing(value) and not isinstance(value, str | bytes) for value in among], dtype=bool)
        unknown = np.append(unknown, True)[values.codes] if isinstance(values, Coded) else unknown
    else:
        return
    if unknown.any():
        raise ValueError(
            f"{name}[{int(unknown.argmax())}] is missing, and {unknown.sum() - 1} others: give every row one, if only "
            "an empty string"
        )


def required_fact(activations: Any, name: str, given: ArrayLike | Coded | None, caller: str) -> np.ndarray | Coded:
    """As `optional_fact`; an error that says how to pass it where there is none."""
    fact = optional_fact(activations, name, given)
    if fact is None:
        raise ValueError(
            f"{caller} needs {name}, and these activations ({type(activations).__name__}) carry none; pass {name}=..., "
            "one entry per row, or use the ActivationArray that ActivationExtractor returns"
            + (" for labeled texts" if name == "labels" else "")
        )
    return fact


def numbered(
    name: str, values: np.ndarray | Coded, caller: str, *, sort: bool = False, missing: bool = False
) -> tuple[np.ndarray, Any]:
    """The number of each entry's value, -1 for one that is None if `missing`, and the values by number.

    Raises
    ------
    ValueError
        If a string holds half of a surrogate pair, which no table of pandas can hold.
    """
    if isinstance(values, Coded):
        numbers, found = numbered(name, values.values, caller, sort=sort)
        return np.append(numbers, -1).astype(np.int32)[values.codes], found
    check_strings(name, values)
    if values.dtype == np.float16:  # which pandas has no index of
        values = values.astype(np.float32)
    factorize = import_optional("pandas", caller).factorize
    try:
        return factorize(values, sort=sort, use_na_sentinel=missing)
    except TypeError:
        if not sort:
            raise
    # Values without an order of their own, such as those of an enumeration, by how they are written.
    codes, found = factorize(values, use_na_sentinel=missing)
    order = np.array(sorted(range(len(found)), key=lambda i: (type(found[i]).__name__, str(found[i]))), dtype=int)
    return np.where(codes < 0, -1, np.argsort(order)[codes]), found[order]


def row_groups(activations: Any, groups: ArrayLike | None, caller: str) -> np.ndarray:
    """A number for the group of each row, (n,): as given, else its text, else its own."""
    if groups is None:
        texts = short_fact(activations, "text_index")
        return np.arange(len(activations)) if texts is None else np.asarray(texts)
    values = optional_fact(activations, "groups", groups)
    assert values is not None
    return numbered("groups", values, caller)[0]


def selected_components(components: int | Sequence[int] | None, n_components: int) -> np.ndarray:
    """Sorted distinct component indices; all of them for None."""
    if components is None:
        return np.arange(n_components)
    chosen = [check_component(k, n_components) for k in np.atleast_1d(np.asarray(components, dtype=object))]
    if not chosen:
        raise ValueError("components is empty; name at least one, or pass None for all")
    return np.unique(chosen)
