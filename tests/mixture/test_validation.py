"""Rows in every container, and input that is refused."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from mixture_cases import X_MADE, Y_MADE, centers_near, quick, spoiled
from scipy import sparse
from sklearn.pipeline import make_pipeline

from mfa_sklearn import MFA, KMeansInitializer, MFASearch
from mfa_sklearn._base.annotated import AnnotatedArray

# --- what it takes --------------------------------------------------------------------------------------------------


def on_disk(X: np.ndarray, path: Path, dtype: type) -> np.memmap:
    """The rows in a file, mapped."""
    X.astype(dtype).tofile(path)
    return np.memmap(path, dtype=dtype, mode="r", shape=X.shape)


# The same rows in everything that rows come in; some need a folder.
CONTAINERS: dict[str, Callable[[np.ndarray, Path], object]] = {
    "list": lambda X, _: X.tolist(),
    "frame": lambda X, _: pd.DataFrame(X, columns=list("abcdef")),
    "annotated": lambda X, _: AnnotatedArray(X, rows={"n": np.arange(len(X))}),
    "memmap": lambda X, folder: on_disk(X, folder / "rows.bin", np.float64),
    "float16 memmap": lambda X, folder: on_disk(X, folder / "half.bin", np.float16),
    "tensor": lambda X, _: torch.tensor(X),
    "float32 tensor": lambda X, _: torch.tensor(X, dtype=torch.float32),
    "bfloat16 tensor": lambda X, _: torch.tensor(X, dtype=torch.bfloat16),
    "tensor with gradient": lambda X, _: torch.tensor(X, requires_grad=True),
    "Fortran order": lambda X, _: np.asfortranarray(X),
    "reversed twice": lambda X, _: X[::-1][::-1],
    "every other column": lambda X, _: np.repeat(X, 2, axis=1)[:, ::2],
    "big-endian": lambda X, _: X.astype(">f8"),
    "extended precision": lambda X, _: X.astype(np.longdouble),
    "objects": lambda X, _: X.astype(object),
}
ROUNDED = {"float16 memmap": 2e-3, "float32 tensor": 1e-5, "bfloat16 tensor": 2e-2}


@pytest.mark.parametrize("kind", CONTAINERS)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_rows_come_in_many_containers(kind, tmp_path):
    X = CONTAINERS[kind](X_MADE, tmp_path)
    reference = quick(init=Y_MADE)
    mfa = quick(X, init=Y_MADE)
    assert mfa.lower_bound_ == pytest.approx(reference.lower_bound_, abs=ROUNDED.get(kind, 1e-10))
    narrow = kind in ROUNDED
    assert mfa.score_samples(X).dtype == (np.float32 if narrow else np.float64)
    np.testing.assert_allclose(mfa.score_samples(X), mfa.score_samples(X_MADE), atol=500 * ROUNDED.get(kind, 1e-12))
    np.testing.assert_array_equal(mfa.predict(X), mfa.predict(X_MADE))
    assert quick(X, init=centers_near()).n_components_ == 3
    assert mfa.partial_fit(X).n_iter_ == 9


@pytest.mark.parametrize("kind", ["array", "tensor"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "bool"])
@pytest.mark.filterwarnings("ignore:the noise variance of features")
def test_whole_numbers(dtype, kind):
    X = (X_MADE > 0) if dtype == "bool" else np.clip(3 * X_MADE + 100, 0, 255).astype(dtype)  # saturates, as pixels do
    rows = torch.from_numpy(X) if kind == "tensor" else X
    found, expected = (quick(r, init=Y_MADE, n_factors=1) for r in (rows, X.astype(float)))
    assert found.lower_bound_ == pytest.approx(expected.lower_bound_, abs=1e-9)
    assert found.score_samples(rows).dtype == np.float64


# --- what it refuses ------------------------------------------------------------------------------------------------


BAD_INPUT = [
    (X_MADE[:2], {}, ValueError, r"n_components=3 is more than n_samples=2"),
    (X_MADE, {"n_factors": 6}, ValueError, r"n_factors=6 must be below n_features=6"),
    (X_MADE[:2], {"init": centers_near(), "n_components": None}, ValueError, r"n_components=3 is more"),
    (spoiled(-np.inf), {}, ValueError, r"contains infinity \(first at row 7, column 2\)"),
    (torch.tensor(spoiled(np.inf)), {}, ValueError, r"contains infinity \(first at row 7, column 2\)"),
    (sparse.csr_matrix(X_MADE), {}, TypeError, "[Ss]parse"),
    (X_MADE[0], {}, ValueError, "Expected 2D array"),
    (torch.tensor(X_MADE[0]), {}, ValueError, r"Expected 2D array, got shape \(6,\)"),
    (torch.zeros(0, 6), {}, ValueError, r"0 sample\(s\)"),
    (torch.zeros(300, 6, dtype=torch.complex64), {}, ValueError, "Complex data"),
    (X_MADE.astype(str), {}, ValueError, "numeric"),
    (X_MADE, {"dtype": int}, ValueError, "not a working precision"),
    (X_MADE, {"dtype": "float16"}, ValueError, "'dtype' parameter"),
    (X_MADE, {"device": "gpu"}, ValueError, "not a torch device"),
    (X_MADE, {"n_components": 0}, ValueError, "'n_components' parameter"),
    (X_MADE, {"n_factors": -1}, ValueError, "'n_factors' parameter"),
    (X_MADE, {"n_factors": 1.5}, ValueError, "'n_factors' parameter"),
    (X_MADE, {"noise": "own"}, ValueError, "'noise' parameter"),
    (X_MADE, {"noise_form": "full"}, ValueError, "'noise_form' parameter"),
    (X_MADE, {"loading_type": "tied"}, ValueError, "'loading_type' parameter"),
    (X_MADE, {"solver": "adam"}, ValueError, "'solver' parameter"),
    (X_MADE, {"annealing": 0.5}, ValueError, "'annealing' parameter"),
    (X_MADE, {"noise_floor": 0.0}, ValueError, "'noise_floor' parameter"),
    (X_MADE, {"rotation": "oblimin"}, ValueError, "'rotation' parameter"),
]


@pytest.mark.parametrize(("X", "arguments", "error", "message"), BAD_INPUT)
def test_bad_input(X, arguments, error, message):
    with pytest.raises(error, match=message):
        quick(X, **arguments)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (-np.ones(300), "Negative"),
        (np.zeros(300), "non-zero|zero for every row"),
        (np.full(300, np.nan), "NaN"),
        (np.ones(5), r"shape == \(5,\)"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit", "score", "fit_predict"])
def test_bad_weights(method, weights, message):
    with pytest.raises(ValueError, match=message):
        getattr(quick(), method)(X_MADE, sample_weight=weights)


# --- where rows come from -------------------------------------------------------------------------------------------

SOURCE = {"model": "m", "layer": 4, "site": "residual", "pooling": None, "processing": "raw"}


def few(**arguments) -> MFA:
    return MFA(**{"n_components": 3, "n_factors": 2, "max_iter": 2, "tol": 0, "random_state": 0, **arguments})


def from_layer(layer: int) -> AnnotatedArray:
    return AnnotatedArray(X_MADE, shared={"source": SOURCE | {"layer": layer}})


METHODS = [
    *("predict", "predict_proba", "score", "score_samples", "transform", "bic", "reconstruct", "posterior_mean"),
    *("impute", "partial_fit"),
]


@pytest.mark.parametrize("method", METHODS)
def test_rows_from_elsewhere_are_told_at_every_method(method: str) -> None:
    mfa = few().fit(from_layer(4))
    with pytest.warns(UserWarning, match=r"MFA says nothing of rows from elsewhere.*layer 4.*layer 2") as caught:
        getattr(mfa, method)(from_layer(2))
    assert [warning.filename for warning in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        getattr(mfa, method)(from_layer(4))
        getattr(mfa, method)(X_MADE)


def test_rows_from_elsewhere_are_told_by_the_steps_of_a_pipeline_and_a_search() -> None:
    pipe = make_pipeline(KMeansInitializer(3, random_state=0), few(n_components=None)).fit(from_layer(4))
    assert pipe[0].source_ == pipe[1].source_ == SOURCE
    with pytest.warns(UserWarning, match="(KMeansInitializer|MFA) says nothing") as caught:
        pipe.predict(from_layer(2))
    assert [str(warning.message).partition(" ")[0] for warning in caught] == ["KMeansInitializer", "MFA"]
    search = MFASearch(few(), 2, 1).fit(from_layer(4))
    with pytest.warns(UserWarning, match="MFA says nothing"):
        search.predict(from_layer(2))


def test_centers_from_elsewhere_are_told() -> None:
    centers = KMeansInitializer(3, random_state=0).fit(from_layer(4))
    with pytest.warns(UserWarning, match="KMeansInitializer says nothing"):
        few(init=centers).fit(from_layer(2))
