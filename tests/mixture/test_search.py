"""The search over sizes and structures, against scikit-learn's grid search, which shares nothing between fits."""

from __future__ import annotations

import shutil
import sys
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from search_cases import X, small
from sklearn import config_context
from sklearn.cluster import KMeans
from sklearn.datasets import load_wine
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_validate
from sklearn.utils.estimator_checks import parametrize_with_checks

from mfa_sklearn import MFA, MFASearch
from mfa_sklearn._base.annotated import annotate
from mfa_sklearn.mixture._em.solver import EMSolver

WHOLE = [(np.arange(len(X)), np.arange(len(X)))]


def three_groups(n: int = 90) -> np.ndarray:
    rng = np.random.default_rng(0)
    factors, loadings = rng.standard_normal((n, 1)), np.array([[2.0, 1.0, -1.0, 0.5, 1.5]])
    return np.repeat(10 * np.eye(3, 5), n // 3, axis=0) + factors @ loadings + 0.5 * rng.standard_normal((n, 5))


@parametrize_with_checks(
    [
        MFASearch(MFA(random_state=0), n_components=(1,), n_factors=(1,)),
        MFASearch(MFA(random_state=0), n_components=(1,), n_factors=(0, 1), criterion="likelihood", cv=2),
    ]
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learn_conformity(estimator, check):
    check(estimator)


# ---------------------------------------------------------------- what is computed


@pytest.mark.parametrize("criterion", ["bic", "aic", "icl"])
@pytest.mark.parametrize(
    "params",
    [
        {"annealing": "auto"},
        {"noise": "component", "n_init": 2},
        {"init": KMeans(n_init=1, random_state=1)},
        {"init": "random"},
    ],
)
def test_every_fit_is_what_it_would_be_alone(criterion, params):
    estimator, sizes = small(**params), {"n_components": [1, 3], "n_factors": [0, 2]}
    search = MFASearch(estimator, *sizes.values(), criterion=criterion).fit(X)
    alone = GridSearchCV(
        estimator, sizes, scoring=lambda mfa, X, y=None: -getattr(mfa, criterion)(X), cv=WHOLE, error_score="raise"
    ).fit(X)
    assert search.cv_results_["params"] == alone.cv_results_["params"]
    for name in ("mean_test_score", "rank_test_score"):
        np.testing.assert_allclose(search.cv_results_[name], alone.cv_results_[name], rtol=1e-9)
    assert search.best_params_ == alone.best_params_ and search.best_index_ == alone.best_index_
    assert search.best_score_ == pytest.approx(alone.best_score_, rel=1e-9)
    np.testing.assert_allclose(search.score_samples(X), alone.score_samples(X), rtol=1e-9)


@pytest.mark.parametrize(
    "cv", [KFold(3, shuffle=True, random_state=1), list(GroupKFold(3).split(X, groups=X[:, 0] // 1))]
)
def test_held_out_likelihood_is_that_of_cross_validation(cv):
    sizes = {"n_components": [1, 2, 3], "n_factors": [1, 2]}
    search = MFASearch(small(), *sizes.values(), criterion="likelihood", cv=cv).fit(X)
    alone = GridSearchCV(small(), sizes, cv=cv, return_train_score=True, error_score="raise").fit(X)
    for name in ("mean_test_score", "std_test_score", "split1_test_score", "rank_test_score", "mean_train_score"):
        np.testing.assert_allclose(search.cv_results_[name], alone.cv_results_[name], rtol=1e-9, err_msg=name)
    assert search.best_params_ == alone.best_params_ and search.n_splits_ == 3
    np.testing.assert_allclose(search.best_estimator_.means_, alone.best_estimator_.means_, rtol=1e-9)


def test_a_number_of_folds_shuffles_rows_in_order():
    """In folds of consecutive rows the sorted classes would be held out whole."""
    scores = [
        MFASearch(small(max_iter=20), (3,), (1,), criterion="likelihood", cv=cv).fit(three_groups()).best_score_
        for cv in (3, KFold(3, shuffle=True, random_state=0), KFold(3))
    ]
    assert scores[0] == pytest.approx(scores[1], rel=1e-6) and scores[0] > scores[2] + 10


def test_structures_and_their_parameters():
    """Counts of ANCHORS for K = 3, two features and one factor, by the letters of McNicholas & Murphy."""
    counts = {"UUU": 20, "UUC": 17, "UCU": 16, "UCC": 15, "CUU": 16, "CUC": 13, "CCU": 12, "CCC": 11}
    rows = np.random.default_rng(0).standard_normal((60, 2))
    search = MFASearch(small(max_iter=2), (3,), (1,), structures="all").fit(rows)
    table = search.results_
    assert dict(zip(table["structure"], table["n_parameters"], strict=True)) == counts
    for params, bic in zip(search.cv_results_["params"], table["bic"], strict=True):
        assert small(max_iter=2, **params).fit(rows).bic(rows) == pytest.approx(bic, rel=1e-9)
    assert MFASearch(small(), (2,), (1,)).fit(rows).results_["structure"].tolist() == ["UCU"]
    assert MFASearch(small(noise="component"), (2,), (1,), structures=["CUC"]).fit(rows).best_estimator_.noise_form == (
        "isotropic"
    )


def test_missing_values_and_factors_per_component():
    rows = X.copy()
    rows[np.random.default_rng(0).random(X.shape) < 0.05] = np.nan
    search = MFASearch(small(), (2,), (1, (1, 2)), criterion="icl").fit(rows)
    for params, icl in zip(search.cv_results_["params"], search.cv_results_["icl"], strict=True):
        assert small(**params).fit(rows).icl(rows) == pytest.approx(icl, rel=1e-9)
    assert search.results_["n_factors"].tolist() == [1, (1, 2)]


@pytest.mark.parametrize("criterion", ["bic", "likelihood"])
def test_weight_two_is_the_row_twice(criterion):
    rows, weights = three_groups(), np.r_[np.full(30, 2.0), np.ones(60)]
    twice = np.r_[rows[:30], rows]
    folds = np.arange(90) % 3
    both = np.r_[folds[:30], folds]
    cv = [[(np.flatnonzero(f != k), np.flatnonzero(f == k)) for k in range(3)] for f in (folds, both)]
    settings = {"n_components": (3,), "n_factors": (0, 1), "criterion": criterion}
    estimator = small(init=10 * np.eye(3, 5))
    weighted = MFASearch(estimator, cv=cv[0], **settings).fit(rows, sample_weight=weights)
    repeated = MFASearch(estimator, cv=cv[1], **settings).fit(twice)
    for name in ("mean_test_score", "mean_train_score"):
        np.testing.assert_allclose(weighted.cv_results_[name], repeated.cv_results_[name], rtol=1e-8)
    assert weighted.score(rows, sample_weight=weights) == pytest.approx(repeated.score(twice), rel=1e-8)


@pytest.mark.parametrize("criterion", ["bic", "icl", "likelihood"])
def test_the_true_size_is_found(criterion):
    estimator = MFA(random_state=0, tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search = MFASearch(estimator, (2, 3, 4), (0, 1), criterion=criterion, cv=3).fit(three_groups(300))
    # Held-out likelihood hardly falls with components too many; the information criteria charge for them.
    assert search.best_params_["n_components"] in ((3, 4) if criterion == "likelihood" else (3,))
    assert search.best_params_["n_factors"] == 1


# ---------------------------------------------------------------- what is shared


def test_processes_change_nothing():
    alone = MFASearch(small(), (1, 2), (0, 1)).fit(X)
    with joblib.parallel_config(backend="threading", n_jobs=2):
        together = MFASearch(small(), (1, 2), (0, 1)).fit(X)
    np.testing.assert_allclose(alone.cv_results_["mean_test_score"], together.cv_results_["mean_test_score"], rtol=1e-9)


# ---------------------------------------------------------------- what is given and got


def test_best_mixture_answers():
    search = MFASearch(small(), (2, 3), (1,)).fit(X)
    best = search.best_estimator_
    np.testing.assert_array_equal(search.predict(X), best.predict(X))
    np.testing.assert_allclose(search.predict_proba(X), best.predict_proba(X), atol=1e-10)
    np.testing.assert_allclose(search.score_samples(X), best.score_samples(X))
    np.testing.assert_allclose(search.transform(X).toarray(), best.transform(X).toarray(), atol=1e-10)
    code = best.transform(X)
    np.testing.assert_allclose(search.inverse_transform(code), best.inverse_transform(code))
    assert search.score(X) == pytest.approx(best.score(X))
    assert search.get_feature_names_out().tolist() == best.get_feature_names_out().tolist()
    assert search.n_features_in_ == 13 and search.best_params_["n_components"] == best.n_components


@pytest.mark.parametrize("criterion", ["bic", "likelihood"])
@pytest.mark.parametrize("kind", [torch.tensor, pd.DataFrame, lambda rows: rows.tolist()])
def test_kinds_of_input(kind, criterion):
    settings = {"criterion": criterion, "cv": 3}
    expected = MFASearch(small(), (1, 2), (1,), **settings).fit(X)
    search = MFASearch(small(), (1, 2), (1,), **settings).fit(kind(X))
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"])
    assert hasattr(search, "feature_names_in_") == (kind is pd.DataFrame and False)


def test_names_of_features_are_kept():
    frame = pd.DataFrame(X, columns=load_wine().feature_names)
    search = MFASearch(small(), (1,), (1,)).fit(frame)
    assert search.feature_names_in_.tolist() == load_wine().feature_names


@pytest.mark.parametrize("criterion", ["bic", "likelihood"])
def test_centers_of_an_earlier_step_are_used(criterion):
    centers = KMeans(3, n_init=1, random_state=0).fit(X).cluster_centers_
    rows = annotate(X, cluster_centers=centers, source={"layer": 4})
    search = MFASearch(small(), (3,), (1, 2), criterion=criterion, cv=2).fit(rows)
    given = MFASearch(small(init=centers), (3,), (1, 2), criterion=criterion, cv=2).fit(X)
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], given.cv_results_["mean_test_score"])
    assert search.best_estimator_.source_ == {"layer": 4}


def test_table_of_results():
    search = MFASearch(small(), (1, 2), (0, 1), criterion="icl").fit(X)
    table = search.results_
    sizes, criteria = (
        ["n_components", "n_factors", "structure", "n_parameters"],
        ["log_likelihood", "aic", "bic", "icl"],
    )
    assert table.columns.tolist() == [*sizes, *criteria, "n_iter", "converged", "fit_time", "rank"]
    assert table[["n_components", "n_factors"]].to_numpy().tolist() == [[1, 0], [1, 1], [2, 0], [2, 1]]
    assert table["rank"].idxmin() == table["icl"].idxmin() == search.best_index_
    assert table["n_iter"].tolist()[1:] == [5] * 3 and not table["converged"][1:].any()
    held_out = MFASearch(small(), (1, 2), (0, 1), criterion="likelihood", cv=2).fit(X).results_
    assert {"likelihood", "likelihood_std", "train_likelihood"} <= set(held_out.columns)
    assert held_out["likelihood"].idxmax() == held_out["rank"].idxmin()


@pytest.mark.parametrize("criterion", ["bic", "likelihood"])
def test_plot(criterion):
    plt = pytest.importorskip("matplotlib.pyplot")
    search = MFASearch(small(), (3, 1, 2), (0, 1), criterion=criterion, cv=3).fit(X)
    _, given = plt.subplots()
    ax = search.plot(given)
    assert ax is given
    lines = {line.get_label(): line for line in ax.get_lines()}
    table, column = search.results_, criterion
    for q in (0, 1):
        rows = table[table["n_factors"] == q].sort_values("n_components")
        np.testing.assert_array_equal(lines[f"q = {q}"].get_xdata(), rows["n_components"])
        np.testing.assert_allclose(lines[f"q = {q}"].get_ydata(), rows[column])
    if criterion == "likelihood":
        half = [np.ptp(bar[:, 1]) / 2 for bar in ax.containers[1].lines[2][0].get_segments()]
        splits = np.stack([search.cv_results_[f"split{i}_test_score"] for i in range(3)], axis=1)[rows.index]
        np.testing.assert_allclose(half, splits.std(1, ddof=1) / np.sqrt(3))
    assert lines["best"].get_xdata()[0] == search.best_params_["n_components"]
    assert ax.get_xlabel() == "number of components"
    assert all(tick == round(tick) for tick in ax.get_xticks())
    structures = MFASearch(small(), (1, 2), (1,), structures=["UCU", "CCC"]).fit(X).plot()
    assert [text.get_text() for text in structures.get_figure().legends[0].get_texts()] == [
        "UCU, q = 1",
        "CCC, q = 1",
        "best",
    ]
    plt.close("all")


@pytest.mark.parametrize(
    "params, message",
    [
        ({"n_components": ()}, "no candidates: n_components=()"),
        ({"structures": ["UXU"]}, "structures holds 'UXU'; a structure is one of"),
        ({"structures": "UUU"}, "'structures' parameter"),
        ({"criterion": "mdl"}, "'criterion' parameter"),
        ({"n_components": "3"}, "'n_components' parameter"),
        ({"n_factors": (1, 13)}, "n_factors=13 must be below n_features=13"),
        ({"n_components": (2, 200)}, "n_components=200 is more than n_samples=178"),
        ({"n_components": (100,), "criterion": "likelihood", "cv": 2}, "n_components=100 is more than n_samples=89"),
    ],
)
def test_bad_searches_are_refused_before_a_fit(monkeypatch, params, message):
    monkeypatch.setattr(MFA, "fit", lambda *_: pytest.fail("fitted"))
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")):
        MFASearch(small(), **({"n_components": (1,), "n_factors": (1,)} | params)).fit(X)


def test_not_fitted():
    search = MFASearch(small())
    for ask in (lambda: search.predict(X), lambda: search.score(X), lambda: search.results_, search.plot):
        with pytest.raises(NotFittedError):
            ask()
    assert not hasattr(search, "n_features_in_")


def test_progress_is_told(capsys):
    MFASearch(small(), (1, 2), 1, verbose=1).fit(X)
    assert capsys.readouterr().out.count("[MFASearch] {'n_components': ") == 2


@pytest.mark.parametrize("package, ask", [("pandas", lambda s: s.results_), ("matplotlib.pyplot", MFASearch.plot)])
def test_what_a_table_and_a_plot_need_is_told(monkeypatch, package, ask):
    search = MFASearch(small(), 1, 1).fit(X)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"pip install 'mfa-sklearn\[plot\]'"):
        ask(search)


def test_weights_are_routed_through_other_searches():
    with config_context(enable_metadata_routing=True):
        search = (
            MFASearch(small(), 1, (1, 2)).set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
        )
        found = cross_validate(search, X, params={"sample_weight": np.ones(len(X))}, cv=2, error_score="raise")
    assert len(found["test_score"]) == 2


def test_frames_are_given_where_frames_are_asked_for():
    frame = pd.DataFrame(X, columns=[f"c{j}" for j in range(X.shape[1])], index=np.arange(len(X)) + 7)
    search = MFASearch(small(sparse_output=False, max_iter=200), [2], [1]).set_output(transform="pandas")
    code = search.fit(frame).transform(frame)
    assert code.columns.tolist() == ["mfa0", "mfa0_factor0", "mfa1", "mfa1_factor0"]
    pd.testing.assert_index_equal(code.index, frame.index)
    np.testing.assert_array_equal(code, search.best_estimator_.transform(frame))
    assert isinstance(search.fit_transform(frame), pd.DataFrame)
    sparse = MFASearch(small(), [2], [1]).set_output(transform="pandas").fit(frame)
    with pytest.raises(ValueError, match="set sparse_output=False for a dense"):
        sparse.transform(frame)


@pytest.mark.parametrize("sizes", [{"n_components": [1, 2]}, ["2"]])
def test_values_to_try_that_are_no_numbers(sizes):
    with pytest.raises(TypeError, match=r"n_components holds '.*', which is no number; give values to try"):
        MFASearch(small(), sizes).fit(X)


def test_candidates_keep_checkpoints_of_their_own_and_are_not_fitted_again(tmp_path, monkeypatch):
    """A search that was killed, here before its last fit, goes on with the candidates it has not fitted yet."""
    arguments = {"n_components": [1, 2], "n_factors": [0, 1], "criterion": "likelihood", "cv": 2}
    alone = MFASearch(small(max_iter=4, tol=0), **arguments).fit(X)
    kept = MFASearch(small(max_iter=4, tol=0, checkpoint=tmp_path / "c"), **arguments).fit(X)
    names = {f"components{K}-factors{q}-UCU{s}" for K in (1, 2) for q in (0, 1) for s in ("-split0", "-split1")}
    assert {path.name for path in (tmp_path / "c").iterdir()} - names == {
        "components{n_components}-factors{n_factors}-UCU".format(**kept.best_params_)
    }
    steps = []
    step = EMSolver.step
    monkeypatch.setattr(EMSolver, "step", lambda solver: steps.append(1) or step(solver))
    shutil.rmtree(tmp_path / "c" / "components2-factors1-UCU-split1")
    again = MFASearch(small(max_iter=4, tol=0, checkpoint=tmp_path / "c"), **arguments).fit(X)
    assert len(steps) == 4
    for search in (kept, again):
        assert search.cv_results_["mean_test_score"].tolist() == alone.cv_results_["mean_test_score"].tolist()
        np.testing.assert_array_equal(search.best_estimator_.means_, alone.best_estimator_.means_)
        assert search.best_estimator_.checkpoint == tmp_path / "c"
