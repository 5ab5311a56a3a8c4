"""Arrays, files, and iterators of batches become the same store."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from foreign_cases import FACTS, N_ROWS, VALUES, shards
from scipy.sparse import csr_matrix

from mfa_sklearn import ActivationArray, ActivationStore, concat, open_activations
from mfa_sklearn.activations import _from_arrays

LABELS = [None if number % 7 == 3 else f"label {number % 3}" for number in range(N_ROWS)]


@pytest.fixture(autouse=True)
def few_rows_at_once(monkeypatch):
    monkeypatch.setattr(_from_arrays, "_BYTES", 4 * 8 * VALUES.shape[1])


def batches(values):
    return (values[start : start + 7] for start in range(0, len(values), 7))


FORMS = {
    "array": lambda folder: VALUES,
    "list": lambda folder: VALUES.tolist(),
    "tensor": lambda folder: torch.from_numpy(VALUES),
    "map": lambda folder: np.load(folder / "x.npy", mmap_mode="r"),
    "path": lambda folder: folder / "x.npy",
    "batches": lambda folder: batches(VALUES),
    "tensors": lambda folder: batches(torch.from_numpy(VALUES)),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("layer", [7, None])
def test_every_form_becomes_the_same_store(layer, form, tmp_path):
    np.save(tmp_path / "x.npy", VALUES)
    rows = FORMS[form](tmp_path)
    layers = rows if layer is None else {layer: rows}
    store = ActivationStore.from_arrays(tmp_path / "st", layers, labels=LABELS, token_ids=FACTS["token_ids"])
    assert store.complete and store.verify() and store.dtype == np.float32
    found = store.open()[:]
    np.testing.assert_array_equal(np.asarray(found), VALUES)
    assert found.labels.tolist() == LABELS and found.token_ids.tolist() == FACTS["token_ids"].tolist()
    assert (found.source or {}).get("layer") == layer


def test_what_rows_carry_goes_along(tmp_path):
    rows = {"tokens": [f"t{number}" for number in range(N_ROWS)], "text_index": np.arange(N_ROWS) // 10}
    source = {"model": "m", "layer": 4, "site": "mlp", "hooks": ["blocks.4.mlp.hook_post"], "pooling": None}
    X = ActivationArray(VALUES, rows, {"texts": ("a", "b", "c"), "source": source})
    found = ActivationStore.from_arrays(tmp_path / "st", X)[4]
    assert found[:].tokens.tolist() == rows["tokens"] and list(found.texts) == ["a", "b", "c"]
    assert found.source == source and found[25:].text_index.tolist() == [2] * 5
    twice = ActivationStore.from_arrays(tmp_path / "twice", concat([X, found]))[4]
    assert [twice.texts[i] for i in twice.text_index] == ["a"] * 10 + ["b"] * 10 + ["c"] * 10 + ["a"] * 10 + [
        "b"
    ] * 10 + ["c"] * 10
    opened = open_activations(shards(tmp_path / "acts", "npy"))
    copied = ActivationStore.from_arrays(tmp_path / "copied", opened).open()
    np.testing.assert_array_equal(copied[:], VALUES)
    assert copied.labels.tolist() == FACTS["labels"].tolist()


@pytest.mark.parametrize("form", ["array", "batches"])
def test_an_interrupted_run_goes_on(form, tmp_path, monkeypatch):
    append, count = _from_arrays.ActivationWriter.append, [0]

    def stops(self, *args, **kwargs):
        count[0] += 1
        if count[0] == 3:
            raise KeyboardInterrupt
        append(self, *args, **kwargs)

    given = {"labels": LABELS}
    monkeypatch.setattr(_from_arrays.ActivationWriter, "append", stops)
    with pytest.raises(KeyboardInterrupt):
        ActivationStore.from_arrays(tmp_path / "st", FORMS[form](tmp_path), shard_rows=3, **given)
    assert 0 < ActivationStore(tmp_path / "st").n_rows < N_ROWS
    store = ActivationStore.from_arrays(tmp_path / "st", FORMS[form](tmp_path), shard_rows=3, resume=True, **given)
    assert store.complete
    np.testing.assert_array_equal(np.asarray(store), VALUES)
    assert store.open().labels.tolist() == LABELS


def test_a_frame_keeps_its_source(tmp_path):
    pytest.importorskip("pandas")
    source = {"model": "m", "layer": 4, "site": "mlp"}
    frame = ActivationArray(VALUES, shared={"source": source}).to_frame()
    found = ActivationStore.from_arrays(tmp_path / "st", frame)[4]
    assert found.source == source | {"hooks": ["blocks.4.mlp.hook_post"]}
    np.testing.assert_array_equal(np.asarray(found), VALUES)


WRONG = [
    ({1: VALUES, 2: VALUES[:3]}, {}, ValueError, r"layer 2 has rows of shape \(3, 5\)"),
    ({1: VALUES, 2: batches(VALUES)}, {}, TypeError, "some layers are tables and others iterators"),
    ({}, {}, ValueError, "layers is empty"),
    ({7: VALUES}, {"source": {"layer": 3}}, ValueError, r"source says layer 3, and layers=\[7\]"),
    (VALUES, {"source": "gpt2"}, TypeError, "source='gpt2' must be a dict"),
    (VALUES, {"labels": LABELS[:4]}, ValueError, r"labels have shape \(4,\) for 30 rows"),
    (VALUES, {"label": LABELS}, TypeError, "'label' is no fact of rows .did you mean 'labels'"),
    (VALUES[0], {}, ValueError, r"must be a table of two dimensions.*\(5,\)"),
    (VALUES[None], {}, ValueError, r"must be a table of two dimensions.*\(1, 30, 5\)"),
    (3, {}, TypeError, "rows must be a table or an iterator of batches, got int"),
    (VALUES, {"texts": ["a"], "text_index": FACTS["token_ids"]}, ValueError, "there are 1 texts so far"),
    (VALUES, {"dtype": "int8"}, ValueError, "dtype='int8' is unknown"),
]


@pytest.mark.parametrize(("layers", "given", "kind", "match"), WRONG)
def test_what_is_refused_before_anything_is_written(layers, given, kind, match, tmp_path):
    with pytest.raises(kind, match=match):
        ActivationStore.from_arrays(tmp_path / "st", layers, **given)
    assert not (tmp_path / "st" / "manifest.json").exists()


def test_facts_for_more_rows_than_came(tmp_path):
    with pytest.raises(ValueError, match="labels have 30 entries, and 14 rows came"):
        ActivationStore.from_arrays(tmp_path / "st", batches(VALUES[:14]), labels=LABELS)
    with pytest.raises(ValueError, match=r"labels have shape \(2,\) for 7 rows"):
        ActivationStore.from_arrays(tmp_path / "st", batches(VALUES), labels=LABELS[:9], overwrite=True)
    with pytest.raises(ValueError, match=r"batches of layer 2 end before"):
        ActivationStore.from_arrays(tmp_path / "st", {1: batches(VALUES), 2: batches(VALUES[:7])}, overwrite=True)


def test_texts_without_an_index_are_one_per_row(tmp_path):
    store = ActivationStore.from_arrays(tmp_path / "st", np.eye(3), texts=["a", "b", "c"])
    assert store[0][1:].text_index.tolist() == [1, 2] and list(store.texts) == ["a", "b", "c"]
    with pytest.raises(ValueError, match="2 texts for 3 rows, and no fact text_index"):
        ActivationStore.from_arrays(tmp_path / "other", np.eye(3), texts=["a", "b"])


def test_what_is_no_table_of_all_numbers_or_ends_early(tmp_path):
    with pytest.raises(TypeError, match=r"csr_matrix: give its toarray\(\)"):
        ActivationStore.from_arrays(tmp_path / "a", csr_matrix(np.eye(3)))
    with pytest.raises(ValueError, match="batches of layer 2 end before"):
        ActivationStore.from_arrays(tmp_path / "b", {1: iter([np.eye(3), np.eye(3)]), 2: iter([np.eye(3)])})


def test_half_precision_is_widened_quietly(tmp_path):
    store = ActivationStore.from_arrays(tmp_path / "st", np.eye(3, dtype=np.float16), dtype="float32")
    np.testing.assert_array_equal(store[0][:], np.eye(3))
