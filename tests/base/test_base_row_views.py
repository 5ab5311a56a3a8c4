"""Runs of rows and tables put together are what slicing and concatenating give, and are not read before."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from row_cases import BAD_KEYS, KEYS, KINDS, N_ROWS, NUMBERS, WORDS, AscendingOnly, NotedRows, tables

from mfa_sklearn import MFA
from mfa_sklearn._base.annotated import AnnotatedArray, row_fact, shared_fact
from mfa_sklearn._base.row_views import Concatenated, JoinedTexts, RowRange, share_of

LONG = np.concatenate([NUMBERS - 100, NUMBERS, NUMBERS + 100])
SIDES = {"word": np.array([*["before"] * N_ROWS, *WORDS, *["after"] * N_ROWS])}


def in_the_middle(kind, folder):
    """Tables that hold `NUMBERS` between others, whose middle is looked at."""
    found = {
        "array": LONG,
        "map": np.lib.format.open_memmap(folder / "long.npy", "w+", LONG.dtype, LONG.shape),
        "tensor": torch.from_numpy(LONG),
        "annotated": AnnotatedArray(LONG, rows=SIDES),
        "source": AscendingOnly(LONG),
        "lazy": NotedRows(LONG, **SIDES),
    }
    found["map"][:] = LONG
    return RowRange(found[kind], N_ROWS, 2 * N_ROWS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_range_is_the_slice(kind, tmp_path):
    view = in_the_middle(kind, tmp_path)
    assert view.shape == NUMBERS.shape and view.dtype == np.float32 and len(view) == N_ROWS
    np.testing.assert_array_equal(np.asarray(view), NUMBERS)
    for key in KEYS.values():
        found = view[key]
        np.testing.assert_array_equal(np.asarray(found), NUMBERS[key])
        if kind in ("annotated", "lazy"):
            np.testing.assert_array_equal(found.rows["word"], WORDS[key[0] if isinstance(key, tuple) else key])
    for key, match in BAD_KEYS.values():
        with pytest.raises(IndexError, match=match):
            view[key]


def test_a_range_reads_its_own_rows_alone():
    rows = NotedRows(LONG, **SIDES)
    view = RowRange(rows, 5, 9)
    assert row_fact(view, "word").tolist() == SIDES["word"][5:9].tolist()
    assert shared_fact(view, "origin") == "noted"
    assert rows.read == [("word", 4)]
    assert RowRange(view, 1, 3)[:].rows["word"].tolist() == SIDES["word"][6:8].tolist()


@pytest.mark.parametrize(
    ("bounds", "match"),
    [
        ((-1, 3), "start=-1 must be at least 0"),
        ((4, 3), "stop=3 must be at least 4"),
        ((0, N_ROWS + 1), f"stop={N_ROWS + 1} is beyond the last of {N_ROWS} rows"),
    ],
)
def test_ranges_that_are_none(bounds, match):
    with pytest.raises(ValueError, match=match):
        RowRange(NUMBERS, *bounds)


def cut(table, cuts):
    return [table[start:stop] for start, stop in zip([0, *cuts], [*cuts, N_ROWS], strict=True)]


@pytest.mark.parametrize("cuts", [[], [9], [0, 4, 4, 23]])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "source"])
def test_tables_put_together_are_the_concatenation(kind, cuts, tmp_path):
    table = tables(NUMBERS, tmp_path)[kind]
    whole = Concatenated(cut(table, cuts))
    assert whole.shape == NUMBERS.shape and whole.dtype == np.float32
    np.testing.assert_array_equal(np.asarray(whole), NUMBERS)
    for key in KEYS.values():
        found = whole[key]
        np.testing.assert_array_equal(np.asarray(found), NUMBERS[key])
        if kind in ("annotated", "lazy"):
            np.testing.assert_array_equal(found.rows["word"], WORDS[key[0] if isinstance(key, tuple) else key])
    for key, match in BAD_KEYS.values():
        with pytest.raises(IndexError, match=match):
            whole[key]


def test_only_the_table_that_rows_lie_in_is_read():
    sources = [AscendingOnly(NUMBERS), AscendingOnly(NUMBERS), AscendingOnly(NUMBERS)]
    whole = Concatenated(sources)
    np.testing.assert_array_equal(whole[[30, 24, 30]], NUMBERS[[7, 1, 7]])
    assert [source.n_read for source in sources] == [0, 2, 0]


def test_the_type_holds_all_numbers():
    whole = Concatenated(
        [NUMBERS.astype(np.float16), NUMBERS.astype(np.float64), torch.ones(2, 3, dtype=torch.bfloat16)]
    )
    assert whole.dtype == np.float64 and whole[:3].dtype == np.float64
    assert whole[-1].tolist() == [1, 1, 1]


def test_texts_follow_those_before():
    first = AnnotatedArray(np.eye(3), {"text_index": [0, 0, 1]}, {"texts": ("a", "b"), "other": 1})
    second = AnnotatedArray(np.eye(3), {"text_index": [2, 0, 1]}, {"texts": ("c", "d", "e")})
    whole = Concatenated([first, second])
    assert whole.rows["text_index"].tolist() == [0, 0, 1, 4, 2, 3]
    texts = whole.shared["texts"]
    assert isinstance(texts, JoinedTexts) and texts == ("a", "b", "c", "d", "e") and len(texts) == 5
    assert (texts[2], texts[-1], texts[1:3]) == ("c", "e", ("b", "c"))
    assert pickle.loads(pickle.dumps(texts)) == tuple("abcde")
    assert hash(texts) == hash(tuple("abcde"))
    assert whole[3:].shared["texts"][whole[3:].rows["text_index"][0]] == "e"
    assert "other" not in whole.shared
    with pytest.raises(IndexError):
        texts[5]


def test_tables_cut_from_one_share_its_texts():
    table = AnnotatedArray(np.eye(4), {"text_index": [0, 1, 1, 2]}, {"texts": ("a", "b", "c")})
    whole = Concatenated([table[2:], table[:2]])
    assert whole.rows["text_index"].tolist() == [1, 2, 0, 1]
    assert list(whole.shared["texts"]) == ["a", "b", "c"]


def test_numbers_of_texts_that_nobody_has_count_on():
    table = AnnotatedArray(np.eye(3), {"text_index": [0, 2, 1]})
    with_texts = AnnotatedArray(np.eye(3), {"text_index": [0, 0, 0]}, {"texts": ("a", "b")})
    whole = Concatenated([table, with_texts, table])
    assert whole.rows["text_index"].tolist() == [0, 2, 1, 3, 3, 3, 5, 7, 6]
    assert "texts" not in whole.shared


def test_rows_without_labels_have_none():
    labeled = AnnotatedArray(np.eye(2), {"labels": ["x", "y"]})
    whole = Concatenated([np.eye(2), labeled])
    assert whole.rows["labels"].tolist() == [None, None, "x", "y"]
    assert whole[1:3].rows["labels"].tolist() == [None, "x"]
    assert whole[:0].rows["labels"].tolist() == []


def test_facts_that_some_lack_are_left_out_and_told():
    table = AnnotatedArray(np.eye(2), {"tokens": ["a", "b"], "positions": [0, 1]})
    with pytest.warns(UserWarning, match="tokens are left out: table 1 has none"):
        whole = Concatenated([table, AnnotatedArray(np.eye(2), {"positions": [5, 6]})])
    assert list(whole.rows) == ["positions"]
    assert whole.rows["positions"].tolist() == [0, 1, 5, 6]


def of(**source):
    return AnnotatedArray(np.eye(2), shared={"source": source})


def test_a_table_without_rows_takes_no_facts_from_the_others():
    table = AnnotatedArray(np.eye(2), {"tokens": ["a", "b"], "text_index": [0, 1]})
    whole = Concatenated([np.zeros((0, 2)), table, np.zeros((0, 2)), table])
    assert whole.rows["tokens"].tolist() == ["a", "b"] * 2 and whole.rows["text_index"].tolist() == [0, 1, 2, 3]
    assert whole[:0].rows["tokens"].tolist() == []
    assert list(Concatenated([table[:0], np.zeros((0, 2))]).rows) == []


def test_sources_are_compared():
    whole = Concatenated([of(model="m", layer=3, site="mlp"), of(model="m", layer=[3], pooling=None)])
    assert whole.shared["source"] == {"model": "m"}
    assert "source" not in Concatenated([of(model="m"), np.eye(2)]).shared
    with pytest.raises(ValueError, match=r"table 2 is of layer 4, and those before it are of layer 3.*differ in layer"):
        Concatenated([of(model="m"), of(layer=3), of(layer=4)])
    with pytest.raises(ValueError, match="differ in model"):
        Concatenated([of(model="m"), np.eye(2), of(model="n")])


def test_what_is_unfinished_is_told():
    left = [AnnotatedArray(np.eye(2), shared={"incomplete": told}) for told in ("1 of 2", None, "3 of 4")]
    assert Concatenated(left).shared == {"incomplete": "1 of 2; 3 of 4"}


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ([], "no table"),
        ([NUMBERS, NUMBERS, np.eye(4)], "table 2 has 4 columns and table 0 has 3"),
        ([NUMBERS, NUMBERS.astype(object)], "table 1 holds object: make numbers of it"),
    ],
)
def test_tables_that_do_not_go_together(wrong, match):
    with pytest.raises(ValueError, match=match):
        Concatenated(wrong)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 2, 3, 23, 40])
def test_shares_are_all_rows_in_order_and_equally_many(size, kind, tmp_path):
    table = tables(NUMBERS, tmp_path)[kind]
    shares = [share_of(table, rank, size) for rank in range(size)]
    lengths = [len(share) for share in shares]
    assert max(lengths) - min(lengths) <= 1
    np.testing.assert_array_equal(np.concatenate([np.asarray(share) for share in shares]), NUMBERS)


@pytest.mark.parametrize(("rank", "size"), [(2, 2), (-1, 2), (0, 0)])
def test_shares_of_nobody(rank, size):
    with pytest.raises(ValueError, match=r"rank=|size="):
        share_of(NUMBERS, rank, size)


def test_a_mixture_is_fitted_on_them_as_on_the_array():
    X = np.random.default_rng(0).standard_normal((60, 4))
    pieces = Concatenated([NotedRows(X[:20]), RowRange(NotedRows(np.concatenate([X, X])), 20, 60)])
    expected, found = (MFA(2, 1, max_iter=4, tol=0, random_state=0).fit(rows) for rows in (X, pieces))
    np.testing.assert_array_equal(found.means_, expected.means_)
    np.testing.assert_array_equal(found.predict(pieces), expected.predict(X))
