"""Labels, of which some may be missing, in one form everywhere.

A label is missing where it is None, NaN, NaT, `pandas.NA`, masked, or a string without a character that shows. In
memory a missing label is None. On disk, where nothing is unpickled, it is the value of its type that says so (an empty
string, NaN, NaT); integers and booleans have none, so a field beside them says which are known.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Set
from enum import Enum
from numbers import Integral, Number
from typing import Any

import numpy as np

from .words import check_unicode, shortened

# What programs write where a label is missing and they have no better way to say so.
_DOUBTFUL = ("nan", "NaN", "None", "<NA>", "NaT")
# Strings looked at together, so that what is compared stays small.
_ROWS = 1 << 16
# Characters a string without one that shows can begin with: its end, and white space.
_BLANKS = np.array([0, *(code for code in range(0x3001) if chr(code).isspace())], dtype=np.uint32)
_NUMBERS = (Number, np.bool_, np.datetime64, np.timedelta64)
# What stands for a missing label in a file, by the kind of the array.
_MISSING_ON_DISK: dict[str, Any] = {"U": "", "S": b"", "f": np.nan, "c": np.nan, "M": "NaT", "m": "NaT"}

_KINDS = {"U": "strings", "S": "bytes", "M": "dates", "m": "durations"}


def label_array(labels: Any, name: str = "labels") -> np.ndarray:
    """Labels in one dimension, the missing ones as None.

    Parameters
    ----------
    labels : array-like of length n
        Strings, numbers, or other things of one dimension.
    name : str
        What they are called, for messages.

    Returns
    -------
    ndarray of shape (n,)
        Of strings or numbers where all labels are; of objects where some are missing or they are of several types.

    Raises
    ------
    TypeError
        If it is a string, a dict, a set or no collection at all.
    ValueError
        If it has another number of dimensions than one, or a string in it holds half of a surrogate pair.

    Warns
    -----
    UserWarning
        If labels are the string 'nan' or the like, which are taken as labels.

    Examples
    --------
    >>> import numpy as np
    >>> label_array(["river", float("nan"), "", None]).tolist()
    ['river', None, None, None]
    >>> label_array([3, 1]).dtype.kind
    'i'
    """
    values = none_where_missing(_one_dimension(labels, name))
    check_strings(name, values)
    _warn_of_words(values, name)
    return values


def none_where_missing(labels: np.ndarray) -> np.ndarray:
    """Labels (n,) with None for the missing ones; the same array where none is."""
    missing = _missing(labels)
    if not missing.any():
        return labels
    found = _objects(labels)
    found[missing] = None
    return found


def check_strings(name: str, values: np.ndarray) -> None:
    """Refuse strings (n,) of which one holds half of a surrogate pair; the message names its number."""
    if values.dtype.kind == "O":
        for number, value in enumerate(values):
            if isinstance(value, str):
                check_unicode(f"{name}[{number}]", value)
    elif values.dtype.kind == "U" and values.size:
        for start in range(0, len(values), _ROWS):
            part = np.ascontiguousarray(values[start : start + _ROWS])
            codes = part.view(np.uint32).reshape(len(part), -1)
            broken = np.flatnonzero(((codes >= 0xD800) & (codes < 0xE000)).any(axis=1))
            if len(broken):
                check_unicode(f"{name}[{start + broken[0]}]", str(part[broken[0]]))


def to_disk(labels: np.ndarray) -> np.ndarray:
    """Labels of `label_array` in a form that a ``.npy`` file holds without pickling.

    Raises
    ------
    TypeError
        If they are neither all numbers nor all strings.
    """
    if labels.dtype != object:
        return labels
    known = np.array([label is not None for label in labels], dtype=bool)
    values = _plain(list(labels[known])) if known.any() else np.zeros(0, "U1")
    if values.dtype.kind not in "USfcMmiub":
        raise TypeError("labels on disk must be numbers or strings, all of one kind: map others to these")
    if known.all():
        return values
    whole = np.full(len(labels), _MISSING_ON_DISK.get(values.dtype.kind, 0), dtype=values.dtype)
    whole[known] = values
    if values.dtype.kind in _MISSING_ON_DISK:
        return whole
    marked = np.empty(len(labels), dtype=[("label", whole.dtype), ("known", bool)])
    marked["label"], marked["known"] = whole, known
    return marked


def label_kind(labels: Iterable[Any]) -> str:
    """What labels of `label_array` are, all of one kind, by the first that is known; empty if none is.

    Examples
    --------
    >>> label_kind(label_array([None, 3])), label_kind(label_array(["river"]))
    ('numbers', 'strings')
    """
    known = next((label for label in labels if label is not None), None)
    return "" if known is None else _KINDS.get(np.asarray(known).dtype.kind, "numbers")


def from_disk(stored: np.ndarray) -> np.ndarray:
    """The labels that `to_disk` wrote, the missing ones as None."""
    if stored.dtype.names:
        labels = _objects(stored["label"])
        labels[~stored["known"]] = None
        return labels
    return none_where_missing(stored)


def _one_dimension(labels: Any, name: str) -> np.ndarray:
    """`labels` as an array of one dimension, without turning what is missing into something else."""
    if isinstance(labels, str | bytes | Mapping | Set) or not isinstance(labels, Iterable):
        raise TypeError(f"{name} must be a list or an array of one dimension, got {type(labels).__name__}")
    if isinstance(labels, np.ma.MaskedArray):
        mask, labels = np.ma.getmaskarray(labels), labels.data.astype(object)
        labels[mask] = None
    if hasattr(labels, "__array__"):
        values = np.asarray(labels)
        _check_dimensions(name, values.shape)
        if values.dtype.kind == "f":
            values = _whole_numbers(labels, values)
        return _plain(list(values)) if values.dtype == object else values
    found = list(labels)
    for label in found:
        if isinstance(label, list | tuple | dict | set | frozenset) or getattr(label, "ndim", False):
            _check_dimensions(name, (len(found), len(label)))
    return _plain(found)


def _whole_numbers(labels: Any, values: np.ndarray) -> np.ndarray:
    """Labels of pandas' and others' own types, whose integers numpy turns into floats where one is missing."""
    as_list = (getattr(labels, method, None) for method in ("tolist", "to_list", "to_pylist"))
    listed = next((method for method in as_list if method is not None), None)
    if isinstance(getattr(labels, "dtype", values.dtype), np.dtype) and not hasattr(labels, "to_pylist"):
        return values
    return values if listed is None else _objects([None if is_missing(label) else label for label in listed()])


def _check_dimensions(name: str, shape: tuple[int, ...]) -> None:
    if len(shape) != 1:
        raise ValueError(
            f"{name} have shape {tuple(shape)}, but must have one dimension: pass one column of them, or of columns "
            f"of 0 and 1 {name}.argmax(1)"
        )


def _plain(found: list[Any]) -> np.ndarray:
    """An array of strings or numbers where all are, else of objects."""
    found = [_bare(label) for label in found]
    for kind in (str, bytes):
        if found and all(isinstance(label, kind) for label in found):
            _check_ends(found, kind)
            return np.array(found, dtype=kind)
    if found and all(isinstance(label, _NUMBERS) for label in found):
        values = np.asarray(found)
        if values.dtype != object and not _are_rounded(found, values):
            return values
    return _objects(found)


def _bare(label: Any) -> Any:
    """The string or number that a member of an enumeration is; numpy would take the beginning of its name."""
    if isinstance(label, str):
        return str.__str__(label)
    return int(label) if isinstance(label, Enum) and isinstance(label, int) else label


def _check_ends(found: list[Any], kind: type) -> None:
    """Refuse labels that differ from others by null characters at their end, which arrays of strings do not keep."""
    null = "\0" if kind is str else b"\0"
    for number, label in enumerate(found):
        if label.endswith(null):
            raise ValueError(f"label {number}, {shortened(label)}, ends with a null character: remove it")


def _are_rounded(found: list[Any], values: np.ndarray) -> bool:
    """Whether integers beyond 2^53 became floats, in which different ones may be the same."""
    if values.dtype.kind != "f":
        return False
    return any(
        isinstance(label, Integral) and int(label) != float(value) for label, value in zip(found, values, strict=True)
    )


def _objects(found: Any) -> np.ndarray:
    """An array of objects, each as it is: numpy's own conversion makes integers of dates."""
    if isinstance(found, np.ndarray) and found.dtype.kind not in "mM":
        return found.astype(object)
    values = np.empty(len(found), dtype=object)
    for i, label in enumerate(found):
        values[i] = label
    return values


def _missing(values: np.ndarray) -> np.ndarray:
    """Where labels (n,) are missing."""
    kind = values.dtype.kind
    if kind == "U":
        return _blank(values)
    if kind in "fcMm":
        return np.asarray(values != values)
    if kind in "OS":
        return np.array([is_missing(label) for label in values], dtype=bool)
    return np.zeros(len(values), dtype=bool)


def _blank(values: np.ndarray) -> np.ndarray:
    """Where strings (n,) have no character that shows; all but a few are told by their first one."""
    missing = np.zeros(len(values), dtype=bool)
    if not values.size:
        return missing
    first = np.ascontiguousarray(values).view(np.uint32).reshape(len(values), -1)[:, 0]
    doubtful = np.flatnonzero(np.isin(first, _BLANKS))
    missing[doubtful] = np.char.str_len(np.char.strip(values[doubtful])) == 0
    return missing


def is_missing(label: Any) -> bool:
    """Whether a label, or a cell of any table, says nothing."""
    if label is None or label is np.ma.masked or type(label).__name__ == "NAType":
        return True
    if isinstance(label, str | bytes):
        return not label.strip()
    try:
        return bool(label != label)  # NaN and NaT, of whatever type
    except (TypeError, ValueError, ArithmeticError):
        return False


def _warn_of_words(values: np.ndarray, name: str) -> None:
    if values.dtype.kind not in "UO":
        return
    found = {word: int(np.sum(values == word)) for word in _DOUBTFUL}
    said = ", ".join(f"{word!r} ({count:,})" for word, count in found.items() if count)
    if said:
        warnings.warn(
            f"{name} hold {said}, taken as labels: where no label is meant, leave it empty or pass None (beside "
            "strings numpy turns NaN into 'nan': pass a list, or an array of dtype object)",
            UserWarning,
            stacklevel=4,
        )
