"""The data of an atlas, from mixtures and their rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import __version__
from ..interpret._inputs import as_rows, check_mixture
from ._figures import Figures
from ._mixture import Gathered, Options
from ._regions import Teller
from ._schema import FORMAT, VERSION, Atlas, Mixture
from ._steering import Effect


def atlas_data(mfa: Any, activations: Any, *, tokens: Any = None, labels: Any = None, model: Any = None,
               title: str | None = None, names: Any = None, prompts: Any = None, method="centroid", alpha=0.6,
               random_state=0, verbose: int = 0) -> Atlas:
    check_mixture(mfa)
    X = as_rows(activations, mfa)
    import time
    t0 = time.time()
    def said(t): print(f"[atlas] {time.time()-t0:5.1f} s {t}", flush=True)
    from ..steering import NEUTRAL_PROMPTS
    effect = None if model is None else Effect(model, mfa, NEUTRAL_PROMPTS[:8], method, alpha)
    g = Gathered(mfa, X, tokens, labels, Options(random_state=random_state), said)
    said("figures")
    figures = Figures(g)
    said("steering")
    effects = effect.measure() if effect else None
    said("telling")
    teller = Teller(g, figures, effect, effects)
    regions = [teller.region(k) for k in range(g.n_components)]
    m = Mixture(name="mixture", source=_plain(g.source), n_components=g.n_components, n_factors=int(mfa.loadings_.shape[2]),
        n_features=int(mfa.means_.shape[1]), n_rows=g.n_rows, noise=str(getattr(mfa,"noise","shared")),
        log_likelihood=round(float(g.own.log_prob.mean()),3), row_noun=g.row_noun, strings=teller.strings.found,
        concepts=teller.concepts, n_clusters=figures.n_clusters, regions=regions)
    said("done")
    return Atlas(format=FORMAT, version=VERSION, title=title or "Atlas", made_with=f"mfa-sklearn {__version__}", mixtures=[m], matches=None)


def _plain(source: Any) -> Any:
    if isinstance(source, dict):
        return {str(k): _plain(v) for k, v in source.items()}
    if isinstance(source, (list, tuple)):
        return [_plain(v) for v in source]
    return source if source is None or isinstance(source, (str, int, float, bool)) else str(source)
