"""The oracles of interpretation: a mixture evaluated by scipy, and tables made by plain loops."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logsumexp
from scipy.stats import chi2_contingency, multivariate_normal

from mfa_sklearn._base.annotated import AnnotatedArray

WORDS = np.array([" cat", " dog", "fish", "\n", " $x$", "##ing", " the", " €", "", " b\x00d"])
LABELS = np.array(["river", "money", "music"])


@dataclass
class ExactMixture:
    """A mixture of factor analyzers by dense covariances; the least that interpretation asks of a mixture."""

    weights_: np.ndarray
    means_: np.ndarray
    loadings_: np.ndarray
    noise_variance_: np.ndarray
    chunk: int = 7

    def covariance(self, k: int) -> np.ndarray:
        return self.loadings_[k] @ self.loadings_[k].T + np.diag(self.noise_variance_)

    def log_joint(self, X: Any) -> np.ndarray:
        X = np.asarray(X, dtype=float)
        densities = [
            multivariate_normal(mean, self.covariance(k)).logpdf(X).reshape(-1) for k, mean in enumerate(self.means_)
        ]
        with np.errstate(divide="ignore"):
            return np.column_stack(densities) + np.log(self.weights_)

    def iter_log_joint(self, X: Any) -> Iterator[tuple[slice, np.ndarray]]:
        joint = self.log_joint(X)
        for start in range(0, len(X), self.chunk):
            rows = slice(start, min(start + self.chunk, len(X)))
            yield rows, joint[rows]

    def posterior_mean(self, X: Any, component: int) -> np.ndarray:
        gain = self.loadings_[component].T @ np.linalg.inv(self.covariance(component))
        return (np.asarray(X, dtype=float) - self.means_[component]) @ gain.T

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        k = rng.choice(len(self.weights_), n, p=self.weights_)
        z = rng.normal(size=(n, self.loadings_.shape[2]))
        noise = rng.normal(size=(n, self.means_.shape[1])) * np.sqrt(self.noise_variance_)
        return self.means_[k] + np.einsum("ndq,nq->nd", self.loadings_[k], z) + noise


def mixture(spread: float = 2.0, n_components: int = 4, seed: int = 0, n_features: int = 5) -> ExactMixture:
    """Components whose means lie `spread` apart: 0.5 is nearly one blob, 30 leaves nothing in doubt."""
    rng = np.random.default_rng(seed)
    return ExactMixture(
        weights_=rng.dirichlet(np.full(n_components, 3.0)),
        means_=rng.normal(size=(n_components, n_features)) * spread,
        loadings_=rng.normal(size=(n_components, n_features, 2)),
        noise_variance_=rng.uniform(0.3, 0.6, n_features),
    )


def annotated(mfa: ExactMixture, n: int = 150, seed: int = 1) -> AnnotatedArray:
    """Rows drawn from a mixture, each with a token and a label; some rows occur twice."""
    rng = np.random.default_rng(seed)
    X = mfa.sample(n, rng)
    X[n // 2 : n // 2 + 10] = X[: min(10, n - n // 2)]
    rows = {"tokens": WORDS[rng.integers(len(WORDS), size=n)], "labels": LABELS[rng.integers(len(LABELS), size=n)]}
    return AnnotatedArray(X, rows=rows)


def scores_by_loop(mfa: ExactMixture, X: np.ndarray, score: str) -> np.ndarray:
    """Posterior or log-likelihood of every row under every component, (n, K)."""
    joint = mfa.log_joint(X)
    if score == "likelihood":
        return joint - np.log(mfa.weights_)
    return np.exp(joint - logsumexp(joint, axis=1, keepdims=True))


def top_tokens_by_loop(mfa: ExactMixture, X: AnnotatedArray, score: str, aggregate: str, n: int) -> list[tuple]:
    """(component, rank, token, score, count, row) as documented, by two loops and Python's own sort."""
    scores, likelihood = scores_by_loop(mfa, X, score), scores_by_loop(mfa, X, "likelihood")
    tokens, assigned = X.rows["tokens"], mfa.log_joint(X).argmax(1)
    lines = []
    for k in range(len(mfa.weights_)):
        groups: dict[Any, list[int]] = {}
        for i in range(len(X)):
            if score == "likelihood" or scores[i, k] >= 1e-6:
                groups.setdefault(i if aggregate == "occurrence" else tokens[i], []).append(i)
        found = []
        for members in groups.values():
            tie = likelihood if score == "posterior" else np.zeros_like(likelihood)
            best = min(members, key=lambda i: (-round(scores[i, k], 6), -tie[i, k], i))
            value = scores[best, k]
            if aggregate == "sum":
                own = scores[members, k]
                value = own.sum() if score == "posterior" else logsumexp(own)
            found.append((value, 0, tie[best, k], best))
        if aggregate == "llr":
            found = over_represented(tokens, assigned, scores[:, k], likelihood[:, k], k)
        found.sort(key=lambda entry: (-round(entry[0], 6), -entry[1], -entry[2], entry[3]))
        for rank, (value, _, _, row) in enumerate(found[:n], start=1):
            count = sum(1 for i in range(len(X)) if tokens[i] == tokens[row] and assigned[i] == k)
            lines.append((k, rank, tokens[row], value, count, row))
    return lines


def over_represented(
    tokens: np.ndarray, assigned: np.ndarray, posterior: np.ndarray, likelihood: np.ndarray, k: int
) -> list[tuple]:
    """(ratio, count, likelihood of the best row, that row) of each token that a component has more often, by scipy."""
    found = []
    for token in dict.fromkeys(tokens[assigned == k]):
        own = np.flatnonzero((assigned == k) & (tokens == token))
        sides = [(assigned == k, tokens == token), (assigned != k, tokens == token)]
        cells = [[np.sum(inside & holds), np.sum(inside & ~holds)] for inside, holds in sides]
        ratio = 0.0
        if np.sum(cells, axis=0).all() and np.sum(cells, axis=1).all():
            test = chi2_contingency(cells, correction=False, lambda_="log-likelihood")
            ratio = test.statistic * np.sign(cells[0][0] - test.expected_freq[0, 0])
        best = min(own, key=lambda i: (-round(posterior[i], 6), -likelihood[i], i))
        if ratio >= 0:
            found.append((ratio, len(own), likelihood[best], best))
    return found


MODES = list(itertools.product(("posterior", "likelihood"), ("occurrence", "max", "sum")))


def assert_same_table(table: Any, lines: list[tuple]) -> None:
    assert list(table["component"]) == [line[0] for line in lines]
    assert list(table["rank"]) == [line[1] for line in lines]
    assert list(table["token"]) == [line[2] for line in lines]
    np.testing.assert_allclose(table["score"], [line[3] for line in lines], rtol=1e-6, atol=2e-6)
    assert list(table["count"]) == [line[4] for line in lines]
    assert list(table["row"]) == [line[5] for line in lines]


def nothing_is_evaluated(mfa: ExactMixture) -> ExactMixture:
    def refuse(X: Any) -> Any:
        raise AssertionError("work was spent on bad input")

    mfa.iter_log_joint = refuse  # type: ignore[method-assign]
    return mfa
