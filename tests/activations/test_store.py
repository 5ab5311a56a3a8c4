"""Activations on disk: as in memory, readable in parts, and never unpickled."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from store_cases import assert_same

from mfa_sklearn.activations import ActivationStore
from mfa_sklearn.activations import _model_reader as extractor_module


def test_a_layer_on_disk_is_that_in_memory(store, memory):
    assert store.layers == (0, 2) and list(store) == [0, 2] and store.complete
    for layer in store:
        view = store[layer]
        assert view.shape == memory[layer].shape and len(view) == len(memory[layer]) and view.dtype == np.float32
        assert_same(view[:], memory[layer])
        assert view.source == memory[layer].source == view[:2].source
        np.testing.assert_allclose(np.asarray(view), memory[layer], atol=1e-5)
        assert view.tokens.tolist() == memory[layer].tokens.tolist()
    assert_same(store.load(2), memory[2])


SELECTIONS = {
    "slice": slice(3, 20),
    "stepped": slice(40, 2, -7),
    "unordered": [31, 0, 5, 31, -1],
    "one shard": [1, 2, 3],
    "none": [],
    "mask": "mask",
}


@pytest.mark.parametrize("key", SELECTIONS.values(), ids=SELECTIONS.keys())
def test_selected_rows(store, memory, key):
    if isinstance(key, str):
        key = memory[0].labels == "a"
    expected = memory[0][np.asarray(key, dtype=int) if isinstance(key, list) else key]
    found = store[0][key]
    if len(expected):
        assert_same(found, expected)
    else:
        assert found.shape == (0, 32)
    row = store[0][-2]
    assert type(row) is np.ndarray and row.shape == (32,)
    np.testing.assert_allclose(row, memory[0][-2], atol=1e-5)


def test_a_slice_opens_only_its_own_shards(store, memory, monkeypatch):
    seen = []
    load = np.load
    monkeypatch.setattr(np, "load", lambda path, **k: (seen.append((os.path.basename(path), k)), load(path, **k))[1])
    assert len(store[0][0:4]) == 4
    assert seen and all(name.startswith("shard-00000") for name, _ in seen)
    assert not any("layer-2" in name for name, _ in seen)
    assert all(k["allow_pickle"] is False and k["mmap_mode"] == "r" for _, k in seen)


@pytest.mark.parametrize("thing", [None, 3, b"folder"])
def test_what_is_no_path_is_named(thing):
    with pytest.raises(TypeError, match=f"directory={thing!r} must be a path"):
        ActivationStore(thing)


@pytest.mark.parametrize(("size", "kind"), [(0, ValueError), (-3, ValueError), (2.5, TypeError)])
def test_batches_of_no_size_are_refused(store, size, kind):
    with pytest.raises(kind, match=f"batch_size={size}"):
        next(store[0].batches(size))


def test_batches(store, memory):
    batches = list(store[0].batches(10))
    assert [len(b) for b in batches[:-1]] == [10] * (len(batches) - 1)
    np.testing.assert_allclose(np.concatenate(batches), memory[0], atol=1e-5)
    shuffled = list(store[0].batches(10, shuffle=True, random_state=0))
    order = np.concatenate([b.text_index * 1000 + b.positions for b in shuffled])
    expected = memory[0].text_index * 1000 + memory[0].positions
    assert not np.array_equal(order, expected) and np.array_equal(np.sort(order), np.sort(expected))
    by_place = {place: row for place, row in zip(expected, np.asarray(memory[0]), strict=True)}
    np.testing.assert_allclose(np.concatenate(shuffled), [by_place[place] for place in order], atol=1e-5)


def test_it_can_be_moved_and_read_without_model_and_texts(store, memory, tmp_path, monkeypatch):
    monkeypatch.setattr(extractor_module, "load_model", lambda *a: pytest.fail("loaded a model"))
    moved = tmp_path / "elsewhere"
    store.directory.rename(moved)
    assert_same(ActivationStore(moved)[2][:], memory[2])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_fits_take_the_array_on_disk(store):
    from sklearn.decomposition import PCA

    from mfa_sklearn import MFA

    mfa = MFA(n_components=2, n_factors=1, random_state=0, max_iter=5).fit(store[0])
    again = MFA(n_components=2, n_factors=1, random_state=0, max_iter=5).fit(np.asarray(store[0]))
    np.testing.assert_allclose(mfa.means_, again.means_, atol=1e-5)
    assert PCA(2).fit_transform(store[0]).shape == (len(store[0]), 2)


BAD_STORES = {
    "nothing": (None, r"no activation store at .*: it has no manifest.json"),
    "damaged": ("{", r"manifest.json' is damaged"),
    "another": ("[]", r"is not the manifest of an activation store"),
    "later": (json.dumps({"format": "mfa-sklearn activations", "version": 99}), r"has version 99, .* reads up to 1"),
}


@pytest.mark.parametrize(("content", "match"), BAD_STORES.values(), ids=BAD_STORES.keys())
def test_directories_that_hold_no_store(tmp_path, content, match):
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ValueError, match=match):
        ActivationStore(tmp_path)


def test_damaged_and_pickled_files_are_refused(store):
    path = store.directory / "shard-00001.layer-0.npy"
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"shard-00001.layer-0.npy' cannot be read"):
        store[0][:]
    path.unlink()
    with pytest.raises(ValueError, match=r"shard-00001.layer-0.npy' cannot be read"):
        store[0][:]


@pytest.mark.parametrize("key", [[1000], [-1000], 1000])
def test_rows_out_of_range(store, key):
    with pytest.raises(IndexError, match=r"row -?1000 is out of range for \d+ rows"):
        store[0][key]


@pytest.mark.parametrize("key", [(slice(None), 0), [0.5], np.zeros(3, dtype=bool)])
def test_rows_alone_are_selected(store, key):
    with pytest.raises(IndexError, match="indexed by a slice, a mask or a list of rows"):
        store[0][key]


def test_layers_that_are_not_there(store):
    with pytest.raises(KeyError):
        store[1]
    with pytest.raises(ValueError, match=r"layer 1 is not in this store, which has \[0, 2\]"):
        store.open(1)
    with pytest.raises(ValueError, match=r"has the layers \[0, 2\]: name one"):
        store.load()
