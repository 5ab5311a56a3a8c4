"""What is found out of rows in one pass, against the mixture's own methods."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from atlas_data_cases import known_mixture, rows_of_texts
from interpret_fixtures import mixture

from mfa_sklearn import MFA, ActivationArray
from mfa_sklearn.atlas._gathered import Gathered, Options
from mfa_sklearn.interpret._project import standard_deviations


@pytest.fixture(scope="module")
def mfa() -> MFA:
    return known_mixture()


@pytest.fixture(scope="module")
def rows(mfa: MFA) -> ActivationArray:
    return rows_of_texts(mfa)


def gathered(mfa: MFA, X: Any, tokens: Any = None, labels: Any = None, **options: Any) -> Gathered:
    found = Gathered(mfa, X, tokens, labels, Options(**options))
    found.gather(lambda _: None)
    return found


def test_rows_and_regions_have_the_figures_of_the_mixture(mfa: MFA, rows: ActivationArray) -> None:
    found = gathered(mfa, rows)
    np.testing.assert_array_equal(found.assigned, mfa.predict(np.asarray(rows)))
    np.testing.assert_array_equal(found.sizes, np.bincount(found.assigned, minlength=4))
    np.testing.assert_allclose(found.log_prob, mfa.score_samples(np.asarray(rows)), rtol=1e-6)
    assert found.row_noun == "token" and len(found.concepts) == 3
    codes, totals = found.token_codes, found.token_totals
    assert codes is not None and totals is not None and rows.tokens is not None
    for token in np.unique(rows.tokens):
        own = codes[rows.tokens == token]
        assert len(np.unique(own)) == 1 and totals[own[0]] == len(own)


def test_what_is_missing_among_labels_has_no_number(mfa: MFA, rows: ActivationArray) -> None:
    codes = gathered(mfa, rows).concept_codes
    assert codes is not None and rows.labels is not None
    np.testing.assert_array_equal(codes == -1, [label is None for label in rows.labels])
    assert gathered(mfa, rows, labels=[None] * len(rows)).labels is None


def test_every_row_is_shown_once_with_all_its_reasons(mfa: MFA, rows: ActivationArray) -> None:
    found = gathered(mfa, rows, n_typical=20, n_contexts=5)
    twice = 0
    for k in range(4):
        shown = [own for own, _ in found.contexts_of(k)]
        numbers = [own.window.row for own in shown]
        assert len(numbers) == len(set(numbers)) and all(own.component == k for own in shown)
        of_tokens = set(found._of_tokens(k))
        for own in shown:
            row, twice = own.window.row, twice + (len(own.kinds) > 1)
            assert ("typical" in own.kinds) == (row in found.typical(k))
            assert ("token" in own.kinds) == (row in of_tokens)
            assert ("outlying" in own.kinds) == (row in found.outlying(k))
    assert twice > 0


def test_densities_of_what_is_shown_are_those_of_dense_covariances(mfa: MFA, rows: ActivationArray) -> None:
    found, exact = gathered(mfa, rows), mixture(1.0, 4, 0)
    density = exact.log_joint(np.asarray(rows)) - np.log(exact.weights_)
    for k in range(4):
        for shown, own in found.contexts_of(k):
            np.testing.assert_allclose(own, density[shown.window.rows[shown.window.rows >= 0], k], rtol=1e-5)


def test_many_regions_get_fewer_points_and_others(
    mfa: MFA, rows: ActivationArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mfa_sklearn.atlas import _gathered

    monkeypatch.setattr(_gathered, "_POINTS", 4 * 25)
    points = gathered(mfa, rows).points
    assert all(
        len(own) <= 25 and set(own) <= set(np.flatnonzero(mfa.predict(rows) == k)) for k, own in enumerate(points)
    )
    assert max(map(len, points)) == 25


def test_columns_of_different_units_are_measured_in_their_deviations() -> None:
    """A table has the same axes in other units; rows with tokens have those that their units make."""
    rng = np.random.default_rng(0)
    units = np.array([1.0, 1, 1, 900])
    loadings = np.array([[[2.0, 0], [2, 0], [0, 1], [0, 1]]])
    plain = MFA.from_params(np.ones(1), np.zeros((1, 4)), loadings, np.ones(4))
    wide = MFA.from_params(np.ones(1), np.zeros((1, 4)), loadings * units[:, None], np.square(units))
    X = rng.normal(size=(200, 4)) + rng.normal(size=(200, 2)) @ loadings[0].T
    told, raw = gathered(wide, X * units), gathered(wide, X * units, tokens=["a"] * 200)
    assert (told.scale, raw.scale, gathered(plain, X).scale) == ("columns", None, None)
    left, size, _ = np.linalg.svd(loadings[0] / standard_deviations(plain)[:, None], full_matrices=False)
    np.testing.assert_allclose(told.axes.shares[0], np.square(size) / np.square(size).sum())
    assert raw.axes.shares[0, 0] > 0.999
    gains = np.linalg.solve(np.eye(2) + loadings[0].T @ loadings[0], loadings[0].T)
    first = X @ gains.T @ np.linalg.lstsq(loadings[0] / standard_deviations(plain)[:, None], left[:, 0] * size[0])[0]
    np.testing.assert_allclose(np.abs(told.places[:, 0]), np.abs(first), rtol=1e-4, atol=1e-5)
