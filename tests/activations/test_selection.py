"""What a selection may say, how selections are joined, and how they are written."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from mfa_sklearn import TokenSelection
from mfa_sklearn.activations._selection import as_selection

FIRST, DOTS, CATS = TokenSelection(first=2), TokenSelection(strings="."), TokenSelection(ids=7)


SHORT: list[tuple[Any, TokenSelection]] = [
    (None, TokenSelection()),
    ("all", TokenSelection()),
    ("prompt", TokenSelection(phase="prompt")),
    ("generated", TokenSelection(phase="generated")),
    ("last", TokenSelection(at=-1)),
    (3, TokenSelection(at=3)),
    (np.int64(-3), TokenSelection(at=-3)),
    ([0, -1], TokenSelection(at=[0, -1])),
    (range(2), TokenSelection(at=(0, 1))),
    (np.array([1, 2]), TokenSelection(at=[1, 2])),
    (torch.tensor([1, 2]), TokenSelection(at=[1, 2])),
    ({".", " cat"}, TokenSelection(strings=[" cat", "."])),
    (["."], DOTS),
    (pd.Series(["."]), DOTS),
    (str.isspace, TokenSelection(predicate=str.isspace)),
    (FIRST, FIRST),
]


@pytest.mark.parametrize(("value", "selection"), SHORT, ids=range(len(SHORT)))
def test_short_forms(value: Any, selection: TokenSelection) -> None:
    assert as_selection(value) == selection


BAD = [
    (lambda: as_selection("first"), ValueError, r"select='first' is unknown; use one of 'all', .* is \{'first'\}"),
    (lambda: as_selection([]), ValueError, "select is empty: nothing would be chosen"),
    (lambda: as_selection(set()), ValueError, "select is empty"),
    (lambda: as_selection(1.5), TypeError, "select=1.5 must be one of"),
    (lambda: as_selection(True), TypeError, "select=True must be one of"),
    (lambda: as_selection([True]), TypeError, r"select=\[True\] must be one of"),
    (lambda: as_selection({1: 2}), TypeError, "select={1: 2} must be"),
    (lambda: as_selection(b"ab"), TypeError, "select=b'ab' must be"),
    (lambda: as_selection({3}), TypeError, r"select=\{3\} must hold token strings: places are a list"),
    (lambda: as_selection([" cat", None]), TypeError, r"must be one of"),
    (lambda: TokenSelection(phase="answer"), ValueError, "phase='answer' is unknown; use one of prompt, generated"),
    (lambda: TokenSelection(phase=1), ValueError, "phase=1 is unknown"),  # type: ignore[arg-type]
    (lambda: TokenSelection(first=0), ValueError, "first=0 must be at least 1"),
    (lambda: TokenSelection(last=1.0), TypeError, "last=1.0 must be a number of tokens"),  # type: ignore[arg-type]
    (lambda: TokenSelection(last=True), TypeError, "last=True must be a number"),
    (lambda: TokenSelection(phase="generated", last=2), ValueError, "last=2 of generated tokens cannot be told"),
    (lambda: TokenSelection(at=[]), ValueError, "at is empty"),
    (lambda: TokenSelection(at="1"), TypeError, "at='1' must be an integer or several"),  # type: ignore[arg-type]
    (lambda: TokenSelection(ids=-1), ValueError, "ids=-1 is no token"),
    (lambda: TokenSelection(ids=[1, 2.5]), TypeError, "ids=.* must be an integer"),  # type: ignore[list-item]
    (lambda: TokenSelection(strings=[" cat", 3]), TypeError, "strings must be strings, got 3"),  # type: ignore[list-item]
    (lambda: TokenSelection(strings=3), TypeError, "strings must be strings, got 3"),  # type: ignore[arg-type]
    (lambda: TokenSelection(roles=[]), ValueError, "roles is empty"),
    (lambda: TokenSelection(roles=b"user"), TypeError, "roles must be strings"),  # type: ignore[arg-type]
    (lambda: TokenSelection(predicate="a"), TypeError, "predicate must be a function .* got str"),  # type: ignore[arg-type]
    (lambda: TokenSelection(special="no"), TypeError, "special='no' must be True or False"),  # type: ignore[arg-type]
    (lambda: FIRST - (DOTS - CATS), ValueError, "has exclusions of its own, which cannot be subtracted"),
    (
        lambda: TokenSelection(predicate=str.isspace).to_dict(),
        TypeError,
        "predicate=.*isspace.* is a function, which JSON cannot hold",
    ),
    (lambda: TokenSelection.from_dict([1]), TypeError, "read from a dict of to_dict, got list"),  # type: ignore[arg-type]
    (lambda: TokenSelection.from_dict({"fist": 1}), ValueError, "has no 'fist' here: it has phase, first, "),
    (lambda: TokenSelection.from_dict({"predicate": "sha256:1"}), ValueError, "has no 'predicate' here"),
    (lambda: TokenSelection.from_dict({"first": 1, "either": []}), ValueError, "a selection has no"),
    (lambda: TokenSelection.from_dict({"without": [{}]}), ValueError, "at least one in 'either'"),
    (lambda: TokenSelection.from_dict({"either": [{"either": [{}, {"at": 1}]}]}), ValueError, "no joins"),
]


@pytest.mark.parametrize(("make", "error", "match"), BAD)
def test_what_can_choose_nothing_is_refused(make: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()


def test_what_was_subtracted_stays_out() -> None:
    assert (FIRST - DOTS) | CATS == (FIRST | CATS) - DOTS
    assert FIRST | (CATS - DOTS) == (FIRST | CATS) - DOTS
    assert (FIRST - DOTS) - CATS == FIRST - (DOTS | CATS)
    assert (FIRST - DOTS).parts == (FIRST,) and (FIRST - DOTS).exclusions == (DOTS,)
    assert ((FIRST | CATS) - DOTS).parts == (FIRST, CATS)


def test_joins_take_short_forms_on_either_side() -> None:
    assert TokenSelection(phase="prompt") | FIRST == "prompt" | FIRST
    assert FIRST | {"."} == FIRST | DOTS and {"."} | FIRST == DOTS | FIRST
    assert TokenSelection() - FIRST == "all" - FIRST and FIRST - TokenSelection(at=0) == FIRST - 0
    assert FIRST | FIRST == FIRST


def test_a_selection_shows_how_it_is_made() -> None:
    for selection in (FIRST, FIRST | CATS, FIRST - DOTS, (FIRST | CATS) - DOTS - CATS, FIRST - (DOTS | CATS)):
        assert eval(repr(selection), {"TokenSelection": TokenSelection}) == selection


WRITTEN = [
    TokenSelection(),
    TokenSelection(phase="prompt", last=3, at=[1, -2], ids={5, 3}, strings={" cat", "."}, roles="user", special=False),
    FIRST | DOTS,
    (FIRST | {" cat"}) - "last" - DOTS,
]


@pytest.mark.parametrize("selection", WRITTEN, ids=repr)
def test_a_selection_goes_through_json_pickles_and_copies(selection: TokenSelection) -> None:
    assert TokenSelection.from_dict(json.loads(json.dumps(selection.to_dict()))) == selection
    assert pickle.loads(pickle.dumps(selection)) == copy.deepcopy(selection) == selection
    assert hash(selection) == hash(copy.copy(selection))


def test_a_selection_does_not_change() -> None:
    with pytest.raises(AttributeError):
        FIRST.first = 3  # type: ignore[misc]
