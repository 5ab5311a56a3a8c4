"""Which labels regions of any kind are enriched in, by a test that counts texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._base.annotated import given_rows
from ._association import group_test
from ._concepts import lines_of
from ._inputs import numbered, required_fact, row_groups

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

_ASKER = "concept_enrichment"


def concept_enrichment(regions: ArrayLike, labels: ArrayLike, groups: ArrayLike | None = None) -> pd.DataFrame:
    """Which labels each region has more often than chance, for regions of any kind.

    `top_concepts` makes this test for the components of a mixture. Here regions may come from anywhere: clusters of
    k-means, columns of a sparse autoencoder that fire, or a mixture's `predict`.

    Parameters
    ----------
    regions : array-like of shape (n,)
        The region of each row, a number or a name.
    labels : array-like of shape (n,)
        A label per row, of any type. Rows whose label is missing are not counted.
    groups : array-like of shape (n,), optional
        Rows that are alike for other reasons than their region, such as those of one text: one number or name per row,
        such as ``activations.text_index``. By default every row is a group of its own.

    Returns
    -------
    DataFrame
        A line for each pair of a region that has a labeled row and a label, sorted by region and then by `p_value`, the
        larger `llr` first where these are equal, with the columns

        * region, label;
        * count, size, share, base_rate, lift, llr: of rows, as of `top_concepts`;
        * groups: groups with the label that reach the region, and reached: groups that reach it, see Notes;
        * p_value: probability of at least as many groups by chance;
        * q_value: `p_value` adjusted for all lines of regions that a group reaches.

    Raises
    ------
    ValueError
        If labels or groups have not one entry per row, if a region or a group is missing, or if all labels are.

    See Also
    --------
    top_concepts : The labels that each component of a mixture over-represents.

    Notes
    -----
    Rows of one text are alike, so that a test that counts rows finds far too much. This one counts groups. A group
    reaches a region if any of its labeled rows is in it, and has a label if any of its rows has. Of G groups let n
    reach the region, m have the label, and x do both. If labels belong to groups independently of where their rows
    lie, so that any exchange of the groups' labels is as likely, x is hypergeometric, exactly, ::

        P(x) = C(m, x) C(G - m, n - x) / C(G, n)

    and `p_value` is the upper tail from the x that was found (Fisher's exact test, one-sided). That holds for regions
    that were fitted on the same rows too, as long as no labels were used.

    Where labels differ inside any group (parts of speech in a text), one labeled row speaks for each group, drawn at
    random and always the same: `groups` and `reached` then count those rows. All rows of a group would not do, for a
    long text has more labels and reaches more regions than a short one, which ties each to each. A label of few rows
    is hardly ever drawn; rows must be their own groups if each is to count, at the price of taking them as independent.

    `q_value` is that of Benjamini and Hochberg (J. R. Stat. Soc. B 57, 1995): of the lines with ``q_value <= 0.05``,
    5 % at most are expected to be there by chance if the tests are independent or depend positively on each other.

    Examples
    --------
    >>> from mfa_sklearn.interpret import concept_enrichment
    >>> regions = [0, 0, 0, 1, 1, 1, 0, 1]
    >>> labels = ["river", "river", "river", "money", "money", "money", "river", "money"]
    >>> table = concept_enrichment(regions, labels)
    >>> table[["region", "label", "groups", "reached", "p_value", "q_value"]]
       region  label  groups  reached  p_value  q_value
    0       0  river       4        4   0.0143   0.0286
    1       0  money       0        4   1.0000   1.0000
    2       1  money       4        4   0.0143   0.0286
    3       1  river       0        4   1.0000   1.0000
    """
    rows = given_rows(np.asarray(regions))
    numbers, names = numbered("regions", required_fact(rows, "regions", regions, _ASKER), _ASKER, sort=True)
    codes, found = numbered("labels", required_fact(rows, "labels", labels, _ASKER), _ASKER, sort=True, missing=True)
    if not len(found):
        raise ValueError(f"labels has no label: all {len(codes)} entries are missing")
    tested = group_test(numbers, codes, row_groups(rows, groups, _ASKER), len(names), len(found))
    flat = numbers[codes >= 0] * len(found) + codes[codes >= 0]
    count = np.bincount(flat, minlength=tested.groups.size).reshape(tested.groups.shape)
    region, label = np.nonzero(np.broadcast_to(count.any(1, keepdims=True), count.shape))
    table = lines_of(count, tested, region, label)
    table.insert(0, "label", found[label])
    table.insert(0, "region", names[region])
    order = np.lexsort((-table["llr"], table["p_value"], region))
    return table.iloc[order].reset_index(drop=True)
