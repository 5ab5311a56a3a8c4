"""A concept's regions and its place within each, against plain loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from interpret_fixtures import LABELS, ExactMixture, annotated, mixture, scores_by_loop
from scipy.stats import chi2_contingency

from mfa_sklearn import MFA
from mfa_sklearn.interpret import concept_components
from mfa_sklearn.steering import concept_regions, concept_scores


def labeled(spread: float = 2.0) -> tuple[ExactMixture, Any, np.ndarray]:
    """Rows whose label goes with the component more often than not; some have none."""
    mfa = mixture(spread)
    X = annotated(mfa, 200)
    own = scores_by_loop(mfa, X, "posterior").argmax(1)
    labels = np.where(np.arange(200) % 3 > 0, LABELS[own % 3], X.rows["labels"]).astype(object)
    labels[::9] = None
    return mfa, X, labels


@pytest.mark.parametrize("counts", ["hard", "soft"])
@pytest.mark.parametrize("weights", ["ratio", "share", "purity"])
def test_weights_are_shares_of_counted_rows(counts: str, weights: str) -> None:
    mfa, X, labels = labeled()
    posterior = scores_by_loop(mfa, X, "posterior")
    share = posterior if counts == "soft" else np.eye(4)[posterior.argmax(1)]
    count = {label: sum(share[i] for i in range(200) if labels[i] == label) for label in LABELS}
    total = sum(count.values())
    found = concept_regions(mfa, X, labels, weights=weights, counts=counts)
    assert list(found) == sorted(LABELS)
    for label, regions in found.items():
        base = count[label].sum() / total.sum()
        over = [k for k in range(4) if count[label][k] / total[k] > base]
        own = count[label]
        tables = [
            [[own[k], total[k] - own[k]], [sum(own) - own[k], sum(total - own) - total[k] + own[k]]] for k in over
        ]
        ratio = [chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic for table in tables]
        expected = {"share": own[over] / own.sum(), "purity": (own / total)[over], "ratio": ratio / np.sum(ratio)}
        assert regions == pytest.approx(dict(zip(over, expected[weights], strict=True)), rel=1e-4)
        assert list(regions.values()) == sorted(regions.values(), reverse=True)


def test_the_region_that_interpretation_names_is_among_them() -> None:
    mfa, X, labels = labeled()
    best = concept_components(mfa, X, labels)["component"].to_dict()
    assert {label: k in concept_regions(mfa, X, labels)[label] for label, k in best.items()} == dict.fromkeys(
        best, True
    )


@pytest.mark.parametrize("spread", [0.5, 2.0, 30.0])
def test_scores_are_weighted_means_of_the_factors(spread: float) -> None:
    mfa, X, labels = labeled(spread)
    posterior = scores_by_loop(mfa, X, "posterior")
    found = concept_scores(mfa, X, labels)
    assert list(found) == sorted(LABELS)
    for label, scores in found.items():
        rows = labels == label
        for k in range(4):
            weight = posterior[rows, k] * (posterior[rows, k] >= 1e-6)
            z = mfa.posterior_mean(np.asarray(X)[rows], k)
            expected = weight @ z / weight.sum() if weight.any() else np.zeros(2)
            np.testing.assert_allclose(scores[k], expected, rtol=1e-6, atol=1e-8)


def test_a_fitted_mixture_and_annotated_rows_will_do() -> None:
    exact, X, _ = labeled(30.0)
    mfa = MFA.from_params(exact.weights_, exact.means_, exact.loadings_, exact.noise_variance_)
    for label, scores in concept_scores(mfa, X).items():
        np.testing.assert_allclose(scores, concept_scores(exact, X)[label], rtol=1e-4, atol=1e-4)
    regions = concept_regions(mfa, X)
    assert {label: list(weights) for label, weights in regions.items()} == {
        label: list(weights) for label, weights in concept_regions(exact, X).items()
    }


@pytest.mark.parametrize("function", [concept_regions, concept_scores])
@pytest.mark.parametrize(
    ("labels", "match"), [(None, "needs labels"), ([None] * 200, "all 200 entries"), (["a"], "one entry per row")]
)
def test_labels_that_are_none_are_refused(function: Any, labels: Any, match: str) -> None:
    mfa, X, _ = labeled()
    match = match.replace("needs", f"{function.__name__} needs")
    with pytest.raises(ValueError, match=match):
        function(mfa, np.asarray(X), labels)


def test_other_weights_are_refused() -> None:
    mfa, X, labels = labeled()
    with pytest.raises(ValueError, match="weights='row' is unknown"):
        concept_regions(mfa, X, labels, weights="row")
