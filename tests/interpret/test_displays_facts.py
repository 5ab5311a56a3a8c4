"""What titles and axes say of a component."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from interpret_fixtures import annotated, mixture

from mfa_sklearn import MFA, project
from mfa_sklearn.interpret._displays.facts import loading_columns, meaning_of, row_values

EXACT = mixture(8.0)
X_ = annotated(EXACT, 300)


def test_tokens_that_a_component_has_more_often_are_its_title() -> None:
    own = EXACT.log_joint(X_).argmax(1) == 2
    tokens = np.where(own, np.where(np.arange(300) % 3 == 0, " rare", "the"), np.where(np.arange(300) % 9, "the", "x"))
    labels = np.where(own, "river", "money")
    found = project(EXACT, X_, 2, tokens=tokens, labels=labels)
    said = meaning_of(found, EXACT, X_, tokens, labels)
    assert said.title.split(" · ")[0] == "rare" and said.concept == "river (100%)"
    assert meaning_of(found).title.split(" · ")[0] == "the"  # without the other rows, the most frequent


def test_columns_in_which_a_table_s_region_differs() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(200, 3)) * [1, 1, 1000], columns=["age", "$x$", "income"])
    frame.iloc[:100, 0] += 20
    frame.iloc[:100, 2] -= 30_000
    mfa = MFA(2, 1, random_state=0, tol=1e-1).fit(frame)
    component = int(mfa.predict(frame)[0])
    found = project(mfa, frame, component, axes="principal", scale="columns")
    assert set(meaning_of(found, mfa, frame).title.split(", ")) == {"high age", "low income"}
    strongest = np.argmax(abs(found.directions[:, 0] / found.scale))
    assert frame.columns[strongest] in loading_columns(found, 0, np.asarray(frame.columns))


def test_values_of_rows_by_name_or_given() -> None:
    values, title = row_values(X_, "labels")
    assert values is not None and len(values) == 300 and title == "labels"
    assert row_values(X_, "token") == (None, None)
    values, title = row_values(X_, pd.Series(np.arange(300), name="age"))
    assert title == "age" and values is not None and values[7] == 7
    with pytest.raises(ValueError, match=r"color='hue' is no fact of these rows.*'token'.*'labels'"):
        row_values(X_, "hue")
    with pytest.raises(ValueError, match="got 2 for 300 rows"):
        row_values(X_, [1, 2])
