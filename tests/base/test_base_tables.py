"""What is no table is refused in words, and the column that holds no numbers is named."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from mfa_sklearn import MFA, KMeansInitializer, MFASearch
from mfa_sklearn._base.tables import column_fault
from mfa_sklearn.interpret import project, top_concepts

FRAME = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 3)), columns=list("abc"))


class LazyFrame:
    """What polars calls a query that has not run."""


NO_TABLES: list[tuple[Any, str]] = [
    (None, r"X is None: give rows of numbers, an array of shape \(n_samples, n_features\)"),
    (LazyFrame(), r"LazyFrame.*X.collect\(\)"),
    ({"a": [1.0, 2.0]}, r"X is a dict.*pandas.DataFrame\(X\)"),
    ({1.0, 2.0}, "X is of type set"),
    (iter([[1.0]]), "list_iterator.*numpy.concatenate.*partial_fit"),
    (torch.utils.data.DataLoader(torch.zeros(4, 2)), "DataLoader.*partial_fit"),
    (3.0, "X is of type float: 3.0"),
    (object(), "X is of type object"),
]


@pytest.mark.parametrize(("X", "message"), NO_TABLES)
def test_what_is_no_table(X: Any, message: str) -> None:
    fitted = MFA(2, 1, tol=1).fit(FRAME)
    calls = (
        MFA().fit,
        KMeansInitializer(2).fit,
        MFASearch(MFA()).fit,
        MFA().partial_fit,
        fitted.predict,
        fitted.impute,
    )
    for call in (*calls, lambda X: project(fitted, X, 0), lambda X: top_concepts(fitted, X, ["a"])):
        with pytest.raises(TypeError, match=message):
            call(X)


@pytest.mark.parametrize(
    ("column", "error", "message"),
    [
        (pd.Timestamp("2020-01-01"), TypeError, r"column 'bad' of X holds dates \(datetime64.*days since the first"),
        (pd.Timedelta("1D"), TypeError, r"column 'bad' of X holds durations"),
        (datetime.date(2020, 1, 1), TypeError, r"column 'bad' of X holds datetime.date\(2020, 1, 1\) in row 0"),
        ("a", ValueError, "column 'bad' of X holds 'a' in row 0, which is no number: encode text"),
        (["1.5"] * 29 + ["x"], ValueError, "column 'bad' of X holds 'x' in row 29"),
        ([None, np.nan, "x"] * 10, ValueError, "column 'bad' of X holds 'x' in row 2"),
        (pd.Categorical(["u", "v", "w"] * 10), Exception, "column 'bad' of X holds 'u' in row 0"),
        (pd.array(["p"] * 30, dtype="string"), ValueError, "column 'bad' of X holds 'p' in row 0"),
        ([{"k": 1}] * 30, TypeError, "column 'bad' of X holds {'k': 1} in row 0.*argument must be a string or a real"),
        (["long " * 100] * 30, ValueError, r"holds 'long [^']{20,60}\.\.\. in row 0"),
    ],
)
def test_the_column_is_named(column: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        MFA(2, 1).fit(FRAME.assign(bad=column))
    with pytest.raises(error, match=message):
        KMeansInitializer(2).fit(FRAME.assign(bad=column)[["bad", "a"]])
    with pytest.raises(error, match=message):
        MFA(2, 1, tol=1).fit(FRAME.rename(columns={"c": "bad"})).predict(FRAME[["a", "b"]].assign(bad=column))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([[1.0, 2.0], [3.0, "four"]], "column 1 of X holds 'four' in row 1"),
        (np.array([["a", "b"]] * 4), "column 0 of X holds 'a'"),
        (np.array([["2020-01-01"] * 2] * 4, dtype="datetime64[D]"), "column 0 of X holds dates"),
        (FRAME.apply(lambda column: pd.Timestamp("2020-01-01")).to_frame(), "column 0 of X holds dates"),
        ([[1.0, 2.0], [3.0]], "row 1 of X has 1 entries, row 0 has 2"),
    ],
)
def test_columns_without_names_are_told_by_number(X: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        MFA(1, 1).fit(X)


def test_numbers_and_missing_values_are_no_fault() -> None:
    missing = FRAME.astype(object)
    missing.iloc[0, 0], missing.iloc[1, 1] = None, pd.NA
    for X in (FRAME, FRAME.to_numpy(), missing, [[1, None], [2.5, "3"]], FRAME.assign(a=True), np.zeros(3), 3):
        assert column_fault(X) is None


def test_other_refusals_are_handed_on() -> None:
    fitted = MFA(2, 1, tol=1).fit(FRAME)
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.predict(FRAME[["b", "a", "c"]])
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array"):
        MFA(2, 1).fit(np.zeros(3))


def test_records_are_no_table():
    message = r"array of records with the fields \['a', 'b', 'c'\]: give pandas.DataFrame\(X\)"
    with pytest.raises(TypeError, match=message):
        MFA(2, 1).fit(FRAME.to_records(index=False))
