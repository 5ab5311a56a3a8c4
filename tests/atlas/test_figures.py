"""Figures of components, against dense covariances and the tables that tell the same."""

from __future__ import annotations

import numpy as np
import pytest
from atlas_data_cases import known_mixture, rows_of_texts

from mfa_sklearn import MFA, component_distances, describe_components
from mfa_sklearn.atlas._figures import Figures, figures
from mfa_sklearn.atlas._gathered import Gathered, Options
from mfa_sklearn.interpret._project import standard_deviations


def figures_of(mfa: MFA, X: object, n_neighbors: int = 8) -> Figures:
    gathered = Gathered(mfa, X, None, None, Options(n_neighbors=n_neighbors))
    gathered.gather(lambda _: None)
    return Figures(gathered)


def test_figures_are_those_of_the_table() -> None:
    pytest.importorskip("pandas")
    mfa = known_mixture()
    rows = rows_of_texts(mfa)
    found, table = figures_of(mfa, rows), describe_components(mfa, rows)
    for k, line in table.iterrows():
        own = found.of(int(str(k)))
        for name in ("weight", "sharpness", "spread", "dimension", "purity"):
            assert own[name] == pytest.approx(line[name], rel=5e-3), name
        assert (own["factors_90"], own["n_enriched"]) == (line["factors_90"], line["n_enriched"])
        first = found.neighbors(int(str(k)))[0]
        assert first["component"] == line["nearest"]
        assert first["distance"] == pytest.approx(line["nearest_distance"], rel=1e-3)


def test_neighbors_are_in_the_order_of_their_distances() -> None:
    mfa = known_mixture()
    found, distance = figures_of(mfa, rows_of_texts(mfa), 2), component_distances(mfa).bhattacharyya
    for k in range(4):
        near = found.neighbors(k)
        others = [n for n in np.argsort(distance[k]) if n != k]
        assert [line["component"] for line in near] == others[:2]
        for line in near:
            assert line["distance"] == pytest.approx(line["mean"] + line["covariance"], rel=1e-3)
            assert line["overlap"] == pytest.approx(np.exp(-line["distance"]), rel=1e-2)


def test_tables_are_measured_in_standard_deviations() -> None:
    units = np.array([1.0, 2, 1, 900])
    loadings = np.array([[[2.0, 0], [2, 0], [0, 1], [0, 1]]]) * units[:, None]
    mfa = MFA.from_params(np.ones(1), np.zeros((1, 4)), loadings, np.square(units))
    own = figures_of(mfa, np.random.default_rng(0).normal(size=(50, 4)) * units).of(0)
    deviation = standard_deviations(mfa)
    correlation = (loadings[0] @ loadings[0].T + np.diag(np.square(units))) / np.outer(deviation, deviation)
    assert own["spread"] == pytest.approx(2)  # four columns of variance 1
    assert own["dimension"] == pytest.approx(16 / np.square(correlation).sum(), abs=0.006)


def test_significant_digits() -> None:
    assert [figures(value, 3) for value in (1234.5, 0.00012345, -9.999)] == [1230, 0.000123, -10]
