"""In which columns of a table a component differs from the others."""

from __future__ import annotations

import numpy as np
from interpret_fixtures import annotated, mixture
from sklearn.datasets import load_wine

from mfa_sklearn import MFA, describe_components, format_components
from mfa_sklearn.interpret._telling_columns import column_names, column_offsets, telling_columns

WINE = load_wine(as_frame=True).data


def test_offsets_are_those_of_rows_in_standard_deviations() -> None:
    mfa = MFA(3, 2, random_state=0).fit(WINE)
    weights = mfa.predict_proba(WINE)
    means = weights.T @ WINE.to_numpy() / weights.sum(0)[:, None]
    expected = (means - WINE.to_numpy().mean(0)) / WINE.to_numpy().std(0)
    np.testing.assert_allclose(column_offsets(mfa), expected, atol=0.05)


def test_the_farthest_columns_are_named_first_and_near_ones_not_at_all() -> None:
    assert telling_columns(np.array([0.1, -2.0, 1.0]), ["a", "b", "c"], 3) == ["low b", "high c"]
    assert telling_columns(np.array([-0.26, 0.24]), ["a\n", "b"], 2) == ["low a\\n"]
    assert telling_columns(np.zeros(3), ["a", "b", "c"], 2) == []


def test_a_table_is_described_by_its_columns_and_activations_are_not() -> None:
    mfa = MFA(3, 2, random_state=0).fit(WINE)
    table = describe_components(mfa, WINE)
    names, offsets = column_names(mfa), column_offsets(mfa)
    assert names == list(WINE.columns)
    assert table["columns"].tolist() == [", ".join(telling_columns(off, names, 3)) for off in offsets]
    assert f"  columns   {table['columns'][0]}" in format_components(table)
    plain = MFA(3, 2, random_state=0).fit(WINE.to_numpy())
    assert describe_components(plain, WINE.to_numpy())["columns"].str.contains("high x|low x").all()
    exact = mixture(8.0)
    assert "columns" not in describe_components(exact, annotated(exact, 60))
