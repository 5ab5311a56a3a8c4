"""In which unit shapes and axes are measured."""

from __future__ import annotations

import numpy as np
import pytest
from interpret_fixtures import annotated, mixture
from sklearn.datasets import load_wine
from sklearn.preprocessing import scale as standardized

from mfa_sklearn import MFA, describe_components, factor_ends
from mfa_sklearn.interpret._scale import natural_scale, standard_deviations, units_of

ROWS = annotated(mixture(8.0), 300)


def test_columns_of_different_units_are_scaled_and_activations_are_not() -> None:
    wide, plain = mixture(1.0), np.asarray(ROWS)
    assert natural_scale(wide, plain, None) is None
    wide.loadings_[:, 1] *= 100
    assert natural_scale(wide, plain, None) == "columns"
    assert natural_scale(wide, ROWS, None) is None and natural_scale(wide, plain, ["a"] * 300) is None
    # Pooled activations have no tokens, but come from a model.
    wide.source_ = {"model": "m", "layer": 1}
    assert natural_scale(wide, plain, None) is None


def test_standard_deviations_are_those_of_draws() -> None:
    mfa = mixture(1.0)
    mfa.weights_ = mfa.weights_ / mfa.weights_.sum()
    draws = mfa.sample(200_000, np.random.default_rng(0))
    np.testing.assert_allclose(standard_deviations(mfa), np.asarray(draws).std(0), rtol=0.02)


def test_units_are_the_columns_own_unless_asked_for() -> None:
    mfa, plain = mixture(1.0), np.asarray(ROWS)
    assert units_of(mfa, plain, None, None) is None and units_of(mfa, plain, None, "auto") is None
    np.testing.assert_array_equal(units_of(mfa, plain, None, "columns"), standard_deviations(mfa))
    with pytest.raises(ValueError, match=r"scale='rows'.*'auto'"):
        units_of(mfa, plain, None, "rows")


def test_a_table_is_described_alike_in_any_units() -> None:
    """Shapes and ends of wine as it is are those of wine in standard deviations; in its own units proline is all."""
    X, y = load_wine(return_X_y=True)
    in_units = MFA(3, 2, random_state=0).fit(X)
    standard = MFA.from_params(
        in_units.weights_,
        (in_units.means_ - X.mean(0)) / X.std(0),
        in_units.loadings_ / X.std(0)[:, None],
        in_units.noise_variance_ / X.var(0),
    )
    table = describe_components(in_units, X, labels=y)
    other = describe_components(standard, standardized(X), labels=y, scale="columns")
    own = describe_components(in_units, X, labels=y, scale=None)
    for name in ("spread", "dimension"):
        np.testing.assert_allclose(table[name], other[name], rtol=1e-6)
    assert (table["dimension"] > 3).all() and (own["dimension"] < 1.2).all()
    np.testing.assert_allclose(
        factor_ends(in_units, X, labels=y)["share"],
        factor_ends(standard, standardized(X), labels=y, scale="columns")["share"],
        rtol=1e-6,
    )
