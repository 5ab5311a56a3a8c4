"""Agreement against scikit-learn's own, on rows as they are and on rows repeated as resamples count them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import gammaln
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

from mfa_sklearn.evaluation import region_agreement
from mfa_sklearn.evaluation._agreement import Contingency, expected_information
from mfa_sklearn.evaluation._resampling import Resamples, draw_texts


def divisions(kind: str, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(6, size=n)
    regions = {
        "alike": labels * 7 - 3,
        "related": np.where(rng.random(n) < 0.6, labels, rng.integers(40, size=n)),
        "unrelated": rng.integers(50, size=n),
        "one region": np.zeros(n, dtype=int),
        "a region each": rng.permutation(n),
        "uneven": np.minimum(rng.geometric(0.3, size=n), 9),
    }[kind]
    return regions, labels


KINDS = ("alike", "related", "unrelated", "one region", "a region each", "uneven")


@pytest.mark.parametrize("kind", KINDS)
def test_agreement_is_that_of_scikit_learn_in_every_resample(kind: str) -> None:
    regions, labels = divisions(kind)
    resamples = draw_texts(np.arange(300) // 5, 4, random_state=0)
    contingency = Contingency(regions, labels, resamples)
    nmi, ami, ari = contingency.nmi(), contingency.ami(), contingency.ari()
    for r in range(5):
        a, b = (np.repeat(values, resamples.weights(r).astype(int)) for values in (regions, labels))
        assert nmi[r] == pytest.approx(normalized_mutual_info_score(a, b), abs=1e-10)
        assert ami[r] == pytest.approx(adjusted_mutual_info_score(a, b), abs=1e-9)
        assert ari[r] == pytest.approx(adjusted_rand_score(a, b), abs=1e-10)


def test_one_division_without_parts_is_the_same_as_another() -> None:
    contingency = Contingency(np.zeros(5), np.ones(5), draw_texts(np.arange(5), 0))
    assert [*contingency.nmi(), *contingency.ami(), *contingency.ari()] == [1, 1, 1]


def test_no_rows_have_no_agreement() -> None:
    rows = np.arange(2)
    contingency = Contingency(rows, rows, Resamples(rows, np.array([[1.0, 1.0], [0.0, 0.0]])))
    assert contingency.nmi()[0] == 1 and np.isnan(contingency.nmi()[1])


@pytest.mark.parametrize(("sizes", "n"), [((3, 4), 40), ((60, 5), 2000), ((1, 7), 90), ((2, 2), 40_000)])
def test_chance_is_that_of_scikit_learn(sizes: tuple[int, int], n: int) -> None:
    """Large counts too, whose distribution is summed where it is."""
    rng = np.random.default_rng(0)
    first, second = (rng.choice(size, n, p=rng.dirichlet(np.full(size, 0.7))) for size in sizes)
    table = contingency_matrix(first, second, sparse=True)
    margins = (np.ravel(table.sum(axis)) for axis in (1, 0))
    found = expected_information(*margins, gammaln(np.arange(n + 1) + 1.0))
    assert found == pytest.approx(expected_mutual_information(table, n), rel=1e-9, abs=1e-12)


def test_chance_is_the_mean_over_permutations() -> None:
    """Sampling, an oracle that knows no formula."""
    regions, labels = divisions("uneven", 60)
    rng = np.random.default_rng(0)
    once = draw_texts(np.arange(60), 0)
    drawn = [Contingency(rng.permutation(regions), labels, once).ami()[0] for _ in range(400)]
    assert abs(np.mean(drawn)) < 4 * np.std(drawn) / 20


def drawn(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Regions, labels and texts of 100 texts; three regions for a label, and texts that follow them or do not."""
    labels, texts = rng.integers(8, size=100), np.repeat(np.arange(100), 6)
    follow = (rng.random(100) < 0.7)[texts] & (rng.random(600) < 0.8)
    own = 3 * labels[texts] + rng.integers(3, size=600)
    return np.where(follow, own, rng.integers(30, size=600)), labels[texts], texts


def test_intervals_are_as_wide_as_figures_differ_between_texts() -> None:
    """The spread of resamples of one set of texts beside that of many sets."""
    rng, measures = np.random.default_rng(0), (Contingency.nmi, Contingency.ami, Contingency.ari)
    sets = [Contingency(a, b, draw_texts(texts, 0)) for a, b, texts in (drawn(rng) for _ in range(150))]
    truth = np.std([[measure(one)[0] for measure in measures] for one in sets], axis=0)
    resampled = [
        Contingency(a, b, draw_texts(texts, 60, rng.integers(99))) for a, b, texts in (drawn(rng) for _ in range(20))
    ]
    found = np.mean([[measure(one)[1:].std() for measure in measures] for one in resampled], axis=0)
    # Known within a tenth, and a little too narrow.
    assert ((found / truth > 0.7) & (found / truth < 1.3)).all()
    # Their mean is beside the figure by more than their spread, which the intervals do not follow.
    bias = np.mean([one.nmi()[1:].mean() - one.nmi()[0] for one in resampled])
    assert bias > found[0]


def test_rows_without_a_label_are_left_out() -> None:
    regions, labels = divisions("related")
    some = labels.astype(object)
    some[::3] = None
    kept = np.arange(300) % 3 != 0
    assert region_agreement(regions, some) == pytest.approx(
        {
            "nmi": normalized_mutual_info_score(labels[kept], regions[kept]),
            "ami": adjusted_mutual_info_score(labels[kept], regions[kept]),
        }
    )


def test_weights_say_how_often_a_row_counts() -> None:
    regions, labels = divisions("related")
    weights = np.random.default_rng(1).integers(0, 4, size=300)
    repeated = region_agreement(np.repeat(regions, weights), np.repeat(labels, weights))
    assert region_agreement(regions, labels, weights) == pytest.approx(repeated)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ["a"]}, "labels must hold one entry per row"),
        ({"labels": [None, None, ""]}, "none of the 3 rows has a label"),
        ({"sample_weight": [1, 1]}, r"shape \(2,\), but there are 3 rows"),
        ({"sample_weight": [1, 0.5, 1]}, r"sample_weight\[1\]=0.5 is no whole number"),
        ({"sample_weight": [1, -1, 1]}, r"sample_weight\[1\]=-1.0"),
        ({"sample_weight": [0, 0, 0]}, "none of the 3 rows has a label that counts"),
    ],
)
def test_refusals(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        region_agreement(**{"regions": [0, 1, 1], "labels": ["a", "b", "b"], **change})
