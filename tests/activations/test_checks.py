"""Texts and labels that are taken or refused."""

from __future__ import annotations

import numpy as np
import pytest
from lm_fixtures import SENTENCES
from sklearn.base import clone


def test_any_iterable_of_strings(llama):
    import pandas as pd

    expected = llama.transform(SENTENCES)
    for texts in (tuple(SENTENCES), np.array(SENTENCES), pd.Series(SENTENCES), (t for t in SENTENCES)):
        np.testing.assert_array_equal(llama.transform(texts), expected)


BAD_TEXTS = [
    ([], ValueError, r"texts is empty"),
    ("one string", TypeError, r"got one string: pass \['one string'\]"),
    (["fine", ""], ValueError, r"texts\[1\] is empty"),
    (["fine", "fine", " \n"], ValueError, r"texts\[2\] is empty"),
    (["fine", 3], TypeError, r"texts\[1\] must be a string, got int: 3"),
    (["fine", None], TypeError, r"texts\[1\] must be a string, got NoneType"),
    (3, TypeError, r"texts must be a list of strings, got int"),
    (np.array([["a"], ["b"]]), ValueError, r"one dimension, got shape \(2, 1\)"),
]


@pytest.mark.parametrize(("texts", "error", "match"), BAD_TEXTS)
def test_bad_texts(llama, texts, error, match):
    for method in ("fit", "transform", "fit_transform"):
        with pytest.raises(error, match=match):
            getattr(clone(llama), method)(texts)


def test_number_of_labels(llama):
    with pytest.raises(ValueError, match=r"labels have shape \(2,\) for 6 texts"):
        clone(llama).fit_transform(SENTENCES, ["a", "b"])


@pytest.mark.parametrize("keep", [{1}, [" cat", None], ("a", b"a"), np.array([1, 2])])
def test_sets_of_other_things_than_strings(llama, keep):
    with pytest.raises(TypeError, match=r"keep must be a set of token strings, got"):
        clone(llama).set_params(keep=keep).transform(SENTENCES)
