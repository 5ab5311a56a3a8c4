"""KMeansInitializer against scikit-learn's k-means and against definitions written out in numpy."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from kmeans_cases import Store, brute_force, identity_batches, overlapping, samples_of
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.pairwise import cosine_distances
from sklearn.pipeline import Pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from mfa_sklearn import MFA, ActivationArray, KMeansInitializer
from mfa_sklearn._base.annotated import shared_fact
from mfa_sklearn.mixture._token_weights import token_weights

# Conformity ---------------------------------------------------------------------------------------------------------


def expected_failures(estimator: BaseEstimator) -> dict[str, str]:
    """Checks that cannot hold, and why."""
    if estimator.get_params()["metric"] == "cosine":
        reason = "the check has a row of zeros, which has no direction; AgglomerativeClustering refuses it as well"
        return {"check_estimators_dtypes": reason}
    return {}


@parametrize_with_checks(
    [KMeansInitializer(n_clusters=3), KMeansInitializer(n_clusters=3, metric="cosine")],
    expected_failed_checks=expected_failures,
)
def test_scikit_learn_conformity(estimator: BaseEstimator, check: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        check(estimator)


# What is found ------------------------------------------------------------------------------------------------------


def containers(X: np.ndarray, folder: Path) -> dict[str, Any]:
    """The same rows in everything that holds rows."""
    import pandas as pd

    np.save(folder / "X.npy", X)
    return {
        "array": X,
        "fortran": np.asfortranarray(X),
        "reversed": X[::-1][::-1],
        "memory map": np.load(folder / "X.npy", mmap_mode="r"),
        "tensor": torch.from_numpy(X),
        "store": Store(X),
        "frame": pd.DataFrame(X),
        "activations": ActivationArray(X),
        "lists": X.tolist(),
    }


@pytest.mark.parametrize("kind", ["array", "fortran", "reversed", "memory map", "tensor", "store", "frame"])
@pytest.mark.parametrize("options", [{}, {"pool_size": 150}, {"pool_size": 40, "refine_iter": 0, "batch_size": 64}])
def test_labels_and_inertia_are_those_of_the_centers(kind: str, options: dict[str, Any], tmp_path: Path) -> None:
    X = overlapping()
    given = containers(X, tmp_path)[kind]
    kmeans = KMeansInitializer(7, random_state=0, **options).fit(given)
    labels, squared = brute_force(X, kmeans.cluster_centers_)
    np.testing.assert_array_equal(kmeans.labels_, labels)
    np.testing.assert_array_equal(kmeans.predict(given), labels)
    assert kmeans.inertia_ == pytest.approx(squared.sum(), rel=1e-12)
    assert kmeans.score(given) == pytest.approx(-squared.sum(), rel=1e-12)
    assert kmeans.n_features_in_ == 5


@pytest.mark.parametrize(
    "kind", ["fortran", "reversed", "memory map", "tensor", "store", "frame", "activations", "lists"]
)
def test_every_container_gives_the_same(kind: str, tmp_path: Path) -> None:
    X = overlapping()
    want = KMeansInitializer(7, pool_size=200, random_state=0).fit(X)
    got = KMeansInitializer(7, pool_size=200, random_state=0).fit(containers(X, tmp_path)[kind])
    np.testing.assert_allclose(got.cluster_centers_, want.cluster_centers_, rtol=1e-10)
    np.testing.assert_array_equal(got.labels_, want.labels_)


# Memory and order ---------------------------------------------------------------------------------------------------


def test_weight_two_is_the_row_twice_and_weight_zero_is_no_row() -> None:
    X = overlapping(200)
    w = np.random.default_rng(5).integers(0, 4, 200)
    weighted = KMeansInitializer(6, random_state=0).fit(X, sample_weight=w)
    repeated = KMeansInitializer(6, random_state=0).fit(X.repeat(w, axis=0))
    np.testing.assert_allclose(weighted.cluster_centers_, repeated.cluster_centers_, rtol=1e-10)
    np.testing.assert_array_equal(weighted.labels_.repeat(w), repeated.labels_)
    assert weighted.inertia_ == pytest.approx(repeated.inertia_, rel=1e-10)
    assert weighted.score(X, sample_weight=w) == pytest.approx(repeated.score(X.repeat(w, axis=0)), rel=1e-10)


def test_order_of_rows_does_not_matter() -> None:
    X = overlapping(300)
    order = np.random.default_rng(0).permutation(300)
    want, got = (KMeansInitializer(6, random_state=0).fit(rows) for rows in (X, X[order]))
    np.testing.assert_allclose(got.cluster_centers_, want.cluster_centers_, rtol=1e-10)
    np.testing.assert_array_equal(got.labels_, want.labels_[order])


def test_same_random_state_same_centers() -> None:
    X = overlapping(500)
    fits = [KMeansInitializer(9, pool_size=100, random_state=s).fit(X) for s in (0, 0, 1)]
    np.testing.assert_array_equal(fits[0].cluster_centers_, fits[1].cluster_centers_)
    np.testing.assert_array_equal(fits[0].labels_, fits[1].labels_)
    assert not np.allclose(fits[0].cluster_centers_, fits[2].cluster_centers_)


# Samples ------------------------------------------------------------------------------------------------------------


def tokens(n_rows: int = 3000) -> ActivationArray:
    """Rows of a frequent token and of nine rare ones, each token somewhere else."""
    rng = np.random.default_rng(0)
    ids = np.where(rng.uniform(size=n_rows) < 0.97, 50, rng.integers(0, 9, n_rows))
    where = rng.standard_normal((51, 3)) * 4
    return ActivationArray(where[ids] + rng.standard_normal((n_rows, 3)), rows={"token_ids": ids})


def test_token_frequency_gives_every_token_the_same_weight() -> None:
    X = tokens()
    counts = np.bincount(X.token_ids)[X.token_ids]
    by_token = KMeansInitializer(5, sampling="token_frequency", random_state=0).fit(X)
    by_weight = KMeansInitializer(5, random_state=0).fit(np.asarray(X), sample_weight=1 / counts)
    np.testing.assert_allclose(by_token.cluster_centers_, by_weight.cluster_centers_, rtol=1e-9)
    # The total weight is that of the rows, so that inertias can be compared.
    scale = len(X) / len(np.unique(X.token_ids))
    assert by_token.inertia_ == pytest.approx(scale * by_weight.inertia_, rel=1e-9)
    assert len(np.unique(by_token.labels_[X.token_ids < 9])) >= 4


def test_token_frequency_draws_tokens_alike() -> None:
    X, rng = tokens(), np.random.RandomState(0)
    batches = identity_batches(np.asarray(X.token_ids, dtype=float)[:, None], token_weights(X, np.ones(len(X))))
    drawn = [s.X[:, 0].numpy().astype(int) for _ in range(300) for s in samples_of(batches, [10], rng)]
    share = np.bincount(np.concatenate(drawn))[np.unique(X.token_ids)] / 3000
    np.testing.assert_allclose(share, 0.1, atol=0.03)


def test_token_frequency_counts_rows_by_their_weight() -> None:
    X = ActivationArray(np.zeros((5, 2)), rows={"token_ids": [7, 7, 7, 3, 9]})
    got = token_weights(X, np.array([1.0, 2.0, 0.0, 5.0, 0.0]))
    np.testing.assert_allclose(got, np.array([1 / 3, 2 / 3, 0, 1, 0]) * 8 / 2)


@pytest.mark.parametrize("X", [overlapping(), ActivationArray(overlapping())])
def test_token_frequency_needs_token_ids(X: Any) -> None:
    with pytest.raises(ValueError, match=r"needs the token ids.*ActivationArray"):
        KMeansInitializer(3, sampling="token_frequency").fit(X)


# Cosine -------------------------------------------------------------------------------------------------------------


def spherical_k_means(X: np.ndarray, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Directions and labels that spherical k-means ends with, written out."""
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    labels = np.full(len(X), -1)
    while True:
        previous, labels = labels, (unit @ centers.T).argmax(1)
        if (previous == labels).all():
            return centers, labels
        sums = np.stack([unit[labels == k].sum(0) for k in range(len(centers))])
        centers = sums / np.linalg.norm(sums, axis=1, keepdims=True)


def test_cosine_is_spherical_k_means() -> None:
    X = overlapping(800, 4) * np.random.default_rng(1).lognormal(size=(800, 1))
    kmeans = KMeansInitializer(6, metric="cosine", tol=0, random_state=0).fit(X)
    centers = kmeans.cluster_centers_
    lengths = np.linalg.norm(centers, axis=1)
    np.testing.assert_allclose(lengths, np.sqrt((X**2).sum(1).mean()), rtol=1e-10)
    directions, labels = spherical_k_means(X, centers / lengths[:, None])
    np.testing.assert_allclose(centers / lengths[:, None], directions, rtol=1e-9)
    np.testing.assert_array_equal(kmeans.labels_, labels)
    np.testing.assert_array_equal(kmeans.predict(X), labels)
    assert kmeans.inertia_ == pytest.approx(cosine_distances(X, centers).min(1).sum(), rel=1e-9)
    assert kmeans.score(X) == pytest.approx(-kmeans.inertia_, rel=1e-9)
    # The nearest center is the most similar one, so that a mixture starts from the same clusters.
    np.testing.assert_array_equal(brute_force(X, centers)[0], labels)


def test_cosine_finds_directions_whatever_the_lengths() -> None:
    rng = np.random.default_rng(0)
    directions = np.eye(4)[rng.integers(0, 4, 400)] + 0.1 * rng.standard_normal((400, 4))
    X = directions * 10 ** rng.uniform(-30, 5, (400, 1))
    want = KMeansInitializer(4, metric="cosine", random_state=0, n_init=3).fit(directions)
    got = KMeansInitializer(4, metric="cosine", random_state=0, n_init=3, dtype="float32").fit(X)
    assert adjusted_rand_score(got.labels_, directions.argmax(1)) == 1
    assert got.inertia_ == pytest.approx(want.inertia_, rel=1e-4)


def test_cosine_refuses_rows_without_direction() -> None:
    X = overlapping(50)
    X[31] = 0
    with pytest.raises(ValueError, match="row 31 of X is all zeros"):
        KMeansInitializer(3, metric="cosine", batch_size=10).fit(X)


# Hard cases ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-30, 1e30])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_units_do_not_matter(scale: float, metric: str) -> None:
    X = overlapping(300, dtype="float32")
    options: dict[str, Any] = {"metric": metric, "random_state": 0}
    want, got = (KMeansInitializer(5, **options).fit(rows) for rows in (X, X * np.float32(scale)))
    np.testing.assert_allclose(got.cluster_centers_, want.cluster_centers_ * scale, rtol=1e-4)
    np.testing.assert_array_equal(got.labels_, want.labels_)
    assert got.inertia_ == pytest.approx(want.inertia_ * (scale**2 if metric == "euclidean" else 1), rel=1e-4)


def test_single_precision_stands_a_mean_far_off() -> None:
    X, y = make_blobs(500, 6, centers=5, cluster_std=0.2, center_box=(-3, 3), random_state=0)
    far = (X + 1e4).astype("float32")
    kmeans = KMeansInitializer(5, n_init=3, random_state=0).fit(far)
    assert adjusted_rand_score(kmeans.labels_, y) == 1
    assert kmeans.inertia_ == pytest.approx(brute_force(far, kmeans.cluster_centers_)[1].sum(), rel=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_clusters": 41}, "n_samples=40 should be >= n_clusters=41"),
        ({"n_clusters": 9, "pool_size": 5}, "pool_size=5 should be >= n_clusters=9"),
        ({"n_clusters": 0}, "'n_clusters' parameter"),
        ({"metric": "manhattan"}, "'metric' parameter"),
        ({"sampling": "frequency"}, "'sampling' parameter"),
        ({"projection": 0}, "'projection' parameter"),
        ({"device": "gpu"}, "device='gpu'"),
    ],
)
def test_wrong_parameters(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KMeansInitializer(**options).fit(overlapping(40))


def test_predict_wants_a_fit_and_the_same_width() -> None:
    with pytest.raises(NotFittedError):
        KMeansInitializer(3).predict(overlapping())
    with pytest.raises(ValueError, match="4 features"):
        KMeansInitializer(3).fit(overlapping()).predict(overlapping(n_features=4))


# As part of something -----------------------------------------------------------------------------------------------


def activations() -> ActivationArray:
    X = overlapping(300)
    return ActivationArray(X, rows={"token_ids": np.arange(300)}, shared={"source": {"layer": 4}})


@pytest.mark.parametrize("method", ["fit_transform", "transform"])
def test_transform_hands_rows_and_facts_on_with_the_centers(method: str) -> None:
    X = activations()
    kmeans = KMeansInitializer(4, random_state=0).fit(X)
    got = getattr(kmeans, method)(X)
    assert isinstance(got, ActivationArray)
    assert np.shares_memory(got, X)
    np.testing.assert_array_equal(got, X)
    np.testing.assert_array_equal(got.token_ids, X.token_ids)
    assert got.source == {"layer": 4}
    np.testing.assert_array_equal(shared_fact(got, "cluster_centers"), kmeans.cluster_centers_)
    assert shared_fact(X, "cluster_centers") is None


@pytest.mark.parametrize("kind", ["array", "memory map", "tensor", "store", "frame", "lists"])
def test_transform_of_other_containers(kind: str, tmp_path: Path) -> None:
    X = overlapping(dtype="float32" if kind != "lists" else "float64")
    kmeans = KMeansInitializer(4, random_state=0).fit(X)
    got = kmeans.transform(containers(X, tmp_path)[kind])
    assert got.dtype == X.dtype
    np.testing.assert_array_equal(got, X)
    np.testing.assert_array_equal(shared_fact(got, "cluster_centers"), kmeans.cluster_centers_)


def test_set_output_gives_a_frame_with_the_names_that_came_in() -> None:
    import pandas as pd

    X = pd.DataFrame(overlapping(50), columns=list("abcde"), index=range(100, 150))
    kmeans = KMeansInitializer(3, random_state=0).set_output(transform="pandas")
    pd.testing.assert_frame_equal(kmeans.fit_transform(X), X)
    assert kmeans.get_feature_names_out().tolist() == list("abcde")
    assert kmeans.feature_names_in_.tolist() == list("abcde")


def pipeline(memory: Any = None) -> Pipeline:
    steps = [("init", KMeansInitializer(4, random_state=0)), ("mfa", MFA(n_factors=1, max_iter=3, tol=0))]
    return Pipeline(steps, memory=memory)


def test_a_mixture_starts_from_the_centers_of_the_step_before() -> None:
    X = overlapping()
    pipe = pipeline().fit(X)
    start = MFA(n_factors=1, max_iter=3, tol=0, init=pipe["init"].cluster_centers_).fit(X)
    assert pipe["mfa"].n_components_ == 4
    np.testing.assert_allclose(pipe["mfa"].means_, start.means_)


def test_a_mixture_fits_its_own_initializer() -> None:
    X = overlapping()
    nested = MFA(n_factors=1, max_iter=3, tol=0, init=KMeansInitializer(4, random_state=0)).fit(X)
    np.testing.assert_allclose(nested.means_, pipeline().fit(X)["mfa"].means_)
    asked = MFA(4, n_factors=1, max_iter=3, tol=0, init=KMeansInitializer(random_state=0)).fit(X)
    np.testing.assert_allclose(asked.means_, nested.means_)


def test_without_a_number_of_clusters_there_are_eight() -> None:
    assert KMeansInitializer().fit(overlapping()).cluster_centers_.shape == (8, 5)


def test_a_cached_pipeline_hands_the_centers_on(tmp_path: Path) -> None:
    X = overlapping()
    want = pipeline().fit(X)
    for _ in range(2):
        got = clone(pipeline(memory=str(tmp_path))).fit(X)
        np.testing.assert_allclose(got["mfa"].means_, want["mfa"].means_)


def test_opens_in_a_fresh_process(tmp_path: Path) -> None:
    X = overlapping()
    kmeans = KMeansInitializer(4, random_state=0).fit(X)
    joblib.dump(kmeans, tmp_path / "kmeans.joblib")
    np.save(tmp_path / "X.npy", X)
    code = "import joblib, numpy; print(joblib.load('kmeans.joblib').predict(numpy.load('X.npy')).tolist())"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(kmeans.labels_.tolist())


def test_verbose_tells_of_each_stage_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    kmeans = KMeansInitializer(4, pool_size=100, random_state=0, verbose=1).fit(overlapping(500))
    said = capsys.readouterr()
    lines = [line.split(" ", 1)[1] for line in said.err.splitlines()]
    assert said.out == "" and len(lines) == 6  # the first and the last of three stages
    assert [line.partition(" rows: ")[0] for line in lines[::2]] == [f"k-means on {n}" for n in (100, 200, 500)]
    assert lines[4] == "k-means on 500 rows: 0 of at most 2,000 rows"
    assert lines[5].endswith(f"inertia {kmeans.inertia_:.6g}") and "step " in lines[5]
    assert "seeds" not in lines[1] and lines[1].startswith("k-means on 100 rows: ")
    KMeansInitializer(4).fit(overlapping())
    assert capsys.readouterr() == ("", "")


@pytest.mark.cuda
def test_cuda_gives_what_the_processor_gives() -> None:
    X = overlapping(2000, dtype="float32")
    cpu, cuda = (KMeansInitializer(6, random_state=0, device=d, dtype="float64").fit(X) for d in ("cpu", "cuda"))
    np.testing.assert_allclose(cuda.cluster_centers_, cpu.cluster_centers_, rtol=1e-8)
    np.testing.assert_array_equal(cuda.labels_, cpu.labels_)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_of_weight_zero_do_not_matter_and_have_labels(dtype, metric) -> None:
    X = overlapping(dtype=dtype)
    counts = np.arange(len(X)) % 5 > 0
    X[~counts] *= np.sqrt(np.finfo(dtype).max)
    arguments = {"n_clusters": 6, "metric": metric, "random_state": 0}
    weighted = KMeansInitializer(**arguments).fit(X, sample_weight=3.0 * counts)
    alone = KMeansInitializer(**arguments).fit(X[counts])
    np.testing.assert_array_equal(weighted.cluster_centers_, alone.cluster_centers_)
    np.testing.assert_array_equal(weighted.labels_[counts], alone.labels_)
    np.testing.assert_array_equal(weighted.labels_, weighted.predict(X))
    assert weighted.inertia_ == pytest.approx(3 * alone.inertia_)
    assert weighted.score(X, sample_weight=3.0 * counts) == pytest.approx(-weighted.inertia_, rel=1e-6)


@pytest.mark.parametrize("factor", [1e-300, 1e-30, 1e38, 1e290])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_common_factor_of_all_weights_scales_the_inertia_only(dtype, factor) -> None:
    X, weights = overlapping(dtype=dtype), np.random.default_rng(0).uniform(0.2, 1, 600)
    one, other = (KMeansInitializer(6, random_state=0).fit(X, sample_weight=w) for w in (weights, weights * factor))
    np.testing.assert_allclose(other.cluster_centers_, one.cluster_centers_, rtol=1e-5)
    assert other.inertia_ / factor == pytest.approx(one.inertia_, rel=1e-6)


def test_rows_that_are_not_finite_are_named_by_their_place_among_all() -> None:
    X, weights = overlapping(), np.ones(600)
    X[37, 2], weights[:20] = np.nan, 0
    with pytest.raises(ValueError, match=r"NaN \(first at row 37"):
        KMeansInitializer(3).fit(X, sample_weight=weights)


def test_bfloat16_rows_are_handed_on_in_single_precision() -> None:
    rows = torch.from_numpy(overlapping()).to(torch.bfloat16).requires_grad_()
    handed_on = KMeansInitializer(3, random_state=0).fit_transform(rows)
    assert handed_on.dtype == np.float32
    np.testing.assert_array_equal(handed_on, rows.detach().float().numpy())
