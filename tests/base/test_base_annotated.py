"""Arrays that know facts of their rows: what is kept by which operation."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from activation_cases import four_rows
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.utils import shuffle

from mfa_sklearn import MFA, ActivationArray
from mfa_sklearn._base.annotated import (
    AnnotatedArray,
    annotate,
    given_rows,
    has_row_fact,
    is_row_source,
    row_fact,
    shared_fact,
)


@pytest.fixture(name="X")
def activations():
    return four_rows()


SELECTIONS = [
    slice(1, 3),
    slice(None, None, -1),
    [2, 0],
    np.array([True, False, False, True]),
    (np.array([3, 3]), slice(None)),
    (slice(2), Ellipsis),
    slice(0, 0),
    (Ellipsis,),
]


@pytest.mark.parametrize("key", SELECTIONS, ids=str)
def test_selected_rows_keep_their_facts(X, key):
    rows = np.arange(4)[key[0] if isinstance(key, tuple) else key]
    picked = X[key]
    assert isinstance(picked, ActivationArray)
    np.testing.assert_array_equal(np.asarray(picked), np.asarray(X)[rows])
    for name in ("token_ids", "tokens", "text_index", "positions", "labels"):
        np.testing.assert_array_equal(getattr(picked, name), getattr(X, name)[rows])
    assert picked.texts == X.texts and picked.source == {"layer": 4}


PLAIN = {
    "arithmetic": lambda X: X * 2,
    "columns": lambda X: X[:, :2],
    "column": lambda X: X[:, 1],
    "row": lambda X: X[1],
    "mean": lambda X: X.mean(axis=0),
    "function": lambda X: np.concatenate([X, X]),
    "transposed": lambda X: np.transpose(X) + 0,
    "fitted": lambda X: PCA(2).fit_transform(X),
    "sorted": lambda X: np.sort(X, axis=0),
    "partitioned": lambda X: np.partition(X, 1, axis=0),
}


@pytest.mark.parametrize("make", PLAIN.values(), ids=PLAIN.keys())
def test_all_else_is_a_plain_array(X, make):
    assert type(make(X)) is np.ndarray


def put(X, key, value):
    X[key] = value


IN_PLACE = {
    "sorted": lambda X: X.sort(axis=0),
    "partitioned": lambda X: X.partition(1, axis=0),
    "shuffled": lambda X: np.random.RandomState(0).shuffle(X),
    "shuffled by a generator": lambda X: np.random.default_rng(0).shuffle(X),
    "copied to": lambda X: np.copyto(X, np.ones((4, 3))),
    "filled": lambda X: X.fill(1),
    "put": lambda X: np.put(X, [0, 1], [5, 6]),
    "put by a mask": lambda X: np.putmask(X, X > 3, -X),
    "put along an axis": lambda X: np.put_along_axis(X, np.array([[0, 1, 0]]), 9.0, axis=0),
    "scaled": lambda X: np.multiply(X, 2, out=X),
    "centered": lambda X: X.__isub__(1),
    "overwritten": lambda X: put(X, slice(None), np.ones((4, 3))),
    "of another shape": lambda X: setattr(X, "shape", (2, 6)),
    "of another type": lambda X: setattr(X, "dtype", np.dtype(f"i{X.itemsize}")),
    "summed into": lambda X: np.cumsum(np.ones((4, 3)), axis=0, out=X),
    "picked into": lambda X: np.take(np.ones((4, 3)), [0, 1, 2, 3], axis=0, out=X),
    "a row from another": lambda X: put(X, 0, X[1]),
}


@pytest.mark.parametrize("change", IN_PLACE.values(), ids=IN_PLACE.keys())
def test_numbers_that_are_changed_in_place_lose_their_facts(X, change):
    change(X)
    assert X.rows == X.shared == {}


SQUARE = np.random.default_rng(0).normal(size=(5, 5))
# Arguments of all sorts beside the array; most functions refuse most of them.
ARGUMENTS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    *(((), options) for options in ({}, {"axis": 0}, {"axis": 1}, {"copy": False})),
    *(((value,), {}) for value in (0, 1, 2, 1.0, [1, 0], (25,), np.ones(5), np.ones((5, 5)))),
    *(((value,), {"axis": 0}) for value in (2, [1, 0])),
    *((values, {}) for values in ((0, 0), (0, 1), (-1.0, 1.0), (slice(2), 0), (SQUARE > 0, 0.0))),
]
FUNCTIONS = [
    *(name for name in dir(np) if not name.startswith("_") and name not in ("test", "info", "show_config")),
    *(f"linalg.{name}" for name in ("inv", "qr", "svd", "cholesky", "matrix_power")),
    *("ndarray.sort", "ndarray.partition", "ndarray.repeat", "ndarray.take", "ndarray.round", "ndarray.clip"),
    *("ndarray.reshape", "ndarray.view", "ndarray.swapaxes", "ndarray.compress", "ndarray.fill", "ndarray.put"),
]


def holds(X: Any) -> bool:
    """Whether every row that has facts is the row that they are of."""
    if not (isinstance(X, AnnotatedArray) and (X.rows or X.shared)):
        return True
    return "number" in X.rows and np.array_equal(np.asarray(X), SQUARE[X.rows["number"]])


@pytest.mark.filterwarnings("ignore")
def test_no_function_of_numpy_leaves_facts_with_other_numbers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some functions write files
    wrong, n_calls = set(), 0
    for name in FUNCTIONS:
        owner, _, method = name.rpartition(".")
        function = getattr(AnnotatedArray if owner == "ndarray" else getattr(np, owner) if owner else np, method)
        if not callable(function) or isinstance(function, type):
            continue
        for values, options in ARGUMENTS:
            X = AnnotatedArray(SQUARE.copy(), rows={"number": np.arange(5)}, shared={"source": {}})
            try:
                found = function(X, *values, **options)
            except Exception:
                found = None
            n_calls += 1
            results = found if isinstance(found, list | tuple) else [found]
            wrong |= set() if all(map(holds, [X, *results])) else {name}
    assert wrong == set() and n_calls > 3000


def test_resized_arrays_lose_their_facts(X):
    owner = X.copy()  # views cannot be resized
    owner.resize((2, 3), refcheck=False)
    assert owner.rows == owner.shared == {}


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy], ids=["copy", "deepcopy"])
def test_copies_have_the_facts_and_change_alone(X, duplicate):
    copied = duplicate(X)
    assert type(copied) is type(X) and copied.tokens.tolist() == X.tokens.tolist() and copied.source == X.source
    copied.tokens[0] = "other"
    copied[:] = np.zeros((4, 3))
    assert X.tokens[0] != "other" and X.source == {"layer": 4} and X.any()


def test_orders_of_rows_keep_their_facts(X):
    chosen = X[np.random.default_rng(0).permutation(4)]
    for permuted in (shuffle(X, random_state=1), chosen, np.take(X, [2, 0], axis=0)):
        rows = [np.flatnonzero((np.asarray(X) == row).all(1))[0] for row in np.asarray(permuted)]
        assert permuted.tokens.tolist() == X.tokens[rows].tolist()
    for permute in (np.random.default_rng(0).permutation, np.random.RandomState(0).permutation):
        found = permute(X)
        assert getattr(found, "rows", {}) == {} or found.tokens.tolist() == X.tokens[(found[:, 0] // 3).astype(int)]


def test_a_value_that_is_made_missing_leaves_the_facts(X):
    X[1, 2] = np.nan
    X[X == 5] = 0
    assert X.tokens.tolist() == ["The", " cat", "The", " dog"] and X.source == {"layer": 4}


@pytest.mark.parametrize("pass_on", [lambda X, _: pickle.loads(pickle.dumps(X)), lambda X, p: _dumped(X, p)])
def test_facts_survive_storage(X, tmp_path, pass_on):
    again = pass_on(X, tmp_path / "array.joblib")
    assert isinstance(again, ActivationArray)
    assert again.tokens.tolist() == X.tokens.tolist() and again.texts == X.texts
    assert joblib.hash(again) == joblib.hash(X)


def _dumped(X, path):
    joblib.dump(X, path)
    return joblib.load(path)


def test_annotating_keeps_the_kind(X):
    annotated = annotate(X, cluster_centers=np.eye(3))
    assert isinstance(annotated, ActivationArray) and annotated.tokens is not None
    assert shared_fact(annotated[:1], "cluster_centers").shape == (3, 3)


def test_a_fact_has_one_entry_per_row():
    with pytest.raises(ValueError, match=r"row fact 'tokens' has 1 entries for 2 rows"):
        ActivationArray(np.eye(2), rows={"tokens": ["a"]})


ROWS = np.random.default_rng(0).normal(size=(60, 3))


class Unread(Mapping[str, np.ndarray]):
    """Facts whose names are known and which must not be read by accident."""

    def __contains__(self, name: object) -> bool:
        return name == "labels"

    def __getitem__(self, name: str) -> np.ndarray:
        raise AssertionError("facts per row were read")

    def __iter__(self) -> Iterator[str]:
        return iter(["labels"])

    def __len__(self) -> int:
        return 1


class OnDisk:
    """Rows with facts that must not be read by accident."""

    def __init__(self, X: np.ndarray) -> None:
        self._X, self.shape, self.dtype = X, X.shape, X.dtype

    @property
    def rows(self) -> Mapping[str, np.ndarray]:
        return Unread()

    @property
    def shared(self) -> dict[str, Any]:
        return {"source": {"layer": 3}}

    def __len__(self) -> int:
        return len(self._X)

    def __getitem__(self, index: Any) -> np.ndarray:
        return self._X[index]


@pytest.fixture(name="three")
def three_rows() -> ActivationArray:
    rows = {"tokens": np.array(["a", "b", "c"]), "labels": np.array(["x", "y", "x"])}
    return ActivationArray(np.eye(3, 2), rows=rows, shared={"source": {"layer": 4}})


@pytest.mark.parametrize("options", [{}, {"copy": False}, {"order": "F"}], ids=str)
@pytest.mark.parametrize("dtype", ["float32", np.float64, np.float16])
def test_a_cast_keeps_facts(three: ActivationArray, dtype: Any, options: dict[str, Any]) -> None:
    cast = three.astype(dtype, **options)
    assert isinstance(cast, ActivationArray) and cast.dtype == dtype
    assert cast.tokens is not None and cast.tokens.tolist() == ["a", "b", "c"]
    assert cast[1:].labels.tolist() == ["y", "x"] and cast.source == {"layer": 4}
    np.testing.assert_array_equal(np.asarray(cast), np.asarray(three))


def test_a_cast_has_facts_of_its_own(three: ActivationArray) -> None:
    cast = three.astype(np.float32)
    cast.rows["weight"], cast.shared["note"] = np.ones(3), "mine"
    assert "weight" not in three.rows and "note" not in three.shared


def test_what_asks_for_a_plain_array_gets_one(three: ActivationArray) -> None:
    for plain in (three.astype(np.float32, subok=False), np.asarray(three, np.float32), np.copy(three)):
        assert type(plain) is np.ndarray


def test_numpys_own_cast_keeps_facts(three: ActivationArray) -> None:
    cast = np.astype(three, np.float32)
    assert isinstance(cast, ActivationArray) and cast.labels is not None


def test_a_shared_fact_is_had_without_reading_those_of_rows() -> None:
    stored = OnDisk(ROWS)
    assert shared_fact(stored, "source") == {"layer": 3} and shared_fact(stored, "centers") is None
    assert MFA(2, 1, max_iter=2, tol=0, random_state=0).fit(stored).source_ == {"layer": 3}


def test_whether_there_is_a_fact_is_had_without_reading_it(three: ActivationArray) -> None:
    assert has_row_fact(three, "tokens") and not has_row_fact(three, "positions")
    assert has_row_fact(OnDisk(ROWS), "labels") and not has_row_fact(OnDisk(ROWS), "tokens")
    assert not has_row_fact(np.asarray(three), "tokens") and not has_row_fact(three.tolist(), "tokens")


def test_facts_of_arrays_and_of_what_has_none(three: ActivationArray) -> None:
    assert row_fact(three, "tokens").tolist() == ["a", "b", "c"] and row_fact(three, "positions") is None
    assert shared_fact(three, "source") == {"layer": 4}
    for bare in (ROWS, ROWS.tolist(), None):
        assert row_fact(bare, "tokens") is None and shared_fact(bare, "source") is None


class Frame:
    """The manner of a polars frame: a method `rows`, types per column, no type of its own."""

    shape = (60, 3)
    dtypes = ("float",) * 3

    def rows(self) -> list[Any]:
        raise AssertionError("read as a table with facts")

    def __getitem__(self, key: Any) -> Any:
        raise AssertionError("read by rows")

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return ROWS if dtype is None else ROWS.astype(dtype)


def as_pandas() -> Any:
    import pandas as pd

    return pd.DataFrame(ROWS, columns=["dtype", "shape", "rows"])


WHOLE = {
    "array": lambda: ROWS,
    "annotated": lambda: AnnotatedArray(ROWS),
    "list": ROWS.tolist,
    "pandas": as_pandas,
    "polars": Frame,
    "masked": lambda: np.ma.array(ROWS),
}


@pytest.mark.parametrize("make", WHOLE.values(), ids=WHOLE.keys())
def test_arrays_lists_and_frames_are_validated_as_a_whole(make: Any) -> None:
    assert not is_row_source(make())
    found = MFA(2, 1, max_iter=2, tol=0, random_state=0).fit(make())
    np.testing.assert_array_equal(found.means_, MFA(2, 1, max_iter=2, tol=0, random_state=0).fit(ROWS).means_)
    assert found.source_ is None


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csr_array, sparse.coo_array, sparse.lil_array])
def test_sparse_matrices_are_refused_as_before(make: Any) -> None:
    assert not is_row_source(make(ROWS))
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        MFA().fit(make(ROWS))


def test_what_is_not_two_dimensional_is_refused_as_before() -> None:
    import pandas as pd

    for flat in (pd.Series(ROWS[0]), OnDisk(ROWS[0])):
        assert not is_row_source(flat)
        with pytest.raises(ValueError, match="Expected"):
            MFA().fit(flat)


def test_a_container_of_tables_says_which_is_meant() -> None:
    class Container:
        def __mfa_rows__(self) -> np.ndarray:
            return ROWS

    assert given_rows(Container()) is ROWS and given_rows(ROWS) is ROWS
    mfa = MFA(2, 1, max_iter=2, tol=0, random_state=0).fit(Container())
    np.testing.assert_array_equal(mfa.predict(Container()), mfa.predict(ROWS))


@pytest.mark.parametrize("key", [slice(None), Ellipsis])
def test_one_number_written_everywhere_leaves_no_facts(three: ActivationArray, key: Any) -> None:
    three[0, 0] = np.nan
    assert "tokens" in three.rows
    three[key] = 5.0
    assert not three.rows and not three.shared


class Container:
    """Stands for a store of one table."""

    def __mfa_rows__(self) -> np.ndarray:
        return np.full((2, 3), 7.0)


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_list_of_tables_is_their_rows(tmp_path: Path, kind: type) -> None:
    np.save(tmp_path / "table.npy", np.eye(3))
    path = tmp_path / "table.npy"
    found = given_rows(kind([path, str(path), Container(), np.zeros((1, 3))]))
    expected = np.concatenate([np.eye(3), np.eye(3), np.full((2, 3), 7.0), np.zeros((1, 3))])
    np.testing.assert_array_equal(np.asarray(found), expected)
    assert isinstance(given_rows(kind([path])), np.memmap)


@pytest.mark.parametrize("X", [[[1.0, 2.0], [3.0, 4.0]], [np.ones(2), np.ones(2)], [], [1, 2], (np.ones(2), "text")])
def test_a_list_of_rows_is_one_table(X: Any) -> None:
    assert given_rows(X) is X
