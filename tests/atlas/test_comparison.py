"""Regions of two mixtures, matched as the best of all pairings would."""

from __future__ import annotations

from itertools import permutations

import numpy as np
from atlas_data_cases import known_mixture, rows_of_texts

from mfa_sklearn.atlas import atlas_data


def test_matches_are_the_best_of_all_pairings() -> None:
    first, second = known_mixture(), known_mixture(seed=4, n_components=5)
    X = rows_of_texts(first)
    found = atlas_data(first, X, against=second)["matches"]
    assert found is not None
    own, other = first.predict(np.asarray(X)), second.predict(np.asarray(X))
    shared = np.array([[np.sum((own == k) & (other == n)) for n in range(5)] for k in range(4)])
    best = max(sum(shared[range(4), order]) for order in permutations(range(5), 4))
    assert sum(match["shared"] for match in found) == best
    for match in found:
        k, n = match["first"], match["second"]
        assert match["shared"] == shared[k, n]
        assert abs(match["jaccard"] - shared[k, n] / np.sum((own == k) | (other == n))) < 1e-4
    assert len({match["first"] for match in found}) == len({match["second"] for match in found}) == len(found)


def test_a_mixture_matches_itself_and_another_layer_has_rows_of_its_own() -> None:
    mfa = known_mixture()
    X = rows_of_texts(mfa)
    twice = type(X)(2 * np.asarray(X), rows=X.rows, shared=X.shared)
    other = known_mixture()
    other.means_, other.loadings_, other.noise_variance_ = 2 * mfa.means_, 2 * mfa.loadings_, 4 * mfa.noise_variance_
    for data in (atlas_data(mfa, X, against=mfa), atlas_data(mfa, X, against=other, against_activations=twice)):
        assert [match["jaccard"] for match in data["matches"] or []] == [1.0] * 4
        first, second = data["mixtures"]
        assert [region["size"] for region in first["regions"]] == [region["size"] for region in second["regions"]]
