"""Copies of rows of memory maps are what plain indexing gives, and leave no pages resident that may go."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np
import pytest

from mfa_sklearn._base import mapped as mapped_module
from mfa_sklearn._base.mapped import copy_rows, shared_mapping

N_ROWS, WIDTH = 3000, 40
INDICES = {
    "all": slice(None),
    "some": slice(100, 2000),
    "stepped": slice(5, 2900, 7),
    "backwards": slice(None, None, -1),
    "backwards by threes": slice(2900, 10, -3),
    "from the end": slice(-50, -10),
    "beyond the end": slice(2990, 5000),
    "none": slice(20, 20),
    "none backwards": slice(20, 10),
    "ascending": np.arange(3, 3000, 11),
    "unordered": np.random.default_rng(0).permutation(N_ROWS),
    "repeated": np.array([7, 7, 2999, 0, 7]),
    "negative": np.array([-1, 5, -3000]),
    "one": np.array([17]),
    "no numbers": np.array([], dtype=int),
    "mask": np.arange(N_ROWS) % 3 == 1,
}


@pytest.fixture(autouse=True)
def short_spans(monkeypatch):
    """A few pages at once, so that every copy has many pieces."""
    monkeypatch.setattr(mapped_module, "_SPAN_BYTES", 3 * mmap.PAGESIZE)


@pytest.fixture
def released(monkeypatch):
    """How many bytes are let go of, piece by piece."""
    sizes = []
    let_go = mapped_module._let_go

    def noted(mapping, view):
        sizes.append(view.nbytes)
        let_go(mapping, view)

    monkeypatch.setattr(mapped_module, "_let_go", noted)
    return sizes


def mapped(folder: Path, dtype=np.float32, mode="r", offset=0) -> tuple[np.memmap, np.ndarray]:
    """A map of random numbers, and the same in memory."""
    plain = np.random.default_rng(0).standard_normal((N_ROWS, WIDTH)).astype(dtype)
    (folder / "rows.bin").write_bytes(bytes(offset) + plain.tobytes())
    return np.memmap(folder / "rows.bin", dtype=dtype, mode=mode, shape=plain.shape, offset=offset), plain


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("kind", INDICES)
def test_copies_are_what_plain_indexing_gives(kind, dtype, tmp_path, released):
    X, plain = mapped(tmp_path, dtype)
    found = copy_rows(X, INDICES[kind])
    np.testing.assert_array_equal(found, plain[INDICES[kind]])
    assert found.dtype == dtype
    assert type(found) is np.ndarray
    assert found.flags.owndata
    assert bool(released) == bool(len(found))
    # and the map reads as before
    np.testing.assert_array_equal(X, plain)
    room = np.zeros((len(found) + 2, WIDTH), dtype=dtype)
    for table in (X, plain):
        room[:] = -1
        assert copy_rows(table, INDICES[kind], room[1:-1]).base is room
        np.testing.assert_array_equal(room[1:-1], found)
        assert (room[[0, -1]] == -1).all()


VIEWS = {
    "transposed": lambda X: X.T,
    "columns": lambda X: X[:, 3:30:2],
    "part": lambda X: X[1000:2000],
    "part of a part": lambda X: X[1000:][::2][3:],
    "upside down": lambda X: X[::-1, ::-1],
    "three axes": lambda X: X.reshape(N_ROWS, 8, 5),
    "array": np.asarray,
}


@pytest.mark.parametrize("offset", [0, 24, 3 * mmap.PAGESIZE + 8])
@pytest.mark.parametrize("kind", VIEWS)
def test_views_of_maps_are_maps(kind, offset, tmp_path, released):
    X, plain = (VIEWS[kind](a) for a in mapped(tmp_path, offset=offset))
    numbers = np.random.default_rng(0).permutation(len(plain))
    for index in (slice(None), slice(2, None, 3), numbers):
        np.testing.assert_array_equal(copy_rows(X, index), plain[index])
    assert sum(released) >= 2 * X.nbytes


@pytest.mark.parametrize("mode", ["r+", "w+"])
def test_what_was_written_to_a_shared_map_is_kept(mode, tmp_path):
    X, plain = mapped(tmp_path)
    X = np.memmap(tmp_path / "rows.bin", dtype=np.float32, mode=mode, shape=plain.shape)
    X[:] = plain + 1
    np.testing.assert_array_equal(copy_rows(X, slice(None)), plain + 1)
    np.testing.assert_array_equal(X, plain + 1)
    X.flush()
    np.testing.assert_array_equal(np.fromfile(tmp_path / "rows.bin", np.float32).reshape(plain.shape), plain + 1)


def test_what_was_written_to_a_private_map_is_not_let_go(tmp_path, released):
    """It is nowhere but in those pages."""
    X, plain = mapped(tmp_path, mode="c")
    X[:] = plain + 1
    assert shared_mapping(X) is None
    np.testing.assert_array_equal(copy_rows(X, slice(None)), plain + 1)
    np.testing.assert_array_equal(X, plain + 1)
    assert not released


def test_arrays_in_memory_are_not_copied():
    X = np.arange(20.0).reshape(10, 2)
    assert np.shares_memory(copy_rows(X, slice(2, 9, 3)), X)
    np.testing.assert_array_equal(copy_rows(X, np.array([3, -1])), X[[3, -1]])
    for plain in (X, X.tolist(), None, np.frombuffer(mmap.mmap(-1, 80))):
        assert shared_mapping(plain) is None


def test_a_calculation_from_a_map_is_no_map(tmp_path):
    X, _ = mapped(tmp_path)
    assert shared_mapping(X) is not None
    assert shared_mapping(X + 1) is None
    assert shared_mapping(X[[3, 5]]) is None


@pytest.mark.parametrize("kind", ["all", "stepped", "backwards", "ascending", "unordered"])
@pytest.mark.parametrize("view", ["array", "transposed", "columns", "upside down"])
@pytest.mark.parametrize("offset", [0, 24, 3 * mmap.PAGESIZE + 8])
def test_every_page_that_was_read_is_let_go_of(offset, view, kind, tmp_path, monkeypatch):
    advised = []

    class Noted(mmap.mmap):
        def madvise(self, option, start, length):
            advised.append((option, start, length))
            super().madvise(option, start, length)

    monkeypatch.setattr(mmap, "mmap", Noted)
    X, plain = mapped(tmp_path, offset=offset)
    # Where in the map each number stands; maps begin at a page, so what stands before the offset's page is no part.
    first = offset % mmap.ALLOCATIONGRANULARITY
    places = VIEWS[view](first + plain.itemsize * np.arange(plain.size).reshape(plain.shape))
    rows = INDICES[kind]
    rows = rows[rows < len(places)] if isinstance(rows, np.ndarray) else rows
    copy_rows(VIEWS[view](X), rows)
    let_go = np.zeros(first + plain.nbytes, dtype=bool)
    for option, start, length in advised:
        assert option == mmap.MADV_DONTNEED
        assert start % mmap.PAGESIZE == 0
        assert start + length <= len(let_go)
        let_go[start : start + length] = True
    assert let_go[places[rows]].all()
    if view == "array":
        assert max(length for _, _, length in advised) <= 5 * mmap.PAGESIZE


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="pages are kept here anyway")
def test_without_advice_to_the_system_maps_are_arrays(tmp_path, monkeypatch):
    X, plain = mapped(tmp_path)
    monkeypatch.delattr(mmap, "MADV_DONTNEED")
    assert shared_mapping(X) is None
    np.testing.assert_array_equal(copy_rows(X, slice(5, 9)), plain[5:9])
