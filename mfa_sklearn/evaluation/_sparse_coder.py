"""A trained sparse autoencoder, or any other pair of functions to a code and back, as an estimator and a candidate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import gen_batches
from torch import Tensor, nn

from .._base.devices import plain_array, resolve_device, to_numpy, to_tensor
from .._base.sklearn_private import Interval, fit_context
from ._candidate import Candidate, Sizes, by_pieces, check_resolution, pieces
from ._code_length import CodeBook, learn_code, two_part_bits

if TYPE_CHECKING:
    from ._candidate import Rows

# By how much of the largest value a reconstruction may differ from code times dictionary plus bias.
_AFFINE_TOLERANCE = 1e-3
_AFFINE_ROWS = 64


class SparseCoder(TransformerMixin, BaseEstimator):
    """A sparse autoencoder that is trained already, as an estimator: two functions, to a code and back.

    Parameters
    ----------
    encode : callable
        From rows (n, D) to their codes (n, m), most of them zero.
    decode : callable
        From codes (n, m) to rows (n, D).
    tensors : bool, default=True
        Whether the functions take and give torch tensors; numpy arrays otherwise.
    device : str or torch.device, default="auto"
        Where tensors are. "auto" is where the parameters of the module are that `encode` is a method of, and the
        processor if it is of none. Precision goes by the same rule: that of the parameters, else single.
    batch_size : int, default=4096
        Rows coded at once.

    Examples
    --------
    A module whose `encode` gives more than the code is named by a function that picks it, as in
    ``SparseCoder(lambda x: sae.encode(x)[1], sae.decode, device="cuda")``.

    >>> import numpy as np
    >>> from mfa_sklearn.evaluation import SparseCoder, as_candidate
    >>> X = np.random.default_rng(0).normal(size=(200, 3))
    >>> coder = SparseCoder(lambda x: np.maximum(x - 0.5, 0), lambda code: 1.5 * code, tensors=False)
    >>> coder.transform(X).shape
    (200, 3)
    >>> as_candidate(coder, X).bits(X, resolution=0.1).shape
    (200,)
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        "encode": [callable],
        "decode": [callable],
        "tensors": ["boolean"],
        "device": [str, torch.device],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        encode: Callable[[Any], Any],
        decode: Callable[[Any], Any],
        *,
        tensors: bool = True,
        device: str | torch.device = "auto",
        batch_size: int = 4096,
    ) -> None:
        self.encode = encode
        self.decode = decode
        self.tensors = tensors
        self.device = device
        self.batch_size = batch_size

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Rows, y: object = None) -> SparseCoder:
        """Try the functions on a few rows; there is nothing to learn.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If a function gives something else than one array or tensor of one row per row.
        """
        some = np.asarray(next(pieces(X)))[:2]
        decoded = self.inverse_transform(self.transform(some))
        if decoded.shape != some.shape:
            raise ValueError(f"decode gave rows of shape {decoded.shape} for rows of shape {some.shape}")
        return self

    def transform(self, X: Rows) -> sparse.csr_matrix:
        """The code of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        CSR matrix of shape (n_samples, n_codes)
        """
        return by_pieces(self._encoded, X)

    def inverse_transform(self, code: Any) -> np.ndarray:
        """Rows from their codes.

        Parameters
        ----------
        code : array-like or sparse matrix of shape (n_samples, n_codes)

        Returns
        -------
        ndarray of shape (n_samples, n_features)
        """
        code = code if sparse.issparse(code) else np.asarray(plain_array(code))
        parts = []
        for rows in gen_batches(code.shape[0], self.batch_size):
            part = code[rows]
            parts.append(self._call("decode", part.toarray() if sparse.issparse(part) else part))
        return np.concatenate(parts)

    def _encoded(self, X: Any) -> sparse.csr_matrix:
        X = np.asarray(X)
        parts = [sparse.csr_matrix(self._call("encode", X[rows])) for rows in gen_batches(len(X), self.batch_size)]
        return sparse.csr_matrix(sparse.vstack(parts, format="csr"))

    def _call(self, name: str, rows: np.ndarray) -> np.ndarray:
        """What one of the two functions makes of a batch, checked."""
        function = getattr(self, name)
        if self.tensors:
            with torch.no_grad():
                found = function(to_tensor(rows, *self._place()))
        else:
            found = function(rows)
        found = found.to_dense() if isinstance(found, Tensor) and found.layout != torch.strided else found
        if isinstance(found, tuple | list | dict):
            raise TypeError(
                f"{name} gave a {type(found).__name__} of {len(found)} instead of one array: hand over a function that "
                f"picks the right one, as in lambda x: sae.{name}(x)[1]"
            )
        array = to_numpy(found) if isinstance(found, Tensor) else np.asarray(found)
        if array.ndim != 2 or len(array) != len(rows):
            raise ValueError(f"{name} gave shape {array.shape} for {len(rows)} rows; it must give one row for each")
        return array

    def _place(self) -> tuple[torch.device, torch.dtype]:
        parameter = next(iter(self._parameters()), None)
        dtype = torch.float32 if parameter is None else parameter.dtype
        if self.device == "auto":
            return torch.device("cpu") if parameter is None else parameter.device, dtype
        return resolve_device(self.device), dtype

    def _parameters(self) -> list[Tensor]:
        owner = getattr(self.encode, "__self__", None)
        return list(owner.parameters()) if isinstance(owner, nn.Module) else []

    def __sklearn_clone__(self) -> SparseCoder:
        """Another one around the same functions: what they hold is not copied."""
        return type(self)(**self.get_params(deep=False))

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags


class SparseCode(Candidate):
    """A `SparseCoder` as a candidate; its code length is that of `two_part_bits`."""

    def __init__(self, estimator: SparseCoder, train: Rows | None = None) -> None:
        super().__init__(estimator)
        self._train = train

    def codes(self, X: Rows) -> sparse.csr_matrix:
        """The code."""
        return self.estimator.transform(X)

    def detectors(self, X: Rows) -> sparse.csr_matrix:
        """The code."""
        return self.estimator.transform(X)

    def reconstruct(self, X: Rows) -> np.ndarray:
        """Rows decoded from their codes."""
        return by_pieces(lambda part: self.estimator.inverse_transform(self.estimator.transform(part)), X)

    def bits(self, X: Rows, resolution: float) -> np.ndarray | None:
        """By a code for the support, the values and the residual; see `description_length`.

        None where the decoder is not affine: then nothing tells how precisely values are to be written.

        Raises
        ------
        ValueError
            If there were no training rows to learn the code's shares and variances from.
        """
        resolution = check_resolution(resolution)
        dictionary = self._dictionary
        if dictionary is None:
            return None
        return by_pieces(lambda part: two_part_bits(self._book, *self._coded(part), dictionary, resolution), X)

    def _coded(self, part: Any) -> tuple[sparse.csr_matrix, np.ndarray]:
        code = self.estimator.transform(part)
        return code, np.asarray(part, dtype=np.float64) - self.estimator.inverse_transform(code)

    def _training_pieces(self) -> Iterator[Any]:
        if self._train is None:
            raise ValueError(
                "the code length of a sparse code needs training rows, for the share of rows in which each column is "
                "active: make the candidate with them, as_candidate(estimator, X_train)"
            )
        return pieces(self._train)

    @cached_property
    def _book(self) -> CodeBook:
        return learn_code(map(self._coded, self._training_pieces()))

    @cached_property
    def _dictionary(self) -> np.ndarray | None:
        """What a unit of each column adds, (m, D); None where that is not all that a code does."""
        code = self.estimator.transform(np.asarray(next(self._training_pieces()))[:_AFFINE_ROWS])
        bias = self.estimator.inverse_transform(sparse.csr_matrix((1, code.shape[1])))
        dictionary = self.estimator.inverse_transform(sparse.identity(code.shape[1], format="csr")) - bias
        decoded = self.estimator.inverse_transform(code)
        error = np.abs(decoded - code @ dictionary - bias).max()
        return dictionary if error <= _AFFINE_TOLERANCE * np.abs(decoded).max() else None

    @property
    def sizes(self) -> Sizes:
        """Active: the mean number of active columns in the training rows. Parameters: those of the module.

        Where the functions are no methods of a module, the parameters are two matrices (D, m) and two biases.
        """
        if self._train is None:
            return Sizes()
        n_codes, n_features = len(self._book.share), len(self._book.residual)
        stored = sum(parameter.numel() for parameter in self.estimator._parameters())
        return Sizes(None, self._book.active, stored or 2 * n_codes * n_features + n_codes + n_features)
