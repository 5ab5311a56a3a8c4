"""Arms that need no mixture, on rows whose structure is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mfa_sklearn.activations import ActivationArray
from mfa_sklearn.steering import baseline_arms
from mfa_sklearn.steering._evaluation.baselines import CENTROID_STRENGTHS, DIRECTION_STRENGTHS

WORDS = {"river": ["bank", "Boats"], "money": ["bank", "coin"]}
rng = np.random.default_rng(0)
N = 300
LABELS = np.array(["river", "money", "court"])[np.arange(N) % 3]
TOKENS = np.array([" the", " bank", "boats", " coin", " judge"])[rng.integers(0, 5, N)]
CENTERS = {"river": [6.0, 0, 0], "money": [0, 6.0, 0], "court": [0, 0, 6.0]}
X = np.array([CENTERS[label] for label in LABELS]) + rng.normal(size=(N, 3)) * [1, 1, 0.5]


def vector(arms: dict[str, Any], name: str, concept: str = "river") -> np.ndarray:
    """What an arm adds to the origin at strength 1: its direction, or its centroid."""
    return arms[name].moves[concept](torch.zeros(1, 3, dtype=torch.float64), 1.0)[0].numpy()


def test_difference_of_means_is_its_formula() -> None:
    arms = baseline_arms(X, LABELS, names=["difference of means"])
    own = LABELS == "river"
    np.testing.assert_allclose(vector(arms, "difference of means"), X[own].mean(0) - X[~own].mean(0))
    assert arms["difference of means"].strengths == DIRECTION_STRENGTHS


def test_content_rows_are_words_of_their_own_texts_concept() -> None:
    words = {**WORDS, "court": ["judge"]}
    arms = baseline_arms(X, LABELS, words, tokens=TOKENS)
    assert list(arms) == ["difference of means", "difference of means, content", "probe", "PCA", "k-means"]
    content = np.array(
        [token.strip() in [w.lower() for w in words[label]] for token, label in zip(TOKENS, LABELS, strict=True)]
    )
    own = LABELS == "river"
    expected = X[own & content].mean(0) - X[~own & content].mean(0)
    np.testing.assert_allclose(vector(arms, "difference of means, content"), expected)
    assert np.linalg.norm(vector(arms, "PCA")) == pytest.approx(np.linalg.norm(expected))
    probe = vector(arms, "probe")
    assert probe @ expected == pytest.approx(probe @ probe)


def test_a_probe_points_at_the_concept() -> None:
    direction = vector(baseline_arms(X, LABELS, names=["probe"]), "probe")
    assert direction @ [1, -0.5, -0.5] > 0.8 * np.linalg.norm(direction) * np.sqrt(1.5)
    constant = np.hstack([X, np.full((N, 1), 10.0)])  # a column that does not vary says nothing
    wide = baseline_arms(constant, LABELS, names=["probe"])["probe"].moves["river"](torch.zeros(1, 4).double(), 1.0)
    np.testing.assert_allclose(wide[0], [*direction, 0], atol=0.02)  # as far as the solver goes


def test_the_principal_component_is_that_of_the_concepts_rows() -> None:
    stretched = X + np.outer(rng.normal(size=N) * 5, [0, 1.0, 1.0])
    direction = vector(baseline_arms(stretched, LABELS, names=["PCA"]), "PCA")
    own = LABELS == "river"
    _, _, axes = np.linalg.svd(stretched[own] - stretched[own].mean(0))
    assert abs(direction @ axes[0]) == pytest.approx(np.linalg.norm(direction))
    assert direction @ (stretched[own].mean(0) - stretched[~own].mean(0)) > 0


def test_k_means_goes_to_the_concepts_cluster() -> None:
    arms = baseline_arms(X, LABELS, names=["k-means"], n_clusters=3)
    for concept in CENTERS:
        np.testing.assert_allclose(vector(arms, "k-means", concept), X[concept == LABELS].mean(0), atol=1e-6)
    assert arms["k-means"].strengths == CENTROID_STRENGTHS


def test_activations_carry_labels_and_tokens_and_rows_without_a_label_are_others() -> None:
    labels = np.where(LABELS == "court", None, LABELS)
    rows = ActivationArray(X.astype(np.float32), rows={"labels": labels, "tokens": TOKENS})
    arms = baseline_arms(rows, words=WORDS, names=["difference of means", "difference of means, content"])
    assert list(arms["difference of means"].moves) == ["money", "river"]
    own = LABELS == "river"
    np.testing.assert_allclose(
        vector(arms, "difference of means"), X[own].mean(0) - X[~own].mean(0), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({"labels": None}, ValueError, "the rows have no labels"),
        ({"labels": LABELS[:5]}, ValueError, "one entry per row"),
        ({"labels": np.repeat("river", N)}, ValueError, r"labels hold \['river'\] alone"),
        ({"words": WORDS}, ValueError, "the rows have no tokens"),
        ({"words": WORDS, "tokens": TOKENS}, ValueError, r"no row is a content word of \['court'\]"),
        ({"labels": np.where(np.arange(N) == 0, "sea", LABELS)}, ValueError, "of 'sea': .* two rows"),
        ({"X": np.ones((N, 3)), "names": ["PCA"]}, ValueError, "of 'court': .* are all the same"),
        (
            {"labels": np.where(LABELS == "river", LABELS, None), "words": WORDS, "tokens": TOKENS},
            ValueError,
            r"labels hold \['river'\] alone",
        ),
        ({"X": np.where(np.eye(N, 3) == 1, np.nan, X)}, ValueError, "contains NaN"),
        ({"names": "probe"}, TypeError, r"pass \['probe'\]"),
        ({"names": ["mean"]}, ValueError, "names='mean' is unknown"),
        ({"names": ["difference of means, content"]}, ValueError, "is unknown; choose one of 'difference of means', "),
        ({"n_clusters": 0}, ValueError, "n_clusters=0"),
        ({"strengths": [0.0]}, ValueError, "strengths holds 0.0"),
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        baseline_arms(**{"X": X, "labels": LABELS, **given})
