"""Centers of k-means in a file: read back as they were, with their source; other files are refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from mfa_sklearn import MFA, KMeansInitializer
from mfa_sklearn._base.annotated import annotate
from mfa_sklearn.mixture._saving.centers import FORMAT, read_centers, write_centers

X = np.random.default_rng(0).normal(size=(60, 3)) + 5 * np.arange(60)[:, None] % 4
SOURCE = {"model": "some/model", "layer": 4, "site": "residual"}


@pytest.fixture(scope="module")
def kmeans() -> KMeansInitializer:
    return KMeansInitializer(4, random_state=0, metric="cosine").fit(annotate(X + 20, source=SOURCE))


def test_read_back(kmeans: KMeansInitializer, tmp_path: Path) -> None:
    write_centers(tmp_path / "c.safetensors", kmeans)
    found = read_centers(tmp_path / "c.safetensors")
    np.testing.assert_array_equal(found.cluster_centers_, kmeans.cluster_centers_)
    assert (found.n_clusters, found.metric, found.source_, found.n_features_in_) == (4, "cosine", SOURCE, 3)


def test_a_mixture_starts_from_them_and_knows_where_they_are_from(kmeans: KMeansInitializer, tmp_path: Path) -> None:
    write_centers(tmp_path / "c.safetensors", kmeans)
    read = MFA(n_factors=1, max_iter=0, init=read_centers(tmp_path / "c.safetensors")).fit(X + 20)
    own = MFA(n_factors=1, max_iter=0, init=kmeans).fit(X + 20)
    np.testing.assert_array_equal(read.means_, own.means_)
    with pytest.warns(UserWarning, match="layer"):
        MFA(1, 1, max_iter=0, init=read_centers(tmp_path / "c.safetensors")).set_params(n_components=4).fit(
            annotate(X, source=SOURCE | {"layer": 5})
        )


def test_a_table_of_numpys(tmp_path: Path) -> None:
    np.save(tmp_path / "c.npy", np.arange(6).reshape(2, 3))
    found = read_centers(tmp_path / "c.npy")
    assert found.cluster_centers_.tolist() == [[0, 1, 2], [3, 4, 5]] and found.source_ is None


def other(path: Path, facts: Any = None, centers: Any = X, metadata: Any = None) -> None:
    told = {"format": FORMAT, "facts": json.dumps({"format_version": 1, "mfa-sklearn": "9.9"} | (facts or {}))}
    safetensors.numpy.save_file({"centers": np.asarray(centers)}, path, told if metadata is None else metadata)


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda path: path.write_bytes(b""), "cannot be read as centers of k-means"),
        (lambda path: path.write_bytes(b"{" * 99), "cannot be read as centers of k-means"),
        (lambda path: other(path, metadata={}), "is not of centers: its format is None"),
        (lambda path: other(path, metadata={"format": FORMAT}), "a file that `kmeans` wrote, or a .npy.*: KeyError"),
        (lambda path: other(path, {"format_version": 2}), "was written by mfa-sklearn 9.9, which is later"),
        (lambda path: other(path, centers=X[0]), r"float64 of shape \(3,\): give finite numbers"),
        (lambda path: other(path, centers=X * np.nan), "give finite numbers"),
    ],
)
def test_other_files_are_named(tmp_path: Path, made: Any, says: str) -> None:
    made(tmp_path / "c.safetensors")
    with pytest.raises(ValueError, match=says) as caught:
        read_centers(tmp_path / "c.safetensors")
    assert str(tmp_path / "c.safetensors") in str(caught.value)
