"""How do fits scale over processes? Seconds and bytes of an iteration by 1, 2, ... of one thread, and a projection.

    python examples/benchmarks/distributed.py [--rows rows.npy] [--components 500] [--factors 6] [--processes 1 2]

All processes run on this machine, so there should be no fewer cores than processes, and nothing else to do. Rows that
are no file are drawn from a known mixture. Each number of processes fits the same rows from the same centers, by exact
EM (every row compared with every component) and as the library does it by itself; the rows are shared out evenly. What
the machine would allow is told beside: as many processes, each of which fits its share and tells nobody.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from mfa_sklearn import MFA, KMeansInitializer, datasets
from mfa_sklearn.mixture._em import passes
from mfa_sklearn.mixture._em.solver import EMSolver
from mfa_sklearn.mixture._em.statistics import Statistics, m_step
from mfa_sklearn.mixture._model.params import MFAParams, Structure

# What the projection takes for granted: of a common server with eight GPUs of one kind (H100 SXM), and its network.
FLOPS = 300e12  # of products that may round to ten bits, as far as matrices of this size reach the card's peak
HBM = 3.35e12  # bytes a second
NETWORK = {8: 300e9, 64: 50e9}  # bytes a second and GPU, as a ring uses them: inside a server, between servers
STORAGE = 2e9  # bytes a second and GPU that rows are read with, where they do not fit the cards
TOUCHED = 8  # how often the M-step reads or writes each number of the statistics


def numbers_in_statistics(K: int, D: int, q: int) -> int:
    """What is summed in an iteration: mass, residual, score, cross, scatter, square, log-likelihood, weight."""
    return K * (1 + D + q + D * q + q * q + D) + 2


def bytes_of_ring(size: int, numbers: int, itemsize: int = 8) -> float:
    """What each process sends to sum so many numbers: once around to sum, and once to tell."""
    return 2 * (size - 1) / size * numbers * itemsize


@contextmanager
def watched(exact: bool) -> Iterator[list[tuple[float, int]]]:
    """Inside the block: the seconds of each EM step, and the bytes sent until its end."""
    seen: list[tuple[float, int]] = []
    step, pays = EMSolver.step, passes.pays

    def timed(self: EMSolver) -> Any:
        begun = time.perf_counter()
        result = step(self)
        seen.append((time.perf_counter() - begun, getattr(self._group, "bytes_sent", 0)))
        return result

    EMSolver.step = timed  # type: ignore[method-assign]
    passes.pays = (lambda n_components: False) if exact else pays
    try:
        yield seen
    finally:
        EMSolver.step, passes.pays = step, pays  # type: ignore[method-assign]


def member(arguments: argparse.Namespace) -> None:
    """One process of a group: fits its share, and writes what it took."""
    torch.set_num_threads(1)
    rank, size, folder = arguments.rank, arguments.size, Path(arguments.folder)
    dist.init_process_group("gloo", store=dist.FileStore(str(folder / "store"), size), rank=rank, world_size=size)
    X = np.load(folder / "rows.npy", mmap_mode="r")
    mine = X[len(X) * rank // size : len(X) * (rank + 1) // size]
    kmeans = KMeansInitializer(arguments.components, random_state=0, distributed=True)
    begun = time.perf_counter()
    centers = kmeans.fit(mine).cluster_centers_
    found: dict[str, Any] = {"k-means": time.perf_counter() - begun}
    for name in ("exact", "library", "apart"):
        dist.barrier()
        found[name] = fitted(arguments, mine, centers, exact=name == "exact", distributed=name != "apart")
    if not rank:
        (folder / "found.json").write_text(json.dumps(found))
    dist.destroy_process_group()


def fitted(
    arguments: argparse.Namespace, rows: np.ndarray, centers: np.ndarray, exact: bool, distributed: bool
) -> dict[str, Any]:
    """Seconds and bytes of the steps of one fit, and its result."""
    mfa = MFA(
        n_factors=arguments.factors,
        noise="component",
        init=centers,
        max_iter=arguments.iterations,
        tol=0,
        random_state=0,
        distributed=distributed,
    )
    with warnings.catch_warnings(), watched(exact) as seen:
        warnings.simplefilter("ignore")
        mfa.fit(rows)
    # The first step may do what later ones need not.
    seconds = float(np.mean([own for own, _ in seen[1:]]))
    sent = (seen[-1][1] - seen[0][1]) / (len(seen) - 1)
    return {"seconds": seconds, "bytes": sent, "bounds": mfa.lower_bounds_, "n_iter": mfa.n_iter_}


def world(arguments: argparse.Namespace, X: np.ndarray, size: int) -> dict[str, Any]:
    """What a group of so many processes took."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "rows.npy", X)
        asked = [f"--{name}={getattr(arguments, name)}" for name in ("components", "factors", "iterations")]
        own = [sys.executable, __file__, *asked, f"--folder={folder}", f"--size={size}"]
        members = [subprocess.Popen([*own, f"--rank={rank}"]) for rank in range(size)]
        if any([process.wait() for process in members]):
            raise SystemExit(f"a group of {size} processes failed")
        return json.loads((Path(folder) / "found.json").read_text())


def projection(n: float, K: int, D: int, q: int, size: int, ratio: float) -> dict[str, float]:
    """Seconds of the parts of an exact iteration."""
    numbers = numbers_in_statistics(K, D, q)
    return {
        "products": 2 * n * D * K * (q + 1) / (size * FLOPS),
        "reading": 2 * n * D / (size * STORAGE),
        "sums": ratio * bytes_of_ring(size, numbers) / NETWORK[size],
        "M-step, replicated": TOUCHED * 8 * numbers / HBM,
        "M-step, shared": TOUCHED * 8 * numbers / HBM / size,
    }


def m_step_seconds(K: int, D: int, q: int) -> float:
    """Of an M-step on this processor, with one thread."""

    def random(*shape: int) -> torch.Tensor:
        return torch.rand(shape, dtype=torch.float64) + 0.1

    params = MFAParams(random(K), random(K, D), random(K, D, q), random(K, D))
    eye = torch.eye(q, dtype=torch.float64).expand(K, q, q)
    moments = random(K, D), random(K, q), random(K, D, q), eye + 0.01, 100 + random(K, D)
    statistics = Statistics(100 * random(K), *moments, random(), torch.tensor(1e3 * K, dtype=torch.float64))
    begun = time.perf_counter()
    m_step(params, statistics, Structure(shared_noise=False), 1e-6)
    return time.perf_counter() - begun


def show_projection(ratio: float, q: int) -> None:
    """A hundred million rows on 8 and 64 GPUs, part by part."""
    n, K, D = 1e8, 32_000, 4096
    print(f"\nProjection: {n:.0e} rows in half precision, K = {K:,}, D = {D:,}, q = {q}; an exact iteration")
    for line in (
        f"[assumed] products that may round, at {FLOPS / 1e12:.0f} Tflop/s",
        f"[assumed] rows read at {STORAGE / 1e9:.0f} GB/s a GPU, while others are worked on",
        f"[assumed] an M-step that touches each statistic {TOUCHED} times, at {HBM / 1e12:.2f} TB/s",
        f"[assumed] a ring of {NETWORK[8] / 1e9:.0f} GB/s inside a server, of {NETWORK[64] / 1e9:.0f} between servers",
        f"[measured] bytes sent, in terms of the ring's formula: {ratio:.3f}",
    ):
        print(f"  {line}")
    for size in NETWORK:
        parts = projection(n, K, D, q, size, ratio)
        total = max(parts["products"], parts["reading"]) + parts["sums"] + parts["M-step, replicated"]
        print(f"  {size:3} GPUs: {total:7.1f} s  =  the larger of products and reading, and the rest:")
        print("    " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in parts.items()))


def parsed(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", help="a .npy file; by default rows are drawn")
    parser.add_argument("--drawn", type=int, nargs=2, default=(20_000, 64), metavar=("ROWS", "COLUMNS"))
    parser.add_argument("--components", type=int, default=100)
    parser.add_argument("--factors", type=int, default=6)
    parser.add_argument("--iterations", type=int, default=9)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    for own in ("--rank", "--size"):
        parser.add_argument(own, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    return parser.parse_args(given)


def main(given: list[str] | None = None) -> None:
    arguments = parsed(given)
    if arguments.folder:
        member(arguments)
        return
    n, D = arguments.drawn
    K, q = arguments.components, arguments.factors
    X = np.load(arguments.rows, mmap_mode="r") if arguments.rows else datasets.make_mfa(n, D, K, q, random_state=0)[0]
    n, D = X.shape
    print(f"{n:,} rows of {D} columns ({X.dtype}), K = {K}, q = {q}, one thread a process")
    groups = {size: world(arguments, X, size) for size in arguments.processes}
    ratio = 1.0
    for name in ("exact", "library"):
        alone = groups[arguments.processes[0]][name]
        for size, found in groups.items():
            fit, formula = found[name], bytes_of_ring(size, numbers_in_statistics(K, D, q))
            apart = np.abs(np.subtract(fit["bounds"], alone["bounds"])).max()
            faster = alone["seconds"] / fit["seconds"]
            print(f"  {name:8} {size} processes: {fit['seconds']:.4f} s an iteration, {faster:.2f} times as fast")
            print(
                f"    {fit['bytes'] / 1e6:.2f} MB sent an iteration (the sums by formula {formula / 1e6:.2f});", end=" "
            )
            print(f"{fit['n_iter']} iterations, bounds apart by {apart:.1e} nats; k-means {found['k-means']:.2f} s")
            ratio = fit["bytes"] / formula if size > 1 and name == "exact" else ratio
    for size, found in groups.items():
        seconds = found["apart"]["seconds"]
        print(f"  library  {size} that tell each other nothing: {seconds:.4f} s,", end=" ")
        print(f"{alone['seconds'] / seconds:.2f} times as fast as one, which no group can be")
    print(f"  [measured] M-step on this processor: {1e3 * m_step_seconds(K, D, q):.2f} ms")
    show_projection(ratio, 10)


if __name__ == "__main__":
    main()
