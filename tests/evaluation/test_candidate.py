"""Rows in pieces, and the number of bits that a density promises."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.stats import norm

from mfa_sklearn.evaluation import _candidate
from mfa_sklearn.evaluation._candidate import (
    Candidate,
    both_signs,
    by_pieces,
    check_resolution,
    code_length,
    pieces,
    quantization_variance,
)

X = np.random.default_rng(0).normal(size=(23, 3))


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_candidate, "_PIECE_BYTES", 5 * 3 * 8)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize(
    ("rows", "dtype"),
    [
        (X, np.float64),
        (X.tolist(), np.float64),
        (X.astype(np.float16), np.float32),
        (torch.tensor(X, requires_grad=True), np.float64),
        (torch.tensor(X, dtype=torch.bfloat16), np.float32),
        (np.round(X).astype(int), np.float64),
    ],
    ids=["array", "list", "half", "tensor", "bfloat16", "integers"],
)
def test_rows_of_any_kind_come_in_pieces(rows: object, dtype: type) -> None:
    parts = list(pieces(rows))
    assert [len(part) for part in parts] == [5, 5, 5, 5, 3]
    assert all(isinstance(part, np.ndarray) and part.dtype == dtype for part in parts)
    given = rows.detach().double().numpy() if isinstance(rows, torch.Tensor) else np.asarray(rows, dtype=np.float64)
    np.testing.assert_array_equal(np.concatenate(parts), given)


@pytest.mark.usefixtures("small_pieces")
def test_frames_stay_frames() -> None:
    pandas = pytest.importorskip("pandas")
    parts = list(pieces(pandas.DataFrame(X, columns=["a", "b", "c"])))
    assert [list(part.columns) for part in parts] == [["a", "b", "c"]] * 5


@pytest.mark.usefixtures("small_pieces")
def test_pieces_are_put_together_again() -> None:
    np.testing.assert_array_equal(by_pieces(lambda part: part[:, 0], X), X[:, 0])
    found = by_pieces(lambda part: sparse.coo_matrix(part), X)
    assert sparse.issparse(found) and found.format == "csr"
    np.testing.assert_array_equal(found.toarray(), X)


def test_both_signs_of_every_column() -> None:
    for made in (both_signs(X), both_signs(sparse.csr_matrix(X)).toarray()):
        np.testing.assert_array_equal(made, np.concatenate([X, -X], axis=1))


def bits_by_cells(sd: float, resolution: float) -> tuple[np.ndarray, np.ndarray]:
    """Bits of the cells of a Gaussian at zero, by its distribution function, and by `code_length`."""
    centers = resolution * np.arange(-40, 41)
    cells = norm.cdf(centers + resolution / 2, scale=sd) - norm.cdf(centers - resolution / 2, scale=sd)
    rounded = np.sqrt(sd**2 + quantization_variance(resolution))
    with np.errstate(divide="ignore"):
        return cells, code_length(norm.logpdf(centers, scale=rounded), 1, resolution)


@pytest.mark.parametrize(("sd", "tolerance"), [(4.0, 1e-5), (1.0, 2e-3), (0.5, 0.05)])
def test_bits_are_those_of_the_probability_of_a_cell(sd: float, tolerance: float) -> None:
    """On average over what is drawn: the entropy of the rounded variable, to the relative entropy of the two codes."""
    cells, bits = bits_by_cells(sd, 1.0)
    entropy = -cells[cells > 0] @ np.log2(cells[cells > 0])
    assert cells @ bits == pytest.approx(entropy, abs=tolerance)
    assert (2.0**-bits).sum() == pytest.approx(1, abs=tolerance)


def test_a_density_without_spread_promises_hardly_less_than_no_bits() -> None:
    _, bits = bits_by_cells(1e-9, 1.0)
    assert bits[40] == pytest.approx(-0.5 * np.log2(12 / (2 * np.pi)), abs=1e-6)


def test_bits_follow_the_resolution_and_not_the_unit() -> None:
    log_prob = np.array([-3.0, -5.0])
    np.testing.assert_allclose(code_length(log_prob, 4, 0.5), code_length(log_prob, 4, 1.0) + 4)
    np.testing.assert_allclose(code_length(log_prob - 4 * np.log(10), 4, 10.0), code_length(log_prob, 4, 1.0))


@pytest.mark.parametrize(
    ("resolution", "error", "said"),
    [
        (0.0, ValueError, "resolution == 0.0, must be > 0"),
        (-1.0, ValueError, "must be > 0"),
        (np.inf, ValueError, "resolution=inf must be finite"),
        (np.nan, ValueError, "resolution=nan must be finite"),
        ("auto", TypeError, "resolution must be an instance of"),
    ],
)
def test_a_resolution_is_a_positive_number(resolution: object, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=re.escape(said)):
        check_resolution(resolution)


def test_a_candidate_has_nothing_by_itself() -> None:
    nothing = Candidate(None)
    methods = (nothing.regions, nothing.coordinates, nothing.codes, nothing.detectors, nothing.reconstruct)
    assert [method(X) for method in methods] == [None] * 5
    assert nothing.bits(X, 0.1) is None and nothing.sizes == (None, None, None)
