"""What each component is about, by its highest-scoring tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_random_state

from .._base.annotated import row_fact
from .._base.checks import check_choice, check_count, import_optional
from ._inputs import as_rows, check_mixture, required_fact, selected_components
from ._leaderboard import Entries, Leaderboard
from ._scan import Assignments, Chunk, DenseChunk, scan
from ._text import Contexts, visible

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

    from ..activations import ActivationStore, StoredActivations
    from ..mixture import MFA

SCORES = ("posterior", "likelihood")
AGGREGATES = ("occurrence", "max", "sum")


def top_tokens(
    mfa: MFA,
    activations: ArrayLike | ActivationStore | StoredActivations,
    *,
    score: str = "posterior",
    aggregate: str = "occurrence",
    n_tokens: int = 10,
    components: int | Sequence[int] | None = None,
    context: int = 40,
    tokens: ArrayLike | None = None,
    pool: int | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> pd.DataFrame:
    """The tokens with the highest score in each component.

    Parameters
    ----------
    mfa : fitted MFA
    activations : ActivationArray, activation store or array-like, of shape (n, n_features)
        One row per token.
    score : {"posterior", "likelihood"}, default="posterior"
        ``p(k | x)``, in [0, 1]; or ``log N(x | k)``, in nats, which also ranks rows that belong to other components.
    aggregate : {"occurrence", "max", "sum"}, default="occurrence"
        Rank single rows, distinct tokens by their best row, or distinct tokens by the sum over their rows. The sum of
        likelihoods is given as its logarithm.
    n_tokens : int, default=10
        Most tokens per component.
    components : int or array-like of int, optional
        Which components to list; by default all.
    context : int, default=40
        Most characters of text to show on either side of the token; 0 for no column "context".
    tokens : array-like of str of shape (n,), optional
        The rows' tokens, where the activations carry none.
    pool : int, optional
        Draw `n_tokens` at random from this many best ones instead of taking the first, so that they look less alike.
    random_state : int, RandomState or None, default=None
        For `pool`.

    Returns
    -------
    DataFrame
        Sorted by component and rank, with the columns

        * component, rank (from 1), token, score;
        * count: rows with this token whose most probable component is this one;
        * row: the row that is shown, the one with the token's highest score;
        * context: its text, the token marked as ``«token»``. Left out where nothing is known of the texts.

        `format_tokens` prints it component by component.

    Raises
    ------
    ValueError
        If there are no tokens, if an argument is out of range, if `tokens` has not one entry per row, or if the
        activations are known to be of another model, layer, site or pooling than those the mixture was fitted on.

    Notes
    -----
    Posteriors below 1e-6 are left out: a component that no row belongs to has no lines under "posterior", and the sum
    over the n rows of a token is too low by at most 1e-6 n. A log-sum of likelihoods is right to 1e-6. Posteriors, and
    sums of them, that agree to six decimals - deep inside a region all are 1 - are ordered by the likelihood of the
    row; what is still equal, by row. Distinct tokens are told apart by token id where the activations carry ids.

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn import MFA, top_tokens
    >>> X = np.random.default_rng(0).normal([[0.0, 0], [9, 9]], 1, size=(20, 2, 2)).reshape(-1, 2)
    >>> mfa = MFA(2, 1, init=np.array([[0.0, 0], [9, 9]]), max_iter=0).fit(X)
    >>> table = top_tokens(mfa, X, tokens=[" cat", " dog"] * 20, aggregate="sum")
    >>> table[["component", "rank", "token", "score", "count"]]
       component  rank token  score  count
    0          0     1   cat   20.0     20
    1          1     1   dog   20.0     20
    """
    X = as_rows(activations, mfa)
    ranking = TokenRanking(mfa, X, score, aggregate, n_tokens, components, tokens, pool)
    assignments = Assignments(len(ranking.tokens))
    import_optional("pandas", "top_tokens")
    check_count("context", context, 0)
    random = check_random_state(random_state)
    scan(mfa, X, assignments, ranking)
    return ranking.table(assignments.components, context, random)


class TokenRanking:
    """Accumulates the best tokens of each component; see `top_tokens` for the parameters."""

    def __init__(
        self,
        mfa: MFA,
        activations: Any,
        score: str,
        aggregate: str,
        n_tokens: int,
        components: int | Sequence[int] | None = None,
        tokens: ArrayLike | None = None,
        pool: int | None = None,
    ) -> None:
        n_components = check_mixture(mfa)
        check_choice("score", score, SCORES)
        check_choice("aggregate", aggregate, AGGREGATES)
        self._n_tokens = check_count("n_tokens", n_tokens)
        n_best = n_tokens if pool is None else check_count("pool", pool, n_tokens)
        chosen = selected_components(components, n_components)
        self._activations = activations
        self.tokens = required_fact(self._activations, "tokens", tokens, "top_tokens")
        self._types = _distinct(self._activations, self.tokens, tokens)
        self._score, self._aggregate = score, aggregate
        self.dense = score == "likelihood"
        self._selected = np.isin(np.arange(n_components), chosen)
        with np.errstate(divide="ignore"):
            self._log_weights = np.log(np.asarray(mfa.weights_, dtype=np.float64))
        merge = {"occurrence": None, "max": "max", "sum": "sum" if score == "posterior" else "logsum"}[aggregate]
        self._board = Leaderboard(n_components, n_best, merge, len(self.tokens))

    def update(self, chunk: Any) -> None:
        """Take in a chunk of rows."""
        rows, components, scores, ties = (self._posterior if self._score == "posterior" else self._likelihood)(chunk)
        self._board.add(Entries(components, self._items(rows), scores, scores, ties, rows))

    def _posterior(self, chunk: Chunk) -> tuple[np.ndarray, ...]:
        chosen = self._selected[chunk.pairs.components]
        # Among the rows of one component the log joint orders as the likelihood does.
        return tuple(field[chosen] for field in chunk.pairs)

    def _likelihood(self, chunk: DenseChunk) -> tuple[np.ndarray, ...]:
        flat = self._above_threshold(chunk.log_joint)
        if len(flat) > chunk.log_joint.size // 8:
            scores = chunk.log_joint - np.where(self._log_weights > -np.inf, self._log_weights, 0)
            self._board.raise_threshold(scores, self._items(np.arange(chunk.rows.start, chunk.rows.stop)))
            flat = self._above_threshold(chunk.log_joint)
        rows, components = np.divmod(flat, chunk.log_joint.shape[1])
        scores = chunk.log_joint.ravel()[flat].astype(np.float64) - self._log_weights[components]
        return rows + chunk.rows.start, components, scores, np.zeros_like(scores)

    def _above_threshold(self, joint: np.ndarray) -> np.ndarray:
        """Where in the raveled densities something stands that may yet be listed."""
        least = np.where(self._selected, self._board.threshold + self._log_weights, np.inf)
        # Compared in the precision of the densities, rounded down so that nothing is lost.
        return np.flatnonzero(joint > np.nextafter(least.astype(joint.dtype), joint.dtype.type(-np.inf)))

    def _items(self, rows: np.ndarray) -> np.ndarray:
        return rows if self._aggregate == "occurrence" else self._types[rows]

    def table(self, assigned: np.ndarray, context: int, random: np.random.RandomState) -> pd.DataFrame:
        """The table that `top_tokens` returns, given each row's component."""
        pd = import_optional("pandas", "top_tokens")
        entries, rank = self._board.best()
        if self._board.n_best > self._n_tokens:
            drawn = _drawn(entries.components, self._n_tokens, random)
            entries, rank = entries.take(drawn), rank[drawn]
        columns = {
            "component": entries.components,
            "rank": rank,
            "token": [str(token) for token in self.tokens[entries.rows]],
            "score": entries.scores,
            "count": self._counts(assigned, entries),
            "row": entries.rows,
        }
        if context:
            contexts = Contexts(self._activations, self.tokens, context)
            if contexts.known:
                columns["context"] = [contexts(row) for row in entries.rows]
        return pd.DataFrame(columns)

    def _counts(self, assigned: np.ndarray, entries: Entries) -> np.ndarray:
        """How many rows of each entry's token are assigned to its component."""
        n_types = int(self._types.max()) + 1
        keys, counts = np.unique(assigned * n_types + self._types, return_counts=True)
        wanted = entries.components * n_types + self._types[entries.rows]
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[place] == wanted, counts[place], 0)


def _distinct(activations: Any, tokens: np.ndarray, given: ArrayLike | None) -> np.ndarray:
    """Integers that tell distinct tokens apart, numbered as they come."""
    ids = row_fact(activations, "token_ids") if given is None else None
    codes, _ = import_optional("pandas", "top_tokens").factorize(tokens if ids is None else ids, use_na_sentinel=False)
    return codes.astype(np.int64)


def _drawn(components: np.ndarray, n_draws: int, random: np.random.RandomState) -> np.ndarray:
    """Up to `n_draws` random entries of each component, in their old order."""
    order = np.lexsort((random.random_sample(len(components)), components))
    start = np.flatnonzero(np.diff(components, prepend=-1))
    place = np.arange(len(order)) - np.repeat(start, np.diff(start, append=len(order)))
    return np.sort(order[place < n_draws])


def format_tokens(table: pd.DataFrame) -> str:
    """The table of `top_tokens` as text to read: a block per component, contexts aligned on their tokens.

    Parameters
    ----------
    table : DataFrame

    Returns
    -------
    str

    Examples
    --------
    >>> import pandas as pd
    >>> from mfa_sklearn.interpret import format_tokens
    >>> columns = {"component": 3, "rank": [1, 2], "token": [" cat", " dog"], "score": [0.99, 0.98], "count": [7, 5]}
    >>> print(format_tokens(pd.DataFrame({**columns, "context": ["the «cat» sat", "one «dog»"]})))
    component 3
      1  0.99  7 x  the «cat» sat
      2  0.98  5 x  one «dog»
    """
    blocks = []
    for component, lines in table.groupby("component", sort=True):
        shown = lines["context"] if "context" in lines else [f"'{visible(token)}'" for token in lines["token"]]
        before = [text.find("«") for text in shown]
        texts = [" " * (max(before) - indent) + text for indent, text in zip(before, shown, strict=True)]
        ranks, counts = (_right(map(str, lines[name])) for name in ("rank", "count"))
        scores = _right(f"{score:.4g}" for score in lines["score"])
        rows = zip(ranks, scores, counts, texts, strict=True)
        blocks.append("\n".join([f"component {component}", *(f"  {r}  {s}  {c} x  {t}" for r, s, c, t in rows)]))
    return "\n\n".join(blocks)


def _right(texts: Iterable[str]) -> list[str]:
    strings = list(texts)
    width = max(map(len, strings), default=0)
    return [string.rjust(width) for string in strings]
