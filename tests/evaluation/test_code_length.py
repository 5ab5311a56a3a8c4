"""The two-part code, beside one that is carried out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import geom, norm

from mfa_sklearn.evaluation._code_length import CodeBook, learn_code, two_part_bits

RESOLUTION = 0.05


def drawn(n_rows: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A dictionary, codes that use it and what is left over; the last column takes both signs, one is never used."""
    rng = np.random.default_rng(seed)
    dictionary = rng.normal(size=(5, 4))
    active = rng.random((n_rows, 5)) < [0.5, 0.3, 0.1, 0.0, 0.2]
    code = active * rng.exponential([2.0, 3.0, 1.0, 1.0, 2.0], size=(n_rows, 5))
    code[:, 4] *= rng.choice([-1, 1], n_rows)
    return dictionary, code, rng.normal(size=(n_rows, 4)) * [0.1, 0.2, 0.15, 0.3]


def carried_out(book: CodeBook, dictionary: np.ndarray, code: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """Bits of each row, with values rounded to the middle of their step and the residual that this leaves."""
    variance = book.residual + RESOLUTION**2 / 12
    step = np.minimum(np.sqrt(12 / (dictionary**2 / variance).sum(1)), 50 * book.size)
    bin_number = np.floor(np.abs(code) / step)
    rounded = np.sign(code) * (bin_number + 0.5) * step
    left = residual + (code - rounded) @ dictionary
    used = code != 0
    bits = -np.log2(np.where(used, book.share, 1 - book.share)).sum(1)
    value = -geom.logpmf(bin_number + 1, 1 - np.exp(-step / book.size)) / np.log(2) + book.signed
    bits += np.where(used, value, 0).sum(1)
    return bits - (norm.logpdf(left, scale=np.sqrt(variance)) / np.log(2) + np.log2(RESOLUTION)).sum(1)


def test_bits_are_those_of_a_code_that_is_carried_out() -> None:
    """But for rounding, which is counted by its mean: over many rows to a standard error or three."""
    dictionary, code, residual = drawn()
    book = learn_code([(sparse.csr_matrix(code), residual)])
    bits = two_part_bits(book, sparse.csr_matrix(code), residual, dictionary, RESOLUTION)
    difference = carried_out(book, dictionary, code, residual) - bits
    assert difference.mean() == pytest.approx(0, abs=3 * difference.std() / np.sqrt(len(code)))
    assert difference.std() < bits.std()


def test_without_active_columns_there_are_support_and_residual_alone() -> None:
    dictionary, code, residual = drawn()
    book = learn_code([(sparse.csr_matrix(code), residual)])
    variance = book.residual + RESOLUTION**2 / 12
    expected = -np.log2(1 - book.share).sum()
    expected = (
        expected - norm.logpdf(residual[:9], scale=np.sqrt(variance)).sum(1) / np.log(2) - 4 * np.log2(RESOLUTION)
    )
    empty = sparse.csr_matrix((9, 5))
    np.testing.assert_allclose(two_part_bits(book, empty, residual[:9], dictionary, RESOLUTION), expected)
    stored = sparse.csr_matrix((np.zeros(1), ([0], [2])), shape=(9, 5))  # a zero that is written down
    np.testing.assert_allclose(two_part_bits(book, stored, residual[:9], dictionary, RESOLUTION), expected)
    assert stored.nnz == 1


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_no_other_step_gives_a_shorter_code(factor: float) -> None:
    """Finer steps take more bits for the values than they save in the residual, coarser ones the other way around."""
    dictionary, code, residual = drawn()
    book = learn_code([(sparse.csr_matrix(code), residual)])
    variance = book.residual + RESOLUTION**2 / 12
    best = np.sqrt(12 / (dictionary**2 / variance).sum(1))

    def bits(step: np.ndarray) -> float:
        """Values and what their rounding adds to the residual, by the mean over columns in use."""
        value = -geom.logpmf(np.floor(np.abs(code) / step) + 1, 1 - np.exp(-step / book.size)) / np.log(2)
        rounding = step**2 / 24 * (dictionary**2 / variance).sum(1) / np.log(2)
        return float(np.where(code != 0, value + rounding, 0).sum())

    assert bits(best) < bits(best * factor)


def test_the_code_book_is_learned_in_batches() -> None:
    _, code, residual = drawn(300)
    rows = sparse.csr_matrix(code)
    whole = learn_code([(rows, residual)])
    parts = learn_code([(rows[:100], residual[:100]), (rows[100:], residual[100:])])
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one, other)
    np.testing.assert_allclose(whole.share, ((code != 0).sum(0) + 0.5) / 301)
    np.testing.assert_allclose(whole.residual, (residual**2).mean(0))
    np.testing.assert_array_equal(whole.signed, [False] * 4 + [True])
    sizes = (np.abs(code).sum(0) + np.abs(code).sum() / (code != 0).sum()) / ((code != 0).sum(0) + 1)
    np.testing.assert_allclose(whole.size, sizes)
    assert whole.active == pytest.approx((code != 0).sum(1).mean())


def test_a_code_that_is_never_active_and_a_dictionary_of_zeros_have_finite_bits() -> None:
    residual = np.ones((4, 3))
    book = learn_code([(sparse.csr_matrix((4, 2)), residual)])
    code = sparse.csr_matrix([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0], [1.0, 1.0]])
    assert np.isfinite(two_part_bits(book, code, residual, np.zeros((2, 3)), RESOLUTION)).all()
