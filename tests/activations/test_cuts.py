"""What is lost of long texts is said once, with its share, at the line that asked."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sklearn.pipeline import make_pipeline

from mfa_sklearn import ActivationExtractor
from mfa_sklearn.activations._cuts import count_cuts, told_once

TEXTS = ["The river ran under the bridge by the bank. " * 4] * 3 + ["Rain."]


def said_by(call: Callable[[], Any]) -> list[warnings.WarningMessage]:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        call()
    return said


def extractor(**params: Any) -> ActivationExtractor:
    return ActivationExtractor("tiny_lm", layer=0, device="cpu", **{"max_length": 20, **params})


CALLS: dict[str, Callable[[Path], Any]] = {
    "transform": lambda path: extractor().transform(TEXTS),
    "fit_transform": lambda path: extractor().fit_transform(TEXTS),
    "pooled": lambda path: extractor(pooling="mean").transform(TEXTS),
    "pipeline": lambda path: make_pipeline(extractor()).transform(TEXTS),
    "store": lambda path: extractor().extract_to(path / "store", TEXTS),
    "store in parts": lambda path: extractor().extract_to(path / "store", TEXTS, shard_size=1),
}


@pytest.mark.parametrize("name", CALLS)
def test_one_warning_points_at_the_line_that_asked(name: str, tmp_path: Path) -> None:
    said = said_by(lambda: CALLS[name](tmp_path))
    assert [warning.filename for warning in said] == [__file__]
    whole = len(extractor(max_length=None).transform(TEXTS)) + len(TEXTS)  # the first token of each is no row
    kept = len(extractor().transform(TEXTS[3:])) + 1 + 3 * 20
    share = f"{whole - kept:,} of {whole:,} tokens ({(whole - kept) / whole:.1%}) are lost"
    assert str(said[0].message).startswith(f"3 of 4 texts had more than 20 tokens and were cut there: {share}; split")
    assert str(said[0].message).endswith("raise max_length, to 256 at most")


def test_what_fits_is_not_spoken_of(tmp_path: Path) -> None:
    assert not said_by(lambda: extractor(max_length=None).extract_to(tmp_path / "s", TEXTS, shard_size=1))


def test_an_interrupted_run_says_what_it_lost_so_far() -> None:
    def stopped() -> None:
        with pytest.raises(KeyboardInterrupt), told_once():
            count_cuts([30, 5], [20, 5], 20, 20)
            raise KeyboardInterrupt

    said = said_by(stopped)
    assert [str(warning.message).split(": ")[1] for warning in said] == [
        "10 of 35 tokens (28.6%) are lost; split long texts"
    ]


def test_runs_inside_runs_are_told_apart() -> None:
    def nested() -> None:
        with told_once():
            count_cuts([30], [20], 20, 20)
            with told_once():
                count_cuts([50, 40], [20, 20], 20, 20)

    assert [str(w.message)[:6] for w in said_by(nested)] == ["2 of 2", "1 of 1"]
