"""Files of other programs are opened as the rows that they hold, and told by name where they hold none."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
import torch
from foreign_cases import FACTS, FORMATS, N_ROWS, VALUES, Tokenizer, shards, write, write_parquet
from row_cases import KEYS
from safetensors.torch import save_file

from mfa_sklearn import MFA, ActivationArray, ActivationStore, open_activations, top_concepts, top_tokens
from mfa_sklearn.activations._path import rows_at

SOURCE = {"model": "gpt2", "site": "residual", "layer": 4}


@pytest.mark.parametrize("kind", FORMATS)
def test_a_folder_of_files_is_its_rows_in_order(kind, tmp_path):
    rows = open_activations(shards(tmp_path / "acts", kind), source=SOURCE)
    assert rows.shape == VALUES.shape and rows.dtype == np.float32
    np.testing.assert_array_equal(np.asarray(rows), VALUES)
    for key in KEYS.values():
        key = key[0] if isinstance(key, tuple) else key
        key = key[:N_ROWS] if isinstance(key, np.ndarray) and key.dtype == bool else key
        if isinstance(key, np.ndarray) and key.dtype == bool:
            key = np.flatnonzero(key)
        found = rows[key]
        assert isinstance(found, ActivationArray)
        np.testing.assert_array_equal(np.asarray(found), VALUES[key])
        for name, fact in FACTS.items():
            np.testing.assert_array_equal(getattr(found, name), fact[key])
    assert rows.source == SOURCE | {"hooks": ["blocks.4.hook_resid_post"]}
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(rows))[3:9], VALUES[3:9])


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_alone(kind, tmp_path):
    rows = open_activations(write(tmp_path, kind, VALUES))
    np.testing.assert_array_equal(rows[4:], VALUES[4:])
    assert rows.source is None and rows.texts is None and rows.labels is None
    np.testing.assert_array_equal(np.asarray(rows_at(write(tmp_path, kind, VALUES))), VALUES)


def test_tokens_are_decoded_by_a_tokenizer(tmp_path):
    rows = open_activations(shards(tmp_path / "acts", "safetensors"), tokenizer=Tokenizer())
    assert rows[8:10].tokens.tolist() == [" t8", " t0"]
    assert set(rows.rows) == {"token_ids", "tokens", "positions", "labels"}


def test_a_mixture_and_its_tables_take_them(tmp_path):
    rows = open_activations(shards(tmp_path / "acts", "npy"), tokenizer=Tokenizer())
    mfa = MFA(2, 1, max_iter=3, tol=0, random_state=0).fit(rows)
    expected = MFA(2, 1, max_iter=3, tol=0, random_state=0).fit(VALUES)
    np.testing.assert_array_equal(mfa.means_, expected.means_)
    assert set(top_tokens(mfa, rows)["token"]) <= {f" t{number}" for number in range(9)}
    assert len(top_concepts(mfa, rows))
    np.testing.assert_array_equal(mfa.predict(tmp_path / "acts"), expected.predict(VALUES))


def test_bfloat16_is_read_as_single_precision(tmp_path):
    values = torch.from_numpy(VALUES).to(torch.bfloat16)
    save_file({"x": values}, tmp_path / "x.safetensors")
    torch.save(values, tmp_path / "x.pt")
    for name in ("x.safetensors", "x.pt"):
        rows = open_activations(tmp_path / name)
        assert rows.dtype == np.float32
        np.testing.assert_array_equal(rows[[5, 2]], values[[5, 2]].float().numpy())


# ---------------------------------------------------------------- layers


def test_layers_are_known_by_names(tmp_path):
    names = {"blocks.3.hook_mlp_out": 1.0, "blocks.11.hook_mlp_out": 2.0}
    save_file({n: torch.full((4, 2), v) for n, v in names.items()}, tmp_path / "x.safetensors")
    opened = open_activations(tmp_path, source={"model": "m"})
    assert opened.layers == (3, 11) and list(opened) == [3, 11] and len(opened) == 2
    assert opened[11].source == {"model": "m", "layer": 11, "site": "mlp_out", "hooks": ["blocks.11.hook_mlp_out"]}
    np.testing.assert_array_equal(open_activations(tmp_path, 11)[:], np.full((4, 2), 2.0))
    np.testing.assert_array_equal(rows_at(tmp_path, 3)[:], np.full((4, 2), 1.0))
    with pytest.raises(ValueError, match=r"has the layers \[3, 11\]: name one"):
        MFA(1).fit(opened)
    with pytest.raises(ValueError, match=r"layer 5 is not in .*which has \[3, 11\]"):
        opened.open(5)
    with pytest.raises(KeyError, match="layer 5 is not in"):
        opened[5]
    assert "layers=[3, 11], rows=4" in repr(opened)


def test_layers_are_known_by_names_of_files(tmp_path):
    for layer in (2, 10):
        for part in range(2):
            np.save(tmp_path / f"layer_{layer}_part{part}.npy", np.full((3, 2), layer + part / 2))
    opened = open_activations(tmp_path)
    assert opened.layers == (2, 10)
    assert opened[10][:, :][:, 0].tolist() == [10.0] * 3 + [10.5] * 3


@pytest.mark.parametrize("kind", ["npy", "safetensors", "pt"])
def test_a_table_of_several_layers(kind, tmp_path):
    values = np.random.default_rng(0).standard_normal((6, 3, 2)).astype(np.float32)
    path = write(tmp_path, kind, values)
    opened = open_activations(path, layers=[4, 8, 12])
    for place, layer in enumerate((4, 8, 12)):
        np.testing.assert_array_equal(opened[layer][[5, 0]], values[[5, 0], place])
    assert open_activations(path).layers == (0, 1, 2)
    with pytest.raises(ValueError, match=r"has 3 layers, and layers=\[1, 2\]"):
        open_activations(path, layers=[1, 2])


def test_a_layer_that_nobody_named(tmp_path):
    with pytest.raises(ValueError, match="names no layer, so layer=4 is not known"):
        open_activations(write(tmp_path, "safetensors", VALUES), 4)
    with pytest.raises(ValueError, match="source says layer 4, and the files layer 2"):
        open_activations(write(tmp_path, "npy", VALUES, "layer2"), source=SOURCE)


# ---------------------------------------------------------------- names


def test_names_that_are_given(tmp_path):
    tensors = {"a": torch.zeros(4, 2), "b": torch.ones(4, 2), "kind": torch.arange(4)}
    save_file(tensors, tmp_path / "x.safetensors")
    rows = open_activations(tmp_path, activations="b", facts={"labels": "kind"})
    assert np.asarray(rows).all() and rows.labels.tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match=r"holds several tables, \['a', 'b'\].*name one by activations="):
        open_activations(tmp_path)
    with pytest.raises(ValueError, match=r"x.safetensors' has no 'c': there are"):
        open_activations(tmp_path, activations="c")
    with pytest.raises(ValueError, match=r"x.safetensors' has no 'c' for labels: there are"):
        open_activations(tmp_path, activations="a", facts={"labels": "c"})


def test_facts_that_are_named_in_files_of_their_own(tmp_path):
    np.save(tmp_path / "x.npy", VALUES)
    np.save(tmp_path / "classes.npy", FACTS["labels"])
    rows = open_activations(tmp_path, facts={"labels": "classes"})
    assert rows.labels.tolist() == FACTS["labels"].tolist()
    with pytest.raises(ValueError, match=r"classes.npy' holds no table of rows, .*\(30,\)"):
        open_activations(tmp_path)


def test_facts_may_be_left_out(tmp_path):
    rows = open_activations(write(tmp_path, "safetensors", VALUES, **FACTS), facts={"labels": None})
    assert set(rows.rows) == {"token_ids", "positions"}


WRONG_ARGUMENTS = [
    ({"facts": {"tokns": "a"}}, ValueError, "there is no fact 'tokns', only"),
    ({"facts": ["labels"]}, TypeError, "must say what each fact is called"),
    ({"facts": {"labels": 3}}, TypeError, "must be a name, or None"),
    ({"source": "gpt2"}, TypeError, "source='gpt2' must be a dict"),
    ({"source": {"name": "gpt2"}}, ValueError, "source has 'name'"),
    ({"source": {"site": "nowhere"}}, ValueError, "site='nowhere' is unknown"),
    ({"tokenizer": 3}, TypeError, "tokenizer=3 must be a tokenizer"),
    ({"texts": ["a"]}, ValueError, "there are 1 texts for 30 rows"),
]


@pytest.mark.parametrize(("given", "kind", "match"), WRONG_ARGUMENTS)
def test_arguments_that_say_nothing(given, kind, match, tmp_path):
    with pytest.raises(kind, match=match):
        open_activations(write(tmp_path, "safetensors", VALUES), **given)


# ---------------------------------------------------------------- texts


def test_rows_with_a_text_each(tmp_path):
    texts = [f"text {number}" for number in range(N_ROWS)]
    write_parquet(tmp_path / "x.parquet", VALUES, text=texts, label=["x", None] * 15)
    rows = open_activations(tmp_path)
    assert rows.text_index.tolist() == list(range(N_ROWS))
    assert (rows.texts[3], rows.texts[-1], rows.texts[4:6], len(rows.texts)) == (
        ("text 3", "text 29", ("text 4", "text 5"), N_ROWS)
    )
    assert list(rows.texts) == texts and rows.texts == texts
    assert rows[2:4].labels.tolist() == ["x", None]
    pickled = pickle.dumps(rows[2:4])
    (tmp_path / "x.parquet").unlink()
    assert pickle.loads(pickled).texts == tuple(texts)


def test_texts_that_are_given(tmp_path):
    index = np.arange(N_ROWS) // 10
    path = write(tmp_path, "safetensors", VALUES, text_index=index)
    rows = open_activations(path, texts=["a", "b", "c"])
    assert rows.texts[int(rows[15:16].text_index[0])] == "b"
    with pytest.raises(ValueError, match="goes from 0 to 2, and there are 2 texts"):
        open_activations(path, texts=["a", "b"])


# ---------------------------------------------------------------- what is wrong


@pytest.mark.parametrize("kind", FORMATS)
def test_a_shard_of_another_width_is_named(kind, tmp_path):
    shards(tmp_path / "acts", kind)
    write(tmp_path / "acts", kind, VALUES[:3, :4], "part9", **{n: f[:3] for n, f in FACTS.items()})
    with pytest.raises(ValueError, match=r"part9.* has 4 columns, and .*part1.* has 5"):
        open_activations(tmp_path / "acts")


@pytest.mark.parametrize("kind", ["npy", "safetensors", "pt"])
def test_a_shard_of_another_type_is_named(kind, tmp_path):
    shards(tmp_path / "acts", kind)
    write(tmp_path / "acts", kind, VALUES.astype(np.float16), "part10", **FACTS)
    with pytest.raises(ValueError, match=r"part10.* holds float16, and .*part1.* float32"):
        open_activations(tmp_path / "acts")


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.97])
def test_a_truncated_file_is_named(keep, kind, tmp_path):
    path = write(tmp_path, kind, np.tile(VALUES, (50, 1)))
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(ValueError, match=rf"{path.name}' cannot be read as"):
        open_activations(path)


@pytest.mark.parametrize("kind", ["npy", "safetensors", "pt"])
def test_facts_of_other_rows_are_named(kind, tmp_path):
    write(tmp_path, kind, VALUES, "a", labels=np.arange(N_ROWS))
    write(tmp_path, kind, VALUES, "b", labels=np.arange(N_ROWS - 1))
    with pytest.raises(ValueError, match=r"b.* has labels of 29 rows, and .*b.* 30 rows"):
        open_activations(tmp_path)


def test_facts_of_fewer_files_are_told(tmp_path):
    shards(tmp_path / "acts", "safetensors")
    write(tmp_path / "acts", "safetensors", VALUES[:2], "part11", labels=FACTS["labels"][:2])
    with pytest.raises(ValueError, match=r"part1.*and what follows have positions of 30 rows, and there are 32"):
        open_activations(tmp_path / "acts")


def test_numbers_that_cannot_be_computed_with_are_named(tmp_path):
    np.save(tmp_path / "x.npy", VALUES.astype(complex))
    with pytest.raises(ValueError, match=r"x.npy' holds complex128 of shape .*: rows must be of numbers"):
        open_activations(tmp_path)
    if np.dtype(np.longdouble).itemsize > 8:
        np.save(tmp_path / "x.npy", VALUES.astype(np.longdouble))
        with pytest.raises(ValueError, match=r"x.npy' holds float\d+ of shape .*: rows must be of numbers"):
            open_activations(tmp_path)


WRONG_FACTS = [
    ({"labels": np.zeros((N_ROWS, 2))}, None),
    ({"token_ids": np.zeros(N_ROWS)}, r"'token_ids' holds float64, and token_ids are whole numbers"),
    ({"text_index": np.zeros(N_ROWS)}, r"'text_index' holds float64, and text_index are whole numbers"),
    ({"roles": np.zeros(N_ROWS, dtype=int)}, r"'roles' holds int64, and roles are strings"),
]


@pytest.mark.parametrize(("facts", "match"), WRONG_FACTS)
def test_facts_of_other_kinds_are_named(facts, match, tmp_path):
    path = write(tmp_path, "safetensors", VALUES, **facts)
    with pytest.raises(ValueError, match=match or "several tables"):
        open_activations(path)


def test_nothing_is_unpickled(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    torch.save({"x": Evil()}, tmp_path / "x.pt")
    np.save(tmp_path / "y.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    for name in ("x.pt", "y.npy"):
        with pytest.raises(ValueError, match=f"{name}' cannot be read as"):
            open_activations(tmp_path / name)
    assert not (tmp_path / "made").exists()


def test_a_file_changed_after_it_was_opened(tmp_path):
    path = write(tmp_path, "npy", VALUES)
    rows = open_activations(path)
    np.save(path, VALUES[:4])
    with pytest.raises(ValueError, match=r"part.npy.* it has shape \(4, 5\) by now, and had \(30, 5\)"):
        rows[:10]


def test_a_store_is_one_of_them(tmp_path):
    from tiny_stores import token_rows, two_layers, written

    written(tmp_path / "one", token_rows, [7])
    written(tmp_path / "two", two_layers, [2, 7])
    assert open_activations(tmp_path / "one").layer == 7
    assert isinstance(open_activations(tmp_path / "two"), ActivationStore)
    assert open_activations(tmp_path / "two", 2).layer == 2
    with pytest.raises(ValueError, match="is a store, which knows its layers: leave layers="):
        open_activations(tmp_path / "two", layers=[1])


def test_torch_files_that_hold_no_table_are_refused_when_opened(tmp_path):
    torch.save(torch.eye(3).to_sparse(), tmp_path / "x.pt")
    with pytest.raises(ValueError, match=r"x.pt' .* is torch.sparse_coo, .* save its to_dense"):
        open_activations(tmp_path)
    torch.save({"nested": {"x": torch.eye(3)}}, tmp_path / "x.pt")
    with pytest.raises(ValueError, match=r"holds no rows, .* nothing that is read"):
        open_activations(tmp_path)


def test_a_fact_that_is_named_must_be_there(tmp_path):
    np.save(tmp_path / "x.npy", np.eye(3))
    with pytest.raises(ValueError, match=r"no file has 'class' in its name, as facts\['labels'\] says"):
        open_activations(tmp_path, facts={"labels": "class"})
