"""What the extractor knows of its model, and what it writes of texts as parts and streams."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from store_cases import LABELS, TEXTS, assert_same
from tiny_stores import content

from mfa_sklearn import ActivationExtractor
from mfa_sklearn.activations import ActivationStore, _extractor


@pytest.mark.parametrize("params", [{}, {"max_norm_ratio": 1.1}, {"pooling": "mean"}, {"select": {"."}}])
def test_parts_of_an_extraction_are_that_of_one_process(
    extractor: ActivationExtractor, tmp_path: Path, params: dict[str, Any]
) -> None:
    extractor = clone(extractor).set_params(**params)
    if "select" in params:
        extractor.set_params(layer=0)
    options = {"shard_size": 2, "dtype": "bfloat16"}
    extractor.extract_to(tmp_path / "one", TEXTS, LABELS, **options)
    for number in (2, 0, 1):
        store = clone(extractor).extract_to(tmp_path / "parts", TEXTS, LABELS, part=(number, 3), **options)
    assert store.complete and content(tmp_path / "parts") == content(tmp_path / "one")


def test_the_environment_says_which_part(
    extractor: ActivationExtractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    one = clone(extractor).set_params(layer=0)
    assert one.extract_to(tmp_path / "auto", TEXTS, shard_size=3).missing_parts == (0,)
    assert one.extract_to(tmp_path / "all", TEXTS, shard_size=3, part=None).complete
    with pytest.raises(TypeError, match="part='1/2' must be None, 'auto' or two numbers"):
        one.extract_to(tmp_path / "all", TEXTS, part="1/2")


@pytest.mark.parametrize("labels", [None, "pairs", "beside"])
def test_a_generator_gives_the_rows_of_its_list(
    extractor: ActivationExtractor, tmp_path: Path, memory: dict[int, Any], labels: str | None
) -> None:
    def entries() -> Iterator[Any]:
        yield from zip(TEXTS, LABELS.tolist(), strict=True) if labels == "pairs" else TEXTS

    beside = iter(LABELS.tolist()) if labels == "beside" else None
    store = extractor.extract_to(tmp_path, entries(), beside, shard_size=3, dtype="float32")
    if labels is None:
        np.testing.assert_allclose(np.asarray(store[0]), np.asarray(memory[0]), atol=1e-5)
        assert store[0].labels is None
    else:
        assert_same(store[0][:], memory[0])


def test_a_stream_of_chats(tmp_path: Path, extractor: ActivationExtractor) -> None:
    chats = [[{"role": "user", "content": text}] for text in TEXTS]
    with pytest.raises(ValueError, match="chat template"):
        extractor.extract_to(tmp_path / "s", iter(chats))
    with pytest.raises(TypeError, match=r"texts\[3\] must be a string"):
        extractor.extract_to(tmp_path / "s", iter([*TEXTS[:3], {"text": "a"}]), shard_size=3)


def test_sinks_of_a_stream_are_told_from_its_first_texts(
    extractor: ActivationExtractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_extractor, "RUNS", 2)
    monkeypatch.setattr(_extractor, "RUN", 2)
    chosen = clone(extractor).set_params(layer=0, max_norm_ratio=1.1)
    norms = np.linalg.norm(clone(extractor).set_params(layer=0).transform(TEXTS), axis=1)
    n_first = len(clone(extractor).set_params(layer=0).transform(TEXTS[:4]))
    for number in range(2):
        store = chosen.extract_to(tmp_path, iter(TEXTS), shard_size=3, part=(number, 2), dtype="float32")
    assert store.n_rows == (norms <= 1.1 * np.median(norms[:n_first])).sum() < len(norms)
    assert store.n_rows != (norms <= 1.1 * np.median(norms)).sum()


def test_the_same_generator_is_not_read_twice(extractor: ActivationExtractor, tmp_path: Path) -> None:
    texts = iter(TEXTS)
    extractor.extract_to(tmp_path, texts, shard_size=3)
    with pytest.raises(ValueError, match="the stream of texts is empty"):
        extractor.extract_to(tmp_path, texts, shard_size=3)
    assert ActivationStore(tmp_path).complete
