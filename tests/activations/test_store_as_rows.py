"""A store of activations given as rows: its source is remembered, and its facts are read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from interpret_fixtures import mixture
from tiny_stores import token_rows, two_layers, written

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
from mfa_sklearn.activations import _store as store_module
from mfa_sklearn.activations._store import StoredActivations
from mfa_sklearn.interpret import concept_components, describe_components

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
    lambda mfa, X: project(mfa, X, 1).to_frame(),
    lambda mfa, X: SubspaceDisplay.from_estimator(mfa, X, 1).projection.to_frame(),
]


@pytest.mark.parametrize("table", TABLES)
def test_tables_take_the_store(store: ActivationStore, mfa: MFA, table: Callable[..., Any]) -> None:
    assert table(mfa, store).equals(table(mfa, store[7]))


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


def test_concepts_read_labels_and_no_other_fact_of_all_rows(
    store: ActivationStore, mfa: MFA, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    whole = store_module._RowFacts.__getitem__
    monkeypatch.setattr(store_module._RowFacts, "__getitem__", lambda self, n: (asked.append(n), whole(self, n))[1])
    top_concepts(mfa, store[7])
    assert set(asked) == {"labels"}


def test_facts_on_disk_travel_to_other_processes(store: ActivationStore) -> None:
    import pickle

    stored = store[7]
    assert stored.rows["labels"] is not None
    again = pickle.loads(pickle.dumps(stored))
    assert again.rows["tokens"].tolist() == stored.rows["tokens"].tolist()
