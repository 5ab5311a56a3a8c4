"""The one call: what is fitted on what, which lines there are, and what is refused before any work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClusterMixin, clone
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from mfa_sklearn import MFA, ActivationArray
from mfa_sklearn.evaluation import SparseCoder, as_candidate, baselines, bootstrap_interval, evaluate
from mfa_sklearn.evaluation._evaluate import _lines
from mfa_sklearn.evaluation._held_out import hold_out

GROUPS = np.repeat(np.arange(60), 4)
LABELS = np.array(["sea", "land", "air"])[GROUPS % 3]
COLUMNS = ["candidate", "measure", "value", "low", "high", "better"]

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def rows(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 4.0 * np.eye(4)[GROUPS % 3] + rng.normal(size=(240, 4))


def few(**more: Any) -> dict[str, Any]:
    return {"groups": GROUPS, "n_resamples": 20, "random_state": 0, **more}


class Remembers(ClusterMixin, BaseEstimator):
    """One region; keeps what it was fitted on."""

    seen: list[np.ndarray] = []  # noqa: RUF012

    def __init__(self, random_state: int | None = None) -> None:
        self.random_state = random_state

    def fit(self, X, y=None):
        self.labels_ = np.zeros(len(X), dtype=int)
        self.seen.append(np.asarray(X))
        return self

    def predict(self, X):
        return np.zeros(len(X), dtype=int)


def test_the_table() -> None:
    X = rows()
    candidates = {"MFA": MFA(3, 1, max_iter=5, random_state=0), **baselines(3, 1, random_state=0)}
    table = evaluate(candidates, X, LABELS, target=X[:, :1], **few(n_seeds=2))
    assert list(table.columns) == COLUMNS
    assert list(dict.fromkeys(table["candidate"])) == [*candidates]
    values = table.pivot(index="candidate", columns="measure", values="value")
    assert values.loc["MFA"].notna().all()
    absent = {name: set(values.columns[values.loc[name].isna()]) for name in candidates}
    stable = {f"{what} {how}" for what in ("seeds", "halves") for how in ("AMI", "ARI")}
    assert absent["k-means"] == absent["diagonal mixture"] == {"target R2 by region and coordinates"}
    assert absent["PCA"] == {"NMI", "AMI", "target R2 by region", "regions", *stable}
    measured = table[table["better"] != ""]
    assert ((measured["low"] <= measured["value"] + 1e-12) & (measured["value"] <= measured["high"] + 1e-12)).all()
    assert set(table["measure"][table["better"] == ""]) == {"regions", "active numbers", "stored numbers"}
    assert table["low"][table["better"] == ""].isna().all()
    assert (values["AMI"].drop("PCA") > 0.8).all() and values.loc["MFA", "regions"] == 3
    spread = X[hold_out(X, None, GROUPS, 0.2, 0).split.train].var(0).mean()
    assert table.attrs == {
        "resolution": pytest.approx(np.sqrt(spread) / 100),
        "confidence": 0.95,
        "n_resamples": 20,
        "n_train": 192,
        "n_train_texts": 48,
        "n_test": 48,
        "n_test_texts": 12,
    }


def test_candidates_are_fitted_on_the_texts_that_are_not_held_out() -> None:
    X, held = rows(), hold_out(rows(), None, GROUPS, 0.25, 0)
    Remembers.seen.clear()
    estimator = Remembers()
    evaluate({"a": estimator}, X, **few(test_size=0.25))
    np.testing.assert_array_equal(Remembers.seen[0], X[held.split.train])
    assert len(Remembers.seen) == 1 and not hasattr(estimator, "labels_")


def test_no_fit_is_made_twice() -> None:
    """The one that is measured is one of the seeds; one of another seed, and two on halves, are left."""
    Remembers.seen.clear()
    evaluate({"a": Remembers()}, rows(), **few(n_seeds=2))
    assert [len(X) for X in Remembers.seen] == [192, 96, 96, 192]
    Remembers.seen.clear()
    evaluate({"a": Remembers().fit(rows())}, rows(), **few(n_seeds=2))
    assert [len(X) for X in Remembers.seen] == [240, 96, 96, 192, 192]


def test_no_interval_goes_beyond_what_a_measure_can_be() -> None:
    values = np.array([0.99, 1.0, 0.9, 1.0])
    (agreement,), (bits,) = (_lines("a", {name: values}, 0.5) for name in ("AMI", "bits per row"))
    assert (agreement["high"], agreement["better"], bits["better"]) == (1.0, "higher", "lower")
    assert bits["high"] == pytest.approx(0.99 + 1 - values[1:].mean()) and bits["low"] == agreement["low"]


def test_fitted_candidates_are_taken_as_they_are() -> None:
    X = rows()
    Remembers.seen.clear()
    fitted = Remembers().fit(X)
    kmeans = KMeans(3, n_init=1, random_state=0).fit(X)
    candidates = {
        "a": fitted,
        "b": kmeans,
        "c": as_candidate(kmeans, X),
        "d": SparseCoder(np.abs, np.abs, tensors=False),
    }
    table = evaluate(candidates, X, LABELS, **few())
    assert len(Remembers.seen) == 1
    values = table.pivot(index="measure", columns="candidate", values="value")
    assert values.loc["AMI", "b"] == values.loc["AMI", "c"] and np.isnan(values.loc["AMI", "d"])
    assert values.loc["reconstruction R2", "d"] < 1


def test_intervals_are_over_the_held_out_texts() -> None:
    X, held = rows(), hold_out(rows(), None, GROUPS, 0.2, np.random.RandomState(0))
    pca = PCA(1, random_state=0).fit(X[held.split.train])
    table = evaluate({"PCA": pca}, X, **few(n_resamples=400, confidence=0.8))
    line = table.set_index("measure").loc["bits per row"]
    bits = as_candidate(pca).bits(held.test.X, table.attrs["resolution"])
    low, high = bootstrap_interval(lambda w: np.average(bits, weights=w), held.test.groups, 400, 0.8, random_state=5)
    assert line["value"] == pytest.approx(bits.mean())
    np.testing.assert_allclose([line["low"], line["high"]], [low, high], atol=0.25 * (high - low))


def test_a_candidate_does_not_depend_on_those_beside_it() -> None:
    X, a, b = rows(), KMeans(3, n_init=1, random_state=0), KMeans(5, n_init=1, random_state=0)
    alone = evaluate({"b": b}, X, LABELS, **few(n_seeds=2))
    beside = evaluate({"a": a, "b": b}, X, LABELS, **few(n_seeds=2))
    again = beside[beside["candidate"] == "b"].reset_index(drop=True)
    assert alone.equals(again)


def test_labels_and_texts_are_those_of_activations() -> None:
    facts = {"text_index": GROUPS, "labels": LABELS}
    kmeans = {"k-means": KMeans(3, n_init=1, random_state=0)}
    found = evaluate(kmeans, ActivationArray(rows(), rows=facts), **few(groups=None))
    assert found.equals(evaluate(kmeans, rows(), LABELS, **few()))
    one_label = ActivationArray(rows(), rows={**facts, "labels": ["sea"] * 240})
    assert "AMI" not in set(evaluate(kmeans, one_label, **few(groups=None))["measure"])


def test_a_path_and_a_target_on_disk(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", rows())
    np.save(tmp_path / "y.npy", rows(1))
    kmeans = {"k-means": KMeans(3, n_init=1, random_state=0)}
    found = evaluate(kmeans, tmp_path / "x.npy", target=tmp_path / "y.npy", **few())
    assert found.equals(evaluate(kmeans, rows(), target=rows(1), **few()))


def test_progress(capsys: pytest.CaptureFixture[str]) -> None:
    evaluate({"PCA": PCA(1)}, rows(), **few(verbose=1))
    assert capsys.readouterr().out.startswith("[evaluate] PCA: 0.")
    evaluate({"PCA": PCA(1)}, rows(), **few())
    assert capsys.readouterr().out == ""


class NotFitted(KMeans):
    def fit(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("fitted before everything was checked")


FACTS = ActivationArray(rows(), rows={"text_index": GROUPS, "positions": np.tile(np.arange(4), 60)})
OTHERS = ActivationArray(rows(), rows={"text_index": GROUPS, "positions": np.tile([0, 1, 2, 4], 60)})


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"candidates": MFA(2, 1)}, TypeError, r"must be a dict of name to estimator, got MFA: give \{'MFA'"),
        ({"candidates": {}}, ValueError, "candidates is empty"),
        ({"candidates": {"a": NotFitted(2), 3: NotFitted(2)}}, ValueError, "no candidate can be named 3"),
        ({"candidates": {"mean": NotFitted(2)}}, ValueError, "no candidate can be named 'mean'"),
        ({"candidates": {"a": NotFitted(2), "b": "MFA"}}, TypeError, "candidate 'b', 'MFA', is no estimator"),
        ({"candidates": {"a": NotFitted(2), "b": PCA}}, TypeError, "candidate 'b', .*PCA.*, is no estimator"),
        ({"labels": ["sea"] * 240}, ValueError, "training rows have 1 different labels"),
        ({"labels": ["sea"]}, ValueError, "labels must hold one entry per row"),
        ({"groups": [0] * 240}, ValueError, "all 240 rows are of one text"),
        ({"target": np.ones((3, 1))}, ValueError, "target has 3 lines for 240 rows"),
        ({"activations": FACTS, "target": OTHERS}, ValueError, "row 3 of target has other positions"),
        ({"resolution": 0}, ValueError, "resolution"),
        ({"confidence": 95}, ValueError, "confidence == 95"),
        ({"n_seeds": -1}, ValueError, "n_seeds=-1 must be at least 0"),
        ({"n_resamples": 1.5}, TypeError, "n_resamples=1.5 must be an integer"),
        ({"activations": np.ones((240, 2))}, ValueError, "training rows are all alike"),
        (
            {"activations": np.where(np.arange(960).reshape(240, 4) == 402, np.nan, 1)},
            ValueError,
            "activations .* row 100",
        ),
        (
            {"target": np.where(np.arange(240)[:, None] == 7, np.inf, 1)},
            ValueError,
            "target hold NaN or infinity in row 7",
        ),
        ({"model": "gpt2"}, TypeError, "has no hooks"),
    ],
)
def test_refusals_come_before_the_first_fit(change: dict, error: type[Exception], message: str) -> None:
    given = {"candidates": {"a": NotFitted(2)}, "activations": rows(), **few(), **change}
    with pytest.raises(error, match=message):
        evaluate(**given)


@pytest.fixture(scope="module")
def language() -> tuple[Any, ActivationArray]:
    """The embedded model, and rows of some sentences."""
    pytest.importorskip("transformer_lens")
    from mfa_sklearn import ActivationExtractor, datasets

    extractor = ActivationExtractor(datasets.tiny_lm(), layer=1)
    texts = datasets.load_concepts()
    return extractor.load(), extractor.fit_transform(texts.texts[:400:10], texts.labels[:400:10])


def test_losses_of_the_model_itself(language: tuple[Any, ActivationArray]) -> None:
    from mfa_sklearn.evaluation import reconstruction_loss

    model, X = language
    candidates = {"PCA": PCA(20, random_state=0), "regions alone": Remembers()}
    settings = {"n_resamples": 10, "random_state": 0, "test_size": 0.5}
    table = evaluate(candidates, X, model=model, **settings).set_index(["candidate", "measure"])
    split = hold_out(X, None, None, 0.5, 0).split
    texts = [X.texts[number] for number in np.unique(X.text_index[split.test])]
    pca = PCA(20, random_state=0).fit(X[split.train])
    loss = reconstruction_loss(model, {"PCA": pca}, texts, 1, mean=X[split.train])
    for measure, name in (("cross_entropy", "cross-entropy"), ("recovered_mean", "loss recovered of mean ablation")):
        line = table.loc[("PCA", name)]
        assert line["value"] == pytest.approx(loss.measure("PCA", measure), rel=1e-5)
        assert line["low"] < line["value"] < line["high"]
    values = table["value"].xs("cross-entropy", level="measure")
    assert set(values.index) == {"PCA", "(model as it is)", "(zero ablation)", "(mean ablation)"}
    assert values["(model as it is)"] < values["PCA"] < values["(zero ablation)"]
    other = evaluate(candidates, X, model=model, texts=texts[:5], **settings).set_index(["candidate", "measure"])
    fewer = reconstruction_loss(model, {"PCA": pca}, texts[:5], 1, mean=X[split.train])
    found = other.loc[("PCA", "cross-entropy"), "value"]
    assert found == pytest.approx(fewer.measure("PCA", "cross_entropy"), rel=1e-5)


def test_losses_need_to_know_where(language: tuple[Any, ActivationArray]) -> None:
    model, X = language
    with pytest.raises(ValueError, match="do not say which layer"):
        evaluate({"a": NotFitted(2)}, np.asarray(X), model=model, n_resamples=2)
    bare = ActivationArray(np.asarray(X), rows={}, shared={"source": X.source})
    with pytest.raises(ValueError, match="carry no texts"):
        evaluate({"a": NotFitted(2)}, bare, model=model, n_resamples=2)


def test_nothing_is_changed() -> None:
    X, candidates = rows(), {"MFA": MFA(2, 1, max_iter=2), "PCA": PCA(1)}
    before = X.copy(), {name: clone(estimator).get_params() for name, estimator in candidates.items()}
    evaluate(candidates, X, LABELS, **few(n_seeds=1))
    np.testing.assert_array_equal(X, before[0])
    assert {name: estimator.get_params() for name, estimator in candidates.items()} == before[1]
    assert not any(hasattr(estimator, "n_features_in_") for estimator in candidates.values())
