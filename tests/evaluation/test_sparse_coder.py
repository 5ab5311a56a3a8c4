"""Functions to a code and back as an estimator and a candidate."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from torch import nn

from mfa_sklearn.evaluation import SparseCoder, as_candidate
from mfa_sklearn.evaluation._code_length import learn_code, two_part_bits

X = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32)


class TopK(nn.Module):
    """A sparse autoencoder with random weights that keeps the two largest columns."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(7, 4, generator=generator).to(dtype))
        self.bias = nn.Parameter(torch.ones(4, dtype=dtype))

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        before = torch.relu((x - self.bias) @ self.weight.T)
        top = before.topk(2, dim=1)
        return torch.zeros_like(before).scatter(1, top.indices, top.values)

    def decode(self, code: torch.Tensor) -> torch.Tensor:
        return code @ self.weight / 8 + self.bias

    def encode_both(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return (x - self.bias) @ self.weight.T, self.encode(x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_module_goes_by_the_place_and_precision_of_its_parameters(dtype: torch.dtype) -> None:
    sae = TopK(dtype)
    coder = SparseCoder(sae.encode, sae.decode, batch_size=40)
    code = coder.transform(X)
    expected = sae.encode(torch.tensor(X, dtype=dtype)).detach().numpy()
    assert code.format == "csr" and code.dtype == expected.dtype and code.nnz <= 2 * len(X)
    np.testing.assert_array_equal(code.toarray(), expected)
    for given in (code, code.toarray(), torch.tensor(code.toarray())):
        np.testing.assert_allclose(
            coder.inverse_transform(given), expected @ sae.weight.detach().numpy() / 8 + 1, rtol=1e-5
        )


def test_functions_of_arrays_see_arrays_and_functions_of_tensors_tensors() -> None:
    seen = []

    def encode(x: object) -> object:
        seen.append(type(x))
        return x * (x > 0)

    for tensors in (True, False):
        coder = SparseCoder(encode, lambda code: code, tensors=tensors).fit(X)
        np.testing.assert_array_equal(coder.transform(X).toarray(), np.maximum(X, 0))
    assert set(seen[: len(seen) // 2]) == {torch.Tensor} and set(seen[len(seen) // 2 :]) == {np.ndarray}


def test_sparse_tensors_are_read() -> None:
    coder = SparseCoder(lambda x: torch.relu(x).to_sparse(), lambda code: code)
    np.testing.assert_array_equal(coder.transform(X).toarray(), np.maximum(X, 0))


def test_a_clone_shares_what_the_functions_hold() -> None:
    sae = TopK()
    coder = SparseCoder(sae.encode, sae.decode, batch_size=7)
    other = clone(coder)
    assert other is not coder and other.encode.__self__ is sae and other.batch_size == 7


def test_what_is_no_code_is_refused() -> None:
    sae = TopK()
    with pytest.raises(TypeError, match=r"encode gave a tuple of 2 .* lambda x: sae.encode\(x\)\[1\]"):
        SparseCoder(sae.encode_both, sae.decode).fit(X)
    picked = SparseCoder(lambda x: sae.encode_both(x)[1], sae.decode).fit(X)
    np.testing.assert_array_equal(
        picked.transform(X).toarray(), SparseCoder(sae.encode, sae.decode).transform(X).toarray()
    )
    with pytest.raises(ValueError, match=r"encode gave shape \(2,\) for 2 rows"):
        SparseCoder(lambda x: x[:, 0], sae.decode).fit(X)
    with pytest.raises(ValueError, match=r"decode gave rows of shape \(2, 7\) for rows of shape \(2, 4\)"):
        SparseCoder(sae.encode, lambda code: code).fit(X)
    with pytest.raises(ValueError, match="'encode' parameter of SparseCoder"):
        SparseCoder("sae", sae.decode).fit(X)


def test_a_sparse_coder_is_a_candidate() -> None:
    sae = TopK()
    candidate = as_candidate(SparseCoder(sae.encode, sae.decode), X)
    code = sae.encode(torch.from_numpy(X)).detach()
    decoded = sae.decode(code).detach().numpy()
    assert candidate.regions(X) is None and candidate.coordinates(X) is None
    np.testing.assert_array_equal(candidate.codes(X).toarray(), code.numpy())
    np.testing.assert_array_equal(candidate.detectors(X).toarray(), code.numpy())
    np.testing.assert_allclose(candidate.reconstruct(X), decoded, rtol=1e-5)
    rows, residual = sparse.csr_matrix(code.numpy()), X - decoded
    book = learn_code([(rows, residual)])
    expected = two_part_bits(book, rows, residual, sae.weight.detach().numpy() / 8, 0.1)
    np.testing.assert_allclose(candidate.bits(X, 0.1), expected, rtol=1e-4)
    assert candidate.sizes == (None, pytest.approx(rows.nnz / 90), 7 * 4 + 4)


def test_sizes_of_functions_count_two_matrices_and_biases() -> None:
    coder = SparseCoder(lambda x: np.maximum(x, 0), lambda code: code, tensors=False)
    assert as_candidate(coder, X).sizes.parameters == 2 * 4 * 4 + 4 + 4
    assert as_candidate(coder).sizes == (None, None, None)


def test_bits_need_training_rows_and_an_affine_decoder() -> None:
    sae = TopK()
    with pytest.raises(ValueError, match=r"needs training rows.*as_candidate\(estimator, X_train\)"):
        as_candidate(SparseCoder(sae.encode, sae.decode)).bits(X, 0.1)
    assert as_candidate(SparseCoder(sae.encode, lambda code: sae.decode(code) ** 2), X).bits(X, 0.1) is None
