"""What notebooks and prints show of a mixture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from html_cases import NASTY, Read, shown
from sklearn import config_context
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr

from mfa_sklearn import MFA
from mfa_sklearn._base.annotated import AnnotatedArray

SOURCE = {"model": "gpt2", "layer": 4, "site": "residual"}


X = np.random.default_rng(0).normal(size=(60, 4))


def fitted(tokens: Any = None, source: Any = None, K: int = 3, **params: Any) -> MFA:
    facts = {} if tokens is None else {"tokens": np.resize(np.array(tokens, dtype=object), 60)}
    params = {"tol": 0, "max_iter": 3, "random_state": 0} | params
    return MFA(K, **params).fit(AnnotatedArray(X, rows=facts, shared={"source": source}))


def html_of(mfa: MFA) -> str:
    return mfa._repr_mimebundle_()["text/html"]


def test_what_was_fitted_on_what() -> None:
    mfa = fitted([" a", "b"], SOURCE)
    texts = Read(html_of(mfa)).texts
    likelihood = f"{mfa.score(X):,.4f} nats per row"
    said = ["60 rows of 4 features", "layer 4, site 'residual', of model 'gpt2'", "3 components, 1 factor"]
    for text in ["MFA: 3 components, fitted", *said, "diagonal, shared by all components", likelihood]:
        assert text in texts
    assert "3, not converged" in texts
    k = int(mfa.weights_.argmax())
    line = texts.index("weight") + 2
    assert texts[line : line + 2] == [str(k), f"{mfa.weights_[k]:.1%}"]
    for tokens in mfa.component_tokens_.values():
        assert all(token.replace(" ", "\N{MIDDLE DOT}") in texts for token in tokens)


def test_parameters_that_were_changed_come_first() -> None:
    texts = Read(html_of(fitted(tol=0, noise="component", max_iter=3))).texts
    at = texts.index("parameters")
    changed = texts[at + 1 : texts.index("defaults")]
    assert dict(zip(changed[::2], changed[1::2], strict=True)) == {
        **{"n_components": "3", "tol": "0", "max_iter": "3", "noise": "'component'", "random_state": "0"}
    }
    assert {"n_factors", "solver", "annealing"} <= set(texts[texts.index("defaults") :])


def test_the_heaviest_components_and_how_much_is_left() -> None:
    mfa = fitted(K=14)
    found = Read(html_of(mfa))
    rest = 1 - np.sort(mfa.weights_)[-10:].sum()
    assert f"and 4 components more, {rest:.1%} of the weight" in found.texts
    assert "over-represented tokens" not in found.texts and found.tags.count("tr") >= 11


@pytest.mark.parametrize("text", NASTY)
def test_no_string_becomes_anything_else(text: str) -> None:
    source = {"model": text, "site": text, "layer": 1}
    mfa = MFA.from_params([0.5, 0.5], np.eye(2), np.ones((2, 2, 1)), np.ones(2), source=source)
    mfa.component_tokens_ = {0: [text]}
    html = html_of(mfa)
    found = Read(html)
    assert shown(text).replace(" ", "\N{MIDDLE DOT}") in found.texts and not found.open
    assert not {"script", "img", "a"} & set(found.tags) and found.names <= {"class", "style", "dir", "scope"}
    html.encode()
    assert str(mfa).isascii() or "\N{BULLET}" not in str(mfa)
    assert all(line.isprintable() for line in str(mfa).splitlines())


def test_made_from_parameters() -> None:
    mfa = MFA.from_params([1.0], [[0.0, 2.0]], [[[1.0], [1.0]]], [0.5, 0.5])
    texts = Read(html_of(mfa)).texts
    assert "2 features" in texts and "none: made from parameters" in texts and "log-likelihood" not in texts
    many = MFA.from_params([0.5, 0.5], np.eye(2), [[[1.0], [1.0]], [[0.0], [0.0]]], np.ones(2), n_factors=[1, 0])
    assert "2 components, up to 1 factor" in Read(html_of(many)).texts


def test_as_every_estimator_until_it_is_fitted_and_inside_of_pipelines() -> None:
    mfa = MFA(3)
    assert "sk-top-container" in html_of(mfa) and str(mfa) == repr(mfa) == "MFA(n_components=3)"
    pipeline = make_pipeline(StandardScaler(), MFA(2, tol=0, max_iter=1)).fit(X)
    whole = pipeline._repr_mimebundle_()["text/html"]
    assert "sk-top-container" in whole and "mfa-sklearn" not in whole.partition("<body")[2].replace("mfa-sklearn/", "")
    assert "sk-top-container" in estimator_html_repr(pipeline[-1])
    with config_context(display="text"):
        assert list(pipeline[-1]._repr_mimebundle_()) == ["text/plain"] and not hasattr(mfa, "_repr_html_")


def test_a_print_says_the_same() -> None:
    mfa = fitted([" a", "b"], SOURCE)
    lines = str(mfa).splitlines()
    assert lines[0] == repr(mfa) == "MFA(max_iter=3, n_components=3, random_state=0, tol=0)"
    assert lines[1] == "  fitted on       60 rows of 4 features"
    assert lines[2] == "  from            layer 4, site 'residual', of model 'gpt2'"
    assert len(lines) == 1 + 6 + 3 and lines[-3].startswith(f"  component {mfa.weights_.argmax()} ")
    assert len(str(fitted()).splitlines()) == 1 + 5
