"""Rows in every container, and input that is refused."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from mixture_cases import X_MADE, Y_MADE, centers_near, quick, spoiled
from scipy import sparse
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from mfa_sklearn import MFA, KMeansInitializer, MFASearch
from mfa_sklearn._base.annotated import AnnotatedArray
from mfa_sklearn.mixture._validation import check_weights

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


# --- what stands for a missing value, and tensors that hold no rows --------------------------------------------------


def test_what_is_masked_or_none_is_missing():
    X = spoiled(np.nan)
    masked = np.ma.masked_array(spoiled(1e6), mask=np.isnan(X))
    objects = X.astype(object)
    objects[7, 2] = pd.NA
    lists = [[None if np.isnan(value) else value for value in row] for row in X.tolist()]
    expected = quick(X)
    for rows in (masked, objects, lists, masked[np.arange(300)]):
        np.testing.assert_array_equal(quick(rows).means_, expected.means_)
        np.testing.assert_array_equal(expected.predict(rows), expected.predict(X))
    whole = np.ma.masked_array((10 * X_MADE).astype(int), mask=False)
    np.testing.assert_array_equal(quick(whole).means_, quick(whole.data).means_)
    with pytest.raises(ValueError, match=r"NaN \(first at row 7"):
        KMeansInitializer(3).fit(masked)
    with pytest.raises(ValueError, match="NaN"):
        quick().fit(X_MADE, sample_weight=np.ma.masked_array(np.ones(300), mask=np.isnan(X[:, 2])))


def test_a_search_takes_a_mask():
    X = spoiled(np.nan)
    masked = np.ma.masked_array(spoiled(1e6), mask=np.isnan(X))
    for criterion in ("bic", "likelihood"):
        found, expected = (
            MFASearch(MFA(max_iter=2, tol=0, random_state=0), [1, 2], [1], criterion=criterion, cv=2).fit(rows)
            for rows in (masked, X)
        )
        assert found.best_score_ == pytest.approx(expected.best_score_)


NO_ROWS = [
    (torch.empty(5, 0), ValueError, r"0 feature\(s\)"),
    (torch.eye(6).to_sparse(), TypeError, r"sparse_coo.*to_dense"),
    (torch.empty(5, 6, device="meta"), TypeError, "meta tensor"),
    (np.arange("2020-01", "2020-07", dtype="datetime64[M]")[:, None], TypeError, "datetime64|dates|datetime"),
    ([[1.0, 2.0], [3.0, object()]], TypeError, "column 1"),
]


@pytest.mark.parametrize(("X", "error", "message"), NO_ROWS)
@pytest.mark.parametrize("estimator", [MFA(1, 0), KMeansInitializer(2)])
def test_what_holds_no_rows_is_refused_in_words(estimator, X, error, message):
    with pytest.raises(error, match=message):
        clone(estimator).fit(X)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors", "ignore:Sparse CSR")
def test_tensors_of_other_layouts_are_refused_in_words():
    with pytest.raises(TypeError, match=r"sparse_csr.*to_dense"):
        MFA().fit(torch.eye(6).to_sparse_csr())
    with pytest.raises(TypeError, match=r"nested.*one length"):
        MFA().fit(torch.nested.nested_tensor([torch.zeros(3), torch.zeros(2)]))


# --- weights ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1.0, 0.1, 1e-300, 1e300])
@pytest.mark.parametrize("counts", [[1, 2, 0, 5], [2, 3, 4, 0], [0, 6, 9, 15], [1, 1, 1, 1]])
def test_whole_multiples_count_rows_in_any_unit(counts, factor):
    found = check_weights(np.array(counts) * factor, np.zeros((4, 1)))
    expected = np.array([c for c in counts if c]) / np.gcd.reduce(counts)
    np.testing.assert_array_equal(np.ones(found.count(4)) if found.values is None else found.values, expected)
    assert found.total(4) == pytest.approx(sum(counts) * factor)
    np.testing.assert_array_equal(found.spread(4) > 0, np.array(counts) > 0)


def test_other_weights_have_a_mean_of_one():
    weights = np.random.default_rng(0).uniform(size=50)
    weights[7] = 0
    found = check_weights(torch.tensor(weights * 1e200), np.zeros((50, 1)))
    np.testing.assert_allclose(found.values, np.delete(weights, 7) / np.delete(weights, 7).mean())
    assert found.places.tolist() == [n for n in range(50) if n != 7]
    assert check_weights(None, np.zeros((50, 1))).total(50) == 50


def test_no_warning_of_torch_on_arrays_that_may_not_be_written_to(tmp_path, recwarn):
    weights, centers = np.linspace(1, 2, 300), centers_near()
    for array in (weights, centers):
        array.setflags(write=False)
    for fitted in (KMeansInitializer(3, random_state=0).fit(X_MADE), quick()):
        joblib.dump(fitted, tmp_path / "fitted")
        mapped = joblib.load(tmp_path / "fitted", mmap_mode="r")
        mapped.predict(X_MADE)
    mapped.partial_fit(X_MADE, sample_weight=weights)
    quick(init=centers).condition(np.where(np.arange(6) < 2, np.nan, X_MADE)).log_prob(X_MADE[:, :2])
    assert [w for w in recwarn.list if "writ" in str(w.message)] == []


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


def test_weights_that_are_a_word():
    with pytest.raises(TypeError, match="sample_weight='balanced' must be numbers, one for each row"):
        quick().fit(X_MADE, sample_weight="balanced")
