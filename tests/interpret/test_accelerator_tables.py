"""Tables, distances and pictures of a mixture that computes on an accelerator are those of one on the processor."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from accelerator_cases import Place, moved, on_both
from interpret_fixtures import LABELS, WORDS
from matplotlib import pyplot

from mfa_sklearn import MFA, interpret, mixture
from mfa_sklearn._base.annotated import AnnotatedArray
from mfa_sklearn.datasets import make_mfa

X, _ = make_mfa(150, 6, 4, 2, random_state=0)
DRAWN = np.random.default_rng(0)
TOKENS, CONCEPTS = WORDS[DRAWN.integers(len(WORDS), size=len(X))], LABELS[DRAWN.integers(3, size=len(X))]
TEXTS = np.repeat(np.arange(30), 5)
FACTS = {"tokens": TOKENS, "labels": CONCEPTS, "text_index": TEXTS}
SAID = {"tokens": TOKENS, "labels": CONCEPTS}
BY_TEXT = {"labels": CONCEPTS, "groups": TEXTS}


@cache
def fitted(noise: str, seed: int = 0) -> MFA:
    mfa = MFA(4, 2, noise=noise, max_iter=3, tol=0.0, random_state=seed, device="cpu")  # type: ignore[arg-type]
    return mfa.fit(AnnotatedArray(X, rows=FACTS))


def told(given: Any, **facts: Any) -> dict[str, Any]:
    """Facts of the rows, for those that carry none."""
    return facts if isinstance(given, torch.Tensor) else {}


def drawn(display: Any) -> np.ndarray:
    pyplot.close(display.figure_)
    return np.asarray(display.scatter_.get_offsets())


def other(mfa: MFA) -> MFA:
    return moved(fitted(mfa.noise, 1), mfa.device)


Case = Callable[[MFA, Any], Any]
CASES: dict[str, Case] = {
    "component_distances": lambda m, X: [
        vars(d) for d in (interpret.component_distances(m, o) for o in (None, other(m)))
    ],
    "component_map": lambda m, X: interpret.component_map(m),
    "component_tree": lambda m, X: interpret.component_tree(interpret.component_distances(m)),
    "concept_components": lambda m, X: interpret.concept_components(m, X, **told(X, **BY_TEXT)),
    "concept_enrichment": lambda m, X: interpret.concept_enrichment(m.predict(X), CONCEPTS, TEXTS),
    "describe_components": lambda m, X: interpret.describe_components(m, X, **told(X, **SAID, groups=TEXTS)),
    "factor_ends": lambda m, X: interpret.factor_ends(m, X, **told(X, **SAID)),
    "format_components": lambda m, X: interpret.format_components(
        interpret.describe_components(m, X, **told(X, **SAID))
    ),
    "format_tokens": lambda m, X: interpret.format_tokens(interpret.top_tokens(m, X, **told(X, tokens=TOKENS))),
    "match_components": lambda m, X: interpret.match_components(m, other(m), X),
    "neighbors": lambda m, X: interpret.neighbors(m, 2),
    "project": lambda m, X: interpret.project(m, X, 1, **told(X, **SAID)),
    "subspace_angles": lambda m, X: interpret.subspace_angles(m, other(m)),
    "top_concepts": lambda m, X: interpret.top_concepts(m, X, **told(X, **BY_TEXT)),
    "top_tokens": lambda m, X: [
        interpret.top_tokens(m, X, score=score, **told(X, tokens=TOKENS)) for score in ("posterior", "likelihood")
    ],
    "ComponentMapDisplay": lambda m, X: drawn(
        interpret.ComponentMapDisplay.from_estimator(m, X, color="concept", **told(X, **SAID))
    ),
    "FactorEndsDisplay": lambda m, X: interpret.FactorEndsDisplay.from_estimator(m, X, 1, **told(X, **SAID)).ends,
    "SubspaceDisplay": lambda m, X: drawn(interpret.SubspaceDisplay.from_estimator(m, X, 1, **told(X, **SAID))),
    "ConvergenceDisplay": lambda m, X: mixture.ConvergenceDisplay.from_estimator(m).histories,
    "DensityDisplay": lambda m, X: mixture.DensityDisplay.from_estimator(m, [0, 1], given={2: 0.5}, X=X).density,
}
# What other cases give, and what tests of the mixture hold.
GIVEN = {"ComponentDistances", "ComponentMap", "Projection"}
OF_THE_MIXTURE = {"MFA", "KMeansInitializer", "MFASearch", "ConditionalMixture", "SearchDisplay", "share_rows"}


def test_every_table_and_picture_has_a_case() -> None:
    assert set(interpret.__all__) - GIVEN | set(mixture.__all__) - OF_THE_MIXTURE == set(CASES)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("rows", ["with facts", "on another device"])
@pytest.mark.parametrize("noise", ["shared", "component"])
@pytest.mark.parametrize("name", CASES)
def test_tables_are_those_of_the_processor(name: str, noise: str, rows: str, place: Place) -> None:
    def compute(device: str) -> Any:
        given = AnnotatedArray(X, rows=FACTS)
        if rows == "on another device":
            given = torch.tensor(X, device="cpu" if device == "cpu" else place.other)
        return CASES[name](moved(fitted(noise), device), given)

    on_both(place, compute)
