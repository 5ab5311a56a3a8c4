"""The test over texts against scipy's exact test, a permutation of labels, and a hand calculation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import fisher_exact

from mfa_sklearn.interpret._association import GroupTest, group_test


def rows(seed: int = 0, n: int = 400, n_groups: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Regions, labels of whole groups, and groups; a quarter of the groups has no label."""
    rng = np.random.default_rng(seed)
    groups = rng.integers(n_groups, size=n)
    of_group = rng.integers(-1, 3, size=n_groups)
    regions = np.where(rng.random(n) < 0.3, of_group[groups] % 4, rng.integers(4, size=n))
    return regions, of_group[groups], groups


def by_loops(regions: np.ndarray, codes: np.ndarray, groups: np.ndarray, k: int, label: int) -> np.ndarray:
    """The 2 x 2 table of groups: reaches the region or not, has the label or not."""
    table = np.zeros((2, 2), dtype=int)
    for group in np.unique(groups[codes >= 0]):
        own = (groups == group) & (codes >= 0)
        table[int(not (regions[own] == k).any()), int(not (codes[own] == label).any())] += 1
    return table


def test_p_values_are_fishers() -> None:
    regions, codes, groups = rows()
    found = group_test(regions, codes, groups, 5, 3)
    for k in range(5):
        for label in range(3):
            table = by_loops(regions, codes, groups, k, label)
            assert found.groups[k, label] == table[0, 0] and found.reached[k] == table[0].sum()
            assert found.p_value[k, label] == pytest.approx(fisher_exact(table, alternative="greater").pvalue)
    assert found.p_value.min() < 0.05 < found.p_value.max()


def test_one_row_speaks_for_each_group_where_labels_differ_inside_one() -> None:
    rng = np.random.default_rng(3)
    groups, regions, codes = rng.integers(30, size=90), rng.integers(3, size=90), rng.integers(-1, 4, size=90)
    found = group_test(regions, codes, groups, 3, 4)
    assert found.reached.sum() == len(np.unique(groups[codes >= 0])) == found.groups.sum()
    for k in range(3):
        for label in range(4):
            both, reach, has = found.groups[k, label], found.reached[k], found.groups[:, label].sum()
            table = [[both, reach - both], [has - both, found.reached.sum() - reach - has + both]]
            assert found.p_value[k, label] == pytest.approx(fisher_exact(table, alternative="greater").pvalue)
    again = group_test(regions, codes, groups, 3, 4)
    assert all(np.array_equal(*pair) for pair in zip(found, again, strict=True))


def test_long_groups_do_not_tie_every_label_to_every_region() -> None:
    """Labels of rows that know nothing of regions, in groups of very different length."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(100), np.ceil(rng.lognormal(1.5, 1.2, 100)).astype(int))
    p_values, any_found = [], []
    for _ in range(40):
        found = group_test(rng.integers(8, size=len(groups)), rng.integers(5, size=len(groups)), groups, 8, 5)
        p_values.append(found.p_value)
        any_found.append((found.q_value <= 0.05).any())
    assert np.mean(np.array(p_values) <= 0.05) <= 0.05
    assert np.mean(any_found) <= 0.05


def test_what_rows_of_a_group_say_is_found_where_all_groups_have_the_label() -> None:
    rng = np.random.default_rng(0)
    groups, codes = np.repeat(np.arange(200), 10), rng.integers(3, size=2000)
    regions = np.where(rng.random(2000) < 0.5, codes, rng.integers(3, size=2000))
    found = group_test(regions, codes, groups, 3, 3)
    assert (np.diagonal(found.q_value) < 1e-6).all()


def test_p_values_are_those_of_labels_dealt_out_again() -> None:
    regions, codes, groups = rows(1)
    found, rng = group_test(regions, codes, groups, 4, 3), np.random.default_rng(0)
    labeled = np.unique(groups[codes >= 0])
    of_group = np.full(groups.max() + 1, -1)
    of_group[groups] = codes
    draws, reached = 2000, np.zeros((4, 3))
    for _ in range(draws):
        other = of_group.copy()
        other[labeled] = rng.permutation(of_group[labeled])
        both = np.array([[len(set(groups[(regions == k) & (other[groups] == c)])) for c in range(3)] for k in range(4)])
        reached += both >= found.groups
    # Five standard errors of a share of so many draws.
    error = 5 * np.sqrt(found.p_value * (1 - found.p_value) / draws) + 1e-3
    assert (np.abs(reached / draws - found.p_value) <= error).all()


def test_chance_finds_no_more_than_its_share() -> None:
    """Rows of a group lie in one region mostly, so that counting them as if they were independent finds too much."""
    rng = np.random.default_rng(0)
    groups, home, of_group = rng.integers(60, size=600), rng.integers(4, size=60), rng.integers(-1, 3, size=60)
    regions = np.where(rng.random(600) < 0.8, home[groups], rng.integers(4, size=600))
    labeled = np.flatnonzero(of_group >= 0)
    p_values, any_found, alone = [], [], []
    for _ in range(300):
        of_group[labeled] = rng.permutation(of_group[labeled])
        found = group_test(regions, of_group[groups], groups, 4, 3)
        p_values.append(found.p_value)
        any_found.append((found.q_value <= 0.05).any())
        alone.append(group_test(regions, of_group[groups], np.arange(600), 4, 3).p_value)
    assert np.mean(np.array(p_values) <= 0.05) <= 0.05
    assert np.mean(any_found) <= 0.05
    assert np.mean(np.array(alone) <= 0.05) > 0.15


def test_q_values_by_hand() -> None:
    """Four groups a region and label, ordered p-values 1/70, 16/70 + 1/70, ...: q_i = min_j>=i p_j m / j."""
    regions = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    codes = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    found = group_test(regions, codes, np.arange(8), 3, 2)
    # C(4, 4) C(4, 0) / C(8, 4); the empty third region is not tested, so that m is 4.
    np.testing.assert_allclose(found.p_value, [[1 / 70, 1], [1, 1 / 70], [1, 1]])
    np.testing.assert_allclose(found.q_value, [[2 / 70, 1], [1, 2 / 70], [1, 1]])
    codes = np.array([0, 0, 0, 1, 1, 1, 1, 0])
    found = group_test(regions, codes, np.arange(8), 2, 2)
    np.testing.assert_allclose(found.p_value, [[17 / 70, 69 / 70], [69 / 70, 17 / 70]])
    np.testing.assert_allclose(found.q_value, [[34 / 70, 69 / 70], [69 / 70, 34 / 70]])


def test_where_nothing_can_be_tested() -> None:
    nothing = group_test(np.zeros(3, dtype=int), np.full(3, -1), np.arange(3), 2, 2)
    assert isinstance(nothing, GroupTest) and (nothing.p_value == 1).all() and (nothing.q_value == 1).all()
    everywhere = group_test(np.zeros(6, dtype=int), np.arange(6) % 2, np.arange(6), 1, 2)
    assert (everywhere.p_value == 1).all() and everywhere.reached.tolist() == [6]
