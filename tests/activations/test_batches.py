"""Batches by number and by tokens, and what happens when memory runs out; the device's errors are simulated."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from lm_fixtures import SENTENCES
from sklearn.base import clone

from mfa_sklearn.activations import _forward
from mfa_sklearn.activations._batches import Batching

# What devices say: CUDA has a class of its own, others a plain error.
ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("MPS backend out of memory (MPS allocated: 5.00 GB)"),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to"),
]


class Model:
    """Something that can be remembered."""


@pytest.mark.parametrize(
    ("batch_size", "batch_tokens", "length", "expected"),
    [(32, None, 10, 32), (32, 100, 10, 10), (4, 100, 10, 4), (32, 100, 300, 1), (32, 99, 50, 1)],
)
def test_sizes(batch_size, batch_tokens, length, expected):
    assert Batching(Model(), batch_size, batch_tokens).size(length) == expected


@pytest.mark.parametrize("error", ERRORS, ids=["of its own", "mps", "cpu"])
def test_batches_are_halved_until_they_fit_and_it_is_told_once(llama, monkeypatch, error):
    extractor = clone(llama)
    expected, shapes, original = extractor.transform(SENTENCES), [], _forward._forward

    def limited(model, ids, *rest):
        shapes.append(tuple(ids.shape))
        if ids.numel() > 60:
            raise error
        return original(model, ids, *rest)

    monkeypatch.setattr(_forward, "_forward", limited)
    with pytest.warns(UserWarning, match="memory ran out: batches have .* tokens at most .*give batch_tokens=") as said:
        found = extractor.transform(SENTENCES)
    assert len(said) == 1
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert [n for n, _ in shapes][:2] == [4, 2]
    shapes.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(extractor.transform(SENTENCES), expected, atol=1e-5)
    assert all(n * width <= 60 for n, width in shapes)  # remembered


def test_one_sequence_that_does_not_fit_and_other_errors(llama, monkeypatch):
    extractor = clone(llama)

    def failing(error):
        def run(*_):
            raise error

        monkeypatch.setattr(_forward, "_forward", run)
        return extractor.transform(SENTENCES[:2])

    with pytest.raises(RuntimeError, match=r"with a single sequence of \d+ tokens \(CUDA out.*: lower max_length"):
        failing(ERRORS[0])
    with pytest.raises(RuntimeError, match="something else"):
        failing(RuntimeError("something else"))
    assert not any(point.fwd_hooks for point in extractor.load().hook_dict.values())


def test_a_budget_of_tokens_changes_no_row(llama, monkeypatch):
    shapes, original = [], _forward._forward
    monkeypatch.setattr(
        _forward, "_forward", lambda m, ids, *r: shapes.append(tuple(ids.shape)) or original(m, ids, *r)
    )
    found = clone(llama).set_params(batch_tokens=50).transform(SENTENCES)
    assert all(n * width <= 50 or n == 1 for n, width in shapes) and sum(n for n, _ in shapes) == len(SENTENCES)
    assert [width for _, width in shapes] == sorted((width for _, width in shapes), reverse=True)
    np.testing.assert_allclose(found, llama.transform(SENTENCES), atol=1e-5)
