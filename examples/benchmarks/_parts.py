"""Parts of the work: the machine, matrix products and densities, k-means, interpretation."""

from __future__ import annotations

import heapq
import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from _data import mixture_on, token_strings, train_rows
from _items import Setting
from _measure import measured
from sklearn.cluster import KMeans, MiniBatchKMeans
from threadpoolctl import threadpool_info

import mfa_sklearn
from mfa_sklearn import MFA, KMeansInitializer, top_tokens

_PRODUCT_ROWS = 4096
_PRODUCTS = 15


def machine(setting: Setting) -> dict[str, Any]:
    """What figures depend on besides the code."""
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if "model name" in line] if info.exists() else []
    pools = [{key: pool.get(key) for key in ("internal_api", "version", "num_threads")} for pool in threadpool_info()]
    rates = {str(n): product_rate(n, setting) / 1e9 for n in (384, 768)}
    return {
        "cpu": names[0].split(":", 1)[1].strip() if names else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "torch_threads": torch.get_num_threads(),
        "thread_pools": pools,
        "versions": {m.__name__: m.__version__ for m in (mfa_sklearn, torch, np, sklearn)},
        "matrix_gflops": rates,
    }


def product_shape(n_features: int, setting: Setting) -> tuple[int, int, int]:
    """Rows, features, columns of the product that a density of all components comes down to."""
    return _PRODUCT_ROWS, n_features, setting.sizes.gemm_components * (setting.sizes.factors + 1)


def product_rate(n_features: int, setting: Setting) -> float:
    """Floating point operations per second of one float32 matrix product."""
    n, d, m = product_shape(n_features, setting)
    a, b, out = torch.randn(n, d), torch.randn(d, m), torch.empty(n, m)
    seconds = []
    for _ in range(_PRODUCTS):
        begun = time.perf_counter()
        torch.mm(a, b, out=out)
        seconds.append(time.perf_counter() - begun)
    return 2.0 * n * d * m / float(np.median(seconds))


def _density_flops(n_features: int, setting: Setting) -> float:
    return 2.0 * setting.sizes.gemm_rows * n_features * product_shape(n_features, setting)[2]


def matrix_product(setting: Setting, n_features: int) -> dict[str, Any]:
    """The operations of `score_samples` as one plain matrix product after another."""
    rate, figures = measured(lambda: product_rate(n_features, setting))
    return figures | {"seconds": _density_flops(n_features, setting) / rate, "gflops": rate / 1e9}


def score_samples(setting: Setting, n_features: int) -> dict[str, Any]:
    """Exact log densities; the matrix rate is taken before and after, in the same process."""
    sizes = setting.sizes
    X = np.random.default_rng(setting.seed).standard_normal((sizes.gemm_rows, n_features), dtype=np.float32)
    mfa = mixture_on(X, sizes.gemm_components, sizes.factors, setting.seed)
    mfa.score_samples(X[:1000])  # warm up
    before = product_rate(n_features, setting)
    _, figures = measured(lambda: mfa.score_samples(X))
    matrix = (before + product_rate(n_features, setting)) / 2
    rate = _density_flops(n_features, setting) / figures["seconds"]
    return figures | {"gflops": rate / 1e9, "percent_of_matrix_rate": 100 * rate / matrix}


def inertia_per_row(X: np.ndarray, centers: np.ndarray) -> float:
    """Mean squared distance to the nearest center, in double precision."""
    c = torch.as_tensor(centers, dtype=torch.float64)
    nearest = [torch.cdist(some.double(), c).amin(1).square() for some in torch.from_numpy(X).split(2048)]
    return float(torch.cat(nearest).mean())


def _kmeans(setting: Setting, estimator: Any) -> dict[str, Any]:
    X = train_rows(setting, setting.sizes.kmeans_rows)
    estimator.set_params(n_clusters=setting.sizes.kmeans_clusters, random_state=setting.seed)
    _, figures = measured(lambda: estimator.fit(X))
    return figures | {"inertia_per_row": inertia_per_row(X, estimator.cluster_centers_)}


def kmeans_ours(setting: Setting) -> dict[str, Any]:
    """KMeansInitializer, its defaults."""
    return _kmeans(setting, KMeansInitializer())


def kmeans_sklearn(setting: Setting) -> dict[str, Any]:
    """Lloyd's algorithm from one seeding."""
    return _kmeans(setting, KMeans(max_iter=50, n_init=1))


def kmeans_minibatch(setting: Setting) -> dict[str, Any]:
    """scikit-learn's fast k-means."""
    return _kmeans(setting, MiniBatchKMeans(batch_size=4096))


def kmeans_super(setting: Setting, thorough: bool) -> dict[str, Any]:
    """Lloyd's algorithm from random rows, pruning dimensions: on all rows, or on the sample that is its default."""
    from superkmeans import SuperKMeans

    X = train_rows(setting, setting.sizes.kmeans_rows)
    options: dict[str, Any] = {"n_threads": torch.get_num_threads(), "seed": setting.seed}
    if thorough:
        options |= {"iters": 25, "hierarchical": False, "sampling_fraction": 1.0, "max_points_per_cluster": len(X)}
    estimator = SuperKMeans(setting.sizes.kmeans_clusters, X.shape[1], **options)
    centers, figures = measured(lambda: estimator.train(X))
    return figures | {"inertia_per_row": inertia_per_row(X, centers)}


def _tokens_problem(setting: Setting) -> tuple[MFA, np.ndarray, np.ndarray]:
    sizes = setting.sizes
    X = train_rows(setting, sizes.large_rows)
    mfa = MFA(sizes.large_components, sizes.factors, random_state=setting.seed)
    fitted, _ = measured(lambda: mfa.fit(X))
    tokens = token_strings(setting, len(X))
    top_tokens(fitted, X[:1000], tokens=tokens[:1000], aggregate="occurrence", context=0)  # warm up
    return fitted, X, tokens


def tokens_ours(setting: Setting) -> dict[str, Any]:
    """All rows in one pass."""
    mfa, X, tokens = _tokens_problem(setting)
    table, figures = measured(lambda: top_tokens(mfa, X, tokens=tokens, aggregate="occurrence", context=0))
    return figures | {"lines": len(table)}


def tokens_loop(setting: Setting) -> dict[str, Any]:
    """A loop over rows and components, timed on some rows and scaled to all."""
    mfa, X, tokens = _tokens_problem(setting)
    some = setting.sizes.loop_rows
    lists, figures = measured(lambda: loop_top_tokens(mfa, X[:some], tokens[:some]))
    lines = sum(len(tokens_of) for tokens_of in lists)
    return figures | {"seconds": figures["seconds"] * len(X) / some, "rows_timed": some, "lines": lines}


def loop_top_tokens(mfa: MFA, X: np.ndarray, tokens: np.ndarray, n_tokens: int = 10) -> list[list[tuple[float, str]]]:
    """The highest posteriors of each component and their tokens, one number after the other."""
    posterior = torch.from_numpy(mfa.predict_proba(X))
    best: list[list[tuple[float, str]]] = [[] for _ in mfa.weights_]
    for i, token in enumerate(tokens):
        for k, found in enumerate(best):
            entry = (posterior[i, k].item(), str(token))
            if len(found) < n_tokens:
                heapq.heappush(found, entry)
            elif entry > found[0]:
                heapq.heapreplace(found, entry)
    return [sorted(found, reverse=True) for found in best]
