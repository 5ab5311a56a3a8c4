"""Fuzz: thousands of small fits of whatever can be asked for, counted by what came of them.

    python examples/benchmarks/fuzz.py --fits 2000 --seed 0
    python examples/benchmarks/fuzz.py --seed 0 --case 1234    # one of them, in words

A fit is sound if nothing learned is NaN or infinite, if it raised nothing but what is documented, and if what the
mixture then says of rows is what densities in more digits say at the same parameters (`_exact.py`): its predictions up
to ties, its probabilities, its scores. Ends with exit status 1 where a fit was neither sound nor refused in words.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np
import torch
from _cases import Case, draw
from _exact import log_joint

from mfa_sklearn import MFA

LEARNED = ("weights_", "means_", "loadings_", "noise_variance_", "lower_bound_", "lower_bounds_")
DOCUMENTED = (ValueError, FloatingPointError)
SOUND, REFUSED = "sound", "refused with a reason"
# Rows that are checked against the oracle, and cases named with each outcome.
ROWS, NAMED = 12, 8


def outcome(case: Case) -> str:
    """What came of a case; one line."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            fit(case)
        except DOCUMENTED as error:
            return REFUSED if explains(error) else f"no reason given: {type(error).__name__}: {error}"[:100]
        except Exception as error:
            return f"foreign exception in fit: {type(error).__name__}"
        wrong = not_finite(case.mfa) or unsound(case)
        if wrong:
            return wrong
        try:
            return against_oracle(case) or SOUND
        except Exception as error:
            return f"foreign exception after fit: {type(error).__name__}"


def fit(case: Case) -> None:
    """Fit the case's estimator in the case's way."""
    half = max(len(case.X) // 2, 1)
    if case.how == "stream":
        for part in (slice(None), slice(half), slice(half, None)):
            w = None if case.weights is None else case.weights[part]
            case.mfa.partial_fit(case.X[part], sample_weight=w)
        return
    case.mfa.fit(case.X, sample_weight=case.weights)
    if case.how == "warm":
        case.mfa.set_params(warm_start=True).fit(case.X, sample_weight=case.weights)


def explains(error: Exception) -> bool:
    """Whether a message is one of ours: of more than a few words, and not of a library under us."""
    return len(str(error).split()) > 5 and "linalg" not in str(error)


def not_finite(mfa: MFA) -> str | None:
    """Which of the learned attributes holds NaN or infinity."""
    for name in LEARNED:
        if not np.isfinite(np.asarray(getattr(mfa, name), dtype=float)).all():
            return f"not finite: {name}"
    return None


def unsound(case: Case) -> str | None:
    """What of the parameters is no mixture's, or longer than any direction of the rows."""
    mfa = case.mfa
    if abs(mfa.weights_.sum() - 1) > 1e-6 or (mfa.weights_ < 0).any():
        return "weights_ do not sum to one"
    if not (mfa.noise_variance_ > 0).all():
        return "noise_variance_ is not positive"
    span = np.nanmax(case.X.astype(float), 0) - np.nanmin(case.X.astype(float), 0)
    # Of rows that miss values nothing need be spanned in a direction.
    if mfa.solver == "em" and mfa.n_iter_ > 2 and not np.isnan(case.X).any():
        longest = np.abs(mfa.loadings_).max((0, 2), initial=0)
        if (longest > 30 * np.where(span > 0, span, np.inf)).any():
            return "loadings_ are far longer than the rows are apart"
    return None


def against_oracle(case: Case) -> str | None:
    """Where predictions, probabilities or scores are not those of the parameters."""
    X = case.X[:: -(-len(case.X) // ROWS)]
    joint, distance = log_joint(case.mfa, X)
    top = joint.max(1)
    log_prob = top + np.log(np.exp(joint - top[:, None]).sum(1))
    allowed = tolerance(case, distance[np.arange(len(X)), joint.argmax(1)], log_prob)
    predicted = case.mfa.predict(X)
    if (joint[np.arange(len(X)), predicted] < top - 2 * allowed).any():
        return "predict: a component that is worse"
    if not (np.abs(case.mfa.score_samples(X) - log_prob) <= allowed).all():
        return "score_samples: off"
    posterior = np.exp(joint - log_prob[:, None])
    if not (np.abs(case.mfa.predict_proba(X) - posterior) <= 1e-5 + 2 * allowed[:, None]).all():
        return "predict_proba: off"
    if not all(np.isfinite(values).all() for values in (case.mfa.posterior_mean(X), case.mfa.reconstruct(X))):
        return "not finite: what transforms give"
    return None


def tolerance(case: Case, distance: np.ndarray, log_prob: np.ndarray) -> np.ndarray:
    """How far off (n,) a log density may be: digits of the result, and of the distance that rows can be told at."""
    single = case.mfa.dtype == "float32" or (case.mfa.dtype == "auto" and case.X.dtype == np.float32)
    eps = np.finfo(np.float32 if single else np.float64).eps
    size = np.maximum(np.abs(log_prob), distance).astype(float)
    return (1e-2 if single else 1e-6) + 1e4 * eps * size


def run(seed: int, numbers: range, show: Callable[[str], None]) -> dict[str, list[int]]:
    """The numbers of the cases by outcome."""
    found: dict[str, list[int]] = defaultdict(list)
    start = time.monotonic()
    for done, number in enumerate(numbers, 1):
        found[outcome(draw(seed, number))].append(number)
        if done % 500 == 0:
            show(f"{done} fits, {time.monotonic() - start:.0f} s")
    return dict(found)


def table(found: dict[str, list[int]]) -> Iterator[str]:
    """Counts by outcome, most first, with the numbers of some cases."""
    yield f"{'fits':>6}  outcome"
    for name, numbers in sorted(found.items(), key=lambda item: -len(item[1])):
        named = "" if name == SOUND else f"  (cases {', '.join(map(str, numbers[:NAMED]))})"
        yield f"{len(numbers):6}  {name}{named}"


def describe(seed: int, number: int) -> str:
    """A case in words, and what came of it."""
    case = draw(seed, number)
    changed = case.mfa.get_params()
    return f"{', '.join(case.tags)}; X {case.X.shape}\nMFA(**{changed})\n{outcome(case)}"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fits", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--case", type=int, help="describe and run this one only")
    asked = parser.parse_args(argv)
    torch.set_num_threads(1)
    if asked.case is not None:
        print(describe(asked.seed, asked.case))
        return 0
    found = run(asked.seed, range(asked.first, asked.first + asked.fits), lambda line: print(line, file=sys.stderr))
    print(f"seed {asked.seed}", *table(found), sep="\n")
    return int(bool(set(found) - {SOUND, REFUSED}))


if __name__ == "__main__":
    sys.exit(main())
