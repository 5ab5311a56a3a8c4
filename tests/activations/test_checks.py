"""Texts and labels that are taken or refused."""

from __future__ import annotations

import io
from collections import OrderedDict

import numpy as np
import pandas as pd
import pytest
from lm_fixtures import SENTENCES
from sklearn.base import clone
from sklearn.utils import Bunch

from mfa_sklearn.activations._checks import check_texts


def test_any_iterable_of_strings(llama):
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
    ({"text": ["a"], "label": ["b"]}, TypeError, r"a dict with the keys \['text', 'label'\]: .* as texts\['text'\]"),
    ({"a": "b"}, TypeError, r"texts is a dict .*these keys, its values or .* as texts\['a'\]"),
    ({}, TypeError, "texts is a dict"),
    (Bunch(texts=["a"], labels=None), TypeError, r"texts is a Bunch .* as texts\['texts'\]"),
    (OrderedDict(text="a"), TypeError, "texts is a OrderedDict"),
    ({"a", "b"}, TypeError, r"texts is a set, which has no order: pass a list"),
    (frozenset("a"), TypeError, "texts is a frozenset"),
    (io.StringIO("a\nb"), TypeError, "texts is an open file, of which a text may be a line or all of it"),
    ([{"text": "a"}], TypeError, r"texts\[0\] must be a string, got dict: .* as \[row\['text'\] for row in texts\]"),
    ((["a"] * 500, [0] * 500), TypeError, r"texts\[0\] must be a string, got list: .{,70}$"),
    (np.ma.array(["a", "b"], mask=[0, 1]), TypeError, r"texts\[1\] must be a string, got MaskedConstant"),
    (pd.Series(["a", None]), TypeError, r"texts\[1\] must be a string"),
    (pd.DataFrame({"text": ["a"]}), ValueError, r"one dimension, got shape \(1, 1\): pass one column"),
    (pd.DataFrame([["a", "b"]], columns=["text", "text"])["text"], ValueError, r"got shape \(1, 2\): pass one column"),
    (["fine", "half \ud83d"], ValueError, r"texts\[1\] holds half of a surrogate pair, '\\ud83d', at character 5"),
]


@pytest.mark.parametrize(("texts", "error", "match"), BAD_TEXTS)
def test_bad_texts(llama, texts, error, match):
    for method in ("fit", "transform", "fit_transform"):
        with pytest.raises(error, match=match):
            getattr(clone(llama), method)(texts)


def test_number_of_labels(llama):
    with pytest.raises(ValueError, match=r"labels have shape \(2,\) for 6 texts"):
        clone(llama).fit_transform(SENTENCES, ["a", "b"])


def test_views_of_a_dict_have_an_order():
    by_id = {"b": "One.", "a": "Two."}
    assert check_texts(by_id.values()) == ["One.", "Two."] and check_texts(by_id.keys()) == ["b", "a"]


@pytest.mark.parametrize(
    ("labels", "error", "match"),
    [
        (np.eye(6), ValueError, r"labels have shape \(6, 6\).*argmax"),
        ([["a"]] * 6, ValueError, r"labels have shape \(6, 1\)"),
        ("abcdef", TypeError, "got str"),
        (set("abcdef"), TypeError, "got set"),
        (dict.fromkeys(range(6)), TypeError, "got dict"),
    ],
)
def test_labels_that_are_no_column(llama, labels, error, match):
    for method in ("fit", "fit_transform"):
        with pytest.raises(error, match=match):
            getattr(clone(llama), method)(SENTENCES, labels)
    with pytest.raises(error, match=match):
        clone(llama).extract_to("nowhere", SENTENCES, labels)


def test_missing_labels_are_none_per_row(llama):
    labels = ["a", None, float("nan"), "", pd.NA, "b"]
    X = clone(llama).fit_transform(SENTENCES, labels)
    expected = np.array(["a", None, None, None, None, "b"], dtype=object)
    np.testing.assert_array_equal(X.labels, expected[X.text_index])
    plain = clone(llama).fit_transform(SENTENCES, np.ma.array(list("abcdef"), mask=[0, 0, 0, 0, 0, 1]))
    assert set(plain.labels.tolist()) == {*"abcde", None}
