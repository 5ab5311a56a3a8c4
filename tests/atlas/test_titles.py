"""What atlases and mixtures are called, and that nothing of this machine is in it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mfa_sklearn.atlas._titles import names_of, plain_source, title_of

TINY = {"model": "/home/somebody/models/tiny", "layer": 3, "site": "residual", "pooling": None}


def gathered(source: Any = None, n_components: int = 100) -> Any:
    return SimpleNamespace(source=source, n_components=n_components)


@pytest.mark.parametrize(
    ("mixtures", "expected"),
    [
        ([gathered(TINY)], "100 regions of tiny, layer 3, residual"),
        ([gathered({**TINY, "model": "model"}, 1)], "1 region of layer 3, residual"),  # a folder's name, no model's
        ([gathered({"model": "tiny"})], "100 regions of tiny"),
        ([gathered()], "A mixture of 100 regions"),
        ([gathered(TINY), gathered(TINY)], "Two mixtures of 100 regions, tiny, layer 3, residual"),
        (
            [gathered(TINY), gathered({**TINY, "layer": 5}, 50)],
            "Two mixtures of 100 and 50 regions, tiny, layer 3, residual and layer 5, residual",
        ),
        ([gathered(), gathered()], "Two mixtures of 100 regions"),
    ],
)
def test_titles(mixtures: list[Any], expected: str) -> None:
    assert title_of(mixtures) == expected


def test_names_tell_mixtures_apart() -> None:
    other = gathered({**TINY, "layer": 5})
    assert names_of(None, [gathered(TINY), other]) == ["layer 3, 100 regions", "layer 5, 100 regions"]
    assert names_of(None, [gathered(TINY)] * 2) == ["first mixture", "second mixture"]
    assert names_of(None, [gathered()]) == ["100 regions"]
    assert names_of("one", [gathered()]) == ["one"] and names_of(["a", "b"], [gathered()] * 2) == ["a", "b"]


@pytest.mark.parametrize(("names", "count"), [(["a"], 2), (["a", "a"], 2), (["a", "b"], 1)])
def test_names_that_do_not_fit_are_refused(names: list[str], count: int) -> None:
    with pytest.raises(ValueError, match=r"must be [12] names?, one for each mixture"):
        names_of(names, [gathered()] * count)


def test_facts_that_json_cannot_hold_become_text() -> None:
    assert plain_source({**TINY, "hooks": ("a", "b"), "dtype": float}) == {
        **TINY,
        "model": "tiny",
        "hooks": ["a", "b"],
        "dtype": "<class 'float'>",
    }
    assert plain_source(None) is None
    shared = plain_source({"model": "../ann/models/lm", "revision": "sha256:0a1b"})
    assert shared == {"model": "lm", "revision": "sha256:0a1b"}
