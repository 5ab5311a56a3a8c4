"""Numbers on disk: bfloat16 beside numpy's own types."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_stores import SOURCE, TEXTS, token_rows

from mfa_sklearn import ActivationStore
from mfa_sklearn.activations._row_plan import LayerRows
from mfa_sklearn.activations._store_numbers import narrowed, widened
from mfa_sklearn.activations._store_writer import write_store

ALL_BITS = np.arange(2**16, dtype=np.uint16)


def test_every_bfloat16_is_read_as_torch_reads_it() -> None:
    theirs = torch.from_numpy(ALL_BITS.view(np.int16)).view(torch.bfloat16).float().numpy()
    np.testing.assert_array_equal(widened(ALL_BITS, "bfloat16").view(np.uint32), theirs.view(np.uint32))


def test_every_bfloat16_is_written_as_it_is() -> None:
    finite = ALL_BITS[np.isfinite(widened(ALL_BITS, "bfloat16"))]
    np.testing.assert_array_equal(narrowed(widened(finite, "bfloat16"), "bfloat16", 0), finite)


def test_rounding_is_to_nearest_ties_to_even() -> None:
    step = 2.0**-7
    values = np.array([1 + step / 2, 1 + 3 * step / 2, 1 + 0.49 * step, 1 + 0.51 * step], np.float32)
    found = widened(narrowed(values, "bfloat16", 0), "bfloat16")
    np.testing.assert_array_equal(found, np.float32([1, 1 + 2 * step, 1, 1 + step]))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_numbers_that_may_not_be_written_to_are_narrowed(dtype: str) -> None:
    values = np.float32([[1, -2.5], [0, 3]])
    values.flags.writeable = False
    for some in (values, values[:, ::-1], values.astype(np.float64)):
        np.testing.assert_array_equal(widened(narrowed(some, dtype, 0), dtype), some)


@pytest.mark.parametrize(
    ("dtype", "value", "match"),
    [
        (
            "float16",
            7e4,
            "layer 3 has activations of 7e[+]04, beyond float16's 65504: use dtype='bfloat16' or 'float32'",
        ),
        ("bfloat16", 3.4e38, "beyond bfloat16's 3.3895e[+]38"),
        ("float32", 1e39, "beyond float32's 3.4028e[+]38: no type on disk holds them"),
    ],
)
def test_numbers_beyond_the_type(dtype: str, value: float, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        narrowed(np.array([[value]]), dtype, 3)


def test_a_store_of_bfloat16_is_read_as_float32(tmp_path: Path) -> None:
    wide: list[np.ndarray] = []

    def extract(texts: list[str], labels: object, first: int) -> LayerRows:
        rows = token_rows(texts, ["a"] * len(texts), first)
        rows.layers[0] *= 1e6  # beyond float16
        wide.append(rows.layers[0])
        return rows

    store = write_store(tmp_path, extract, {}, SOURCE, TEXTS, shard_size=7, dtype="bfloat16")
    assert np.load(tmp_path / "shard-00000.layer-7.npy").dtype == np.uint16 and store.verify()
    expected = torch.from_numpy(np.concatenate(wide)).to(torch.bfloat16).float().numpy()
    rows = ActivationStore(tmp_path)[7]
    assert rows.dtype == store.dtype == np.float32 and rows[[3, 1]].dtype == np.float32
    for found in (np.asarray(rows), np.asarray(rows[:]), np.asarray(store.load())):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.asarray(rows[[40, 3]]), expected[[40, 3]])
    np.testing.assert_array_equal(np.concatenate(list(rows.batches(13))), expected)


def test_damaged_numbers_are_told(tmp_path: Path) -> None:
    source = {"layer": 7, "hooks": ["h"]}
    write_store(tmp_path, lambda t, _, f: token_rows(t, ["a"] * len(t), f), {}, source, TEXTS, dtype="bfloat16")
    path = tmp_path / "shard-00000.layer-7.npy"
    np.save(path, np.load(path).view(np.float16))
    with pytest.raises(ValueError, match=r"it holds float16 of shape .*, not uint16"):
        ActivationStore(tmp_path).load()
