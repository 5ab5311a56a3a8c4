"""The numbers of an atlas against those of the mixture itself, and what is refused before any work."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atlas_data_cases import known_mixture, rows_of_texts
from interpret_fixtures import mixture
from scipy.special import logsumexp

from mfa_sklearn import MFA, ActivationArray, top_concepts
from mfa_sklearn.atlas import _atlas_data, atlas_data

SOURCE = {"model": "/home/somebody/models/tiny", "layer": 3, "site": "residual", "pooling": None}


@pytest.fixture(scope="module")
def mfa() -> MFA:
    return known_mixture(source_=SOURCE)


@pytest.fixture(scope="module")
def rows(mfa: MFA) -> ActivationArray:
    return rows_of_texts(mfa)


@pytest.fixture(scope="module")
def told(mfa: MFA, rows: ActivationArray) -> Any:
    return atlas_data(mfa, rows)["mixtures"][0]


@pytest.fixture(scope="module")
def log_density(rows: ActivationArray) -> np.ndarray:
    """Of every row under every component, (n, K), by dense covariances."""
    exact = mixture(1.0, 4, 0)
    return exact.log_joint(rows) - np.log(exact.weights_)


def contexts(told: Any) -> list[tuple[int, Any]]:
    return [(region["component"], context) for region in told["regions"] for context in region["contexts"]]


def rows_around(rows: ActivationArray, context: Any) -> np.ndarray:
    """Rows of the context's text that are shown, in their order."""
    shown = np.flatnonzero(rows.text_index == context["text"])
    at = sum(value >= 0 for value in context["responsibility"][: context["at"]])
    first = int(np.flatnonzero(shown == context["row"])[0]) - at
    return shown[first : first + sum(value >= 0 for value in context["responsibility"])]


def test_responsibilities_are_those_of_the_mixture(told: Any, mfa: MFA, rows: ActivationArray) -> None:
    posterior = mfa.predict_proba(np.asarray(rows))
    for k, context in contexts(told):
        seen = [value for value in context["responsibility"] if value >= 0]
        np.testing.assert_allclose(seen, 100 * posterior[rows_around(rows, context), k], atol=0.51)


def test_scores_are_quantiles_among_own_rows(
    told: Any, mfa: MFA, rows: ActivationArray, log_density: np.ndarray
) -> None:
    assigned = mfa.predict(np.asarray(rows))
    for k, context in contexts(told):
        own = log_density[assigned == k, k]
        expected = [100 * np.mean(own <= log_density[row, k] + 1e-9) for row in rows_around(rows, context)]
        seen = [value for value in context["score"] if value >= 0]
        np.testing.assert_allclose(seen, expected, atol=0.51)


def test_kinds_of_contexts(told: Any, mfa: MFA, rows: ActivationArray, log_density: np.ndarray) -> None:
    assigned = mfa.predict(np.asarray(rows))
    for region in told["regions"]:
        k, own = region["component"], np.flatnonzero(assigned == region["component"])
        order = own[np.argsort(log_density[own, k])]
        assert region["typical"][0] == order[-1] and region["outlying"][0] == order[0]
        assert not set(region["typical"]) & set(region["outlying"])
        for context in region["contexts"]:
            assert assigned[context["row"]] == k
            assert context["log_density"] == pytest.approx(log_density[context["row"], k], abs=0.01)
        listed = {told["strings"][token["token"]] for token in region["tokens"]}
        of_tokens = {rows.tokens[c["row"]] for c in region["contexts"] if "token" in c["kinds"]}
        assert of_tokens == listed
        shown = [context["row"] for context in region["contexts"]]
        assert len(shown) == len(set(shown))
        for kind in ("typical", "outlying"):
            assert sorted(c["row"] for c in region["contexts"] if kind in c["kinds"]) == sorted(region[kind])


def test_pieces_of_a_context_are_a_part_of_its_text(told: Any, rows: ActivationArray) -> None:
    assert rows.texts is not None
    for _, context in contexts(told):
        shown = "".join(told["strings"][piece] for piece in context["tokens"])
        assert shown.strip("…") in rows.texts[context["text"]]
        assert told["strings"][context["tokens"][context["at"]]].strip() == rows.tokens[context["row"]]


def test_tokens_are_counted(told: Any, mfa: MFA, rows: ActivationArray) -> None:
    assigned, total = mfa.predict(np.asarray(rows)), Counter(rows.tokens.tolist())
    for region in told["regions"]:
        own = rows.tokens[assigned == region["component"]]
        assert region["size"] == len(own)
        for token in region["tokens"]:
            name = told["strings"][token["token"]]
            assert (token["count"], token["total"]) == (Counter(own.tolist())[name], total[name])
            assert token["lift"] == pytest.approx((token["count"] / len(own)) / (total[name] / len(rows)), abs=0.006)


def test_concepts_are_those_of_the_table(told: Any, mfa: MFA, rows: ActivationArray) -> None:
    table = top_concepts(mfa, rows, n_concepts=5)
    seen = [
        (r["component"], told["concepts"][c["concept"]], c["count"]) for r in told["regions"] for c in r["concepts"]
    ]
    assert seen == list(zip(table["component"], table["label"], table["count"], strict=True))
    q_values = [c["q_value"] for r in told["regions"] for c in r["concepts"]]
    np.testing.assert_allclose(q_values, table["q_value"], rtol=0.01)
    known = np.array([label is not None for label in rows.labels])
    assigned = mfa.predict(np.asarray(rows))
    for region in told["regions"]:
        labels = Counter(rows.labels[known & (assigned == region["component"])])
        assert region["purity"] == pytest.approx(max(labels.values()) / sum(labels.values()), abs=1e-4)


def test_log_likelihood(told: Any, mfa: MFA, rows: ActivationArray) -> None:
    joint = mixture(1.0, 4, 0).log_joint(rows)
    assert told["log_likelihood"] == pytest.approx(logsumexp(joint, axis=1).mean(), abs=1e-3)


def test_histograms_count_all_own_rows(told: Any, log_density: np.ndarray, mfa: MFA, rows: ActivationArray) -> None:
    assigned = mfa.predict(np.asarray(rows))
    for region in told["regions"]:
        k, found = region["component"], region["histogram"]
        edges = np.linspace(found["low"], found["high"], len(found["own"]) + 1)
        edges[0], edges[-1] = -np.inf, np.inf
        for counts, those in ((found["own"], assigned == k), (found["others"], assigned != k)):
            expected = np.histogram(log_density[those, k], edges)[0]
            assert sum(counts) == those.sum() and np.abs(np.array(counts) - expected).sum() <= 2


def test_scatters_hold_the_factors_of_the_rows(told: Any, mfa: MFA, rows: ActivationArray) -> None:
    for region in told["regions"]:
        k, found = region["component"], region["scatter"]
        _, size, right = np.linalg.svd(mfa.loadings_[k], full_matrices=False)
        scores = mfa.posterior_mean(np.asarray(rows)[found["row"]], k) @ right.T
        low, high = found["x_range"]
        x = low + np.array(found["x"]) * (high - low) / 1000
        step = (high - low) / 1000
        assert min(np.abs(x - scores[:, 0]).max(), np.abs(x + scores[:, 0]).max()) <= step
        assert found["axes"][0]["share"] == pytest.approx(size[0] ** 2 / np.square(size).sum(), abs=1e-3)
        assert [told["strings"][token] for token in found["token"]] == rows.tokens[found["row"]].tolist()


def test_one_seed_gives_the_same_bytes_and_another_other_samples(mfa: MFA, rows: ActivationArray) -> None:
    first, same, other = (
        json.dumps(atlas_data(mfa, rows, n_points=20, random_state=seed), allow_nan=False) for seed in (0, 0, 1)
    )
    assert first == same != other


def test_a_store_and_an_array_tell_the_same(mfa: MFA, rows: ActivationArray, tmp_path: Path) -> None:
    X = np.asarray(rows, dtype=np.float32)
    np.save(tmp_path / "X.npy", X)
    facts = {"tokens": rows.tokens, "labels": rows.labels}
    mapped, held = (atlas_data(mfa, source, **facts) for source in (np.load(tmp_path / "X.npy", mmap_mode="r"), X))
    assert mapped == held
    assert mapped == atlas_data(mfa, tmp_path / "X.npy", **facts)


def test_how_much_is_told(mfa: MFA, rows: ActivationArray) -> None:
    few = atlas_data(mfa, rows, n_tokens=1, n_contexts=1, context=0, n_points=20)["mixtures"][0]
    for region in few["regions"]:
        assert len(region["tokens"]) <= 1 and len(region["scatter"]["x"]) <= 20
        assert sum("token" in context["kinds"] for context in region["contexts"]) == len(region["tokens"])
        assert all(sum(v >= 0 for v in context["responsibility"]) == 1 for context in region["contexts"])


def test_less_is_told_of_each_of_many_regions(
    mfa: MFA, rows: ActivationArray, told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_atlas_data, "_MANY", 3)
    few = atlas_data(mfa, rows)["mixtures"][0]
    assert len(contexts(few)) < len(contexts(told))
    assert all(len(region["typical"]) <= 3 and len(region["outlying"]) <= 2 for region in few["regions"])
    asked = atlas_data(mfa, rows, n_contexts=2)["mixtures"][0]
    assert contexts(asked) == contexts(told)


def test_what_is_known_of_rows_in_one_place_holds_in_the_other(mfa: MFA, rows: ActivationArray) -> None:
    plain = np.asarray(rows)
    first, second = (
        [[m["strings"][token["token"]] for token in region["tokens"]] for region in m["regions"]]
        for m in atlas_data(mfa, rows, against=mfa, against_activations=plain)["mixtures"]
    )
    assert first == second and all(first)


def test_given_names_and_titles(mfa: MFA, rows: ActivationArray, told: Any) -> None:
    assert told["name"] == "layer 3, 4 regions" and told["source"]["model"] == "tiny"
    assert atlas_data(mfa, rows)["title"] == "4 regions of tiny, layer 3, residual"
    named = atlas_data(mfa, rows, title="<b>", names=["one"])
    assert (named["title"], named["mixtures"][0]["name"]) == ("<b>", "one")


def test_progress_is_said_if_asked_for(mfa: MFA, rows: ActivationArray, capsys: pytest.CaptureFixture[str]) -> None:
    atlas_data(mfa, rows)
    assert capsys.readouterr().out == ""
    atlas_data(mfa, rows, verbose=True)
    lines = capsys.readouterr().out.splitlines()
    assert "going through 182 rows" in lines[0] and all(line.startswith("[atlas] ") for line in lines)


def test_columns_of_a_table_have_their_names() -> None:
    pandas = pytest.importorskip("pandas")
    X = np.random.default_rng(0).normal([[0.0, 0], [9, 0]], [1, 3], size=(40, 2, 2)).reshape(-1, 2)
    frame = pandas.DataFrame(X, columns=["length", "width"])
    mfa = MFA(2, 1, init=np.array([[0.0, 0], [9, 0]]), max_iter=0).fit(frame)
    told = atlas_data(mfa, frame)["mixtures"][0]
    assert [region["label"] for region in told["regions"]] == ["−length", "+length"]
    end = told["regions"][0]["ends"][0]
    assert {told["strings"][end["low"][0]], told["strings"][end["high"][0]]} == {"−width", "+width"}


def test_what_is_refused(mfa: MFA, rows: ActivationArray, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise AssertionError("work was spent on bad input")

    monkeypatch.setattr(MFA, "iter_pairs", refuse)
    other = ActivationArray(np.asarray(rows), rows={**rows.rows, "tokens": rows.tokens[::-1]})
    elsewhere = ActivationArray(np.asarray(rows), shared={"source": {**SOURCE, "layer": 5}})
    for arguments, error, said in (
        ({"tokens": ["a"]}, ValueError, "one entry per row"),
        ({"n_tokens": 0}, ValueError, "n_tokens=0"),
        ({"verbose": "yes"}, TypeError, "verbose='yes'"),
        ({"names": ["a", "b"]}, ValueError, "must be 1 name"),
        ({"against_activations": rows}, ValueError, "give it by against="),
        ({"against": mfa, "against_activations": rows[:-1]}, ValueError, "182 rows and against_activations 181"),
        ({"against": mfa, "against_activations": other}, ValueError, "are of different tokens, first in row"),
        ({"against": mfa, "against_activations": elsewhere}, ValueError, "from elsewhere"),
        ({"against": "mixture"}, TypeError, "expected a fitted MFA, got str"),
    ):
        with pytest.raises(error, match=said):
            atlas_data(mfa, rows, **arguments)
    with pytest.raises(ValueError, match="from elsewhere"):
        atlas_data(mfa, elsewhere)
