"""Writing activations to disk: resumable, part by part, and never mixed with another run."""

from __future__ import annotations

import os

import numpy as np
import pytest
from sklearn.base import clone
from store_cases import LABELS, TEXTS, assert_same

from mfa_sklearn import TokenSelection
from mfa_sklearn._base.stored import with_digest
from mfa_sklearn.activations import ActivationStore
from mfa_sklearn.activations import _model_reader as extractor_module
from mfa_sklearn.activations._given_texts import ListedTexts


def test_half_precision_by_default(extractor, memory, tmp_path):
    store = extractor.extract_to(tmp_path / "store", TEXTS, LABELS)
    assert store[0].dtype == np.float16
    scale = np.abs(memory[0]).max()
    assert_same(store[0][:], memory[0], atol=1e-3 * scale)


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
    "select": ({"select": {"."}}, {}),
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
    kept = clone(extractor).set_params(select={" bank"}, layer=0)
    store = kept.extract_to(tmp_path / "store", TEXTS, LABELS, shard_size=1, dtype="float32")
    expected = kept.fit_transform(TEXTS, LABELS)
    assert 0 in [shard["rows"] for shard in store.manifest["shards"]]
    assert_same(store[0][:], expected)
    with pytest.raises(ValueError, match="chooses no token of the 8 texts"):
        clone(kept).set_params(select={"zebra"}).extract_to(tmp_path / "empty", TEXTS)


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
        one.extract_to(tmp_path / "objects", TEXTS, ["river", 3] * 4)


@pytest.mark.parametrize(
    "labels",
    [
        ["river", None, "", "bank", float("nan"), "a", "b", "c"],
        [3, None, 1, 2, 3, None, None, 0],
        [0.5, float("nan"), 1, 2, 3, 4, 5, 6],
        [True, None, False, True, None, True, True, True],
        [None] * 8,
    ],
)
def test_missing_labels_are_kept(extractor, tmp_path, labels):
    one = clone(extractor).set_params(layer=0)
    expected = one.fit_transform(TEXTS, labels).labels
    for _ in range(2):  # written, and resumed
        store = one.extract_to(tmp_path / "store", TEXTS, labels, shard_size=3)
        assert store[0].labels.tolist() == store.load().labels.tolist() == expected.tolist()
    assert None in expected.tolist()
    with pytest.raises(ValueError, match="other texts, labels or parameters"):
        one.extract_to(tmp_path / "store", TEXTS, [*labels[:-1], "other"] if "a" in labels else [9] * 8, shard_size=3)


def test_values_too_large_for_half_precision(extractor, tmp_path):
    import torch

    large = clone(extractor).set_params(layer=0)
    with torch.no_grad():
        large.load().original_model.transformer.h[0].mlp.c_proj.bias.fill_(1e5)
    with pytest.raises(ValueError, match=r"layer 0 has .* beyond float16's 65504: use dtype='bfloat16' or 'float32'"):
        large.extract_to(tmp_path / "half", TEXTS)
    assert large.extract_to(tmp_path / "single", TEXTS, dtype="float32")[0][:].max() > 65504


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"dtype": "int8"}, r"dtype='int8' is unknown; choose one of 'float16', 'float32', 'bfloat16'"),
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


def test_a_store_tells_what_was_selected_and_is_read_without(extractor, tmp_path):
    chosen = clone(extractor).set_params(select=TokenSelection(last=2) - {"."}, layer=0)
    store = chosen.extract_to(tmp_path / "store", TEXTS, dtype="float32")
    assert store.manifest["select"] == {"either": [{"last": 2}], "without": [{"strings": ["."]}]}
    manifest = {name: entry for name, entry in store.manifest.items() if name not in ("select", "sha256")}
    (tmp_path / "store" / "manifest.json").write_bytes(with_digest(manifest))  # as earlier versions wrote it
    assert_same(ActivationStore(tmp_path / "store")[0][:], chosen.transform(TEXTS))
    assert chosen.extract_to(tmp_path / "store", TEXTS, dtype="float32").n_rows == store.n_rows


def test_a_run_of_a_version_with_other_words_is_gone_on_with(extractor, tmp_path):
    chosen = clone(extractor).set_params(select={".", " bank"})
    key = chosen.extract_to(tmp_path / "store", TEXTS, shard_size=3).manifest["key"]
    source = {name: fact for name, fact in chosen.fit(TEXTS).source_.items() if name != "model"}
    settings = {"keep": [" bank", "."], "include_special": False, "max_length": None, "max_norm_ratio": None}
    assert key == ListedTexts(TEXTS).key({**settings, **source, "shard_size": 3, "dtype": "float16"})
