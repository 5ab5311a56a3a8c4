"""Attention sinks are told from the median of a call, however it is cut into parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lm_fixtures import SENTENCES
from sklearn.base import clone

from mfa_sklearn.activations import ActivationExtractor, TokenSelection, _sinks
from mfa_sklearn.activations._sinks import norm_limits, without_sinks


@pytest.fixture(scope="module")
def limited(models: dict[str, Path]) -> ActivationExtractor:
    return ActivationExtractor(models["llama"], layer=[0, 2], batch_size=4, max_norm_ratio=1.1, device="cpu")


@pytest.mark.parametrize("shard_size", [1, 2, 4, 100])
@pytest.mark.parametrize(
    "options", [{}, {"pooling": "mean"}, {"select": {"."}}, {"select": TokenSelection(special=True)}]
)
def test_the_size_of_parts_decides_nothing(
    limited: ActivationExtractor, tmp_path: Path, options: dict, shard_size: int
) -> None:
    # More special rows make the others short beside the median, and pooling needs one row of each text.
    extractor = clone(limited).set_params(max_norm_ratio=1.5 if "pooling" in options else 1.1, **options)
    X = extractor.transform(SENTENCES)
    store = extractor.extract_to(tmp_path / "store", SENTENCES, shard_size=shard_size, dtype="float32")
    for column, layer in enumerate((0, 2)):
        rows = store[layer][:]
        np.testing.assert_allclose(rows, X[:, 32 * column : 32 * (column + 1)], atol=1e-5)
        np.testing.assert_array_equal(rows.text_index, X.text_index)


def test_rows_are_left_out_by_the_median_of_all(limited: ActivationExtractor) -> None:
    whole, kept = clone(limited).set_params(max_norm_ratio=None).transform(SENTENCES), limited.transform(SENTENCES)
    norms = [np.linalg.norm(whole[:, columns], axis=1) for columns in (slice(0, 32), slice(32, 64))]
    expected = np.logical_and.reduce([norm <= 1.1 * np.median(norm) for norm in norms])
    assert 0 < expected.sum() < len(whole)
    np.testing.assert_array_equal(kept, whole[expected])


def test_large_calls_take_the_median_of_some_texts_everywhere(
    limited: ActivationExtractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_sinks, "RUN", 2)
    monkeypatch.setattr(_sinks, "RUNS", 2)
    texts = [*SENTENCES, *SENTENCES[::-1], "Money."]
    for keep in (None, {" willows"}):  # of no text among the first that are looked at
        extractor = clone(limited).set_params(select=keep)
        X = extractor.transform(texts)
        for shard_size in (3, 5):
            store = extractor.extract_to(
                tmp_path / f"{keep is None}-{shard_size}", texts, shard_size=shard_size, dtype="float32"
            )
            np.testing.assert_array_equal(store[0][:].text_index, X.text_index)


def test_a_run_goes_on_with_the_limits_it_began_with(limited: ActivationExtractor, tmp_path: Path) -> None:
    expected = limited.transform(SENTENCES)
    broken, extract, done = clone(limited), limited._extract, []

    def stop_at_second(*args: object) -> object:
        if done:
            raise KeyboardInterrupt
        done.append(args)
        return extract(*args)

    broken._extract = stop_at_second
    with pytest.raises(KeyboardInterrupt):
        broken.extract_to(tmp_path / "store", SENTENCES, shard_size=4, dtype="float32")
    store = clone(limited).extract_to(tmp_path / "store", SENTENCES, shard_size=4, dtype="float32")
    np.testing.assert_array_equal(store[0][:].text_index, expected.text_index)


def test_runs_of_texts_cover_a_small_call_and_spread_over_a_large_one() -> None:
    asked: list[range] = []

    def norms_of(run: range) -> list[np.ndarray]:
        asked.append(run)
        return [np.array([float(i) for i in run])]

    assert norm_limits(norms_of, 120, 2.0) == [2 * 59.5]
    assert [(run.start, run.stop) for run in asked] == [(0, 50), (50, 100), (100, 120)]
    asked.clear()
    assert norm_limits(norms_of, 100_000, 1.0)[0] == pytest.approx(49_999.5, rel=1e-3)
    assert len(asked) == 20 and asked[0].start == 0 and asked[-1].stop == 100_000
    assert norm_limits(lambda run: [np.zeros(0)], 10_000, 2.0) == [np.inf]


def test_a_row_is_left_out_if_it_is_long_in_any_layer() -> None:
    layers = [np.array([[1.0], [3.0], [1.0]]), np.array([[1.0], [1.0], [5.0]])]
    kept, facts = without_sinks(layers, {"positions": np.arange(3)}, [2.0, 4.0])
    assert [layer.tolist() for layer in kept] == [[[1.0]], [[1.0]]] and facts["positions"].tolist() == [0]
