"""One line per component: its size, its tokens, its concepts."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from .._base.checks import check_count, import_optional
from ._concepts import ConceptCounts
from ._inputs import as_rows, check_mixture, optional_fact
from ._scan import Accumulator, Assignments, scan
from ._text import label_text, visible
from ._top_tokens import TokenRanking

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

    from ..activations import ActivationStore, StoredActivations
    from ..mixture import MFA


def describe_components(
    mfa: MFA,
    activations: ArrayLike | ActivationStore | StoredActivations,
    tokens: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    *,
    n_tokens: int = 6,
    n_concepts: int = 2,
    score: str = "posterior",
    aggregate: str = "auto",
    stop_tokens: Collection[str] | None = None,
) -> pd.DataFrame:
    """One line per component: how many rows it has, its top tokens and the concepts it over-represents.

    Parameters
    ----------
    mfa : fitted MFA
    activations : ActivationArray, activation store or array-like, of shape (n, n_features)
    tokens, n_tokens, score, aggregate, stop_tokens
        As for `top_tokens`.
    labels, n_concepts
        As for `top_concepts`.

    Returns
    -------
    DataFrame
        Indexed by component, with the columns tokens, size (rows whose most probable component it is), and, where there
        are labels, concepts with their share of the component's rows. One pass over the rows makes both. Where a screen
        is too narrow for all three, pandas leaves out the middle one.

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn import MFA
    >>> from mfa_sklearn.interpret import describe_components
    >>> X = np.random.default_rng(0).normal([[0.0, 0], [9, 9]], 1, size=(20, 2, 2)).reshape(-1, 2)
    >>> mfa = MFA(2, 1, init=np.array([[0.0, 0], [9, 9]]), max_iter=0).fit(X)
    >>> describe_components(mfa, X, tokens=[" cat", " dog"] * 20, labels=["a", "b"] * 20)
              tokens  size concepts
    component
    0            cat    20   a 100%
    1            dog    20   b 100%
    """
    pd = import_optional("pandas", "describe_components")
    n_components = check_mixture(mfa)
    check_count("n_concepts", n_concepts)
    X = as_rows(activations, mfa)
    ranking = TokenRanking(mfa, X, score, aggregate, n_tokens, tokens=tokens, stop_tokens=stop_tokens)
    known = optional_fact(X, "labels", labels)
    labeled = known is not None and any(label is not None for label in known)
    counted = ConceptCounts(mfa, X, labels) if labeled else None
    assignments = Assignments(len(X))
    accumulators: list[Accumulator] = [assignments, ranking, *([counted] if counted else [])]
    scan(mfa, X, *accumulators)
    components = np.arange(n_components)
    top = ranking.table(assignments.components, 0, np.random.RandomState(0))
    columns = {
        "tokens": _joined(components, top["component"], [label_text(token) for token in top["token"]], " · "),
        "size": np.bincount(assignments.components, minlength=n_components),
    }
    if counted:
        concepts = counted.by_component(components, n_concepts)
        shares = [f"{visible(label)} {share:.0%}" for label, share in zip(concepts.label, concepts.share, strict=True)]
        columns["concepts"] = _joined(components, concepts["component"], shares, ", ")
    return pd.DataFrame(columns, index=pd.Index(components, name="component"))


def _joined(components: np.ndarray, owners: ArrayLike, texts: list[str], glue: str) -> list[str]:
    """The texts of each component, put together; `owners` ascend."""
    start, stop = (np.searchsorted(owners, components, side=side) for side in ("left", "right"))
    return [glue.join(texts[a:b]) for a, b in zip(start, stop, strict=True)]
