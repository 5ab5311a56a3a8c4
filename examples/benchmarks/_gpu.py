"""Fits and k-means of a large, wide table on an accelerator.

Rows are drawn from a mixture of factor analyzers whose components overlap: they need no language model, and a machine
that is lent for minutes need not run one first. Kernels are loaded by a small fit before anything is timed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from _fits import TimedMFA
from _items import Setting
from _measure import measured, nll
from _parts import inertia_per_row

from mfa_sklearn import KMeansInitializer, datasets

_FLASH_ITERATIONS = 25


def gpu_rows(setting: Setting) -> tuple[np.ndarray, np.ndarray]:
    """Rows to fit and rows held out, float32, made once and kept in `setting.out`."""
    sizes = setting.sizes
    n_rows = sizes.large_rows + sizes.held_out
    shape = (n_rows, sizes.gpu_features, sizes.large_components, sizes.factors)
    path = Path(setting.out) / ("gpu-rows-" + "x".join(map(str, shape)) + ".npy")
    if not path.exists():
        X, _ = datasets.make_mfa(*shape, separation=1.0, random_state=0)
        np.save(path, X[np.random.default_rng(0).permutation(n_rows)].astype(np.float32))
    rows = np.load(path)
    return rows[: sizes.large_rows], rows[sizes.large_rows :]


def fit(setting: Setting, device: str, solver: str = "em") -> dict[str, Any]:
    """MFA with its defaults, its k-means included; `device` is the one that is measured, or another by name."""
    X, held_out = gpu_rows(setting)
    where = setting.device if device == "measured" else device
    sizes = setting.sizes
    settings: dict[str, Any] = {"solver": solver, "random_state": setting.seed, "device": where}
    measured(lambda: TimedMFA(2, 1, max_iter=2, **settings).fit(X[:200]))
    mfa = TimedMFA(sizes.large_components, sizes.factors, init="kmeans", **settings)
    _, figures = _on_device(where, lambda: mfa.fit(X))
    return figures | nll(mfa, X, held_out) | mfa.progress()


def predictions(setting: Setting, device: str) -> dict[str, Any]:
    """Exact log densities of all rows under a mixture that was fitted for two iterations."""
    X, _ = gpu_rows(setting)
    where = setting.device if device == "measured" else device
    sizes = setting.sizes
    kmeans = KMeansInitializer(pool_size=max(20_000, sizes.large_components), max_iter=3, refine_iter=0, device=where)
    mfa = TimedMFA(sizes.large_components, sizes.factors, init=kmeans, max_iter=2, annealing=1, device=where)
    fitted, _ = measured(lambda: mfa.set_params(random_state=setting.seed).fit(X))
    fitted.score_samples(X[:1000])  # warm up
    _, figures = _on_device(where, lambda: fitted.score_samples(X))
    return figures | {"rows_per_second": len(X) / figures["seconds"]}


def kmeans_ours(setting: Setting) -> dict[str, Any]:
    """KMeansInitializer, its defaults, from rows in the processor's memory."""
    X, _ = gpu_rows(setting)
    settings: dict[str, Any] = {"random_state": setting.seed, "device": setting.device}
    measured(lambda: KMeansInitializer(2, **settings).fit(X[:200]))
    kmeans = KMeansInitializer(setting.sizes.large_components, **settings)
    _, figures = _on_device(setting.device, lambda: kmeans.fit(X))
    return figures | {"iterations": kmeans.n_iter_, "inertia_per_row": inertia_per_row(X, kmeans.cluster_centers_)}


def kmeans_flash(setting: Setting) -> dict[str, Any]:
    """flash-kmeans: Lloyd's algorithm from random rows, in kernels of its own; copying the rows there is timed, too."""
    from flash_kmeans import FlashKMeans

    X, _ = gpu_rows(setting)
    rows, place = torch.from_numpy(X), torch.device(setting.device)
    settings = {"niter": _FLASH_ITERATIONS, "seed": setting.seed, "device": place}

    def trained(some: torch.Tensor, n_clusters: int) -> np.ndarray:
        model = FlashKMeans(d=some.shape[1], k=n_clusters, **settings)
        model.train(some.to(place))
        return model.centroids_b[0].cpu().numpy()

    measured(lambda: trained(rows[: max(1000, len(rows) // 10)], setting.sizes.large_components))
    centers, figures = _on_device(setting.device, lambda: trained(rows, setting.sizes.large_components))
    return figures | {"iterations": _FLASH_ITERATIONS, "inertia_per_row": inertia_per_row(X, centers)}


def _on_device(device: str, work: Any) -> tuple[Any, dict[str, Any]]:
    """As `measured`, with the most memory of the accelerator that was taken."""
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    result, figures = measured(work)
    return result, figures | ({"gpu_mib": torch.cuda.max_memory_allocated(device) / 2**20} if on_gpu else {})
