"""Centers of k-means in a file, with what the rows were that they were found on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from ... import __version__
from ..._base.files import reading, replacing
from ..._base.portable import portable_source
from .._kmeans_initializer import KMeansInitializer

FORMAT = "mfa-sklearn.centers"
FORMAT_VERSION = 1
SUFFIX = ".safetensors"
_CENTERS = "centers"


def write_centers(path: Path, kmeans: KMeansInitializer) -> None:
    """Write the centers (K, D) of a fitted k-means, in place of what is there."""
    facts = {
        "format_version": FORMAT_VERSION,
        "mfa-sklearn": __version__,
        "metric": kmeans.metric,
        "inertia": float(kmeans.inertia_),
        "source": None if kmeans.source_ is None else portable_source(kmeans.source_),
    }
    metadata = {"format": FORMAT, "facts": json.dumps(facts)}
    content = safetensors.numpy.save({_CENTERS: np.ascontiguousarray(kmeans.cluster_centers_)}, metadata)
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def read_centers(path: Path) -> KMeansInitializer:
    """What `MFA` takes for its `init`: centers of k-means that are found already.

    Parameters
    ----------
    path : Path
        A file that `write_centers` wrote, or a ``.npy`` file of a table (K, D).

    Raises
    ------
    ValueError
        If it is none.
    """
    with reading(path, "centers of k-means (a file that `kmeans` wrote, or a .npy file)"):
        centers, facts = _from_table(path) if path.suffix.lower() == ".npy" else _from_file(path)
        if centers.ndim != 2 or centers.dtype.kind not in "iuf" or not np.isfinite(centers).all():
            found = f"{centers.dtype} of shape {centers.shape}"
            raise ValueError(f"{str(path)!r} holds {found}: give finite numbers (K, D)")
    kmeans = KMeansInitializer(n_clusters=len(centers), metric=facts.get("metric", "euclidean"))
    kmeans.cluster_centers_ = centers.astype(np.float64)
    kmeans.n_features_in_ = centers.shape[1]
    kmeans.source_ = facts.get("source")
    return kmeans


def _from_table(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    return np.load(path, allow_pickle=False), {}


def _from_file(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    with safetensors.safe_open(path, "np") as file:
        metadata = file.metadata() or {}
        if metadata.get("format") != FORMAT:
            raise ValueError(
                f"{str(path)!r} is not of centers: its format is {metadata.get('format')!r}, expected {FORMAT!r}; give "
                "a file that `kmeans` wrote, a .npy file, or the folder of a mixture"
            )
        facts = json.loads(metadata["facts"])
        if facts["format_version"] > FORMAT_VERSION:
            raise ValueError(
                f"{str(path)!r} was written by mfa-sklearn {facts['mfa-sklearn']}, which is later than this one "
                f"({__version__}): upgrade mfa-sklearn"
            )
        return file.get_tensor(_CENTERS), facts
