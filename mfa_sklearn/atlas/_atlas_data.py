"""The data of an atlas, from one mixture or two and their rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from .._base.annotated import has_row_fact
from .._base.checks import check_count, check_flag, import_optional
from .._base.words import plural
from ..interpret._between.matching import check_same_rows
from ..interpret._inputs import as_rows, check_mixture
from ..steering import NEUTRAL_PROMPTS
from ._comparison import matches_of
from ._effects import Effect, Effects
from ._figures import Figures
from ._gathered import Gathered, Options
from ._region_facts import Teller
from ._schema import FORMAT, VERSION, Atlas, Mixture
from ._titles import names_of, plain_source, title_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import PreTrainedModel

    from ..activations import ActivationStore, PlainModel, StoredActivations
    from ..mixture import MFA

# Beginnings that effects of steering are averaged over, unless others are given.
PROMPTS = NEUTRAL_PROMPTS[:8]
# Components beyond which less is told of each.
_MANY = 800


def atlas_data(
    mfa: MFA,
    activations: ArrayLike | ActivationStore | StoredActivations,
    *,
    tokens: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    model: TransformerBridge | PlainModel | PreTrainedModel | None = None,
    against: MFA | None = None,
    against_activations: ArrayLike | ActivationStore | StoredActivations | None = None,
    title: str | None = None,
    names: Sequence[str] | None = None,
    prompts: Sequence[str] = PROMPTS,
    method: str = "centroid",
    alpha: float = 0.6,
    n_tokens: int = 8,
    n_contexts: int | None = None,
    context: int = 12,
    n_points: int = 250,
    random_state: int | None = 0,
    verbose: bool = False,
) -> Atlas:
    """All that an atlas of a mixture's regions shows, as plain data that JSON can hold.

    Parameters
    ----------
    mfa : fitted MFA
    activations : ActivationArray, activation store or array-like, of shape (n, n_features)
        Whatever `fit` takes. Rows may be tokens, pooled texts, or lines of a table.
    tokens, labels : array-like of shape (n,), optional
        Of the rows; by default those that the activations carry. Of labels some may be missing.
    model : TransformerBridge, PreTrainedModel, or another hookable model, optional
        The language model that the mixture was fitted on, for the tokens that steering to each region promotes.
    against : fitted MFA, optional
        A second mixture of the same rows, such as one of another seed or another number of components.
    against_activations : like `activations`, optional
        The same rows for the second mixture, where it is of another layer: as many, in the same order.
    title : str, optional
        By default the number of regions, the model, its layer and its site, as far as they are known.
    names : sequence of str, optional
        What to call the mixture, or the two; by default by their layer and number of regions.
    prompts : sequence of str
        What the model reads where it is steered; by default eight of `mfa_sklearn.steering.NEUTRAL_PROMPTS`.
    method : {"centroid", "direction", "transport"}, default="centroid"
        How to steer, as of `MFASteerer.steer`.
    alpha : float, default=0.6
        How far.
    n_tokens : int, default=8
        Distinguishing tokens of each region.
    n_contexts : int, optional
        Texts to show each of them in; by default two, and of mixtures with more than 800 components one, and fewer
        typical and outlying rows.
    context : int, default=12
        Tokens to show on either side.
    n_points : int, default=250
        Most points of a scatter; fewer where there are more than 800 regions.
    random_state : int or None, default=0
        For the samples that histograms and scatters show, and for the map. One seed gives the same data.
    verbose : bool, default=False
        Say what is done.

    Returns
    -------
    dict
        As described in `mfa_sklearn.atlas.Atlas` and the types it refers to; ``json.dumps(data, allow_nan=False)``
        writes it.

    Raises
    ------
    ValueError
        If rows are not those that a mixture was fitted on, the rows of two mixtures are not the same ones, or the model
        is another than the mixture's or has no next token.
    TypeError
        If an argument is none of the above.

    See Also
    --------
    write_atlas : The same as a page to browse.

    Notes
    -----
    All rows are evaluated once. Rows that are shown, and those around them, are then evaluated under the components
    that they are shown for: nothing of size rows x components is made, and stores and memory maps are read piece by
    piece.

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn import MFA
    >>> from mfa_sklearn.atlas import atlas_data
    >>> X = np.random.default_rng(0).normal([[0.0, 0], [9, 9]], 1, size=(20, 2, 2)).reshape(-1, 2)
    >>> mfa = MFA(2, 1, init=np.array([[0.0, 0], [9, 9]]), max_iter=0).fit(X)
    >>> data = atlas_data(mfa, X, tokens=[" cat", " dog"] * 20)
    >>> [(region["label"], region["size"]) for region in data["mixtures"][0]["regions"]]
    [('cat', 20), ('dog', 20)]
    """
    import_optional("pandas", "atlas_data")
    options = _options(n_tokens, n_contexts, context, n_points, random_state)
    if n_contexts is None and max(check_mixture(own) for own in (mfa, against or mfa)) > _MANY:
        options = options._replace(n_contexts=1, n_typical=3, n_outlying=2)
    said = _Progress(check_flag("verbose", verbose))
    mixtures = _checked(mfa, activations, against, against_activations, tokens, labels, options)
    effects = [None if model is None else Effect(model, g.mfa, _prompts(prompts), method, alpha) for g in mixtures]
    called = names_of(names, mixtures)
    told = [_told(g, name, effect, said) for g, name, effect in zip(mixtures, called, effects, strict=True)]
    matches = matches_of(*mixtures) if len(mixtures) == 2 else None
    said("done")
    made_with = f"mfa-sklearn {__version__}"
    whole = title_of(mixtures) if title is None else str(title)
    return Atlas(format=FORMAT, version=VERSION, title=whole, made_with=made_with, mixtures=told, matches=matches)


def _options(n_tokens: int, n_contexts: int | None, context: int, n_points: int, random_state: Any) -> Options:
    return Options(
        n_tokens=check_count("n_tokens", n_tokens),
        n_contexts=2 if n_contexts is None else check_count("n_contexts", n_contexts),
        width=check_count("context", context, 0),
        n_points=check_count("n_points", n_points),
        random_state=random_state,
    )


def _checked(
    mfa: Any, activations: Any, against: Any, against_activations: Any, tokens: Any, labels: Any, options: Options
) -> list[Gathered]:
    """The mixtures with their rows, found fit for each other."""
    check_mixture(mfa)
    first = Gathered(mfa, as_rows(activations, mfa), tokens, labels, options)
    if against is None:
        if against_activations is not None:
            raise ValueError("against_activations are rows for a second mixture: give it by against=")
        return [first]
    check_mixture(against)
    rows = as_rows(activations if against_activations is None else against_activations, against)
    check_same_rows(first.X, rows, ("activations", "against_activations"))
    # What is known of rows in one place holds in the other.
    if tokens is None and not has_row_fact(rows, "tokens"):
        tokens = first.tokens
    if labels is None and not has_row_fact(rows, "labels"):
        labels = first.labels
    return [first, Gathered(against, rows, tokens, labels, options)]


def _prompts(prompts: Sequence[str]) -> list[str]:
    found = [prompts] if isinstance(prompts, str) else list(prompts)
    if not found or not all(isinstance(prompt, str) for prompt in found):
        raise TypeError(f"prompts={prompts!r} must be strings: beginnings that suggest no topic")
    return found


def _told(g: Gathered, name: str, effect: Effect | None, said: Callable[[str], None]) -> Mixture:
    """All of one mixture."""
    g.gather(said)
    said(f"{name}: comparing {plural(g.n_components, 'region')} with each other")
    figures = Figures(g)
    effects: Effects | None = None
    if effect is not None:
        said(f"{name}: steering to {plural(g.n_components, 'region')}")
        effects = effect.measure()
    said(f"{name}: putting all of it together")
    teller = Teller(g, figures, effect, effects)
    regions = [teller.region(k) for k in range(g.n_components)]
    return Mixture(
        name=name,
        source=plain_source(g.source),
        n_components=g.n_components,
        n_factors=int(np.shape(g.mfa.loadings_)[2]),
        n_features=int(np.shape(g.mfa.means_)[1]),
        n_rows=g.n_rows,
        noise="shared" if np.ndim(g.mfa.noise_variance_) == 1 else "component",
        log_likelihood=round(float(g.log_prob.mean()), 3),
        row_noun=g.row_noun,  # type: ignore[typeddict-item]
        strings=teller.strings.found,
        concepts=teller.concepts,
        n_clusters=figures.n_clusters,
        scale=g.scale,  # type: ignore[typeddict-item]
        regions=regions,
    )


class _Progress:
    """Says what is done, and when it was begun."""

    def __init__(self, verbose: bool) -> None:
        self._verbose, self._start = verbose, time.perf_counter()

    def __call__(self, what: str) -> None:
        if self._verbose:
            print(f"[atlas] {time.perf_counter() - self._start:5.1f} s  {what}", flush=True)
