"""Coordinates of all rows in one pass against `project`, component by component."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from interpret_fixtures import annotated, mixture

from mfa_sklearn import MFA, datasets, project
from mfa_sklearn.interpret import _coordinates
from mfa_sklearn.interpret._coordinates import Axes, OwnCoordinates
from mfa_sklearn.interpret._scan import scan


def found(mfa: Any, X: Any, axes: str = "principal", n_axes: int | None = None, **kwargs: Any) -> OwnCoordinates:
    own = OwnCoordinates(mfa, X, Axes(mfa, axes, n_axes), **kwargs)
    scan(mfa, X, own)
    return own


@pytest.mark.parametrize("axes", ["principal", "factors"])
@pytest.mark.parametrize("block", [3, 2048])
def test_coordinates_are_those_of_project(axes: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_coordinates, "_BLOCK", block)
    mfa = mixture(1.0)
    X = annotated(mfa, 120)
    own, of = found(mfa, X, axes), Axes(mfa, axes)
    for k in range(4):
        shown = project(mfa, X, k, axes=axes)
        np.testing.assert_allclose(own.coordinates[shown.rows], shown.coordinates, atol=1e-5)
        energy = np.square(shown.directions).sum(0)
        np.testing.assert_allclose(of.shares[k], energy / np.square(mfa.loadings_[k]).sum())
    np.testing.assert_array_equal(found(mfa, X, axes, 1).coordinates, own.coordinates[:, :1])
    assert own.complete.all()


def test_missing_values() -> None:
    X, _ = datasets.make_mfa(200, 6, 3, 2, random_state=0)
    X[::7, 1] = np.nan
    X[3] = np.nan
    mfa = MFA(3, 2, random_state=0, tol=0.1).fit(X)
    own = found(mfa, X)
    assert own.complete.tolist() == (~np.isnan(X).any(1)).tolist()
    for k in range(3):
        shown = project(mfa, X, k, axes="principal")
        np.testing.assert_allclose(own.coordinates[shown.rows], shown.coordinates, atol=1e-4)


def test_only_the_components_that_are_asked_for() -> None:
    mfa = mixture(1.0)
    X = annotated(mfa, 120)
    wanted = np.array([False, True, False, False])
    own, assigned = found(mfa, X, wanted=wanted), mfa.log_joint(X).argmax(1)
    assert np.isnan(own.coordinates[assigned != 1]).all() and np.isfinite(own.coordinates[assigned == 1]).all()


def test_without_factors_there_are_no_axes() -> None:
    X, _ = datasets.make_mfa(60, 4, 2, 1, random_state=0)
    mfa = MFA(2, 0, random_state=0).fit(X)
    assert Axes(mfa).n_axes == 0 and found(mfa, X).coordinates.shape == (60, 0)
    with pytest.raises(ValueError, match="axes='pca'"):
        Axes(mfa, "pca")
