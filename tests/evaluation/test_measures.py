"""Every figure of a candidate is the one of the public function on the same rows, in every resample."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from mfa_sklearn import MFA
from mfa_sklearn.evaluation import (
    ReconstructionLoss,
    as_candidate,
    concept_detection,
    description_length,
    foretold_variance,
    place,
    reconstruction_r2,
    region_agreement,
    sparse_probing,
)
from mfa_sklearn.evaluation._held_out import hold_out
from mfa_sklearn.evaluation._measures import BETTER, Measures, loss_measures, usual_resolution
from mfa_sklearn.evaluation._resampling import draw_texts

FITS = {
    "MFA": MFA(4, 1, max_iter=5, random_state=0),
    "k-means": KMeans(4, n_init=1, random_state=0),
    "PCA": PCA(2, random_state=0),
}


def problem() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows of four topics, some of them and some whole texts without a label, their texts, and a target."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(80), 5)
    topics = groups % 4
    X = 1.5 * np.eye(5)[topics] + rng.normal(size=(400, 5))
    labels = np.array(["sea", "land", "air", "fire"])[topics].astype(object)
    labels[(rng.random(400) < 0.2) | (groups % 7 == 0)] = None
    return X, labels, groups, X[:, :2] + rng.normal(size=(400, 2))


@pytest.fixture(scope="module")
def measures() -> Measures:
    X, labels, groups, target = problem()
    held = hold_out(X, labels, groups, 0.5, 0)
    return Measures(held, draw_texts(held.test.groups, 3, 0), (target[held.split.train], target[held.split.test]), 0.05)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", FITS)
def test_figures_are_those_of_the_functions(measures: Measures, name: str) -> None:
    train, test = measures.held.train, measures.held.test
    candidate = as_candidate(FITS[name].fit(train.X), train.X)
    found = {measure: values[0] for measure, values in measures.of(candidate)}
    if name != "PCA":
        agreement = region_agreement(candidate.regions(test.X), test.labels)
        assert [found["NMI"], found["AMI"]] == pytest.approx([agreement["nmi"], agreement["ami"]])
    detection, probing = concept_detection(candidate, train, test), sparse_probing(candidate, train, test)
    assert found["detection AUROC"] == pytest.approx(detection.auroc.mean())
    assert found["detection AUROC, hard negatives"] == pytest.approx(detection.hard_auroc.mean())
    assert found["probing AUROC, 1 column"] == pytest.approx(probing.auroc[1].mean())
    assert found["probing AUROC, 5 columns"] == pytest.approx(probing.auroc[5].mean())
    assert found["reconstruction R2"] == pytest.approx(reconstruction_r2(test.X, candidate.reconstruct(test.X)))
    places = (place(candidate, train.X), measures.target[0], place(candidate, test.X), measures.target[1])
    shares = foretold_variance(*places, groups=train.groups)
    assert {f"target R2 by {key}" for key in shares} == {key for key in found if key.startswith("target")}
    for key, share in shares.items():
        assert found[f"target R2 by {key}"] == pytest.approx(share)
    assert found["bits per row"] == pytest.approx(description_length(candidate, test.X, 0.05))
    assert found["stored numbers"] == candidate.sizes.parameters
    assert set(found) <= set(BETTER)


@pytest.mark.parametrize("number", [1, 3])
def test_resamples_are_the_rows_repeated(measures: Measures, number: int) -> None:
    """The texts that a resample has twice are twice among the rows, under another name."""
    train, test = measures.held.train, measures.held.test
    counts = measures.resamples.weights(number).astype(int)
    rows = np.repeat(np.arange(len(counts)), counts)
    copies = np.concatenate([np.arange(count) for count in counts])
    repeated = test._replace(
        X=test.X[rows],
        labels=test.labels[rows],
        groups=[f"{g} {c}" for g, c in zip(test.groups[rows], copies, strict=True)],
    )
    candidate = as_candidate(FITS["k-means"].fit(train.X), train.X)
    found = {measure: values[number] for measure, values in measures.of(candidate) if len(values) > 1}
    detection, probing = concept_detection(candidate, train, repeated), sparse_probing(candidate, train, repeated)
    expected = {
        **{
            key.upper(): value
            for key, value in region_agreement(candidate.regions(repeated.X), repeated.labels).items()
        },
        "detection AUROC": detection.auroc.mean(),
        "detection AUROC, hard negatives": detection.hard_auroc.mean(),
        "probing AUROC, 2 columns": probing.auroc[2].mean(),
        "bits per row": description_length(candidate, repeated.X, 0.05),
    }
    assert {key: found[key] for key in expected} == pytest.approx(expected)
    # There is as much to foretell as around the mean of the rows held out, not of those drawn.
    missed, whole = (
        np.square(test.X - other).sum(1) @ counts for other in (candidate.reconstruct(test.X), test.X.mean(0))
    )
    assert found["reconstruction R2"] == pytest.approx(1 - missed / whole)


def test_without_labels_and_target() -> None:
    X, _, groups, _ = problem()
    held = hold_out(X, None, groups, 0.5, 0)
    measures = Measures(held, draw_texts(held.test.groups, 0), None, 0.1)
    candidate = as_candidate(FITS["k-means"].fit(held.train.X), held.train.X)
    assert [name for name, _ in measures.of(candidate)] == [
        "reconstruction R2",
        "bits per row",
        "regions",
        "active numbers",
        "stored numbers",
    ]


def test_losses_of_a_model_in_every_resample() -> None:
    loss = ReconstructionLoss(
        ("original", "zero", "mean", "MFA"),
        np.array([10, 20]),
        np.array([10, 20]),
        np.array([[10.0, 40.0], [50.0, 100.0], [30.0, 90.0], [12.0, 50.0]]),
        np.array([[0.0, 0.0], [4.0, 5.0], [3.0, 4.0], [1.0, 2.0]]),
        "blocks.1.hook_resid_post",
    )
    counts = np.array([[1.0, 1.0], [2.0, 0.0]])
    found = {name: dict(loss_measures(loss, name, counts)) for name in loss.names}
    np.testing.assert_allclose(found["MFA"]["cross-entropy"], [62 / 30, 24 / 20])
    np.testing.assert_allclose(found["MFA"]["KL divergence"], [3 / 30, 2 / 20])
    np.testing.assert_allclose(found["MFA"]["loss recovered of mean ablation"], [(120 - 62) / 70, (30 - 12) / 20])
    assert list(found["original"]) == ["cross-entropy"] and list(found["zero"]) == ["cross-entropy", "KL divergence"]


def test_the_usual_resolution_is_a_hundredth_of_the_spread() -> None:
    X = np.random.default_rng(0).normal([1e3, 0, 5], [1, 2, 0], size=(500, 3))
    assert usual_resolution(X) == pytest.approx(np.sqrt(X.var(0).mean()) / 100)
    with pytest.raises(ValueError, match="training rows are all alike"):
        usual_resolution(np.ones((3, 2)))
