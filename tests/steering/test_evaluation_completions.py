"""Paired completions against a loop over single passes."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch

from mfa_sklearn.steering._evaluation.completions import read_completions

COMPLETIONS = {"water": [" river runs", " boats"], "money": [" bank", " money"], "birds": [" three birds", " heron"]}


def log_prob(model: Any, prompt: str, completion: str) -> float:
    """Of a completion, token by token."""
    ids = model.to_tokens(prompt)
    total = 0.0
    for token in model.tokenizer(completion, add_special_tokens=False)["input_ids"]:
        with torch.no_grad():
            total += float(model(ids)[0, -1].double().log_softmax(0)[token])
        ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
    return total


def test_log_odds_are_those_of_single_passes(model: Any) -> None:
    concepts = ["water", "money", "birds"]
    pairs = read_completions(model, COMPLETIONS, concepts, 0)
    assert pairs.ids.shape[2] > 1 and pairs.lengths.min() < pairs.lengths.max()
    assert sorted(pairs.partner) == [0, 1, 2] and (pairs.partner != [0, 1, 2]).all()
    tokens = model.to_tokens(["It rained", "The boats"])
    for row, concept in ((0, 0), (1, 2)):
        asked = np.array([concept, concept])
        with torch.no_grad():
            first = model(tokens)[:, -1].log_softmax(-1)
        found = pairs.log_odds(model, tokens, first, asked, nullcontext)
        other = concepts[pairs.partner[concept]]
        prompt = ["It rained", "The boats"][row]
        own, theirs = ([log_prob(model, prompt, c) for c in COMPLETIONS[name]] for name in (concepts[concept], other))
        assert found[row] == pytest.approx(np.mean(own) - np.mean(theirs), rel=1e-4)


@pytest.mark.parametrize(
    ("completions", "error", "match"),
    [
        (["river"], TypeError, "completions must be a dict"),
        ({"water": " river", "money": ["a"]}, TypeError, r"completions\['water'\] must be a list of strings"),
        ({"water": [3], "money": ["a"]}, TypeError, "holds 3, which is no string"),
        ({"water": [], "money": ["a"]}, ValueError, r"completions\['water'\] is empty"),
        ({"water": ["a", "b"], "money": ["a"]}, ValueError, "1 to 2 strings a concept: give each as many"),
        ({"water": [""], "money": ["a"]}, ValueError, "holds '', which has no token"),
        ({"water": ["a"]}, ValueError, r"completions has none for \['money'\]"),
    ],
)
def test_what_are_no_completions_is_refused(model: Any, completions: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        read_completions(model, completions, ["water", "money"], 0)


def test_one_concept_has_nothing_beside_it(model: Any) -> None:
    with pytest.raises(ValueError, match="give at least two"):
        read_completions(model, {"water": [" river"]}, ["water"], 0)
