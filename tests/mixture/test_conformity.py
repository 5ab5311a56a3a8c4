"""MFA among scikit-learn's own machinery."""

from __future__ import annotations

import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone, is_clusterer, is_outlier_detector
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning, UnsetMetadataPassedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import estimator_html_repr, get_tags
from sklearn.utils.estimator_checks import check_sample_weight_equivalence_on_dense_data, parametrize_with_checks

from mfa_sklearn import MFA
from mfa_sklearn._base.annotated import annotate

X, Y = load_iris(return_X_y=True)
WEIGHTS = np.random.default_rng(0).uniform(0.5, 2.0, len(X))


def quick(**arguments) -> MFA:
    """An estimator of a few iterations."""
    return MFA(**{"n_components": 3, "n_factors": 1, "max_iter": 10, "tol": 0, "random_state": 0, **arguments})


CHECKED = [
    MFA(solver=solver, noise=noise, max_iter=5, tol=0)
    for solver in ("em", "gradient")
    for noise in ("shared", "component")
]


def expected_to_fail(estimator: MFA) -> dict[str, str]:
    """Checks that cannot hold, with the reason."""
    if estimator.solver == "em":
        return {}
    reason = (
        "a row of weight two is in one minibatch, the same row twice may be in two, as for scikit-learn's own SGD and "
        "MiniBatchKMeans; with a batch of all rows they agree (tests/mixture/test_gradient_solver.py)"
    )
    return {"check_sample_weight_equivalence_on_dense_data": reason}


@parametrize_with_checks(CHECKED, expected_failed_checks=expected_to_fail)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore:n_components=None takes")
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("n_factors", [0, 1, 3])
@pytest.mark.parametrize("structure", [{"noise_form": "isotropic"}, {"rotation": "varimax"}, {"acceleration": False}])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_sample_weights_count_rows_in_every_structure(structure, n_factors):
    """scikit-learn's strictest check of weights, on more than the defaults."""
    check_sample_weight_equivalence_on_dense_data("MFA", MFA(1, n_factors, max_iter=5, tol=0, **structure))


# --- parameters -----------------------------------------------------------------------------------------------------


def test_clone_and_parameters():
    mfa = MFA(5, 3, noise="component", init=KMeans(5), annealing=4.0, random_state=1)
    copy = clone(mfa)
    assert copy is not mfa
    assert copy.init is not mfa.init
    assert copy.get_params()["init__n_clusters"] == 5
    assert {k: v for k, v in copy.get_params(deep=False).items() if k != "init"} == {
        k: v for k, v in mfa.get_params(deep=False).items() if k != "init"
    }
    copy.set_params(init__n_clusters=7, n_factors=2)
    assert (copy.init.n_clusters, mfa.init.n_clusters, copy.n_factors) == (7, 5, 2)


@pytest.mark.parametrize("arguments", [{}, {"solver": "gradient", "early_stopping": True}, {"init": Y}])
def test_fit_changes_no_parameter(arguments):
    mfa = quick(**arguments)
    before = {name: pickle.dumps(value) for name, value in mfa.get_params().items()}
    mfa.fit(X)
    assert {name: pickle.dumps(value) for name, value in mfa.get_params().items()} == before


def test_what_is_learned_ends_with_an_underscore():
    mfa = quick().fit(X)
    public = {name for name in vars(mfa) if not name.startswith("_")}
    assert {name for name in public - set(mfa.get_params()) if not name.endswith("_")} == set()


def test_tags():
    tags = get_tags(MFA())
    assert tags.input_tags.sparse is False
    assert tags.transformer_tags.preserves_dtype == ["float64", "float32"]
    assert not tags.target_tags.required
    assert not tags.non_deterministic
    assert not is_outlier_detector(MFA())
    assert is_clusterer(MFA()) in (True, False)


@pytest.mark.parametrize("fitted", [False, True])
def test_html_and_text(fitted):
    mfa = quick(init=KMeans(3), noise="component")
    mfa = mfa.fit(X) if fitted else mfa
    html = estimator_html_repr(make_pipeline(StandardScaler(), mfa))
    assert "MFA" in html
    assert "KMeans" in html
    assert ("Not fitted" in html) != fitted
    assert repr(MFA(3, 2)) == "MFA(n_components=3, n_factors=2)"


# --- output ---------------------------------------------------------------------------------------------------------


def test_feature_names_out():
    mfa = quick().fit(X)
    expected = ["mfa0", "mfa0_factor0", "mfa1", "mfa1_factor0", "mfa2", "mfa2_factor0"]
    assert mfa.get_feature_names_out().tolist() == expected
    assert mfa.transform(X).shape == (150, 6)
    union = FeatureUnion([("mixture", mfa), ("scaled", StandardScaler())]).fit(X)
    assert union.get_feature_names_out()[0] == "mixture__mfa0"


def test_set_output_pandas():
    frame = pd.DataFrame(X, columns=list("abcd"), index=np.arange(150) + 1000)
    mfa = quick(sparse_output=False).set_output(transform="pandas").fit(frame)
    code = mfa.transform(frame)
    assert isinstance(code, pd.DataFrame)
    assert code.columns.tolist() == mfa.get_feature_names_out().tolist()
    assert code.index.equals(frame.index)
    np.testing.assert_allclose(code, quick(sparse_output=False).fit(X).transform(X), atol=1e-10)
    assert isinstance(mfa.fit_transform(frame), pd.DataFrame)
    assert mfa.feature_names_in_.tolist() == list("abcd")
    np.testing.assert_allclose(mfa.inverse_transform(code), mfa.reconstruct(frame))


def test_set_output_of_a_sparse_code_says_what_to_do():
    with pytest.raises(ValueError, match=r"sparse matrix.*dense array"):
        quick().set_output(transform="pandas").fit(X).transform(X)


def test_other_feature_names_are_refused():
    frame = pd.DataFrame(X, columns=list("abcd"))
    mfa = quick().fit(frame)
    with pytest.raises(ValueError, match="feature names should match"):
        mfa.predict(frame[list("dcba")])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        mfa.predict(X)


def test_column_transformer():
    frame = pd.DataFrame(X, columns=list("abcd"))
    both = ColumnTransformer([("mixture", quick(), ["a", "b"]), ("rest", "passthrough", ["c"])]).fit(frame)
    assert both.transform(frame).shape == (150, 7)
    assert both.get_feature_names_out()[-1] == "rest__c"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_precision_is_kept_through_a_pipeline(dtype):
    code = make_pipeline(StandardScaler(), quick()).fit(X.astype(dtype)).transform(X.astype(dtype))
    assert code.dtype == dtype


# --- weights through pipelines --------------------------------------------------------------------------------------


@pytest.fixture
def _routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.usefixtures("_routing")
def test_weights_are_routed_where_they_are_asked_for():
    pipe = make_pipeline(FunctionTransformer(), quick().set_fit_request(sample_weight=True))
    routed = pipe.fit(X, sample_weight=WEIGHTS)[-1]
    direct = quick().fit(X, sample_weight=WEIGHTS)
    np.testing.assert_array_equal(routed.means_, direct.means_)
    assert not np.allclose(routed.means_, quick().fit(X).means_)


@pytest.mark.usefixtures("_routing")
def test_weights_that_nobody_asked_for_are_an_error():
    with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
        make_pipeline(FunctionTransformer(), quick()).fit(X, sample_weight=WEIGHTS)


@pytest.mark.usefixtures("_routing")
def test_weights_are_routed_in_cross_validation():
    asked = quick().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    weighted = cross_val_score(asked, X, cv=3, params={"sample_weight": WEIGHTS})
    fit_only = quick().set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
    trained = cross_val_score(fit_only, X, cv=3, params={"sample_weight": WEIGHTS})
    plain = cross_val_score(quick(), X, cv=3)
    assert not np.allclose(weighted, trained)
    assert not np.allclose(trained, plain)
    first = np.arange(50), np.arange(50, 150)
    by_hand = quick().fit(X[first[1]], sample_weight=WEIGHTS[first[1]])
    assert weighted[0] == pytest.approx(by_hand.score(X[first[0]], sample_weight=WEIGHTS[first[0]]))


def test_weights_in_a_plain_pipeline():
    pipe = Pipeline([("scale", FunctionTransformer()), ("mfa", quick())])
    np.testing.assert_array_equal(
        pipe.fit(X, mfa__sample_weight=WEIGHTS)["mfa"].means_, quick().fit(X, sample_weight=WEIGHTS).means_
    )


# --- searches and pipelines -----------------------------------------------------------------------------------------


def test_grid_search_over_sizes():
    """Held-out log-likelihood is the score; the best is one that a person would choose."""
    rng = np.random.default_rng(0)
    places = np.array([[0.0] * 5, [9.0] * 5, [0.0, 9, 0, 9, 0]])
    loadings = rng.standard_normal((5, 1)) * 2
    rows = np.concatenate(
        [p + rng.standard_normal((150, 1)) @ loadings.T + 0.3 * rng.standard_normal((150, 5)) for p in places]
    )
    rows = rows[rng.permutation(450)]
    grid = {"n_components": [1, 3], "n_factors": [0, 1]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search = GridSearchCV(MFA(random_state=0, max_iter=60), grid, cv=3).fit(rows)
    assert search.best_params_ == {"n_components": 3, "n_factors": 1}
    assert search.best_score_ == pytest.approx(
        cross_val_score(MFA(3, 1, random_state=0, max_iter=60), rows, cv=3).mean()
    )
    np.testing.assert_array_equal(search.predict(rows), search.best_estimator_.predict(rows))
    assert search.score_samples(rows).shape == (450,)


def test_grid_search_over_a_nested_initializer():
    search = GridSearchCV(quick(init=KMeans(3, random_state=0)), {"init__n_init": [1, 2]}, cv=2).fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_cross_validation_scores_held_out_rows():
    scores = cross_val_score(quick(), X, Y, cv=3)
    assert scores.shape == (3,)
    assert np.isfinite(scores).all()
    labels = cross_val_predict(quick(), X, cv=3, method="predict_proba")
    assert labels.shape == (150, 3)


def test_the_code_feeds_a_classifier():
    model = make_pipeline(StandardScaler(), quick(), LogisticRegression(max_iter=500))
    assert cross_val_score(model, X, Y, cv=5).mean() > 0.9


class Centers(KMeans):
    """A k-means step that passes rows on, with its centers attached."""

    def transform(self, X):
        return annotate(X, cluster_centers=self.cluster_centers_)

    def fit_transform(self, X, y=None, sample_weight=None):
        return self.fit(X).transform(X)


def centers_pipeline(memory=None) -> Pipeline:
    steps = [("start", Centers(3, n_init=1, random_state=0)), ("mfa", quick(n_components=None))]
    return Pipeline(steps, memory=memory)


def test_a_cached_step_hands_its_centers_on(tmp_path):
    plain = centers_pipeline().fit(X)
    first, second = (centers_pipeline(str(tmp_path)).fit(X) for _ in range(2))
    assert any(tmp_path.rglob("*.pkl"))
    for pipe in (first, second):
        assert pipe["mfa"].n_components_ == 3
        np.testing.assert_allclose(pipe["mfa"].means_, plain["mfa"].means_, rtol=1e-10)
        np.testing.assert_array_equal(pipe.predict(X), plain.predict(X))
        assert pipe.score(X) == pytest.approx(plain.score(X))
    copied = clone(first).fit(X)
    np.testing.assert_allclose(copied["mfa"].means_, plain["mfa"].means_, rtol=1e-10)


def test_grid_search_over_a_pipeline_of_start_and_mixture():
    grid = {"start__n_clusters": [2, 3], "mfa__n_factors": [1, 2]}
    search = GridSearchCV(centers_pipeline(), grid, cv=2).fit(X)
    assert search.best_estimator_["mfa"].n_components_ == search.best_params_["start__n_clusters"]


def test_searches_in_threads_give_what_serial_ones_give():
    grid = {"n_factors": [1, 2]}
    serial = GridSearchCV(quick(), grid, cv=2).fit(X)
    with joblib.parallel_config(backend="threading", n_jobs=2):
        parallel = GridSearchCV(quick(), grid, cv=2).fit(X)
    scores = (search.cv_results_["mean_test_score"] for search in (serial, parallel))
    np.testing.assert_allclose(*scores, rtol=1e-10)
