"""What a writer is given is what its store holds, whole or as far as it came."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mfa_sklearn import (
    MFA,
    ActivationArray,
    ActivationExtractor,
    ActivationStore,
    ActivationWriter,
    datasets,
    top_tokens,
)
from mfa_sklearn.activations import _store_run as store_run
from mfa_sklearn.activations import _writer as writer_module
from mfa_sklearn.activations._part import Part
from mfa_sklearn.activations._store_writer import write_store

ROWS = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
TOKENS = np.array([f" t{number % 6}" for number in range(20)])
IDS = np.arange(20) % 6
SOURCE = {"model": "gpt2", "site": "mlp_out"}


LABELS = [None, *["x", "yy"] * 9, None]


def filled(writer, start=0, stop=20, step=3):
    for first in range(start, stop, step):
        some = slice(first, min(first + step, stop))
        writer.append(ROWS[some], tokens=TOKENS[some], token_ids=IDS[some], labels=LABELS[some])


def whole(folder, **options):
    with ActivationWriter(folder, 4, source=SOURCE, shard_rows=5, **options) as writer:
        filled(writer)
    return ActivationStore(folder)


def assert_whole(store):
    assert store.complete and store.layers == (4,) and store.verify()
    found = store[4][:]
    np.testing.assert_array_equal(np.asarray(found), ROWS)
    assert (found.tokens.tolist(), found.token_ids.tolist(), found.labels.tolist()) == (
        (TOKENS.tolist(), IDS.tolist(), LABELS)
    )


def test_rows_and_facts_are_those_that_were_appended(tmp_path):
    store = whole(tmp_path / "st")
    assert_whole(store)
    assert len(store.manifest["shards"]) == 4 and store.dtype == np.float32
    assert store[4].source == SOURCE | {"layer": 4, "hooks": ["blocks.4.hook_mlp_out"]}
    assert store[4].texts is None and store[4].text_index is None and store.n_rows == 20
    index = [17, 2, 2]
    np.testing.assert_array_equal(store[index], ROWS[index])
    assert store[4][index].labels.tolist() == [LABELS[number] for number in index]


def test_a_mixture_and_its_tables_take_it(tmp_path):
    store = whole(tmp_path / "st")
    mfa = MFA(2, 1, max_iter=3, tol=0, random_state=0).fit(store)
    np.testing.assert_array_equal(mfa.means_, MFA(2, 1, max_iter=3, tol=0, random_state=0).fit(ROWS).means_)
    assert mfa.source_["site"] == "mlp_out"
    assert set(top_tokens(mfa, store)["token"]) <= {*TOKENS.tolist()}


def test_rows_without_facts_or_a_layer(tmp_path):
    with ActivationWriter(tmp_path / "st") as writer:
        writer.append(ROWS)
    rows = ActivationStore(tmp_path / "st").open()
    np.testing.assert_array_equal(np.asarray(rows), ROWS)
    assert rows.shared == {} and rows.fact_names == ()
    assert rows[:3].source is None


def test_token_strings_alone_have_no_ids(tmp_path):
    with ActivationWriter(tmp_path / "st", shard_rows=6) as writer:
        for start in range(0, 20, 4):
            writer.append(ROWS[start : start + 4], tokens=TOKENS[start : start + 4])
    rows = ActivationStore(tmp_path / "st").open()
    assert rows.fact_names == ("tokens",) and rows.token_ids is None
    assert rows[:].tokens.tolist() == TOKENS.tolist()
    assert rows[7:9].tokens.tolist() == TOKENS[7:9].tolist()


def test_texts_are_counted_over_batches(tmp_path):
    with ActivationWriter(tmp_path / "st", texts=["first"], shard_rows=4) as writer:
        writer.append(ROWS[:6], text_index=[0, 0, 1, 1, 0, 2], texts=["second", "third"], starts=[0] * 6, ends=[2] * 6)
        writer.append(ROWS[6:9], text_index=[2, 3, 0], texts=["fourth"], starts=[1] * 3, ends=[2] * 3)
    store = ActivationStore(tmp_path / "st")
    assert list(store.texts) == ["first", "second", "third", "fourth"] and store.complete
    rows = store.open()
    assert [rows.texts[number] for number in rows.text_index] == [store.texts[i] for i in (0, 0, 1, 1, 0, 2, 2, 3, 0)]
    assert rows[4:].ends.tolist() == [2] * 5


@pytest.mark.parametrize(
    ("values", "kept", "read"),
    [
        (ROWS.astype(np.float16), "float16", np.float16),
        (ROWS.astype(np.float64), "float32", np.float32),
        (torch.from_numpy(ROWS).to(torch.bfloat16), "bfloat16", np.float32),
        (torch.from_numpy(ROWS), "float32", np.float32),
        (np.arange(80).reshape(20, 4), "float32", np.float32),
        (np.ma.masked_array(ROWS, ROWS > 1), "float32", np.float32),
    ],
)
def test_numbers_keep_their_type(values, kept, read, tmp_path):
    with ActivationWriter(tmp_path / "st") as writer:
        writer.append(values)
    store = ActivationStore(tmp_path / "st")
    assert store.manifest["dtype"] == kept and store.dtype == read
    expected = values.float().numpy() if isinstance(values, torch.Tensor) else np.ma.filled(values.astype(read), np.nan)
    np.testing.assert_array_equal(np.asarray(store), expected)


def test_an_array_may_be_filled_again_after_it_was_appended(tmp_path):
    buffer = np.zeros((3, 2), dtype=np.float32)
    with ActivationWriter(tmp_path / "st", shard_rows=7) as writer:
        for number in range(5):
            buffer[:] = number
            writer.append(buffer)
    assert np.asarray(ActivationStore(tmp_path / "st"))[:, 0].tolist() == sorted([*range(5)] * 3)


def test_facts_that_rows_carry_are_kept(tmp_path):
    X = ActivationArray(ROWS, rows={"tokens": TOKENS, "own": TOKENS, "positions": IDS})
    with ActivationWriter(tmp_path / "st") as writer:
        writer.append(X, positions=IDS + 1)
    rows = ActivationStore(tmp_path / "st").open()
    assert rows[:].tokens.tolist() == TOKENS.tolist() and rows[:].positions.tolist() == (IDS + 1).tolist()
    with ActivationWriter(tmp_path / "again") as writer:
        writer.append(rows)
    assert ActivationStore(tmp_path / "again").open()[:].tokens.tolist() == TOKENS.tolist()


# ---------------------------------------------------------------- what is wrong


WRONG = [
    ({"token": TOKENS}, TypeError, "'token' is no fact of rows .did you mean 'tokens'"),
    ({"words": TOKENS}, TypeError, "'words' is no fact of rows: there are"),
    ({"tokens": TOKENS[:5]}, ValueError, r"tokens have shape \(5,\) for 20 rows"),
    ({"tokens": IDS}, TypeError, "tokens must be strings, got 0"),
    ({"token_ids": TOKENS}, TypeError, "token_ids must be whole numbers, got <U3"),
    ({"token_ids": IDS - 1}, ValueError, "token_ids go from -1 to 4"),
    ({"positions": IDS + 0.5}, TypeError, "positions must be whole numbers, got float64"),
    ({"labels": [{}] * 20}, ValueError, "labels have shape"),
    ({"labels": np.zeros((20, 2))}, ValueError, r"labels have shape \(20, 2\)"),
    ({"text_index": IDS, "texts": ["a", "b"]}, ValueError, "text_index goes to 5, and there are 2 texts so far"),
    ({"labels": [1] + ["a"] * 19}, TypeError, "labels on disk must be numbers or strings, all of one kind"),
    ({"token_ids": IDS * 0, "tokens": TOKENS}, ValueError, "token id 0 stands for ' t0' and for ' t1'"),
]


@pytest.mark.parametrize(("facts", "kind", "match"), WRONG)
def test_facts_that_are_refused(facts, kind, match, tmp_path):
    with ActivationWriter(tmp_path / "st") as writer:
        with pytest.raises(kind, match=match):
            writer.append(ROWS, **facts)
        assert writer.n_rows == 0
        writer.append(ROWS, labels=LABELS)
    assert len(ActivationStore(tmp_path / "st").open()) == 20


WRONG_ROWS = [
    (ROWS[0], {}, ValueError, r"must be a table of two dimensions.*shape \(4,\)"),
    (TOKENS[:, None], {}, TypeError, "must be numbers, got <U3"),
    (ROWS[:, :3], {"labels": LABELS}, ValueError, "have 3 columns, and those before them 4"),
    (ROWS, {}, ValueError, r"the facts of these rows are \[\], and of those before \['labels'\]"),
    (ROWS, {"labels": LABELS, "positions": IDS}, ValueError, r"are \['labels', 'positions'\], and of those before"),
    (ROWS, {"labels": [None, *range(19)]}, TypeError, "labels are numbers, and those before them strings"),
    ({5: ROWS}, {"labels": LABELS}, ValueError, r"the rows are of the layers \[5\], and the store is of \[4\]"),
]


@pytest.mark.parametrize(("rows", "facts", "kind", "match"), WRONG_ROWS)
def test_rows_that_do_not_fit_those_before(rows, facts, kind, match, tmp_path):
    with ActivationWriter(tmp_path / "st", 4) as writer:
        writer.append(ROWS, labels=LABELS)
        with pytest.raises(kind, match=match):
            writer.append(rows, **facts)
    assert ActivationStore(tmp_path / "st").n_rows == 20


def test_layers_go_together(tmp_path):
    with ActivationWriter(tmp_path / "st", [2, 5], source=SOURCE) as writer:
        writer.append({5: -ROWS, 2: ROWS}, labels=LABELS)
        with pytest.raises(TypeError, match=r"has the layers \[2, 5\]: give a dict"):
            writer.append(ROWS, labels=LABELS)
        with pytest.raises(ValueError, match=r"layer 5 has rows of shape \(3, 4\), and layer 2 of \(20, 4\)"):
            writer.append({2: ROWS, 5: ROWS[:3]}, labels=LABELS)
    store = ActivationStore(tmp_path / "st")
    np.testing.assert_array_equal(np.asarray(store[5]), -ROWS)
    assert store[5].source["hooks"] == ["blocks.5.hook_mlp_out"]


@pytest.mark.parametrize(
    ("given", "kind", "match"),
    [
        ({"dtype": "float64"}, ValueError, "dtype='float64' is unknown"),
        ({"layers": -1}, ValueError, "layer -1 is out of range"),
        ({"source": {"mdl": 1}}, ValueError, "source has 'mdl'"),
        ({"source": {"layer": 3}}, ValueError, "source says layer 3: give layers=3 instead"),
        ({"layers": 2, "source": {"layer": 3}}, ValueError, r"source says layer 3, and layers=\[2\]"),
        ({"source": {"hooks": ["a", "b"]}}, ValueError, r"hooks=\['a', 'b'\] of its source must be 1 names"),
        ({"texts": ["a", " "]}, ValueError, r"texts\[1\] is empty"),
        ({"shard_rows": 0}, ValueError, "shard_rows=0 must be at least 1"),
        ({"overwrite": "no"}, TypeError, "overwrite='no' must be True or False"),
    ],
)
def test_arguments_that_are_refused(given, kind, match, tmp_path):
    with pytest.raises(kind, match=match):
        ActivationWriter(tmp_path / "st", **given)
    assert not (tmp_path / "st").exists()


def test_nothing_is_overwritten_unless_told(tmp_path):
    whole(tmp_path / "st")
    with pytest.raises(FileExistsError, match="holds a store: name another folder, or overwrite=True"):
        whole(tmp_path / "st")
    with pytest.raises(ValueError, match="is whole: overwrite=True replaces it"):
        whole(tmp_path / "st", resume=True)
    with pytest.raises(ValueError, match="choose one"):
        whole(tmp_path / "st", resume=True, overwrite=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="holds other things"):
        whole(tmp_path / "other", overwrite=True)
    (tmp_path / "other" / "manifest.json").write_text("{}")
    with pytest.raises(FileExistsError, match="holds other things"):
        whole(tmp_path / "other")
    assert_whole(ActivationStore(tmp_path / "st"))
    with ActivationWriter(tmp_path / "st", overwrite=True) as writer:
        writer.append(ROWS[:2])
        assert_whole(ActivationStore(tmp_path / "st"))  # until the new one is whole
    assert ActivationStore(tmp_path / "st").n_rows == 2


def test_parts_of_an_extraction_are_not_replaced_unless_told(tmp_path):
    from tiny_stores import TEXTS, token_rows

    place, labels = {"layer": 7, "hooks": ["blocks.7.hook_resid_post"]}, [1] * len(TEXTS)
    write_store(tmp_path / "st", token_rows, {}, place, TEXTS, labels, shard_size=4, part=Part(0, 2))
    before = ActivationStore(tmp_path / "st").n_rows
    with pytest.raises(FileExistsError, match="holds a store: name another folder"):
        whole(tmp_path / "st")
    assert ActivationStore(tmp_path / "st").n_rows == before
    assert_whole(whole(tmp_path / "st", overwrite=True))


def test_an_extracted_store_is_not_gone_on_with(tmp_path):
    from tiny_stores import token_rows, written

    written(tmp_path / "st", token_rows, [7])
    with pytest.raises(ValueError, match="holds activations of other texts, labels or parameters"):
        whole(tmp_path / "st", resume=True)


def test_without_rows_there_is_no_store(tmp_path):
    with pytest.raises(ValueError, match="no rows were appended"), ActivationWriter(tmp_path / "st"):
        pass
    assert not (tmp_path / "st" / "manifest.json").exists()


def test_outside_its_block_nothing_is_appended(tmp_path):
    writer = ActivationWriter(tmp_path / "st")
    with pytest.raises(RuntimeError, match="within its block"):
        writer.append(ROWS)


def test_a_writer_is_for_one_block(tmp_path):
    writer = ActivationWriter(tmp_path / "st", overwrite=True)
    with writer:
        writer.append(ROWS)
    with pytest.raises(RuntimeError, match="for one block: make another"), writer:
        pass
    assert ActivationStore(tmp_path / "st").n_rows == 20


def test_texts_behind_the_last_row_are_kept(tmp_path):
    with ActivationWriter(tmp_path / "st", shard_rows=4) as writer:
        writer.append(ROWS[:4], text_index=[0] * 4, texts=["first"])
        writer.append(ROWS[:0], text_index=[], texts=["second"])
    store = ActivationStore(tmp_path / "st")
    assert store.complete and list(store.texts) == ["first", "second"] and store.verify()
    np.testing.assert_array_equal(np.asarray(store), ROWS[:4])
    assert store.open()[:].text_index.tolist() == [0] * 4


def test_a_source_is_kept_as_a_file_can_say_it(tmp_path):
    source = {"model": tmp_path / "model", "d_model": np.int64(4), "dtype": torch.float16, "site": "residual"}
    with ActivationWriter(tmp_path / "st", source=source) as writer:
        writer.append(ROWS)
    said = {"model": str(tmp_path / "model"), "d_model": 4, "dtype": "torch.float16", "site": "residual"}
    assert ActivationStore(tmp_path / "st").source == said


# ---------------------------------------------------------------- interrupted


class StoppedError(Exception):
    """What ends a block early."""


@pytest.mark.parametrize("kind", [StoppedError, KeyboardInterrupt])
def test_what_was_appended_before_an_error_is_kept_and_gone_on_with(kind, tmp_path):
    with pytest.raises(kind) as caught, ActivationWriter(tmp_path / "st", 4, source=SOURCE, shard_rows=5) as writer:
        filled(writer, stop=12)
        raise kind
    assert "12 rows are kept" in caught.value.__notes__[0] and "resume=True" in caught.value.__notes__[0]
    store = ActivationStore(tmp_path / "st")
    assert not store.complete and store.n_rows == 12 and "incomplete" in repr(store)
    with pytest.warns(UserWarning, match=r"rows are not all, 12 rows of '.*st', whose writer was interrupted"):
        MFA(1, max_iter=1, tol=0).fit(store)
    with pytest.raises(FileExistsError, match="resume=True to go on"):
        whole(tmp_path / "st")
    with ActivationWriter(tmp_path / "st", 4, source=SOURCE, resume=True, shard_rows=5) as writer:
        assert writer.n_rows == 12
        with pytest.raises(ValueError, match="token id 0 stands for ' t0' and for 'other'"):
            writer.append(ROWS[:1], tokens=["other"], token_ids=[0], labels=["x"])
        filled(writer, start=12)
    assert_whole(ActivationStore(tmp_path / "st"))


def test_a_writer_that_was_killed_leaves_whole_shards(tmp_path):
    writer = ActivationWriter(tmp_path / "st", 4, source=SOURCE, shard_rows=5).__enter__()
    filled(writer, stop=12)
    writer._held.close()  # as the system does for a process that ends
    assert ActivationStore(tmp_path / "st").n_rows == 10
    with ActivationWriter(tmp_path / "st", 4, source=SOURCE, resume=True, shard_rows=5) as again:
        filled(again, start=again.n_rows)
    assert_whole(ActivationStore(tmp_path / "st"))


def test_after_a_kill_texts_go_on_after_those_that_are_there(tmp_path):
    texts = [f"text {number}" for number in range(6)]
    writer = ActivationWriter(tmp_path, shard_rows=5).__enter__()
    for number in range(4):
        writer.append(ROWS[3 * number : 3 * number + 3], text_index=[number] * 3, texts=[texts[number]])
    writer._held.close()
    with ActivationWriter(tmp_path, shard_rows=5, resume=True) as again:
        assert (again.n_rows, again.n_texts) == (10, 4)
        again.append(ROWS[10:18], text_index=np.arange(10, 18) // 3, texts=texts[again.n_texts :])
    rows = ActivationStore(tmp_path).open()
    assert rows.texts == texts and rows.text_index.tolist() == (np.arange(18) // 3).tolist()


def test_an_interrupted_store_is_replaced_or_another(tmp_path):
    for given, kind, match in (
        ({"layers": 5}, ValueError, "other texts, labels or parameters"),
        ({"dtype": "float16"}, ValueError, "is in float32, not float16"),
    ):
        with pytest.raises(StoppedError), ActivationWriter(tmp_path / "st", 4, overwrite=True) as writer:
            writer.append(ROWS)
            raise StoppedError
        with pytest.raises(kind, match=match):
            ActivationWriter(tmp_path / "st", **{"layers": 4, "resume": True} | given).__enter__()
    with ActivationWriter(tmp_path / "st", 4, overwrite=True) as writer:
        writer.append(ROWS[:3])
    assert ActivationStore(tmp_path / "st").complete and ActivationStore(tmp_path / "st").n_rows == 3


def test_one_writer_at_a_time(tmp_path):
    with ActivationWriter(tmp_path / "st") as writer:
        writer.append(ROWS)
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as pool, pytest.raises(BlockingIOError):
            pool.submit(ActivationWriter(tmp_path / "st", overwrite=True).__enter__).result()


def counted(start, stop):
    """Rows that say their number."""
    return np.repeat(np.arange(start, stop, dtype=np.float32)[:, None], 3, axis=1)


def test_a_shard_that_could_not_be_written_leaves_no_gap(tmp_path, monkeypatch):
    write, calls = writer_module.write_shard, []

    def full_disk_once(*args, **options):
        calls.append(args)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return write(*args, **options)

    monkeypatch.setattr(writer_module, "write_shard", full_disk_once)
    with pytest.raises(OSError, match="No space") as error, ActivationWriter(tmp_path, shard_rows=4) as writer:
        writer.append(counted(0, 10))
    assert "10 rows are kept" in error.value.__notes__[0]
    np.testing.assert_array_equal(np.asarray(ActivationStore(tmp_path)[0]), counted(0, 10))


def test_a_shard_that_the_manifest_does_not_name_is_not_told_to_be_kept(tmp_path, monkeypatch):
    write, calls = store_run.write_file, []

    def full_disk(*args):
        calls.append(args)
        if len(calls) > 2:
            raise OSError(28, "No space left on device")
        return write(*args)

    monkeypatch.setattr(store_run, "write_file", full_disk)
    with pytest.raises(OSError, match="No space") as error, ActivationWriter(tmp_path, shard_rows=4) as writer:
        writer.append(counted(0, 10))
    assert error.value.__notes__[0].startswith("4 rows are kept")
    assert ActivationStore(tmp_path).n_rows == 4


def test_a_label_of_another_kind_is_refused_after_an_interruption_too(tmp_path):
    with pytest.raises(StoppedError), ActivationWriter(tmp_path) as writer:
        writer.append(counted(0, 3), labels=[None, 1, 2])
        raise StoppedError
    with ActivationWriter(tmp_path, resume=True) as writer:
        with pytest.raises(TypeError, match="labels are strings, and those before them numbers"):
            writer.append(counted(3, 5), labels=["a", None])
        writer.append(counted(3, 5), labels=[None, None])
    assert ActivationStore(tmp_path)[0][:].labels.tolist() == [None, 1, 2, None, None]


def test_numbers_too_large_are_refused_with_their_batch_and_the_rest_is_kept(tmp_path):
    with pytest.raises(ValueError, match="beyond float16"), ActivationWriter(tmp_path, dtype="float16") as writer:
        writer.append(counted(0, 3))
        writer.append(np.array([[np.nan, 7e4, 0]]))
    with ActivationWriter(tmp_path, resume=True) as writer:
        assert writer.n_rows == 3
        writer.append(counted(3, 4))
    np.testing.assert_array_equal(ActivationStore(tmp_path)[0][:], counted(0, 4))


def test_what_is_to_replace_a_store_is_gone_on_with(tmp_path):
    ActivationStore.from_arrays(tmp_path, counted(0, 5))
    with pytest.raises(RuntimeError, match="mine"), ActivationWriter(tmp_path, overwrite=True) as writer:
        writer.append(counted(10, 12))
        raise RuntimeError("mine")
    np.testing.assert_array_equal(ActivationStore(tmp_path)[0][:], counted(0, 5))
    with ActivationWriter(tmp_path, resume=True) as writer:
        assert writer.n_rows == 2
        writer.append(counted(12, 13))
    np.testing.assert_array_equal(ActivationStore(tmp_path)[0][:], counted(10, 13))


def test_a_store_that_was_whole_when_its_writer_was_killed_takes_its_place(tmp_path, monkeypatch):
    ActivationStore.from_arrays(tmp_path, counted(0, 5))
    with monkeypatch.context() as patch:
        patch.setattr(writer_module, "finish", lambda run: None)  # as if killed before it
        ActivationStore.from_arrays(tmp_path, counted(10, 12), overwrite=True)
    np.testing.assert_array_equal(ActivationStore(tmp_path)[0][:], counted(0, 5))
    with pytest.raises(ValueError, match="is whole"):
        ActivationWriter(tmp_path, resume=True).__enter__()
    np.testing.assert_array_equal(ActivationStore(tmp_path)[0][:], counted(10, 12))


def test_other_texts_are_not_gone_on_with(tmp_path):
    with pytest.raises(RuntimeError), ActivationWriter(tmp_path, texts=["a", "b"]) as writer:
        writer.append(counted(0, 2), text_index=[0, 1])
        raise RuntimeError
    with pytest.raises(ValueError, match=r"texts\[1\] is 'z', .* has 'b'"):
        ActivationWriter(tmp_path, texts=["a", "z", "c"], resume=True).__enter__()
    with ActivationWriter(tmp_path, texts=["a", "b", "c"], resume=True) as writer:
        writer.append(counted(2, 3), text_index=[2])
    assert list(ActivationStore(tmp_path).texts) == ["a", "b", "c"]


def test_texts_need_to_be_told_whose_they_are(tmp_path):
    with pytest.raises(ValueError, match="2 texts, and no fact text_index"), ActivationWriter(tmp_path) as writer:
        writer.append(counted(0, 2), texts=["a", "b"])


def test_the_source_of_an_extractor_is_one_that_a_writer_takes(tmp_path):
    extractor = ActivationExtractor(
        datasets.tiny_lm(), [1, 2], prepend_bos=True, load_options={"use_safetensors": True}
    )
    source = extractor.fit(["A cat sleeps."]).source_
    with ActivationWriter(tmp_path / "st", [1, 2], source=source) as writer:
        writer.append({1: ROWS, 2: ROWS})
    found = ActivationStore(tmp_path / "st")[2].source
    assert found == source | {"layer": 2, "hooks": ["blocks.2.hook_resid_post"]}
