"""Which rows are whose in a group of processes, and what these must have in common before they fit together."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np
import torch
import torch.distributed as dist
from sklearn.utils import check_random_state
from torch import Tensor

from .._base.annotated import given_rows, is_row_source, shared_fact
from .._base.devices import plain_array, resolve_device
from .._base.group import ALONE, AnyGroup, group_of
from .._base.origin import differences, told
from .._base.row_views import share_of
from ._fit.progress import mixture_digest

_Method = TypeVar("_Method", bound=Callable[..., Any])
# Parameters that a process may have for itself: the first one's random state is what counts.
_OWN = {"random_state", "device", "verbose"}


def share_rows(X: Any, rank: int | None = None, size: int | None = None) -> Any:
    """The rows of a table that are this process's, where several fit together.

    Each process has one run of the rows, in the order of the ranks; their lengths differ by one at most, and are zero
    where there are more processes than rows. So the rows of all processes are the table itself, and a fit with
    ``distributed=True`` is that of one process to the table. Nothing is copied or read.

    Parameters
    ----------
    X : array, tensor, memory map, activation store of one layer, path, or list of these
        The whole table, the same in every process.
    rank, size : int, optional
        The number of this process, from 0, and how many there are; by default those of the default group of
        `torch.distributed`.

    Returns
    -------
    array-like of shape (n, d)
        Of an array or tensor a view. Anything else is read as its rows are needed, with their facts.

    Raises
    ------
    TypeError
        If `X` is a frame or anything else that is not read row by row.
    ValueError
        If there is no process group and no numbers are given, or they do not go together.

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn import share_rows
    >>> X = np.arange(10).reshape(5, 2)
    >>> [len(share_rows(X, rank, 3)) for rank in range(3)], share_rows(X, 2, 3).tolist()
    ([1, 2, 2], [[6, 7], [8, 9]])
    """
    rows = given_rows(X)
    if not (isinstance(rows, np.ndarray | Tensor) or is_row_source(rows)):
        raise TypeError(
            f"rows of {type(X).__name__} are not shared out: give an array (numpy.asarray(X)), a memory map, a tensor, "
            "a store of one layer, or the path of one of these"
        )
    if (rank is None) != (size is None):
        raise ValueError(f"rank={rank} and size={size} go together: give both, or neither for those of the group")
    if rank is None or size is None:
        if not (dist.is_available() and dist.is_initialized()):
            raise ValueError(
                "there is no process group of torch.distributed, so a process does not know which rows are its own: "
                "call torch.distributed.init_process_group before, or give rank and size"
            )
        rank, size = dist.get_rank(), dist.get_world_size()
    return share_of(rows, rank, size)


def group_for(estimator: Any) -> AnyGroup:
    """The group that an estimator is fitted in."""
    return group_of(estimator.distributed, resolve_device(estimator.device))


def failing_together(method: _Method) -> _Method:
    """A method of an estimator that is fitted in a group: what it refuses on one process ends it on all.

    That goes for what is looked at before the processes talk to each other, such as a path that is not there, or a
    parameter that is out of range; the others would wait, or meet a later fit of this one.
    """

    @wraps(method)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        with _group_before_checks(self).failing_together():
            return method(self, *args, **kwargs)

    return cast(_Method, run)


def _group_before_checks(estimator: Any) -> AnyGroup:
    """The group of an estimator whose parameters may be anything."""
    if not isinstance(estimator.distributed, bool | np.bool_):
        return ALONE
    try:
        return group_for(estimator)
    except (ValueError, TypeError):
        return group_of(bool(estimator.distributed), resolve_device("auto"))


def told_random_state(estimator: Any, group: AnyGroup) -> np.random.RandomState:
    """The first process's generator, on all in the same state.

    The global one belongs to everyone: what others draw from it during a fit, such as a callback of one process, must
    not part the processes. So in a group it only gives the seed of another one.
    """
    rng = check_random_state(estimator.random_state)
    if group.size > 1 and estimator.random_state is None:
        rng = np.random.RandomState(rng.randint(2**31 - 1))
    return group.tell(rng)


def least_rows(group: AnyGroup) -> int:
    """Rows that a process must bring: others of a group may have them."""
    return 1 if group.size == 1 else 0


def check_shares(estimator: Any, rows: Any, sample_weight: Any, group: AnyGroup, goes_on: bool = False) -> None:
    """Refuse rows of different width or type, and different parameters, with an error on all processes.

    Parameters
    ----------
    estimator : MFA or KMeansInitializer
    rows : array-like of shape (n, D)
        Those of this process.
    sample_weight : array-like (n,) or None
    group : Alone or Group
    goes_on : bool
        Whether what the estimator has learned is where it starts.

    Raises
    ------
    ValueError
    """
    if group.size == 1:
        return
    names = getattr(estimator, "feature_names_in_", None)
    facts = {
        "estimator": type(estimator).__name__,
        "number of columns": int(rows.shape[1]),
        "type of the rows": str(rows.dtype).removeprefix("torch."),
        "names of the columns": None if names is None else list(names),
        "use of sample_weight": "none" if sample_weight is None else "given",
    }
    parameters = estimator.get_params(deep=True)
    shown = {name for name in parameters if name.rpartition("__")[2] not in _OWN}
    facts |= {f"parameter {name}": _comparable(parameters[name], name == "init") for name in sorted(shown)}
    facts["mixture of the last fit"] = f"digest {mixture_digest(estimator).hex()[:12]}" if goes_on else None
    group.check_alike(facts)
    if not sum(group.numbers(int(rows.shape[0]))):
        raise ValueError("no process of the group has any rows; give each its share of the table")


def shared_source(X: Any, group: AnyGroup) -> Any:
    """What the rows of a group were, from the first process that has any that say it.

    Raises
    ------
    ValueError
        If those of another are known to be of something else.
    """
    sources = group.objects(shared_fact(X, "source"))
    first = next((rank for rank, source in enumerate(sources) if source is not None), 0)
    for rank, source in enumerate(sources):
        found = differences(sources[first], source)
        if found:
            raise ValueError(
                f"the rows of rank {first} are of {told(sources[first])}, those of rank {rank} of {told(source)}: they "
                f"differ in {' and '.join(difference.fact for difference in found)}. Give all processes rows of one "
                "place (numpy.asarray(X) has no source, if that is meant)"
            )
    return sources[first]


def _comparable(value: Any, may_be_labels: bool = False) -> Any:
    """What may be compared with that of another process: of an array its digest, of labels of rows that they are."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, type | np.dtype):
        return np.dtype(value).name
    if isinstance(value, torch.dtype):
        return str(value).removeprefix("torch.")
    if hasattr(value, "get_params"):
        return type(value).__name__
    if not hasattr(value, "__len__"):
        return str(value)
    array = np.asarray(plain_array(value))
    if array.ndim == 1 and may_be_labels:
        return "labels"
    return f"array {array.shape} {hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:12]}"
