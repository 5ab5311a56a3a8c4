"""Shares of variance and description lengths."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

from mfa_sklearn import MFA
from mfa_sklearn.datasets import make_mfa
from mfa_sklearn.evaluation import (
    Candidate,
    Placement,
    _candidate,
    as_candidate,
    description_length,
    foretold_variance,
    place,
    reconstruction_r2,
)
from mfa_sklearn.evaluation._charts import foretold_terms, share_of_variance, variance_terms

X, _ = make_mfa(300, 5, 3, 2, random_state=0)
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_candidate, "_PIECE_BYTES", 70 * 5 * 8)


@pytest.mark.parametrize("weights", [None, RNG.uniform(0, 2, 300)], ids=["alike", "weighted"])
@pytest.mark.parametrize("rows", [X, X.tolist(), torch.from_numpy(X)], ids=["array", "list", "tensor"])
def test_the_variance_kept_is_that_of_scikit_learn(rows: object, weights: np.ndarray | None) -> None:
    predicted = X + RNG.normal(size=X.shape)
    expected = r2_score(X, predicted, sample_weight=weights, multioutput="variance_weighted")
    assert reconstruction_r2(rows, predicted, weights) == pytest.approx(expected)


def test_shares_add_up_from_the_terms_of_rows() -> None:
    predicted = X + RNG.normal(size=X.shape)
    terms = variance_terms(X, predicted)
    np.testing.assert_allclose(terms[:, 0], np.square(X - predicted).sum(1))
    assert terms[:, 1].mean() == pytest.approx(X.var(0).sum())
    weights = RNG.integers(0, 3, 300)
    drawn = np.repeat(np.arange(300), weights)
    assert share_of_variance(terms, weights) == pytest.approx(share_of_variance(terms[drawn]))


def test_rows_far_from_zero_keep_their_digits() -> None:
    far, predicted = (X + 1e4).astype(np.float32), X + 1e4
    assert reconstruction_r2(far, predicted) == pytest.approx(1, abs=1e-6)


def test_what_has_no_share_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the rows have shape \(300, 5\), but what was foretold of them \(300, 4\)"):
        reconstruction_r2(X, X[:, :4])
    with pytest.raises(ValueError, match="all alike"):
        reconstruction_r2(np.ones((4, 2)), np.ones((4, 2)))


def test_a_target_that_is_linear_in_each_chart_is_foretold() -> None:
    """Of variance one between regions, one within and one of noise: a third, and two thirds."""
    n, rng = 40_000, np.random.default_rng(1)
    regions, z = rng.integers(2, size=n), rng.normal(size=(n, 1))
    sign = (2.0 * regions - 1)[:, None]
    target = sign * [1.0, 1.0] + sign * z * [1.0, -1.0] + rng.normal(size=(n, 2))
    train, test = (Placement(regions[part], z[part]) for part in (slice(0, n // 2), slice(n // 2, n)))
    shares = foretold_variance(train, target[: n // 2], test, target[n // 2 :])
    assert shares == pytest.approx({"region": 1 / 3, "region and coordinates": 2 / 3}, abs=0.02)


def test_one_chart_is_a_ridge_regression() -> None:
    candidate = as_candidate(PCA(2).fit(X[:200, :4]))
    train, test = place(candidate, X[:200, :4]), place(candidate, X[200:, :4])
    shares = foretold_variance(train, X[:200, 4:], test, X[200:, 4:])
    assert list(shares) == ["region and coordinates"]
    scale = train.coordinates.std(0)
    options = []
    for penalty in (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000):
        ridge = Ridge(penalty).fit(train.coordinates / scale, X[:200, 4:])
        options.append(r2_score(X[200:, 4:], ridge.predict(test.coordinates / scale), multioutput="variance_weighted"))
    assert np.abs(np.array(options) - shares["region and coordinates"]).min() < 1e-8


def test_each_candidate_foretells_by_what_it_has() -> None:
    def ways(estimator: object) -> list[str]:
        placed = place(as_candidate(estimator.fit(X)), X)
        return list(foretold_terms(placed, X[:, :1], placed, X[:, :1], groups=np.arange(300) // 3))

    assert ways(KMeans(2, random_state=0)) == ["region"]
    assert ways(PCA(1)) == ["region and coordinates"]
    assert ways(MFA(2, 1, max_iter=2, tol=0, random_state=0)) == ["region", "region and coordinates"]
    assert foretold_terms(Placement(None, None), X, Placement(None, None), X) == {}


def test_texts_are_kept_together_in_the_choice_of_penalties() -> None:
    """Rows that come four times foretell their own copies, and nothing else."""
    rng = np.random.default_rng(3)
    z, target = np.tile(rng.normal(size=(40, 10)), (4, 1)), np.tile(rng.normal(size=(40, 2)), (4, 1))
    train, test = Placement(None, z), Placement(None, rng.normal(size=(500, 10)))
    fresh = rng.normal(size=(500, 2))
    torn, kept = (foretold_variance(train, target, test, fresh, groups=g) for g in (None, np.tile(np.arange(40), 4)))
    assert torn["region and coordinates"] < -0.1 < kept["region and coordinates"]


def test_weights_are_handed_on() -> None:
    placed = Placement(np.arange(300) % 3, X[:, :2])
    weights = RNG.uniform(0, 1, 300)
    terms = foretold_terms(placed, X, placed, X, groups=np.arange(300) // 7)
    shares = foretold_variance(placed, X, placed, X, groups=np.arange(300) // 7, sample_weight=weights)
    for name, share in shares.items():
        assert share == pytest.approx(1 - weights @ terms[name][:, 0] / (weights @ terms[name][:, 1]))


def test_the_description_length_is_a_mean_of_bits() -> None:
    candidate, weights = as_candidate(PCA(2).fit(X)), RNG.uniform(0, 1, 300)
    bits = candidate.bits(X, 0.1)
    assert description_length(candidate, X, 0.1) == pytest.approx(bits.mean())
    assert description_length(candidate, X, 0.1, weights) == pytest.approx(weights @ bits / weights.sum())
    assert description_length(Candidate(None), X, 0.1) is None


def test_no_code_is_shorter_than_that_of_the_true_density() -> None:
    """On rows of its own: the entropy of the source is the least there is."""
    rows, _, params = make_mfa(4000, 5, 3, 2, random_state=4, return_params=True)
    truth = MFA.from_params(*(params[name] for name in ("weights", "means", "loadings", "noise_variance")))
    exact = description_length(as_candidate(truth), rows[2000:], 0.01)
    for estimator in (KMeans(3, random_state=0), PCA(2), MFA(3, 1, tol=0, max_iter=5, random_state=0)):
        assert description_length(as_candidate(estimator.fit(rows[:2000]), rows[:2000]), rows[2000:], 0.01) > exact
