"""Activations of several places put together are taken like those of one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from tiny_stores import token_rows, two_layers, written

from mfa_sklearn import MFA, ActivationArray, concat, top_tokens


def test_stores_and_arrays_and_paths_go_together(tmp_path):
    store = written(tmp_path / "one", token_rows, [7])
    in_memory = store.load()
    whole = concat([store, in_memory, tmp_path / "one"])
    assert whole.shape == (3 * len(in_memory), in_memory.shape[1])
    np.testing.assert_array_equal(np.asarray(whole), np.concatenate([in_memory] * 3))
    assert whole.tokens.tolist() == in_memory.tokens.tolist() * 3
    found = whole[len(in_memory) + 2 : len(in_memory) + 4]
    assert isinstance(found, ActivationArray)
    assert [found.texts[i] for i in found.text_index] == [in_memory.texts[i] for i in in_memory[2:4].text_index]
    assert whole.source == in_memory.source and len(whole.texts) == 2 * len(store.texts)  # of the store and its path
    mfa = MFA(2, 1, max_iter=2, tol=0, random_state=0).fit(whole)
    assert mfa.source_["layer"] == 7 and len(top_tokens(mfa, whole))
    assert [len(batch) for batch in whole.batches(250)] == [250, 250, 40]


def test_plain_tables_go_together(tmp_path):
    np.save(tmp_path / "x.npy", np.eye(3, dtype=np.float16))
    whole = concat([np.eye(3), torch.eye(3), np.load(tmp_path / "x.npy", mmap_mode="r"), tmp_path / "x.npy"])
    np.testing.assert_array_equal(np.asarray(whole), np.concatenate([np.eye(3)] * 4))
    assert whole.dtype == np.float64 and whole.tokens is None and whole.source is None


def test_what_does_not_go_together(tmp_path):
    store = written(tmp_path / "two", two_layers, [2, 7])
    with pytest.raises(ValueError, match=r"table 1 is of layer 7.*those before it are of layer 2.*differ in layer"):
        concat([store[2], store[7]])
    with pytest.raises(ValueError, match=r"has the layers \[2, 7\]: name one"):
        concat([store, store])
    with pytest.raises(ValueError, match="there is no table"):
        concat([])
    with pytest.raises(ValueError, match="table 1 has 4 columns and table 0 has 3"):
        concat([np.eye(3), np.eye(4)])
    with pytest.raises(ValueError, match=r"table 0 must be a table of two dimensions.*shape \(3,\)"):
        concat([np.ones(3)])
    for wrong in (np.eye(3), "x.npy", {1: np.eye(3)}, 3):
        with pytest.raises(TypeError, match="tables must be a list of tables, got"):
            concat(wrong)


def test_arrays_that_know_no_more_than_where_they_come_from_are_compared():
    first, second = (ActivationArray(np.eye(2), shared={"source": {"model": name}}) for name in ("gpt2", "pythia"))
    assert concat([first, first]).source == {"model": "gpt2"}
    with pytest.raises(ValueError, match="differ in model"):
        concat([first, second])


def test_frames_that_know_where_they_come_from_are_compared():
    pytest.importorskip("pandas")
    first, second = (
        ActivationArray(np.eye(2), shared={"source": {"model": name}}).to_frame() for name in ("gpt2", "pythia")
    )
    assert concat([first, first]).source == {"model": "gpt2"}
    with pytest.raises(ValueError, match="differ in model"):
        concat([first, second])


def test_a_sparse_table_is_refused():
    with pytest.raises(TypeError, match="table 0 must be a table of all numbers"):
        concat([csr_matrix(np.eye(2))])
