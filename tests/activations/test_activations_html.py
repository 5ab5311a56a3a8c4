"""What notebooks show of activations."""

from __future__ import annotations

import numpy as np
import pytest
from html_cases import NASTY, Read, shown

from mfa_sklearn.activations import ActivationArray

SOURCE = {"model": "gpt2", "layer": 4, "site": "residual"}


def test_what_the_rows_are_of() -> None:
    rows = {"tokens": ["The", " cat", "!", "Hm"], "text_index": [0, 0, 0, 3], "labels": ["a", "a", "a", None]}
    X = ActivationArray(np.zeros((4, 2), dtype=np.float32), rows=rows, shared={"source": SOURCE})
    html = X._repr_html_()
    assert html is not None
    texts = Read(html).texts
    said = ["4 rows of 2 features, float32", "layer 4, site 'residual', of model 'gpt2'", "tokens, text_index, labels"]
    assert [text for text in said if text not in texts] == []
    at = texts.index("text")
    dot = "\N{MIDDLE DOT}"
    assert [text for text in texts[at:] if text != " "] == [
        *("text", "label", "tokens"),
        *("0", "a", "The", f"{dot}cat", "!"),
        *("3", "Hm"),
    ]


def test_only_the_first_ones_are_shown() -> None:
    rows = {"tokens": [f"t{i}" for i in range(300)], "text_index": np.repeat(np.arange(6), 50)}
    texts = Read(ActivationArray(np.zeros((300, 2)), rows=rows)._repr_html_() or "").texts
    assert "t23" in texts and "t24" not in texts and "t223" in texts and "t250" not in texts
    assert texts.count("…") == 5 and texts[-1] == "and 50 rows more"
    texts = Read(ActivationArray(np.zeros((300, 2)), rows={"tokens": ["x" * 99] * 300})._repr_html_() or "").texts
    assert "0 to 23" in texts and "x" * 39 + "…" in texts and texts[-1] == "and 180 rows more"


@pytest.mark.parametrize("text", NASTY)
def test_no_string_becomes_anything_else(text: str) -> None:
    facts = {name: np.array([text], dtype=object) for name in ("tokens", "labels", text)}
    X = ActivationArray(np.zeros((1, 2)), rows=facts, shared={"source": {"model": text, "site": text}})
    html = X._repr_html_()
    assert html is not None
    found = Read(html)
    assert shown(text) in found.texts and not found.open and found.names <= {"class", "style", "dir", "scope"}
    assert not {"script", "img", "a"} & set(found.tags)
    html.encode()


def test_rows_of_which_nothing_is_known_are_shown_as_text() -> None:
    assert ActivationArray(np.eye(2))._repr_html_() is None
    for empty in (ActivationArray(np.zeros((0, 2)), rows={"tokens": []}), ActivationArray(np.eye(2), shared={"a": 1})):
        assert "features" in (empty._repr_html_() or "")
