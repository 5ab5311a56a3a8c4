"""Texts of a run: a list, or a stream that is read once, a shard at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_stores import LABELS, NEVER, SOURCE, TEXTS, content, stopped_at, token_rows

from mfa_sklearn import ActivationStore
from mfa_sklearn.activations._checks import check_texts
from mfa_sklearn.activations._given_texts import StreamedTexts, is_stream, paired, without_rows
from mfa_sklearn.activations._part import ALL, Part
from mfa_sklearn.activations._row_plan import LayerRows
from mfa_sklearn.activations._store_writer import write_store

PAIRS = list(zip(TEXTS, LABELS, strict=True))


def check(some: list[Any], first: int) -> list[str]:
    return check_texts(some, None, first)


def labeled_rows(texts: list[str], labels: Any, first: int) -> LayerRows:
    found = token_rows(texts, [""] * len(texts) if labels is None else labels, first)
    if labels is None:
        del found.facts["labels"]
    return found


def write(path: Path, entries: Iterable[Any], part: Part = ALL, extract: Any = labeled_rows, **options: Any) -> Any:
    texts = StreamedTexts(iter(entries), check)
    return write_store(path, extract, {}, SOURCE, texts, shard_size=4, part=part, **options)


@pytest.mark.parametrize("n_texts", [30, 28, 3])
def test_a_stream_gives_the_rows_of_its_list(tmp_path: Path, n_texts: int) -> None:
    store = write(tmp_path / "stream", PAIRS[:n_texts])
    options = {"texts": TEXTS[:n_texts], "labels": LABELS[:n_texts], "shard_size": 4}
    listed = write_store(tmp_path / "list", token_rows, {}, SOURCE, **options)
    assert store.complete and store.manifest["n_texts"] == n_texts and list(store.texts) == TEXTS[:n_texts]
    for name, found in content(tmp_path / "list").items():
        assert name == "manifest.json" or content(tmp_path / "stream")[name] == found
    np.testing.assert_array_equal(store[7].labels, listed[7].labels)


def test_a_stream_is_read_a_shard_ahead(tmp_path: Path) -> None:
    read, ahead = itertools.count(), []

    def entries() -> Iterator[str]:
        for text in TEXTS:
            next(read)
            yield text

    def extract(texts: list[str], labels: Any, first: int) -> LayerRows:
        ahead.append(next(read) - len(ahead) - (first + len(texts)))
        return labeled_rows(texts, labels, first)

    write(tmp_path, entries(), extract=extract)
    assert max(ahead) == 4 and len(ahead) == 8


def test_an_interrupted_stream_goes_on_where_it_was(tmp_path: Path) -> None:
    write(tmp_path / "one", PAIRS)
    with pytest.raises(KeyboardInterrupt, match=r"12 texts of a stream are kept in '.*'; to go on, do the same again"):
        write(tmp_path / "new", PAIRS, extract=stopped_at(12, KeyboardInterrupt()))
    store = ActivationStore(tmp_path / "new")
    assert not store.complete and store.manifest["n_texts"] is None and len(store.texts) == 12
    assert store[7].shared["incomplete"].startswith("12 texts of '")
    again = stopped_at(0, RuntimeError("extracted again"))
    assert write(tmp_path / "new", PAIRS, extract=again).complete
    assert content(tmp_path / "new") == content(tmp_path / "one")
    assert write(tmp_path / "new", PAIRS, extract=NEVER).complete


@pytest.mark.parametrize("order", [(0, 1), (2, 1, 0), tuple(range(9))])
def test_parts_of_a_stream_give_the_store_of_one(tmp_path: Path, order: tuple[int, ...]) -> None:
    write(tmp_path / "one", PAIRS)
    for done, number in enumerate(order, 1):
        store = write(tmp_path / "parts", PAIRS, Part(number, len(order)))
        assert store.missing_parts == tuple(sorted(order[done:]))
    assert content(tmp_path / "parts") == content(tmp_path / "one")


OTHER = {
    "another text": [*PAIRS[:2], ("Another.", "farm"), *PAIRS[3:]],
    "another label": [*PAIRS[:2], (TEXTS[2], "barn"), *PAIRS[3:]],
    "another order": [PAIRS[1], PAIRS[0], *PAIRS[2:]],
    "one less": PAIRS[1:],
}


@pytest.mark.parametrize("entries", OTHER.values(), ids=OTHER.keys())
@pytest.mark.parametrize("n_kept", [8, 30])
def test_a_stream_of_other_texts_is_refused(tmp_path: Path, entries: list[Any], n_kept: int) -> None:
    with suppress(KeyboardInterrupt):
        write(tmp_path, PAIRS, extract=stopped_at(n_kept, KeyboardInterrupt()))
    before = content(tmp_path)
    with pytest.raises(ValueError, match=r"other texts or labels than the store, somewhere up to texts\[3\]"):
        write(tmp_path, entries, extract=NEVER)
    assert content(tmp_path) == before


@pytest.mark.parametrize(("kept", "n_texts"), [(30, 28), (28, 30), (30, 4)])
def test_a_stream_of_another_length_is_refused(tmp_path: Path, kept: int, n_texts: int) -> None:
    write(tmp_path, PAIRS[:kept])
    with pytest.raises(ValueError, match=r"has (ended after|other texts).*give the same stream from its beginning"):
        write(tmp_path, PAIRS[:n_texts], extract=NEVER)
    assert ActivationStore(tmp_path).complete


def test_parts_that_read_different_texts_are_refused(tmp_path: Path) -> None:
    """As where a stream is shuffled, in each process in another order."""
    write(tmp_path, PAIRS, Part(0, 3))
    write(tmp_path, PAIRS, Part(1, 3))
    with pytest.raises(ValueError, match="the stream has other texts or labels than the store"):
        write(tmp_path, PAIRS[::-1], Part(2, 3))
    write(tmp_path / "b", PAIRS[::-1], Part(2, 3))
    for file in (tmp_path / "b").iterdir():
        file.rename(tmp_path / file.name)
    (tmp_path / "b").rmdir()
    with pytest.raises(ValueError, match=r"part-0-of-3\.json and .*part-2.* have read different texts: a stream must"):
        ActivationStore(tmp_path)


def test_a_list_and_a_stream_are_two_runs(tmp_path: Path) -> None:
    write_store(tmp_path, token_rows, {}, SOURCE, TEXTS, LABELS, shard_size=4)
    with pytest.raises(ValueError, match="holds activations of other texts, labels or parameters"):
        write(tmp_path, PAIRS, extract=NEVER)


BAD = {
    "nothing": ([], ValueError, r"the stream of texts is empty: .*\(a generator can be read once only\)"),
    "blank": ([*TEXTS[:6], " "], ValueError, r"texts\[6\] is empty: leave it out"),
    "no text": ([*TEXTS[:6], 5], TypeError, r"texts\[6\] must be a string, got int"),
    "a pair": (
        [*TEXTS[:6], PAIRS[6]],
        TypeError,
        r"texts\[0\] is a text alone, and texts\[6\] is a text and",
    ),
    "no pair": (
        [*PAIRS[:6], TEXTS[6]],
        TypeError,
        r"\[0\] is a text and its label, and texts\[6\] is a text alone",
    ),
    "kinds": ([(text, i if i > 5 else "a") for i, text in enumerate(TEXTS)], TypeError, "labels on disk must be"),
    "kind": (
        [(text, i if i > 7 else "a") for i, text in enumerate(TEXTS)],
        TypeError,
        r"labels of texts\[8\] to texts\[11\] are numbers, such as 8, and those before them strings",
    ),
}


@pytest.mark.parametrize(("entries", "error", "match"), BAD.values(), ids=BAD.keys())
def test_bad_streams(tmp_path: Path, entries: list[Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        write(tmp_path, entries)


def test_labels_that_are_missing_in_whole_shards(tmp_path: Path) -> None:
    labels = [i if 4 <= i < 30 and i % 3 else None for i in range(30)]
    store = write(tmp_path, zip(TEXTS, labels, strict=True))
    found = store[7]
    assert found.labels.tolist() == [labels[i] for i in found.text_index]


def test_labels_beside_a_stream() -> None:
    assert list(paired(iter("ab"), [1, 2])) == [("a", 1), ("b", 2)]
    for texts, labels, match in (("ab", [1], "labels end before number 1"), ("a", [1, 2], "texts end before number 1")):
        with pytest.raises(ValueError, match=match):
            list(paired(texts, labels))


def test_what_is_a_stream() -> None:
    assert is_stream(iter(TEXTS)) and is_stream(text for text in TEXTS)
    assert not any(map(is_stream, (TEXTS, tuple(TEXTS), "a", np.array(TEXTS), 5, None)))


ROWS = [{"text": text, "label": label, "n": i} for i, (text, label) in enumerate(PAIRS)]


@pytest.mark.parametrize("kind", [list, iter])
def test_rows_of_a_data_set_are_texts_with_labels(kind: Any, tmp_path: Path) -> None:
    found = without_rows(kind(ROWS), None)
    assert is_stream(found) and list(found) == PAIRS
    store = write(tmp_path, without_rows(kind(ROWS), None))
    assert list(store.texts) == TEXTS and set(store[7].labels) == set(LABELS)


def test_what_is_no_rows_is_left_as_it_is() -> None:
    chats = [[{"role": "user", "content": "Hello"}]]
    for given in (TEXTS, chats, "text", {"text": TEXTS}, 3, []):
        assert without_rows(given, None) is given
    assert list(without_rows(iter(TEXTS), None)) == TEXTS
    with pytest.raises(TypeError, match=r"labels of their own: .*datasets.stream_texts\(texts, label_column=\.\.\.\)"):
        without_rows(ROWS, LABELS)
    with pytest.raises(ValueError, match=r"no texts in its first 1 rows: they have \['body'\]"):
        without_rows([{"body": "A."}], None)


def test_of_a_stream_that_ends_too_early_for_another_part_nothing_is_written(tmp_path: Path) -> None:
    write(tmp_path, TEXTS, Part(0, 2))
    with pytest.raises(ValueError, match="ended after 6 texts"):
        write(tmp_path, TEXTS[:6], Part(1, 2), extract=NEVER)
    assert write(tmp_path, TEXTS, Part(1, 2)).complete
