"""What a search's warnings and errors say of the candidates they are about."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import joblib
import numpy as np
import pytest
from search_cases import X, small
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from mfa_sklearn import MFA, MFASearch
from mfa_sklearn._base.checks import warn_user
from mfa_sklearn.mixture._search_names import STRUCTURES, Complaint, Fit, code, structure, warn_of


def said(fit: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        fit()
    assert all(warning.filename == __file__ for warning in found)  # they point at the user's line
    return [str(warning.message) for warning in found]


def unconverged(**params: Any) -> MFA:
    return small(**({"tol": 1e-6, "max_iter": 2} | params))


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_one_warning_names_all_candidates_that_warn_alike(backend: str) -> None:
    with joblib.parallel_config(backend=backend, n_jobs=2):
        (message,) = said(lambda: MFASearch(unconverged(), (2, 3), (0, 1)).fit(X))
    assert message == (
        "not converged after max_iter=2 iterations; raise max_iter or tol, or set tol=0 to run a fixed number without "
        "this warning. (4 of 4 fits of MFASearch say so: n_components=2, n_factors=0; n_components=2, n_factors=1; "
        "n_components=3, n_factors=0; n_components=3, n_factors=1; random_state=0)"
    )


def test_splits_are_named_as_the_results_name_them() -> None:
    search = MFASearch(unconverged(random_state=None), 2, (0, 1), criterion="likelihood", cv=3)
    (message,) = said(lambda: search.fit(X))
    last = " all rows" if search.best_params_["n_factors"] == 1 else ""
    first = "" if last else ", all rows"
    assert message.endswith(
        f"(7 of 7 fits of MFASearch say so: n_components=2, n_factors=0 (all splits{first}); "
        f"n_components=2, n_factors=1 (all splits{',' * bool(last)}{last}))"
    )
    assert {f"split{i}_test_score" for i in range(3)} <= set(search.cv_results_)


def test_only_those_are_named_that_warn() -> None:
    """The first split alone is fitted to rows with a constant column."""
    rows = X.copy()
    rows[: len(X) // 2, 0] = 1.0
    halves = [(np.arange(len(X) // 2), np.arange(len(X) // 2, len(X))), (np.arange(20, len(X)), np.arange(20))]
    search = MFASearch(small(), 1, (1, 2), criterion="likelihood", cv=halves)
    (message,) = said(lambda: search.fit(rows))
    assert "the noise variance of features [0]" in message
    assert "(2 of 5 fits of MFASearch say so: n_components=1, n_factors=1 (split0); n_components=1, " in message
    assert [len(found) for found in search.cv_results_["warnings"]] == [1, 1]


def test_figures_of_their_own_do_not_make_two_warnings() -> None:
    first, other = Fit({"n_components": 2, "n_factors": 1}), Fit({"n_components": 3, "n_factors": 1})
    same = [Complaint(first, UserWarning, "components [1] hold no rows."), Complaint(other, UserWarning, "x 1.5e-3.")]
    more = [
        Complaint(other, UserWarning, "components [0, 2] and 4 more hold no rows."),
        Complaint(first, UserWarning, "x 12."),
        Complaint(first, ConvergenceWarning, "x 12."),
    ]
    assert said(lambda: warn_of([*same, *more], 9, 0, None)) == [
        "components [1] hold no rows. (2 of 9 fits of MFASearch say so, with figures of their own: "
        "n_components=2, n_factors=1; n_components=3, n_factors=1)",
        "x 1.5e-3. (2 of 9 fits of MFASearch say so, with figures of their own: n_components=3, n_factors=1; "
        "n_components=2, n_factors=1)",
        "x 12. (1 of 9 fits of MFASearch says so: n_components=2, n_factors=1)",
    ]


def test_many_candidates_are_counted_and_kept_in_the_results() -> None:
    search = MFASearch(unconverged(max_iter=1), 1, range(1, 3), structures="all")
    (message,) = said(lambda: search.fit(X[:, :4]))
    assert "n_components=1, n_factors=1, structure UUU; " in message
    assert "; and 4 more candidates, see cv_results_['warnings']; random_state=0)" in message
    assert [len(found) for found in search.cv_results_["warnings"]] == [1] * 16


def test_nothing_is_said_where_all_is_well() -> None:
    search = MFASearch(small(), (1, 2), 1)
    assert said(lambda: search.fit(X)) == []
    assert search.cv_results_["warnings"].tolist() == [(), ()]


class WarningKMeans(KMeans):
    """k-means of this package's manners."""

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        warn_user("no good clusters.")
        return super().fit(X, y, sample_weight)


def test_a_start_is_named_by_its_size() -> None:
    search = MFASearch(small(init=WarningKMeans(n_init=1, random_state=0)), (2, 3), (1, 2))
    (message,) = said(lambda: search.fit(X))
    assert message == (
        "no good clusters. (2 of 4 fits of MFASearch say so: n_components=2; n_components=3; random_state=0)"
    )
    assert search.cv_results_["warnings"].tolist() == [("no good clusters.",)] * 4


def test_a_filter_that_knows_the_message_still_works() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="not converged after", category=ConvergenceWarning)
        MFASearch(unconverged(), 2, 1).fit(X)


def test_errors_name_the_candidate_and_keep_their_type() -> None:
    search = MFASearch(small(init=np.zeros((2, 13))), (2, 3), 1)
    with pytest.raises(
        ValueError,
        match=r"init gives 2 centers.* \(in MFASearch, at n_components=3, n_factors=1, all rows; random_state=0\)$",
    ):
        search.fit(X)
    search.set_params(criterion="likelihood", cv=2)
    with pytest.raises(ValueError, match=r"n_components=3, n_factors=1, split0; random_state=0\)$") as caught:
        search.fit(X)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # as worker processes hand it on


def test_errors_without_words_get_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "no space")

    monkeypatch.setattr(MFA, "_fit", fail)
    with pytest.raises(OSError) as caught:
        MFASearch(small(), 2, 1).fit(X)
    assert caught.value.errno == 28
    assert caught.value.__notes__ == ["in MFASearch, at n_components=2, n_factors=1, all rows; random_state=0"]


def test_letters_and_settings_are_one_to_one() -> None:
    assert len(STRUCTURES) == 8
    for letters in STRUCTURES:
        assert code(None, structure(letters)) == letters
    assert code(small(noise="component"), {}) == "UUU"
