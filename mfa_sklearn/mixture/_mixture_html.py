"""What a notebook, or a print, shows of a fitted mixture. Part of the estimator `MFA`."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from .._base.html import bar_html, chips_html, details_html, facts_html, faint_html, framed_html, head_html, lines_html
from .._base.origin import told
from .._base.portable import portable_source
from .._base.words import plural, shortened, visible
from ._fitted import FittedMixture

# Components that are shown, the heaviest first.
_SHOWN = 10


class DisplayMethods(FittedMixture):
    """How a mixture shows itself; before it is fitted, as every estimator does."""

    def _html_repr(self) -> str:
        """What scikit-learn hands to notebooks; pipelines do not ask their steps for it."""
        if not hasattr(self, "weights_"):
            return super()._html_repr()  # type: ignore[misc]
        heading = f"{type(self).__name__}: {plural(len(self.weights_), 'component')}, fitted"
        parts = [head_html(heading), facts_html(fit_facts(self)), _components_html(self), _parameters_html(self)]
        return framed_html("".join(parts))

    def __str__(self) -> str:
        """The constructor's call and, of a fitted mixture, what was fitted on what."""
        if not hasattr(self, "weights_"):
            return repr(self)
        facts = fit_facts(self)
        width = max(len(name) for name, _ in facts)
        lines = [repr(self), *(f"  {name:{width}}  {visible(said)}" for name, said in facts)]
        tokens = getattr(self, "component_tokens_", None) or {}
        for k in _heaviest(self) if tokens else []:
            told_of = "  ".join(visible(token) for token in tokens.get(k, []))
            lines.append(f"  component {k:<4} {self.weights_[k]:6.1%}  {told_of}".rstrip())
        return "\n".join(lines)


def fit_facts(mfa: Any) -> list[tuple[str, str]]:
    """What was fitted on what, as names and words."""
    n_components, n_features, n_factors = mfa.loadings_.shape
    rows = getattr(mfa, "n_samples_seen_", 0)
    features = plural(n_features, "feature")
    facts = [("fitted on", f"{plural(rows, 'row')} of {features}" if rows else features)]
    if getattr(mfa, "source_", None):
        facts.append(("from", told(portable_source(mfa.source_))))
    sharing = "shared by all components" if mfa.noise == "shared" else "of each component"
    loadings = ", common loadings" if mfa.loading_type == "common" else ""
    most = "" if np.ndim(mfa.n_factors) == 0 else "up to "
    facts += [
        ("model", f"{plural(n_components, 'component')}, {most}{plural(n_factors, 'factor')}{loadings}"),
        ("noise", f"{mfa.noise_form}, {sharing}"),
    ]
    if hasattr(mfa, "lower_bound_"):
        facts.append(("log-likelihood", f"{mfa.lower_bound_ - getattr(mfa, 'log_prior_', 0.0):,.4f} nats per row"))
    return [*facts, ("iterations", _iterations(mfa))]


def _iterations(mfa: Any) -> str:
    """How many there were, and how they ended."""
    if not getattr(mfa, "n_iter_", 0):
        return "none: made from parameters" if not hasattr(mfa, "lower_bound_") else "none: as it started"
    return f"{mfa.n_iter_:,}, {'converged' if getattr(mfa, 'converged_', False) else 'not converged'}"


def _heaviest(mfa: Any) -> list[int]:
    """Components by their weights, as many as are shown."""
    return np.argsort(-mfa.weights_, kind="stable")[:_SHOWN].tolist()


def _components_html(mfa: Any) -> str:
    """The heaviest components: weights as bars, and their tokens where they are known."""
    tokens, heaviest = getattr(mfa, "component_tokens_", None), _heaviest(mfa)
    largest = float(mfa.weights_[heaviest[0]]) or 1.0
    rows = []
    for k in heaviest:
        weight = float(mfa.weights_[k])
        rows.append([str(k), f"{weight:.1%}", bar_html(weight / largest)])
        rows[-1] += [] if tokens is None else [chips_html(tokens.get(k, []))]
    head = ["component", "weight", "", *(["over-represented tokens"] if tokens is not None else [])]
    left = len(mfa.weights_) - len(heaviest)
    rest = f"and {plural(left, 'component')} more, {1 - mfa.weights_[heaviest].sum():.1%} of the weight"
    return lines_html(head, rows, numbers=2) + (faint_html(rest) if left else "")


def _parameters_html(mfa: Any) -> str:
    """Constructor parameters, those that were changed first."""
    defaults = {name: p.default for name, p in inspect.signature(type(mfa).__init__).parameters.items()}
    given = {name: shortened(value, 80) for name, value in mfa.get_params(deep=False).items()}
    changed = [name for name, value in given.items() if value != shortened(defaults.get(name), 80)]
    others = [name for name in given if name not in changed]
    parts = [facts_html([(name, given[name]) for name in changed])] if changed else []
    parts.append(details_html("defaults", facts_html([(name, given[name]) for name in others])))
    return details_html("parameters", "".join(parts))
