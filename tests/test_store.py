"""Activations on disk: as in memory, resumable, readable in parts, and never unpickled."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from lm_fixtures import SENTENCES, save_tiny_model
from sklearn.base import clone

from mfa_sklearn.activations import ActivationArray, ActivationExtractor, ActivationStore
from mfa_sklearn.activations import _extractor as extractor_module

TEXTS = [*SENTENCES, "Three birds.", "The bank."]
LABELS = np.array(["a", "bb", "c", "a", "ccc", "b", "a", "dddd"])
FACTS = ("token_ids", "tokens", "text_index", "positions", "labels", "starts", "ends")


@pytest.fixture(scope="module")
def extractor(tmp_path_factory):
    directory = save_tiny_model(tmp_path_factory.mktemp("model"), "gpt2")
    return ActivationExtractor(directory, layer=[0, 2], batch_size=4, device="cpu")


@pytest.fixture(scope="module")
def memory(extractor):
    """The activations per layer, in memory."""
    return {layer: clone(extractor).set_params(layer=layer).fit_transform(TEXTS, LABELS) for layer in (0, 2)}


@pytest.fixture
def store(extractor, tmp_path):
    return extractor.extract_to(tmp_path / "store", TEXTS, LABELS, shard_size=3, dtype="float32")


def assert_same(found, expected, atol=1e-5):
    assert isinstance(found, ActivationArray)
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), atol=atol)
    for name in FACTS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert list(found.texts) == list(expected.texts)


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


def test_half_precision_by_default(extractor, memory, tmp_path):
    store = extractor.extract_to(tmp_path / "store", TEXTS, LABELS)
    assert store[0].dtype == np.float16
    scale = np.abs(memory[0]).max()
    assert_same(store[0][:], memory[0], atol=1e-3 * scale)


def test_it_can_be_moved_and_read_without_model_and_texts(store, memory, tmp_path, monkeypatch):
    monkeypatch.setattr(extractor_module, "load_model", lambda *a: pytest.fail("loaded a model"))
    moved = tmp_path / "elsewhere"
    store.directory.rename(moved)
    assert_same(ActivationStore(moved)[2][:], memory[2])


def interrupted_after(extractor, directory, n_shards, **options):
    """Start an extraction and break it off when `n_shards` parts are written."""
    broken = clone(extractor)
    extract, done = broken._extract, []

    def extract_or_stop(*args, **kwargs):
        if len(done) == n_shards:
            raise KeyboardInterrupt
        done.append(args)
        return extract(*args, **kwargs)

    broken._extract = extract_or_stop
    with pytest.raises(KeyboardInterrupt):
        broken.extract_to(directory, TEXTS, LABELS, shard_size=3, dtype="float32", **options)


@pytest.mark.parametrize("n_shards", [0, 1, 2])
def test_an_interrupted_run_goes_on_where_it_was(extractor, memory, tmp_path, n_shards):
    directory = tmp_path / "store"
    interrupted_after(extractor, directory, n_shards)
    if n_shards:
        part = ActivationStore(directory)
        assert not part.complete and "incomplete" in repr(part)
        first = memory[0][memory[0].text_index < 3 * n_shards]
        np.testing.assert_allclose(part[0][:], first, atol=1e-5)
    before = {p: p.stat().st_mtime_ns for p in directory.glob("shard-*")}
    store = (
        clone(extractor).set_params(batch_size=2).extract_to(directory, TEXTS, LABELS, shard_size=3, dtype="float32")
    )
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert store.complete
    assert_same(store[0][:], memory[0])


def test_a_part_that_was_being_written_is_written_again(extractor, memory, tmp_path):
    directory = tmp_path / "store"
    interrupted_after(extractor, directory, 1)
    (directory / "shard-00001.layer-0.npy").write_bytes(b"half a file")
    store = extractor.extract_to(directory, TEXTS, LABELS, shard_size=3, dtype="float32")
    assert_same(store[0][:], memory[0])


def test_a_finished_run_does_nothing(extractor, store, monkeypatch):
    monkeypatch.setattr(extractor_module, "load_model", lambda *a: pytest.fail("loaded a model"))
    again = clone(extractor).extract_to(store.directory, TEXTS, LABELS, shard_size=3, dtype="float32")
    assert again.n_rows == store.n_rows


OTHER = {
    "texts": ({}, {"texts": [*TEXTS[:-1], "Another."]}),
    "labels": ({}, {"labels": LABELS[::-1]}),
    "no labels": ({}, {"labels": None}),
    "layer": ({"layer": [0, 1]}, {}),
    "site": ({"site": "mlp"}, {}),
    "keep": ({"keep": {"."}}, {}),
    "processing": ({"processing": "compatibility"}, {}),
    "max_length": ({"max_length": 60}, {}),
    "shard_size": ({}, {"shard_size": 4}),
    "dtype": ({}, {"dtype": "float16"}),
}


@pytest.mark.parametrize(("params", "options"), OTHER.values(), ids=OTHER.keys())
def test_another_run_is_not_mixed_in(extractor, store, params, options):
    other = clone(extractor).set_params(**params)
    call = {"texts": TEXTS, "labels": LABELS, "shard_size": 3, "dtype": "float32", **options}
    with pytest.raises(ValueError, match=r"holds activations of other texts, labels or parameters.*resume=False"):
        other.extract_to(store.directory, **call)
    assert ActivationStore(store.directory).manifest == store.manifest


def test_starting_anew_deletes_the_old_store_and_nothing_else(extractor, store):
    directory = store.directory
    mine = directory / "shard-notes.npy"
    mine.write_bytes(b"mine")
    new = clone(extractor).set_params(layer=1).extract_to(directory, TEXTS[:2], shard_size=3, resume=False)
    assert new.layers == (1,) and new.complete and new[1].labels is None
    assert mine.read_bytes() == b"mine"
    assert not list(directory.glob("*layer-0*")) and not list(directory.glob("shard-00001.*"))


def test_texts_without_kept_tokens_leave_empty_parts(extractor, tmp_path):
    kept = clone(extractor).set_params(keep={" bank"}, layer=0)
    store = kept.extract_to(tmp_path / "store", TEXTS, LABELS, shard_size=1, dtype="float32")
    expected = kept.fit_transform(TEXTS, LABELS)
    assert 0 in [shard["rows"] for shard in store.manifest["shards"]]
    assert_same(store[0][:], expected)
    with pytest.raises(ValueError, match="keep leaves no token of the 8 texts"):
        clone(kept).set_params(keep={"zebra"}).extract_to(tmp_path / "empty", TEXTS)


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_pooled_rows(extractor, tmp_path, pooling):
    pooled = clone(extractor).set_params(pooling=pooling, layer=2)
    store = pooled.extract_to(tmp_path / "store", TEXTS, LABELS, shard_size=3, dtype="float32")
    assert_same(store.load(), pooled.fit_transform(TEXTS, LABELS))


def test_messages_count_texts_over_all_parts(extractor, tmp_path):
    texts = [*TEXTS, "<|endoftext|>"]
    with pytest.raises(ValueError, match=r"texts\[8\] has no tokens of its own"):
        extractor.extract_to(tmp_path / "store", texts, shard_size=3)


def test_no_half_written_files_remain(store):
    allowed = {"manifest.json", *(f for f in os.listdir(store.directory) if f.startswith("shard-"))}
    assert set(os.listdir(store.directory)) == allowed


def test_labels_of_other_kinds(extractor, tmp_path):
    import pandas as pd

    one = clone(extractor).set_params(layer=0)
    store = one.extract_to(tmp_path / "numbers", TEXTS, list(range(8)))
    assert store[0].labels.dtype.kind == "i"
    store = one.extract_to(tmp_path / "series", TEXTS, pd.Series(LABELS))
    assert set(store[0].labels) == set(LABELS)
    with pytest.raises(TypeError, match="labels on disk must be numbers or strings"):
        one.extract_to(tmp_path / "objects", TEXTS, [None] * 8)


def test_values_too_large_for_half_precision(extractor, tmp_path):
    import torch

    large = clone(extractor).set_params(layer=0)
    with torch.no_grad():
        large.load().original_model.transformer.h[0].mlp.c_proj.bias.fill_(1e5)
    with pytest.raises(ValueError, match=r"layer 0 has activations of .* beyond float16's 65504: use dtype='float32'"):
        large.extract_to(tmp_path / "half", TEXTS)
    assert large.extract_to(tmp_path / "single", TEXTS, dtype="float32")[0][:].max() > 65504


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


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"dtype": "int8"}, r"dtype='int8' is unknown; choose one of 'float16', 'float32'"),
        ({"shard_size": 0}, r"shard_size=0 must be at least 1"),
        ({"labels": ["a"]}, r"labels have shape \(1,\) for 8 texts"),
    ],
)
def test_bad_options_are_refused_before_the_model_runs(extractor, tmp_path, monkeypatch, options, match):
    monkeypatch.setattr(extractor_module, "load_model", lambda *a: pytest.fail("loaded a model"))
    with pytest.raises(ValueError, match=match):
        clone(extractor).extract_to(tmp_path / "store", TEXTS, **options)
    assert not (tmp_path / "store").exists()


def test_a_file_is_no_directory(extractor, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file: give a directory"):
        clone(extractor).extract_to(tmp_path / "file", TEXTS)
