"""Components that are not there are refused."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from interpret_fixtures import annotated, mixture
from mixture_cases import X_MADE, quick

from mfa_sklearn import MFA, ActivationArray, ActivationExtractor, MFASearch, SubspaceDisplay, datasets, top_tokens
from mfa_sklearn._base.checks import check_choice, check_flag, gathered_warnings, import_optional, warn_user
from mfa_sklearn.activations import load_model
from mfa_sklearn.interpret import concept_enrichment, describe_components, factor_ends, project, top_concepts
from mfa_sklearn.steering import evaluate_steering
from mfa_sklearn.steering._tables import SteeredTokens


@pytest.mark.parametrize("method", ["posterior_mean", "get_covariance", "get_precision"])
def test_components_out_of_range(method):
    arguments = (X_MADE,) if method == "posterior_mean" else ()
    for component, error in [(3, ValueError), (-1, ValueError), (1.0, TypeError), (True, TypeError), ("0", TypeError)]:
        with pytest.raises(error, match="component="):
            getattr(quick(), method)(*arguments, component)


EXACT = mixture()
X = annotated(EXACT, 30)
SEARCH = MFASearch(MFA(max_iter=1, tol=0, random_state=0), 1, 1).fit(np.asarray(X))


def in_the_demo() -> None:
    from mfa_sklearn._demo import _check_packages

    _check_packages()


PANDAS: dict[str, Callable[[], object]] = {
    "to_frame": lambda: ActivationArray(np.eye(2)).to_frame(),
    "SteeredTokens.to_frame": lambda: SteeredTokens(None, []).to_frame(),
    "evaluate_steering": lambda: evaluate_steering(SimpleNamespace(), {}, {}),
    "top_tokens": lambda: top_tokens(EXACT, X),
    "top_concepts": lambda: top_concepts(EXACT, X),
    "describe_components": lambda: describe_components(EXACT, X),
    "factor_ends": lambda: factor_ends(EXACT, X),
    "concept_enrichment": lambda: concept_enrichment([0, 1], ["a", "b"]),
    "Projection.to_frame": lambda: project(EXACT, X, 0).to_frame(),
    "results_": lambda: SEARCH.results_,
    "the demo": in_the_demo,
}


@pytest.mark.parametrize("caller", PANDAS)
def test_pandas_is_advised_in_one_wording(caller: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError) as caught:
        PANDAS[caller]()
    assert str(caught.value) == f"{caller} needs pandas: pip install 'mfa-sklearn[plot]'"


@pytest.mark.parametrize(
    ("caller", "ask"),
    [
        ("SubspaceDisplay", lambda: SubspaceDisplay.from_estimator(EXACT, X, 0)),
        ("SearchDisplay", lambda: SEARCH.plot()),
    ],
)
def test_matplotlib_is_advised_in_one_wording(
    caller: str, ask: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError) as caught:
        ask()
    assert str(caught.value) == f"{caller} needs matplotlib: pip install 'mfa-sklearn[plot]'"


@pytest.mark.parametrize(
    ("package", "ask"),
    [
        ("transformers", lambda: ActivationExtractor(datasets.tiny_lm(), 0).fit(["a"])),
        ("transformer_lens", lambda: load_model(datasets.tiny_lm())),
    ],
)
def test_language_models_are_advised_in_one_wording(
    package: str, ask: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (package, "transformer_lens.model_bridge"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError) as caught:
        ask()
    advice, _, remedy = str(caught.value).partition(". ")
    assert advice == f"a language model needs {package}: pip install 'mfa-sklearn[lm]'"
    assert remedy.startswith("Or go on without it: backend='transformers'") is (package == "transformer_lens")


def test_the_cause_of_a_failed_import_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError) as caught:
        import_optional("pandas", "this")
    assert isinstance(caught.value.__cause__, ImportError)


@pytest.mark.parametrize("value", ["other", 3, ["one"], np.array(["one", "two"]), {"one"}, None])
def test_choices_are_compared_whatever_is_given(value: object) -> None:
    with pytest.raises(ValueError, match=r"kind=.* is unknown; choose one of 'one', 'two'"):
        check_choice("kind", value, ("one", "two"))
    check_choice("kind", np.str_("one"), ("one", "two"))
    check_choice("kind", None, (None, "one"))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_samples": 2.5}, TypeError, "n_samples=2.5 must be an integer"),
        ({"n_factors": 10}, ValueError, "n_factors=10 must be below n_features=10"),
        ({"noise": ["shared"]}, ValueError, r"noise=\['shared'\] is unknown; choose one of 'shared', 'component'"),
    ],
)
def test_make_mfa_says_what_it_saw(arguments: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        datasets.make_mfa(**arguments)  # type: ignore[arg-type]


def test_flags_are_true_or_false() -> None:
    assert [check_flag("a", value) for value in (True, np.True_, 1, 0, np.bool_(False))] == [True] * 3 + [False] * 2
    for value in ("no", "False", None, 2, 0.0, [True]):
        with pytest.raises(TypeError, match=r"a=.* must be True or False"):
            check_flag("a", value)


def test_warnings_are_gathered_for_one_thread_alone() -> None:
    with ThreadPoolExecutor(1) as other, warnings.catch_warnings(record=True) as issued:
        warnings.simplefilter("always")
        with pytest.raises(ZeroDivisionError), gathered_warnings() as outer:
            warn_user("first")
            with gathered_warnings() as inner:
                warn_user("second", FutureWarning)
            other.submit(warn_user, "elsewhere").result()
            1 / 0  # noqa: B018
        warn_user("afterwards")
    assert (outer, inner) == ([(UserWarning, "first")], [(FutureWarning, "second")])
    assert [str(warning.message) for warning in issued] == ["elsewhere", "afterwards"]
