"""Texts to store, and when stored activations are those in memory."""

from __future__ import annotations

import numpy as np
from lm_fixtures import SENTENCES

from mfa_sklearn.activations import ActivationArray

TEXTS = [*SENTENCES, "Three birds.", "The bank."]
LABELS = np.array(["a", "bb", "c", "a", "ccc", "b", "a", "dddd"])
FACTS = ("token_ids", "tokens", "text_index", "positions", "labels", "starts", "ends")


def assert_same(found, expected, atol=1e-5):
    assert isinstance(found, ActivationArray)
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), atol=atol)
    for name in FACTS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert list(found.texts) == list(expected.texts)
