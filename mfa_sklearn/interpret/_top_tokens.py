"""What each component is about, by its highest-scoring tokens."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_random_state

from .._base.annotated import row_fact
from .._base.checks import check_choice, check_count, import_optional
from .._base.coded import Coded
from ._association import log_likelihood_ratio
from ._inputs import as_rows, check_mixture, numbered, required_fact, selected_components
from ._leaderboard import Entries, Leaderboard
from ._occurrences import Occurrences
from ._own_rows import pair_counts
from ._scan import Assignments, Chunk, DenseChunk, scan
from ._text import Contexts, visible

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

    from ..activations import ActivationStore, StoredActivations
    from ..mixture import MFA

SCORES = ("posterior", "likelihood")
AGGREGATES = ("auto", "llr", "occurrence", "max", "sum")
# Rows shown of a token unless told otherwise: one alone may be a chance, and three fit on a screen.
N_CONTEXTS = 3


def top_tokens(
    mfa: MFA,
    activations: ArrayLike | ActivationStore | StoredActivations,
    tokens: ArrayLike | None = None,
    *,
    score: str = "posterior",
    aggregate: str = "auto",
    n_tokens: int = 10,
    n_contexts: int | None = None,
    components: int | Sequence[int] | None = None,
    context: int = 40,
    stop_tokens: Collection[str] | None = None,
    pool: int | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> pd.DataFrame:
    """The tokens that say most about each component.

    Parameters
    ----------
    mfa : fitted MFA
    activations : ActivationArray, activation store or array-like, of shape (n, n_features)
        One row per token; whatever `fit` takes, frames included.
    tokens : array-like of str of shape (n,), optional
        The rows' tokens; by default those that the activations carry.
    score : {"posterior", "likelihood"}, default="posterior"
        ``p(k | x)``, in [0, 1]; or ``log N(x | k)``, in nats, which also ranks rows that belong to other components.
    aggregate : {"auto", "llr", "occurrence", "max", "sum"}, default="auto"
        What is listed, and in which order:

        * "llr": distinct tokens, by how much the component over-represents them against all rows: the log-likelihood
          ratio of `top_concepts`, each row counted for its most probable component. A token that is as frequent
          everywhere comes last, one that is rarer here than elsewhere is left out;
        * "occurrence": single rows, by their score. Most posteriors are 1, so the best rows may all hold one token;
        * "max", "sum": distinct tokens, by their best row's score, or by the sum over their rows. The sum of
          likelihoods is given as its logarithm;
        * "auto": "llr" for posteriors, "max" for likelihoods.
    n_tokens : int, default=10
        Most tokens per component.
    n_contexts : int, optional
        Most rows to show of each token, from different texts as far as there are some. Those after the first are rows
        whose most probable component this is. By default 3, and 1 where single rows are listed, where `context` is 0,
        or where nothing is known of the texts.
    components : int or array-like of int, optional
        Which components to list; by default all.
    context : int, default=40
        Most characters of text to show on either side of the token; 0 for no column "context".
    stop_tokens : collection of str, optional
        Tokens to leave out of the lists, such as ``{".", ",", "the"}``; case and outer blanks make no difference.
    pool : int, optional
        Draw `n_tokens` at random from this many best ones instead of taking the first, so that they look less alike.
    random_state : int, RandomState or None, default=None
        For `pool`.

    Returns
    -------
    DataFrame
        A line per component and token (or row, with "occurrence"), sorted by component and rank, with the columns

        * component, rank (from 1), token, score;
        * count: rows with this token whose most probable component is this one;
        * row: the row that is shown first, the one with the token's highest score;
        * context: its text, the token marked as ``«token»``. Left out where nothing is known of the texts;
        * other_rows, other_contexts: tuples of up to ``n_contexts - 1`` further rows with this token, and their texts.
          Left out where `n_contexts` is 1.

        `format_tokens` prints the table component by component.

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
    row; what is still equal, by row. So are equal ratios of equally frequent tokens, such as words that a component
    has once each; of equal ratios the larger count comes first, so that a mixture of one component, which
    over-represents nothing, lists its most frequent tokens. Distinct tokens are told apart by token id where the
    activations carry ids.

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn import MFA, top_tokens
    >>> X = np.random.default_rng(0).normal([[0.0, 0], [9, 9]], 1, size=(20, 2, 2)).reshape(-1, 2)
    >>> mfa = MFA(2, 1, init=np.array([[0.0, 0], [9, 9]]), max_iter=0).fit(X)
    >>> table = top_tokens(mfa, X, [" cat", " dog"] * 20, aggregate="sum")
    >>> table[["component", "rank", "token", "score", "count"]]
       component  rank token  score  count
    0          0     1   cat   20.0     20
    1          1     1   dog   20.0     20
    """
    check_mixture(mfa)
    X = as_rows(activations, mfa)
    ranking = TokenRanking(
        mfa, X, score, aggregate, n_tokens, components=components, tokens=tokens, stop_tokens=stop_tokens, pool=pool
    )
    check_count("context", context, 0)
    n_contexts = ranking.contexts_of_each(n_contexts, context)
    occurrences = Occurrences(X, len(ranking.tokens)) if n_contexts > 1 else None
    random = check_random_state(random_state)
    assignments = Assignments(len(ranking.tokens))
    import_optional("pandas", "top_tokens")
    scan(mfa, X, assignments, ranking, *([occurrences] if occurrences else []))
    return ranking.table(assignments.components, context, random, occurrences, n_contexts)


class TokenRanking:
    """Accumulates the best tokens of each component; see `top_tokens` for the parameters."""

    def __init__(
        self,
        mfa: MFA,
        activations: Any,
        score: str = "posterior",
        aggregate: str = "auto",
        n_tokens: int = 10,
        *,
        components: int | Sequence[int] | None = None,
        tokens: ArrayLike | None = None,
        stop_tokens: Collection[str] | None = None,
        pool: int | None = None,
    ) -> None:
        n_components = check_mixture(mfa)
        self._score, self._aggregate = score, _check_aggregate(score, aggregate)
        self._n_tokens = check_count("n_tokens", n_tokens)
        n_best = n_tokens if pool is None else check_count("pool", pool, n_tokens)
        self._selected = np.isin(np.arange(n_components), selected_components(components, n_components))
        self._activations = activations
        self.tokens = required_fact(activations, "tokens", tokens, "top_tokens")
        self._types = distinct_tokens(activations, self.tokens, tokens)
        self._stopped = stopped_rows(self.tokens, stop_tokens)
        self._sizes = np.zeros(n_components)
        self.dense = score == "likelihood"
        with np.errstate(divide="ignore"):
            self._log_weights = np.log(np.asarray(mfa.weights_, dtype=np.float64))
        total = "sum" if score == "posterior" else "logsum"
        merge = {"llr": "sum", "occurrence": None, "max": "max", "sum": total}[self._aggregate]
        self._board = Leaderboard(n_components, n_best, merge, len(self.tokens))

    def contexts_of_each(self, n_contexts: int | None, context: int) -> int:
        """How many rows to show of each token; more than one is refused where single rows are ranked."""
        if n_contexts is None:
            shown = context and self._aggregate != "occurrence" and Contexts(self._activations, self.tokens, 0).known
            return N_CONTEXTS if shown else 1
        if check_count("n_contexts", n_contexts) > 1 and self._aggregate == "occurrence":
            raise ValueError(
                f"n_contexts={n_contexts} shows rows of distinct tokens, but aggregate='occurrence' ranks single rows: "
                "take another aggregate, or n_contexts=1"
            )
        return n_contexts

    def update(self, chunk: Any) -> None:
        """Take in a chunk of rows."""
        if self.dense:
            found = self._likelihood(chunk)
        else:
            found = self._counted(chunk) if self._aggregate == "llr" else self._posterior(chunk)
        kept = self._selected[found.components]
        if self._stopped is not None:
            kept &= ~self._stopped[found.rows]
        self._board.add(found.take(kept))

    def _posterior(self, chunk: Chunk) -> Entries:
        rows, components, posterior, log_joint = chunk.pairs
        # Among the rows of one component the log joint orders as the likelihood does.
        return Entries(components, self._items(rows), posterior, posterior, log_joint, rows)

    def _counted(self, chunk: Chunk) -> Entries:
        """Each row once, for its most probable component."""
        self._sizes += np.bincount(chunk.assigned, minlength=len(self._sizes))
        rows, components, posterior, log_joint = chunk.own_pairs
        return Entries(components, self._items(rows), np.ones(len(rows)), posterior, log_joint, rows)

    def _likelihood(self, chunk: DenseChunk) -> Entries:
        joint = chunk.log_joint
        if self._stopped is not None:
            joint = np.where(self._stopped[chunk.rows, None], joint.dtype.type(-np.inf), joint)
        flat = self._above_threshold(joint)
        if len(flat) > joint.size // 8:
            scores = joint - np.where(self._log_weights > -np.inf, self._log_weights, 0)
            self._board.raise_threshold(scores, self._items(np.arange(chunk.rows.start, chunk.rows.stop)))
            flat = self._above_threshold(joint)
        rows, components = np.divmod(flat, joint.shape[1])
        scores = joint.ravel()[flat].astype(np.float64) - self._log_weights[components]
        rows = rows + chunk.rows.start
        return Entries(components, self._items(rows), scores, scores, np.zeros_like(scores), rows)

    def _above_threshold(self, joint: np.ndarray) -> np.ndarray:
        """Where in the raveled densities something stands that may yet be listed."""
        least = np.where(self._selected, self._board.threshold + self._log_weights, np.inf)
        # Compared in the precision of the densities, rounded down so that nothing is lost.
        return np.flatnonzero(joint > np.nextafter(least.astype(joint.dtype), joint.dtype.type(-np.inf)))

    def _items(self, rows: np.ndarray) -> np.ndarray:
        return rows if self._aggregate == "occurrence" else self._types[rows]

    def _surprise(self, entries: Entries) -> Entries:
        """Entries scored by how much their components over-represent them instead of by how often they have them."""
        frequency = np.bincount(self._types)[entries.items].astype(np.float64)
        llr = log_likelihood_ratio(entries.scores, self._sizes[entries.components], frequency, float(len(self._types)))
        # One number that orders by count, then by the likelihood of the token's best row.
        ties = np.empty(len(llr))
        ties[np.lexsort((entries.ties, entries.scores))] = np.arange(len(llr))
        return entries._replace(scores=llr, ties=ties).take(llr >= 0)

    def table(
        self,
        assigned: np.ndarray,
        context: int,
        random: np.random.RandomState,
        occurrences: Occurrences | None = None,
        n_contexts: int = 1,
    ) -> pd.DataFrame:
        """The table that `top_tokens` returns, given each row's component."""
        entries, rank = self._board.best(self._surprise if self._aggregate == "llr" else None)
        if self._board.n_best > self._n_tokens:
            drawn = _drawn(entries.components, self._n_tokens, random)
            entries, rank = entries.take(drawn), rank[drawn]
        columns = {"component": entries.components, "rank": rank, "token": self.tokens[entries.rows].astype(str)}
        columns |= {"score": entries.scores, "count": self._counts(assigned, entries), "row": entries.rows}
        table = import_optional("pandas", "top_tokens").DataFrame(columns | {"token": columns["token"].tolist()})
        contexts = Contexts(self._activations, self.tokens, context)
        shown = context and contexts.known
        if shown:
            table["context"] = [contexts(row) for row in entries.rows]
        if occurrences is not None:
            rows = [own[1:].tolist() for own in occurrences.of(entries, self._types, assigned, n_contexts)]
            table["other_rows"] = [tuple(own) for own in rows]
            if shown:
                table["other_contexts"] = [tuple(map(contexts, own)) for own in rows]
        return table

    def _counts(self, assigned: np.ndarray, entries: Entries) -> np.ndarray:
        """How many rows of each entry's token are assigned to its component."""
        n_types = int(self._types.max()) + 1
        keys, counts = pair_counts(assigned, self._types, n_types)
        wanted = entries.components * n_types + self._types[entries.rows]
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[place] == wanted, counts[place], 0)


def _check_aggregate(score: str, aggregate: str) -> str:
    """What `aggregate` means for a score."""
    check_choice("score", score, SCORES)
    check_choice("aggregate", aggregate, AGGREGATES)
    if aggregate == "llr" and score == "likelihood":
        raise ValueError(
            "aggregate='llr' counts each row for its most probable component, where a likelihood plays no part: "
            "choose score='posterior', or aggregate='max'"
        )
    if aggregate == "auto":
        return "llr" if score == "posterior" else "max"
    return aggregate


def stopped_rows(tokens: np.ndarray | Coded, stop_tokens: Collection[str] | None) -> np.ndarray | None:
    """Which rows hold a token that is not to be listed, (n,) bool; None if there are no such tokens."""
    if isinstance(stop_tokens, str):
        raise TypeError(f"stop_tokens={stop_tokens!r} is one string: give a set of tokens, {{{stop_tokens!r}}}")
    if not stop_tokens:
        return None
    unwanted = {token.strip().casefold() for token in stop_tokens}
    if isinstance(tokens, Coded):
        distinct, inverse = tokens.values.astype(str), tokens.codes
    else:
        distinct, inverse = np.unique(tokens.astype(str), return_inverse=True)
    return np.array([token.strip().casefold() in unwanted for token in distinct.tolist()], dtype=bool)[inverse]


def distinct_tokens(
    activations: Any, tokens: np.ndarray | Coded, given: ArrayLike | None, asker: str = "top_tokens"
) -> np.ndarray:
    """Integers that tell distinct tokens apart, numbered as they come."""
    if isinstance(tokens, Coded):
        return tokens.codes
    ids = row_fact(activations, "token_ids") if given is None else None
    codes, _ = numbered("tokens", tokens if ids is None else ids, asker)
    return codes.astype(np.int64)


def _drawn(components: np.ndarray, n_draws: int, random: np.random.RandomState) -> np.ndarray:
    """Up to `n_draws` random entries of each component, in their old order."""
    order = np.lexsort((random.random_sample(len(components)), components))
    start = np.flatnonzero(np.diff(components, prepend=-1))
    place = np.arange(len(order)) - np.repeat(start, np.diff(start, append=len(order)))
    return np.sort(order[place < n_draws])


def format_tokens(table: pd.DataFrame) -> str:
    """The table of `top_tokens` as text to read: a block per component, contexts aligned on their tokens.

    The column "rows" is `count`, how many rows of the component hold the token. Its other contexts stand below the
    first.

    Parameters
    ----------
    table : DataFrame

    Returns
    -------
    str

    Raises
    ------
    TypeError
        If `table` is no table.

    Examples
    --------
    >>> import pandas as pd
    >>> from mfa_sklearn.interpret import format_tokens
    >>> columns = {"component": 3, "rank": [1, 2], "token": [" cat", " dog"], "score": [0.99, 0.98], "count": [7, 5]}
    >>> print(format_tokens(pd.DataFrame({**columns, "context": ["the «cat» sat", "one «dog»"]})))
    rank  score  rows  component 3
       1   0.99     7  the «cat» sat
       2   0.98     5  one «dog»
    """
    if not hasattr(table, "groupby"):
        raise TypeError(
            f"table must be what top_tokens returns, got {type(table).__name__}: call top_tokens(mfa, X) first"
        )
    return "\n\n".join(_block(component, lines) for component, lines in table.groupby("component", sort=True))


def _block(component: Any, lines: pd.DataFrame) -> str:
    """A component's tokens under their heads, one line each and one for each further context."""
    if "context" in lines:
        further = lines["other_contexts"] if "other_contexts" in lines else [()] * len(lines)
        shown = [[first, *others] for first, others in zip(lines["context"], further, strict=True)]
    else:
        shown = [[f"'{visible(token)}'"] for token in lines["token"]]
    indent = max(text.find("«") for texts in shown for text in texts)
    texts = [" " * (indent - text.find("«")) + text for texts in shown for text in texts]
    facts = {
        "rank": map(str, lines["rank"]),
        "score": [f"{s:.4g}" for s in lines["score"]],
        "rows": map(str, lines["count"]),
    }
    blanks = [[""] * (len(texts) - 1) for texts in shown]
    columns = [
        _right([head, *chain.from_iterable([entry, *below] for entry, below in zip(entries, blanks, strict=True))])
        for head, entries in facts.items()
    ]
    return "\n".join("  ".join(line) for line in zip(*columns, [f"component {component}", *texts], strict=True))


def _right(texts: Iterable[str]) -> list[str]:
    strings = list(texts)
    width = max(map(len, strings), default=0)
    return [string.rjust(width) for string in strings]
