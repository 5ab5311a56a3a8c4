"""What everyone else steers with: directions and centroids learned from labeled rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.cluster import KMeans
from sklearn.utils import check_array

from ..._base.checks import check_choice, check_count
from ...interpret._association import association
from ...interpret._inputs import as_rows, optional_fact
from .._directions import difference_of_means, principal_direction, probe_direction
from .arms import Arm

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

DIRECTION_STRENGTHS = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 6.0)
CENTROID_STRENGTHS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8, 0.9, 1.0)


class Labeled(NamedTuple):
    """Rows and whose they are."""

    X: np.ndarray  # (n, D)
    codes: np.ndarray  # (n,)  the concept of the row's text, -1 where there is none
    concepts: list[str]
    is_content: np.ndarray | None  # (n,)  whether the token is a word of that concept
    seed: int
    n_clusters: int

    @property
    def content(self) -> Labeled:
        """The rows whose tokens are words of their concept, or all where none is known."""
        if self.is_content is None:
            return self
        return self._replace(X=self.X[self.is_content], codes=self.codes[self.is_content], is_content=None)


def baseline_arms(
    X: ArrayLike,
    labels: ArrayLike | None = None,
    words: Mapping[str, Sequence[str]] | None = None,
    *,
    tokens: ArrayLike | None = None,
    names: Sequence[str] | None = None,
    strengths: Sequence[float] = DIRECTION_STRENGTHS,
    centroid_strengths: Sequence[float] = CENTROID_STRENGTHS,
    n_clusters: int = 100,
    random_state: int = 0,
) -> dict[str, Arm]:
    """Arms that need no mixture, learned from activations with labels.

    Parameters
    ----------
    X : array-like of shape (n, D)
        Activations, where they are to be steered.
    labels : array-like of shape (n,), optional
        The concept of each row's text; by default what the activations carry. Rows without one belong to no concept.
    words : dict of concept to list of str, optional
        Content words. With them content rows are told from the rest: those whose token is a word of their text's
        concept.
    tokens : array-like of shape (n,), optional
        Each row's token; by default what the activations carry. Needed with `words`.
    names : sequence of str, optional
        Which arms; by default all that the arguments allow:

        * "difference of means": mean of the concept's rows less the mean of all others, as of `difference_of_means`;
        * "difference of means, content": the same of content rows alone (with `words`);
        * "probe": as of `probe_direction`, on content rows where they are known;
        * "PCA": as of `principal_direction`, of those rows;
        * "k-means": towards the centroid of the cluster that over-represents the concept most (the largest
          log-likelihood ratio, as in `interpret.concept_components`).
    strengths : sequence of float
        Of directions.
    centroid_strengths : sequence of float
        Of "k-means".
    n_clusters : int, default=100
        Of "k-means"; no more than there are rows.
    random_state : int, default=0

    Returns
    -------
    dict of str to Arm

    Raises
    ------
    TypeError, ValueError
        If rows, labels, words and tokens do not fit each other, or a name is unknown or needs `words`.

    References
    ----------
    Rimsky et al., "Steering Llama 2 via Contrastive Activation Addition", arXiv:2312.06681 (difference of means); Wu et
    al., "AxBench", arXiv:2501.17148 (probe, PCA).

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn.steering import baseline_arms
    >>> X = np.random.default_rng(0).normal([[0.0, 0], [9, 9]], 1, size=(20, 2, 2)).reshape(-1, 2)
    >>> arms = baseline_arms(X, ["river", "money"] * 20, n_clusters=2)
    >>> list(arms)
    ['difference of means', 'probe', 'PCA', 'k-means']
    """
    rows = _labeled(X, labels, words, tokens, random_state, n_clusters)
    known = [name for name in _MAKERS if name != _CONTENT or rows.is_content is not None]
    if isinstance(names, str):
        raise TypeError(f"names={names!r} must be a list: pass [{names!r}]")
    chosen = known if names is None else list(names)
    for name in chosen:
        check_choice("names", name, known)
    found = {}
    for name in chosen:
        make = Arm.centroids if name == _KMEANS else Arm.directions
        found[name] = make(_MAKERS[name](rows), centroid_strengths if name == _KMEANS else strengths)
    return found


def _labeled(X: Any, labels: Any, words: Any, tokens: Any, seed: int, n_clusters: int) -> Labeled:
    X = as_rows(X)
    known = optional_fact(X, "labels", labels)
    if known is None:
        raise ValueError("the rows have no labels: give the concept of each row's text")
    has = np.array([label is not None for label in known])
    concepts = sorted({str(label) for label in known[has]})
    if len(concepts) < 2 and has.all():
        raise ValueError(f"labels hold {concepts} alone: a concept needs rows of something else beside its own")
    number = {concept: code for code, concept in enumerate(concepts)}
    codes = np.array([number[str(label)] if known_ else -1 for label, known_ in zip(known, has, strict=True)])
    content = None if words is None else _content(optional_fact(X, "tokens", tokens), codes, concepts, words)
    count = min(check_count("n_clusters", n_clusters), len(codes))
    numbers = check_array(X, dtype=[np.float64, np.float32])
    return Labeled(numbers, codes, concepts, content, check_count("random_state", seed, least=0), count)


def _content(tokens: Any, codes: np.ndarray, concepts: list[str], words: Mapping[str, Sequence[str]]) -> np.ndarray:
    """Whether each row's token is a word of its text's concept."""
    if tokens is None:
        raise ValueError("the rows have no tokens, so none is known to be a word of its concept: give tokens=")
    own = [{word.lower() for word in words.get(concept, ())} for concept in concepts]
    pairs = zip(tokens, codes, strict=True)
    found = np.array([code >= 0 and str(token).strip().lower() in own[code] for token, code in pairs])
    missing = [concept for code, concept in enumerate(concepts) if not (found & (codes == code)).any()]
    if missing:
        raise ValueError(f"no row is a content word of {missing}: give words that occur, or no words at all")
    if len(concepts) == 1:
        raise ValueError(f"content words are compared with those of other concepts, but labels hold {concepts} alone")
    return found


def _each(direction: Callable[[Any, Any], np.ndarray], rows: Labeled) -> dict[str, np.ndarray]:
    """A direction for each concept, from its rows and all others."""
    found, X = {}, rows.X.astype(np.float64)  # once, not for each concept
    for code, concept in enumerate(rows.concepts):
        try:
            found[concept] = direction(X, rows.codes == code)
        except ValueError as error:
            raise ValueError(f"of {concept!r}: {error}") from None
    return found


def _kmeans(rows: Labeled) -> dict[str, np.ndarray]:
    model = KMeans(rows.n_clusters, random_state=rows.seed).fit(rows.X)
    count = np.zeros((rows.n_clusters, len(rows.concepts)))
    has = rows.codes >= 0
    np.add.at(count, (model.labels_[has], rows.codes[has]), 1)
    best = association(count)["llr"].argmax(0)
    return {concept: model.cluster_centers_[best[code]] for code, concept in enumerate(rows.concepts)}


_CONTENT, _KMEANS = "difference of means, content", "k-means"
_MAKERS: dict[str, Callable[[Labeled], dict[str, np.ndarray]]] = {
    "difference of means": lambda rows: _each(difference_of_means, rows),
    _CONTENT: lambda rows: _each(difference_of_means, rows.content),
    "probe": lambda rows: _each(probe_direction, rows.content),
    "PCA": lambda rows: _each(principal_direction, rows.content),
    _KMEANS: _kmeans,
}
