"""What is told of a region: which concept stands for it, its label, and pieces of contexts that are no rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from atlas_data_cases import known_mixture, rows_of_texts

from mfa_sklearn import ActivationArray
from mfa_sklearn.atlas._figures import Figures
from mfa_sklearn.atlas._gathered import Gathered, Options
from mfa_sklearn.atlas._region_facts import Teller, leading_concept


def concept(number: int, share: float, q_value: float | None) -> Any:
    return {"concept": number, "count": 5, "share": share, "lift": 2.0, "q_value": q_value}


@pytest.mark.parametrize(
    ("concepts", "expected"),
    [
        ([concept(3, 0.9, 1e-9), concept(1, 0.1, 1e-3)], 3),
        ([concept(3, 0.03, 1e-9), concept(1, 0.3, 1e-3)], 1),  # the first of them is rare
        ([concept(3, 0.03, 1e-9), concept(1, 0.1, 1e-3)], None),
        ([concept(3, 0.9, 0.06)], None),  # perhaps by chance
        ([concept(0, 0.2, 0.05)], 0),
        ([concept(3, 0.9, None)], None),
        ([], None),
    ],
)
def test_the_concept_that_stands_for_a_region(concepts: list[Any], expected: int | None) -> None:
    assert leading_concept(concepts) == expected


def test_a_handful_of_labels_does_not_stand_for_a_large_region() -> None:
    """Five rows with the label are a fifth of 25 labeled ones."""
    every = concept(3, 1.0, 1e-9)
    assert leading_concept([every], 25) == 3 and leading_concept([every], 26) is None


def teller(X: Any, mfa: Any, tokens: Any = None) -> Teller:
    gathered = Gathered(mfa, X, tokens, None, Options(n_contexts=1))
    gathered.gather(lambda _: None)
    return Teller(gathered, Figures(gathered))


def test_labels_of_tokens_and_of_columns() -> None:
    mfa = known_mixture()
    rows = rows_of_texts(mfa)
    regions = [teller(rows, mfa).region(k) for k in range(4)]
    told = teller(rows, mfa)
    for k, region in enumerate(regions):
        assert region["label"].count(" · ") == min(3, len(told.region(k)["tokens"])) - 1
    of_numbers = teller(np.asarray(rows), mfa).region(0)["label"]
    assert of_numbers and all(part[0] in "+−" for part in of_numbers.split(" · "))


def test_concepts_that_are_nearly_all_of_a_region_stand_for_it() -> None:
    """Labels that follow the components, of which two share one."""
    mfa = known_mixture(10.0)
    rows = np.asarray(rows_of_texts(mfa, 60))
    assigned = mfa.predict(rows)
    labels = np.array(["a", "b", "c"], dtype=object)[np.minimum(assigned, 2)]
    texts = np.arange(len(rows)) // 2
    told = teller(ActivationArray(rows, rows={"labels": labels, "text_index": texts}), mfa)
    regions = [told.region(k) for k in range(4)]
    names = [None if r["concept"] is None else told.concepts[r["concept"]] for r in regions]
    assert names == ["a", "b", "c", "c"]


def test_pieces_that_are_no_rows_are_marked() -> None:
    mfa = known_mixture()
    rows = rows_of_texts(mfa)
    told = teller(rows, mfa)
    contexts = [context for k in range(4) for context in told.region(k)["contexts"]]
    for context in contexts:
        for piece, posterior, score in zip(context["tokens"], context["responsibility"], context["score"], strict=True):
            assert (posterior < 0) == (score < 0)
            assert told.strings.found[piece] or posterior < 0
        assert context["responsibility"][context["at"]] >= 0
    # The first word of every text is no row, and stands in front of some of them.
    assert any(context["responsibility"][0] == -1 for context in contexts)
