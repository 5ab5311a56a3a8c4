"""A store of activations given as rows: its source is remembered, and its facts are read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from interpret_fixtures import mixture
from sklearn.base import clone
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    ShuffleSplit,
    TimeSeriesSplit,
    cross_val_predict,
    cross_val_score,
    train_test_split,
)
from sklearn.preprocessing import StandardScaler
from sklearn.utils import resample, shuffle
from tiny_stores import N_ROWS, stopped_at, token_rows, two_layers, written

from mfa_sklearn import (
    MFA,
    ActivationStore,
    KMeansInitializer,
    MFASearch,
    SubspaceDisplay,
    project,
    top_concepts,
    top_tokens,
)
from mfa_sklearn.activations._store import StoredActivations
from mfa_sklearn.interpret import concept_components, describe_components, factor_ends

FEW = {"max_iter": 2, "tol": 0, "random_state": 0}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ActivationStore:
    return written(tmp_path_factory.mktemp("one"), token_rows, [7])


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> ActivationStore:
    return written(tmp_path_factory.mktemp("several"), two_layers, [2, 7])


@pytest.fixture(scope="module")
def mfa(store: ActivationStore) -> MFA:
    return MFA(4, 2, init=mixture(5.0).means_, max_iter=2, tol=0).fit(store.load())


def test_a_mixture_remembers_where_stored_rows_came_from(several: ActivationStore, tmp_path: Path) -> None:
    fitted = MFA(2, 1, **FEW).fit(several[7])
    assert fitted.source_ == several.load(7).source
    assert fitted.source_["layer"] == 7 and fitted.source_["hooks"] == ["blocks.7.hook_resid_post"]
    fitted.save_pretrained(tmp_path)
    assert MFA.from_pretrained(tmp_path).source_ == fitted.source_


def test_a_store_of_one_layer_is_rows(store: ActivationStore) -> None:
    fitted, expected = (MFA(2, 1, **FEW).fit(X) for X in (store, store[7]))
    np.testing.assert_array_equal(fitted.means_, expected.means_)
    assert fitted.source_ == store[7].source
    for name in ("predict", "score_samples", "predict_proba", "score", "bic", "posterior_mean", "reconstruct"):
        np.testing.assert_array_equal(getattr(fitted, name)(store), getattr(fitted, name)(store[7]))
    streamed = MFA(2, 1, **FEW).partial_fit(store).partial_fit(store)
    assert streamed.source_ == store[7].source


METHODS = [
    *("predict", "score_samples", "predict_proba", "score", "bic", "posterior_mean", "reconstruct", "impute"),
    *("fit_predict", "transform"),
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("form", ["store", "str", "Path"])
def test_every_method_takes_a_store_and_its_path(store: ActivationStore, method: str, form: str) -> None:
    fitted = MFA(2, 1, sparse_output=False, **FEW).fit(store[7])
    given = {"store": store, "str": str(store.directory), "Path": store.directory}[form]
    np.testing.assert_array_equal(getattr(fitted, method)(given), getattr(fitted, method)(store[7]))


def test_every_estimator_takes_the_path(store: ActivationStore) -> None:
    path = str(store.directory)
    assert MFA(2, 1, **FEW).fit(path).source_ == store[7].source
    assert MFA(2, 1, **FEW).partial_fit(path).partial_fit(path).source_ == store[7].source
    handed_on = KMeansInitializer(3, sampling="token_frequency", random_state=0).fit_transform(path)
    assert handed_on.tokens.tolist() == store[7].tokens.tolist() and "cluster_centers" in handed_on.shared
    search = MFASearch(MFA(**FEW), (1, 2), 1, criterion="likelihood", cv=2).fit(path)
    assert search.best_estimator_.source_ == store[7].source and search.score(path) == search.score(store)


SPLITTERS = [KFold(3), KFold(3, shuffle=True, random_state=0), ShuffleSplit(2, random_state=0), TimeSeriesSplit(2)]


@pytest.mark.parametrize("cv", SPLITTERS, ids=str)
@pytest.mark.parametrize("whole", [False, True])
def test_scikit_learn_splits_stored_rows(store: ActivationStore, cv: Any, whole: bool) -> None:
    X, memory = store if whole else store[7], store.load()
    scores = (cross_val_score(MFA(2, 1, **FEW), rows, cv=cv, error_score="raise") for rows in (X, memory))
    np.testing.assert_allclose(*scores)
    predicted = cross_val_predict(MFA(2, 1, **FEW), X, cv=KFold(2))
    assert predicted.shape == (len(memory),)


def test_scikit_learn_splits_keep_facts(store: ActivationStore) -> None:
    memory = store.load()
    for split in (train_test_split(store, random_state=0), train_test_split(store[7], random_state=0)):
        for found, expected in zip(split, train_test_split(memory, random_state=0), strict=True):
            np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))
            assert found.tokens.tolist() == expected.tokens.tolist() and found.source == store[7].source
    for train, test in GroupKFold(3).split(store[7], groups=store[7].text_index):
        assert not set(memory.text_index[train]) & set(memory.text_index[test])
    for rows in (shuffle(store[7], random_state=0), resample(store[7], n_samples=5, random_state=0)):
        assert rows.source == store[7].source and rows.tokens is not None
    search = GridSearchCV(MFA(2, 1, **FEW), {"n_factors": [1, 2]}, cv=2, error_score="raise").fit(store[7])
    assert search.best_estimator_.source_ == store[7].source


def test_of_several_layers_none_is_split(several: ActivationStore) -> None:
    with pytest.raises(ValueError, match=r"has the layers \[2, 7\]: name one"):
        train_test_split(several)


MASK = np.arange(N_ROWS) % 7 == 1
KEYS = {
    "slice": slice(5, 60, 3),
    "backwards": slice(None, None, -1),
    "backwards in steps": slice(70, 10, -7),
    "empty slice": slice(5, 5),
    "beyond the end": slice(N_ROWS - 3, N_ROWS + 50),
    "list": [3, 70, 3, 0],
    "array": np.array([70, 2, 41]),
    "negative": np.array([-1, -N_ROWS, 5]),
    "unsigned": np.array([7, 1], dtype=np.uint8),
    "no rows": [],
    "mask": MASK,
    "list of bools": MASK.tolist(),
    "series": pd.Series(MASK),
    "index": pd.Index([4, 5, 90]),
    "range": range(20, 0, -4),
    "with an ellipsis": (np.array([9, 4]), Ellipsis),
    "all columns": (slice(3, 9), slice(None)),
    "all": Ellipsis,
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS.keys())
@pytest.mark.parametrize("whole", [False, True])
def test_rows_are_selected_as_of_an_array(store: ActivationStore, key: Any, whole: bool) -> None:
    found, expected = (store if whole else store[7])[key], store.load()[key]
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))
    assert found.dtype == expected.dtype and found.source == expected.source and set(found.rows) == set(expected.rows)
    for name, fact in found.rows.items():
        np.testing.assert_array_equal(fact, expected.rows[name])
        assert fact.dtype.kind == expected.rows[name].dtype.kind


BAD_KEYS = [None, (slice(None), 0), (0, 0), 1.0, [0.5], MASK[:-1], np.eye(2, dtype=int), True, "labels", [N_ROWS]]


@pytest.mark.parametrize("key", BAD_KEYS, ids=repr)
def test_other_keys_are_refused(store: ActivationStore, key: Any) -> None:
    for rows in (store, store[7]):
        with pytest.raises(IndexError, match=r"a store is indexed by a slice, a mask or a list|out of range"):
            rows[key]


def test_a_store_of_one_layer_is_an_array_elsewhere_too(store: ActivationStore) -> None:
    np.testing.assert_array_equal(np.asarray(store), np.asarray(store[7]))
    scaled = [StandardScaler().fit_transform(rows) for rows in (store, store[7], np.asarray(store[7]))]
    np.testing.assert_array_equal(scaled[0], scaled[2])
    np.testing.assert_array_equal(scaled[1], scaled[2])
    assert store.shape == (N_ROWS, 5) and len(store) == 1 and list(store) == [7] and 7 in store


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> ActivationStore:
    """A store whose run stopped after two parts."""
    path = tmp_path_factory.mktemp("interrupted")
    with pytest.raises(KeyboardInterrupt):
        written(path, stopped_at(14, KeyboardInterrupt()), [7])
    return ActivationStore(path)


FITS = [
    MFA(2, 1, **FEW).fit,
    MFA(2, 1, **FEW).partial_fit,
    MFA(2, 1, **FEW).fit_predict,
    KMeansInitializer(2, random_state=0).fit,
    KMeansInitializer(2, random_state=0).fit_transform,
    MFASearch(MFA(**FEW), 1, 1).fit,
]


@pytest.mark.parametrize("fit", FITS)
def test_what_an_interrupted_run_left_is_told_at_every_fit(interrupted: ActivationStore, fit: Any) -> None:
    for rows in (interrupted, interrupted[7], interrupted.load(), interrupted[7][:20], str(interrupted.directory)):
        with pytest.warns(UserWarning, match=r"an interrupted extraction, 14 of 30 texts of '.*interrupted"):
            clone(fit.__self__).__getattribute__(fit.__name__)(rows)


def test_tables_tell_of_an_interrupted_run(interrupted: ActivationStore, mfa: MFA) -> None:
    with pytest.warns(UserWarning, match="14 of 30 texts"):
        top_tokens(mfa, interrupted)


def test_k_means_takes_the_store(store: ActivationStore) -> None:
    fit = KMeansInitializer(3, sampling="token_frequency", random_state=0).fit
    np.testing.assert_array_equal(fit(store).cluster_centers_, fit(store[7]).cluster_centers_)
    handed_on = fit(store).transform(store)
    assert handed_on.tokens.tolist() == store[7].tokens.tolist() and "cluster_centers" in handed_on.shared
    assert MFA(n_factors=1, **FEW).fit(handed_on).source_ == store[7].source


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_search_takes_the_store(store: ActivationStore) -> None:
    search = MFASearch(MFA(max_iter=3, random_state=0), (1, 2), 1, criterion="bic").fit(store)
    assert search.best_estimator_.source_ == store[7].source


def test_a_search_reads_the_rows_of_each_split_from_the_store(store: ActivationStore) -> None:
    search = MFASearch(MFA(max_iter=3, tol=0, random_state=0), (1, 2), 1, criterion="likelihood", cv=3)
    stored = [search.fit(X).cv_results_["mean_test_score"] for X in (store, store[7], store.load())]
    np.testing.assert_allclose(stored[0], stored[2], rtol=1e-6)
    np.testing.assert_array_equal(stored[0], stored[1])


TABLES = [
    lambda mfa, X: top_tokens(mfa, X, n_tokens=3),
    top_concepts,
    concept_components,
    describe_components,
    factor_ends,
    lambda mfa, X: project(mfa, X, 1).to_frame(),
    lambda mfa, X: SubspaceDisplay.from_estimator(mfa, X, 1).projection.to_frame(),
]


@pytest.mark.parametrize("table", TABLES)
def test_tables_take_the_store(store: ActivationStore, mfa: MFA, table: Callable[..., Any]) -> None:
    for given in (store, str(store.directory), store.directory):
        assert table(mfa, given).equals(table(mfa, store[7]))


@pytest.mark.parametrize("ask", [MFA().fit, KMeansInitializer().fit, MFASearch(MFA(), 1, 1).fit])
def test_of_several_layers_one_must_be_named(several: ActivationStore, ask: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"has the layers \[2, 7\]: name one, as in store\.open\(2\)"):
        ask(several)


def test_tables_of_several_layers_too(several: ActivationStore, mfa: MFA) -> None:
    for ask in (mfa.predict, lambda X: top_tokens(mfa, X), lambda X: project(mfa, X, 0)):
        with pytest.raises(ValueError, match=r"store\.open\(2\)"):
            ask(several)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the facts and layers that are read."""
    names: list[str] = []
    load = StoredActivations._load
    monkeypatch.setattr(StoredActivations, "_load", lambda self, s, name: (names.append(name), load(self, s, name))[1])
    return names


def test_a_fact_is_read_when_it_is_asked_for(store: ActivationStore, read: list[str]) -> None:
    rows = store[7].rows
    assert "labels" in rows and "nothing" not in rows and len(rows) == 7 and not read
    assert set(rows) == {"token_ids", "text_index", "positions", "starts", "ends", "labels", "tokens"} and not read
    assert rows["labels"].tolist() == store.load().labels.tolist()
    del read[:]
    assert rows.get("labels") is rows["labels"] and rows.get("nothing") is None and not read
    assert store[7].positions is not None and set(read) == {"positions"}
    with pytest.raises(KeyError):
        rows["nothing"]


def test_lazy_facts_are_those_of_the_array(store: ActivationStore) -> None:
    on_disk, in_memory = store[7].rows, store.load().rows
    assert set(on_disk) == set(in_memory)
    for name, fact in on_disk.items():
        np.testing.assert_array_equal(fact, in_memory[name])
        assert fact.dtype == in_memory[name].dtype


def test_concepts_read_labels_texts_and_no_other_fact_of_all_rows(
    store: ActivationStore, mfa: MFA, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    read = StoredActivations.read_facts
    monkeypatch.setattr(
        StoredActivations, "read_facts", lambda self, rows, names: (asked.extend(names), read(self, rows, names))[1]
    )
    top_concepts(mfa, store[7])
    assert set(asked) == {"labels", "text_index"}


def test_facts_on_disk_travel_to_other_processes(store: ActivationStore) -> None:
    import pickle

    stored = store[7]
    assert stored.rows["labels"] is not None
    again = pickle.loads(pickle.dumps(stored))
    assert again.rows["tokens"].tolist() == stored.rows["tokens"].tolist()
