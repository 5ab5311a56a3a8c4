"""Which rows are whose; what processes refuse of each other is in test_distributed_refusals.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist

from mfa_sklearn import ActivationStore, share_rows

X = np.arange(22.0).reshape(11, 2)


@pytest.mark.parametrize("size", [1, 3, 11, 13])
def test_shares_are_all_rows_in_order_and_of_like_length(size: int) -> None:
    shares = [share_rows(X, rank, size) for rank in range(size)]
    np.testing.assert_array_equal(np.concatenate(shares), X)
    lengths = [len(share) for share in shares]
    assert max(lengths) - min(lengths) <= 1 and all(share.base is not None for share in shares)


def test_any_form_of_rows_is_shared_and_keeps_its_facts(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for rows in (torch.from_numpy(X), mapped, tmp_path / "x.npy", [X[:4], X[4:]]):
        np.testing.assert_array_equal(np.asarray(share_rows(rows, 1, 3)[:]), X[3:7])


def test_a_store_is_shared_by_rows_and_not_by_layers(tmp_path: Path) -> None:
    facts = {"tokens": list("abcdefghijk"), "text_index": np.arange(11) // 3}
    store = ActivationStore.from_arrays(tmp_path / "store", {4: X}, **facts)
    for rows in (store, store[4], tmp_path / "store"):
        own = share_rows(rows, 2, 3)
        assert own.rows["tokens"].tolist() == list("hijk")
        np.testing.assert_array_equal(own[:], X[7:])


def test_the_numbers_are_those_of_the_group(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="init_process_group before, or give rank and size"):
        share_rows(X)
    dist.init_process_group("gloo", store=dist.FileStore(str(tmp_path / "meet"), 1), rank=0, world_size=1)
    try:
        np.testing.assert_array_equal(share_rows(X), X)
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize(
    ("rows", "numbers", "said"),
    [
        (X.tolist(), (0, 2), "rows of list are not shared out: give an array"),
        ({"a": X}, (0, 2), "rows of dict are not shared out"),
        (X, (1, None), "rank=1 and size=None go together"),
        (X, (2, 2), "rank=2 is out of range"),
    ],
)
def test_what_cannot_be_shared_is_refused(rows: Any, numbers: tuple[Any, Any], said: str) -> None:
    with pytest.raises((TypeError, ValueError), match=said):
        share_rows(rows, *numbers)
