"""`component_distances` of one mixture and of two."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from interpret_fixtures import ExactMixture, mixture
from scipy.stats import multivariate_normal

from mfa_sklearn import MFA
from mfa_sklearn.interpret import ComponentDistances, component_distances


def other_mixture() -> ExactMixture:
    second = mixture(n_components=6, seed=5)
    second.loadings_ = np.random.default_rng(6).normal(size=(6, 5, 3))
    return second


def test_overlap_is_the_integral_of_the_geometric_mean() -> None:
    mfa = mixture(0.7, n_components=2, n_features=2)
    grid = np.stack(np.meshgrid(*[np.linspace(-12, 12, 400)] * 2), axis=-1)
    first, second = (multivariate_normal(mfa.means_[k], mfa.covariance(k)).pdf(grid) for k in range(2))
    expected = np.sqrt(first * second).sum() * (24 / 399) ** 2
    np.testing.assert_allclose(component_distances(mfa).overlap, [[1, expected], [expected, 1]], rtol=1e-6)


def test_parts_add_up_and_fit_the_table() -> None:
    distances = component_distances(mixture())
    assert len(distances) == 4 and repr(distances) == "ComponentDistances(4 x 4 components of one mixture)"
    np.testing.assert_array_equal(distances.bhattacharyya, distances.mean + distances.covariance)
    table = distances.to_frame()
    assert len(table) == 6 and (table["component"] < table["other"]).all()
    for name in ("mean", "covariance", "bhattacharyya", "overlap", "symmetric_kl"):
        np.testing.assert_array_equal(table[name], getattr(distances, name)[table["component"], table["other"]])
    for _, lines in table.groupby("component"):
        assert lines["bhattacharyya"].is_monotonic_increasing


def test_two_mixtures() -> None:
    first, second = mixture(), other_mixture()
    distances = component_distances(first, second, components=[3, 1])
    assert distances.mean.shape == distances.symmetric_kl.shape == (2, 6)
    assert distances.components.tolist() == [1, 3] and distances.others.tolist() == list(range(6))
    whole = component_distances(first, second)
    np.testing.assert_allclose(distances.symmetric_kl, whole.symmetric_kl[[1, 3]], rtol=1e-9)
    table = distances.to_frame()
    assert len(table) == 12 and table["component"].tolist() == [1] * 6 + [3] * 6
    assert "of two mixtures" in repr(distances)


def test_a_mixture_and_its_copy() -> None:
    mfa = mixture()
    distances = component_distances(mfa, copy.deepcopy(mfa))
    assert np.diagonal(distances.bhattacharyya).max() < 1e-12 and np.diagonal(distances.symmetric_kl).max() < 1e-12
    np.testing.assert_allclose(distances.mean, component_distances(mfa).mean, rtol=1e-9, atol=1e-12)


def test_some_components_are_compared_among_themselves() -> None:
    mfa = mixture(n_components=5)
    some, every = component_distances(mfa, components=[4, 0]), component_distances(mfa)
    np.testing.assert_allclose(some.mean, every.mean[np.ix_([0, 4], [0, 4])], rtol=1e-12)
    assert some.to_frame()[["component", "other"]].to_numpy().tolist() == [[0, 4]]


def test_one_component() -> None:
    distances = component_distances(mixture(n_components=1))
    assert distances.bhattacharyya.tolist() == [[0]] and distances.symmetric_kl.tolist() == [[0]]
    assert len(distances.to_frame()) == 0


@pytest.mark.parametrize("noise_form", ["diagonal", "isotropic"])
@pytest.mark.parametrize("noise", ["shared", "component"])
def test_fitted_mixtures(noise: str, noise_form: str) -> None:
    X = np.random.default_rng(0).normal(size=(80, 4)).astype(np.float32)
    mfa = MFA(3, 1, noise=noise, noise_form=noise_form, max_iter=2, tol=0, random_state=0).fit(X)
    distances = component_distances(mfa)
    noise_variance = np.broadcast_to(mfa.noise_variance_, (3, 4)).astype(float)
    covs = [np.diag(noise_variance[k]) + (W := mfa.loadings_[k].astype(float)) @ W.T for k in range(3)]
    d = (mfa.means_[1] - mfa.means_[0]).astype(float)
    assert distances.mean[0, 1] == pytest.approx(d @ np.linalg.solve((covs[0] + covs[1]) / 2, d) / 8, rel=1e-9)
    assert distances.mean.dtype == distances.covariance.dtype == distances.symmetric_kl.dtype == np.float64


def test_pickles_with_what_is_still_to_be_computed() -> None:
    distances = component_distances(mixture())
    back = pickle.loads(pickle.dumps(distances))
    assert isinstance(back, ComponentDistances)
    np.testing.assert_array_equal(back.symmetric_kl, distances.symmetric_kl)


def test_refusals() -> None:
    mfa = mixture()
    with pytest.raises(ValueError, match=r"5 and 3 features: .* match_components"):
        component_distances(mfa, mixture(n_features=3))
    with pytest.raises(ValueError, match="component=9"):
        component_distances(mfa, components=9)
    with pytest.raises(TypeError, match="expected a fitted MFA"):
        component_distances(mfa, mfa.means_)  # type: ignore[arg-type]


def test_mixtures_of_two_places_are_told_of() -> None:
    first, second = mixture(), mixture(seed=1)
    first.source_, second.source_ = {"layer": 1, "model": "a"}, {"layer": 2, "model": "a"}  # type: ignore[attr-defined]
    with pytest.warns(UserWarning, match=r"differ in layer \(1 and 2\)"):
        component_distances(first, second)
