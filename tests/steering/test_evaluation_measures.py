"""Divergences, entropy and repetition against loops in plain Python and scipy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import entropy as scipy_entropy

from mfa_sklearn.steering._evaluation.measures import (
    divergence,
    entropy,
    log_prob_of_text,
    merged,
    repeated,
    until_end,
)


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    """Two distributions (3, 6)."""
    return tuple(np.random.default_rng(0).dirichlet(np.ones(6), size=(2, 3)))  # type: ignore[return-value]


def logs(p: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(p).log()


def test_divergence_and_entropy_are_scipys(pair: tuple[np.ndarray, np.ndarray]) -> None:
    p, q = pair
    np.testing.assert_allclose(divergence(logs(p), logs(q)), scipy_entropy(p, q, axis=1))
    np.testing.assert_allclose(entropy(logs(p)), scipy_entropy(p, axis=1))


def test_what_cannot_happen_adds_nothing() -> None:
    p, q = logs(np.array([[0.5, 0.5, 0.0]])), logs(np.array([[0.25, 0.5, 0.25]]))
    assert float(divergence(p, q)) == pytest.approx(0.5 * math.log(2))
    assert float(entropy(p)) == pytest.approx(math.log(2))
    assert float(divergence(q, p)) == math.inf


def test_small_divergences_are_told_from_none_in_single_precision() -> None:
    scores = torch.as_tensor(np.random.default_rng(0).normal(size=(2, 1, 50_000)))
    p, q = scores[0].log_softmax(-1), (scores[0] + 1e-3 * scores[1]).log_softmax(-1)
    expected = scipy_entropy(p.exp(), q.exp(), axis=1)
    np.testing.assert_allclose(divergence(p.float(), q.float()), expected, rtol=2e-3)
    assert 1e-7 < float(expected[0]) < 1e-6
    # The probability of a token may be too small for single precision on either side.
    one, other = torch.tensor([[-100.0, 0.0]]), torch.tensor([[0.0, -100.0]])
    assert float(divergence(one, other)) == pytest.approx(100)


def test_collateral_leaves_out_what_happens_among_content_words(pair: tuple[np.ndarray, np.ndarray]) -> None:
    """Sums by hand: with all content words as one, and none of the words' own changes."""
    p, q = pair
    content = [1, 4, 5]
    found = divergence(*(merged(logs(part), torch.tensor([i in content for i in range(6)])) for part in pair))
    for row in range(3):
        expected, mass = 0.0, [0.0, 0.0]
        for token in range(6):
            if token in content:
                mass = [mass[0] + p[row, token], mass[1] + q[row, token]]
            else:
                expected += p[row, token] * math.log(p[row, token] / q[row, token])
        expected += mass[0] * math.log(mass[0] / mass[1])
        assert float(found[row]) == pytest.approx(expected)
    swapped = p[:, [0, 5, 2, 3, 1, 4]]  # content words change places: nothing else is disturbed
    same = [merged(logs(part), torch.tensor([i in content for i in range(6)])) for part in (p, swapped)]
    np.testing.assert_allclose(divergence(*same), 0, atol=1e-12)


@pytest.mark.parametrize(("n", "expected"), [(2, [[2, 5], [0, 1], [0, 0]]), (3, [[1, 4], [0, 0], [0, 0]])])
def test_repetition_counts_what_stood_before(n: int, expected: list[list[int]]) -> None:
    # Of 1 2, 2 3, 3 1, 1 2, 2 3 two stood before; of 1 2 3, 2 3 1, 3 1 2, 1 2 3 one.
    assert repeated([[1, 2, 3, 1, 2, 3], [1, 2], []], n).tolist() == expected


def test_repetition_is_that_of_a_loop() -> None:
    texts = np.random.default_rng(0).integers(0, 4, size=(5, 12)).tolist()
    for n in (2, 3):
        for text, (again, all_of_them) in zip(texts, repeated(texts, n), strict=True):
            seen: list[list[int]] = []
            count = 0
            for start in range(len(text) - n + 1):
                gram = text[start : start + n]
                count += gram in seen
                seen.append(gram)
            assert (again, all_of_them) == (count, len(seen))


def test_text_counts_up_to_its_end() -> None:
    written = torch.tensor([[0, 2, 3], [4, 4, 4], [1, 4, 0]])
    assert until_end(written, 4).sum(1).tolist() == [3, 1, 2]
    assert until_end(written, None).all()


def test_text_is_scored_as_by_single_passes(model: Any) -> None:
    ids = torch.as_tensor(np.random.default_rng(0).integers(10, 300, size=(3, 8)))
    counted = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 1, 0]]).bool()
    found = log_prob_of_text(model, ids, 3, counted)
    for row in range(3):
        expected = 0.0
        for place in range(3, 3 + int(counted[row].sum())):
            with torch.no_grad():
                expected += float(model(ids[row : row + 1, :place])[0, -1].log_softmax(-1)[ids[row, place]])
        assert found[row] == pytest.approx(expected, rel=1e-5)
