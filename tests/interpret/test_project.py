"""`project` against dense linear algebra."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from interpret_fixtures import annotated, mixture, scores_by_loop
from scipy.linalg import sqrtm

from mfa_sklearn import MFA
from mfa_sklearn.interpret import _project as module
from mfa_sklearn.interpret import project
from mfa_sklearn.interpret._scale import standard_deviations

X_, MIXTURE = annotated(mixture(1.0), 300), mixture(1.0)


@pytest.mark.parametrize("block", [10, 16_384])
@pytest.mark.parametrize("axes", ["factors", "principal"])
@pytest.mark.parametrize("component", range(4))
def test_equals_dense_algebra(component: int, axes: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", block)
    found = project(MIXTURE, X_, component, axes=axes)
    posterior = scores_by_loop(MIXTURE, X_, "posterior")
    rows = np.flatnonzero(posterior.argmax(1) == component)
    np.testing.assert_array_equal(found.rows, rows)
    np.testing.assert_allclose(found.responsibilities, posterior[rows, component], atol=1e-9)
    deviations = np.asarray(X_)[rows] - MIXTURE.means_[component]
    # The point that the coordinates stand for does not depend on the axes.
    loadings = MIXTURE.loadings_[component]
    expected = deviations @ np.linalg.solve(MIXTURE.covariance(component), loadings) @ loadings.T
    np.testing.assert_allclose(found.coordinates @ found.directions.T, expected, atol=1e-9)
    inside = deviations @ loadings @ np.linalg.pinv(loadings)
    assert found.captured_energy == pytest.approx(np.square(inside).sum() / np.square(deviations).sum())
    # The orthonormal system nearest to oblique directions, by the inverse root of their angles' cosines.
    units = found.directions / np.linalg.norm(found.directions, axis=0)
    along = deviations @ units @ np.linalg.inv(sqrtm(units.T @ units))
    np.testing.assert_allclose(found.energy, np.square(along).sum(0) / np.square(deviations).sum())
    assert found.tokens.tolist() == X_.rows["tokens"][rows].tolist()
    assert found.labels.tolist() == X_.rows["labels"][rows].tolist()


def test_principal_axes_are_orthogonal_and_ordered() -> None:
    found = project(MIXTURE, X_, 1, axes="principal")
    gram = found.directions.T @ found.directions
    assert abs(gram[0, 1]) < 1e-12 < gram[1, 1] < gram[0, 0]
    assert found.energy.sum() == pytest.approx(found.captured_energy)
    np.testing.assert_allclose(gram.trace(), np.square(MIXTURE.loadings_[1]).sum())


def test_shares_of_nearly_parallel_factors_add_up_to_what_the_subspace_holds() -> None:
    mfa = mixture(1.0)
    mfa.loadings_[1, :, 1] = mfa.loadings_[1, :, 0] + 1e-3 * mfa.loadings_[1, :, 1]
    found = project(mfa, X_, 1)
    assert found.energy.sum() == pytest.approx(found.captured_energy) and found.captured_energy < 1


@pytest.mark.parametrize("axes", ["factors", "principal"])
def test_scale_of_columns_is_that_of_standardized_columns(axes: str) -> None:
    scaled = mixture(1.0)
    scaled.weights_ = scaled.weights_ / scaled.weights_.sum()
    draws = scaled.sample(200_000, np.random.default_rng(0))
    units = standard_deviations(scaled)
    np.testing.assert_allclose(units, draws.std(0), rtol=0.01)
    found = project(scaled, X_, 1, axes=axes, scale="columns", rows=np.arange(50))
    same = mixture(1.0)
    same.means_, same.loadings_ = same.means_ / units, same.loadings_ / units[:, None]
    same.noise_variance_ = same.noise_variance_ / units**2
    alone = project(same, np.asarray(X_) / units, 1, axes=axes, rows=np.arange(50))
    np.testing.assert_allclose(found.energy, alone.energy)
    np.testing.assert_allclose(found.lengths, alone.lengths)
    np.testing.assert_allclose(found.directions / units[:, None], alone.directions, atol=1e-12)
    np.testing.assert_allclose(found.residuals, alone.residuals)
    assert alone.scale is None


@pytest.mark.parametrize("seed", range(6))
def test_signs_of_principal_axes_are_settled(seed: int) -> None:
    """The largest entry of each axis is positive, so turning the loadings round changes nothing."""
    mfa = mixture(1.0, seed=seed)
    found = project(mfa, X_, 1, axes="principal", rows=[0])
    assert (found.directions[abs(found.directions).argmax(0), range(2)] > 0).all()
    mfa.loadings_ = mfa.loadings_[:, :, ::-1] * [-1, 1]
    np.testing.assert_allclose(project(mfa, X_, 1, axes="principal", rows=[0]).directions, found.directions)


@pytest.mark.parametrize("threshold", [1e-6, 0.3, 0.9, 0.999])
def test_threshold(threshold: float) -> None:
    posterior = scores_by_loop(MIXTURE, X_, "posterior")[:, 2]
    found = project(MIXTURE, X_, 2, threshold=threshold)
    np.testing.assert_array_equal(found.rows, np.flatnonzero(posterior >= threshold))
    np.testing.assert_allclose(found.responsibilities, posterior[found.rows])


def test_given_rows() -> None:
    mask = np.zeros(len(X_), dtype=bool)
    mask[[5, 3, 200]] = True
    by_mask, by_index = (project(MIXTURE, X_, 2, rows=rows) for rows in (mask, [200, 3, 5, 3]))
    np.testing.assert_array_equal(by_mask.rows, [3, 5, 200])
    np.testing.assert_array_equal(by_index.rows, by_mask.rows)
    assert by_mask.responsibilities is None
    np.testing.assert_allclose(by_mask.coordinates, MIXTURE.posterior_mean(X_[[3, 5, 200]], 2))


def test_no_rows() -> None:
    found = project(MIXTURE, X_, 2, rows=[])
    assert len(found) == 0 and found.coordinates.shape == (0, 2) and found.tokens.shape == (0,)
    assert np.isnan(found.captured_energy) and np.isnan(found.energy).all()
    assert len(found.to_frame()) == 0


def test_frame() -> None:
    frame = project(MIXTURE, X_, 2).to_frame()
    assert list(frame) == ["row", "token", "label", "responsibility", "z0", "z1"]
    assert list(project(MIXTURE, np.asarray(X_), 2, rows=[1]).to_frame()) == ["row", "z0", "z1"]


@pytest.mark.parametrize("convert", [np.asarray, torch.tensor, np.ndarray.tolist, lambda X: np.float32(X)])
@pytest.mark.parametrize("n_factors", [0, 2])
def test_with_the_estimator(convert: Any, n_factors: int) -> None:
    apart = mixture(10.0, n_components=2)
    values = np.asarray(annotated(apart, 300))
    mfa = MFA(2, n_factors, init=apart.means_, tol=1e-2).fit(values)
    found = project(mfa, convert(values), 1)
    np.testing.assert_array_equal(found.rows, np.flatnonzero(mfa.predict(values) == 1))
    np.testing.assert_allclose(found.coordinates, mfa.posterior_mean(values[found.rows], 1), atol=1e-4)
    assert found.coordinates.shape[1] == n_factors
    assert (found.captured_energy > 0) == (n_factors > 0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"component": 4}, ValueError, "component=4 is out of range.*0 to 3"),
        ({"component": -1}, ValueError, "component=-1"),
        ({"axes": "pca"}, ValueError, "axes='pca'.*'factors', 'principal'"),
        ({"scale": "rows"}, ValueError, "scale='rows'.*'columns'"),
        ({"threshold": 1.5}, ValueError, "threshold=1.5.*posterior"),
        ({"threshold": 0}, ValueError, "threshold=0 "),
        ({"threshold": 0.5, "rows": [1]}, ValueError, "not both"),
        ({"rows": [True, False]}, ValueError, r"mask of shape \(2,\) for 300"),
        ({"rows": [300]}, ValueError, "300 to 300.*0 to 299"),
        ({"rows": [-1]}, ValueError, "-1 to -1"),
        ({"rows": [0.5]}, TypeError, "float64"),
        ({"tokens": ["a"]}, ValueError, "tokens"),
        ({"labels": ["a"]}, ValueError, "labels"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        project(MIXTURE, X_, **{"component": 0, **arguments})
