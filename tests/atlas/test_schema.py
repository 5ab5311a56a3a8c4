"""The data is as the documented schema says, whatever the rows are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from atlas_cases import atlas_case
from atlas_data_cases import check_schema, check_type, known_mixture, rows_of_texts

from mfa_sklearn import MFA, ActivationArray
from mfa_sklearn.atlas import Atlas, atlas_data


@pytest.fixture(scope="module")
def mfa() -> MFA:
    return known_mixture()


@pytest.fixture(scope="module")
def rows(mfa: MFA) -> ActivationArray:
    return rows_of_texts(mfa)


def only(data: Atlas) -> Any:
    check_schema(data)
    (mixture,) = data["mixtures"]
    return mixture


def test_tokens_of_texts_with_labels(mfa: MFA, rows: ActivationArray) -> None:
    found = only(atlas_data(mfa, rows))
    assert found["row_noun"] == "token" and len(found["concepts"]) == 3
    assert all(region["contexts"] and region["tokens"] for region in found["regions"]) and found["scale"] is None
    kinds = {kind for region in found["regions"] for context in region["contexts"] for kind in context["kinds"]}
    assert kinds == {"typical", "token", "outlying"}


def test_tokens_without_texts(mfa: MFA) -> None:
    found = only(atlas_data(mfa, rows_of_texts(mfa, offsets=False)))
    assert all(region["contexts"] for region in found["regions"])


def test_tokens_of_which_nothing_else_is_known(mfa: MFA, rows: ActivationArray) -> None:
    found = only(atlas_data(mfa, np.asarray(rows), tokens=rows.tokens))
    assert found["concepts"] == [] and found["row_noun"] == "token"
    assert all(len(context["tokens"]) == 1 for region in found["regions"] for context in region["contexts"])
    assert all(region["purity"] is None and region["n_enriched"] is None for region in found["regions"])


def test_a_table_of_numbers(mfa: MFA, rows: ActivationArray) -> None:
    found = only(atlas_data(mfa, np.asarray(rows)))
    assert found["row_noun"] == "row" and found["source"] is None
    for region in found["regions"]:
        assert region["tokens"] == region["contexts"] == [] and region["typical"]
        assert region["scatter"]["token"] == region["scatter"]["concept"] == []
        assert all(found["strings"][number][0] in "+−" for end in region["ends"] for number in end["low"])


def test_a_table_that_misses_values(mfa: MFA, rows: ActivationArray) -> None:
    X = np.asarray(rows).copy()
    X[::3, 1] = np.nan
    found = only(atlas_data(mfa, X, labels=rows.labels))
    shown = {row for region in found["regions"] for row in region["typical"] + region["scatter"]["row"]}
    assert shown and not any(row % 3 == 0 for row in shown)


def test_pooled_texts(mfa: MFA, rows: ActivationArray) -> None:
    texts = tuple(f"text {number}" for number in range(len(rows)))
    facts = {"text_index": np.arange(len(rows)), "labels": rows.labels}
    pooled = ActivationArray(np.asarray(rows), rows=facts, shared={"texts": texts, "source": {"pooling": "mean"}})
    found = only(atlas_data(mfa, pooled))
    assert found["row_noun"] == "text"
    context = found["regions"][0]["contexts"][0]
    assert [found["strings"][number] for number in context["tokens"]] == [texts[context["row"]]]
    assert found["strings"][found["regions"][0]["ends"][0]["low"][0]].startswith("text ")


def test_a_component_without_rows_and_one_factor(rows: ActivationArray) -> None:
    known = known_mixture()
    means = np.vstack([known.means_, np.full((1, 5), 90.0)])
    loadings = np.concatenate([known.loadings_, known.loadings_[:1]])[:, :, :1]
    mfa = MFA.from_params(np.full(5, 0.2), means, loadings, known.noise_variance_)
    found = only(atlas_data(mfa, rows))
    empty = found["regions"][4]
    assert empty["size"] == 0 and empty["sharpness"] is empty["histogram"] is empty["scatter"] is None
    assert empty["contexts"] == empty["ends"] == [] and empty["label"] == "region 4"
    assert {len(region["scatter"]["axes"]) for region in found["regions"][:4] if region["scatter"]} == {1}


def test_one_component(rows: ActivationArray) -> None:
    mfa = MFA(1, 2, max_iter=0).fit(rows)
    found = only(atlas_data(mfa, rows))
    assert found["regions"][0]["neighbors"] == [] and found["n_clusters"] == 1


def test_two_mixtures(mfa: MFA, rows: ActivationArray) -> None:
    check_schema(atlas_data(mfa, rows, against=known_mixture(seed=3, n_components=6)))


def test_made_up_atlases_of_the_page_are_of_the_schema() -> None:
    check_type(atlas_case(), Atlas, "atlas")


@pytest.mark.parametrize(("value", "kind"), [(1.5, int), (float("inf"), float), (None, str), (True, int), ("x", float)])
def test_what_is_of_another_type_is_found(value: Any, kind: Any) -> None:
    with pytest.raises(AssertionError):
        check_type(value, kind, "value")
