"""What does acceleration buy? Iterations and seconds of plain and accelerated EM to equal likelihood, on wine.

    python examples/benchmarks/acceleration.py [--iterations 3000] [--short-of 0.005]

Raw wine, three components started from the true labels, noise per component. What plain EM has after `--iterations`
is the value; each solver is asked for it less `--short-of` nats (of the total log-likelihood).
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
from sklearn.datasets import load_wine

from mfa_sklearn import MFA


def fit(n_factors: int, n_iter: int, acceleration: bool) -> tuple[np.ndarray, float]:
    """Total log-likelihood of the parameters each iteration starts from, and after the last; seconds an iteration."""
    X, y = load_wine(return_X_y=True)
    mfa = MFA(3, n_factors, noise="component", init=y, tol=0, max_iter=n_iter, acceleration=acceleration)
    begun = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mfa.fit(X)
    return len(X) * np.array(mfa.lower_bounds_), (time.perf_counter() - begun) / n_iter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", type=int, default=3000)
    parser.add_argument("--short-of", type=float, default=0.005)
    arguments = parser.parse_args()

    for n_factors in (2, 3):
        plain = fit(n_factors, arguments.iterations, acceleration=False)
        accelerated = fit(n_factors, max(1, arguments.iterations // 10), acceleration=True)
        value = plain[0][-1]
        print(f"q = {n_factors}: plain EM has {value:.3f} after {arguments.iterations:,} iterations")
        for name, (totals, pace) in {"plain": plain, "accelerated": accelerated}.items():
            reached = np.flatnonzero(totals >= value - arguments.short_of)
            if len(reached):
                n_iter = int(reached[0])
                print(f"  {name:12} {n_iter:6,} iterations  {n_iter * pace:7.2f} s  ({1e3 * pace:.2f} ms each)")
            else:
                print(f"  {name:12} not reached in {len(totals) - 1:,} iterations: {totals.max():.3f}")


if __name__ == "__main__":
    main()
