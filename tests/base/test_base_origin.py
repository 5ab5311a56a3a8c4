"""Where rows came from: what counts as elsewhere, how it is told, and who is warned."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mfa_sklearn._base.annotated import AnnotatedArray
from mfa_sklearn._base.origin import differences, other_source, same_model, told, warn_incomplete, warn_other_source

HERE = {
    "model": "/models/gpt2",
    "revision": "sha256:" + 32 * "a",
    "layer": 4,
    "site": "residual",
    "pooling": None,
    "processing": "raw",
    "dtype": "float32",
    "hooks": ["blocks.4.hook_resid_post"],
}
OTHERS: list[tuple[dict[str, Any], str]] = [
    ({"layer": 3}, "layer"),
    ({"layer": [4, 5]}, "layer"),
    ({"site": "mlp_out"}, "site"),
    ({"pooling": "mean"}, "pooling"),
    ({"processing": "compatibility"}, "weights processed as"),
    ({"revision": "sha256:" + 32 * "b"}, "model revision"),
    ({"model": "bert", "revision": None}, "model"),
]


@pytest.mark.parametrize(("other", "fact"), OTHERS)
def test_each_fact_alone_is_a_difference(other: dict[str, Any], fact: str) -> None:
    for pair in ((HERE, HERE | other), (HERE | other, HERE)):
        assert [difference.fact for difference in differences(*pair)] == [fact]
    X = AnnotatedArray(np.eye(2), shared={"source": HERE | other})
    said = other_source(HERE, X)
    assert said is not None and told(HERE) in said and told(HERE | other) in said and said.endswith(f"in {fact}")


SAME: list[dict[str, Any]] = [
    {},
    {"layer": [4]},
    {"layer": np.int64(4)},
    {"model": "/elsewhere/copy"},  # the weights are the same
    {"model": "/elsewhere/GPT2", "revision": None},
    {"model": "/elsewhere/gpt2", "revision": "sha256:" + 16 * "c"},  # a digest of another kind says nothing
    {"processing": None},
    {"dtype": "float16", "hooks": []},
]


@pytest.mark.parametrize("other", SAME)
def test_what_is_told_otherwise_or_not_told_is_no_difference(other: dict[str, Any]) -> None:
    assert differences(HERE, HERE | other) == differences(HERE | other, HERE) == []


@pytest.mark.parametrize("name", ["layer", "site", "pooling", "processing", "model", "revision"])
def test_a_fact_that_one_source_lacks_is_not_compared(name: str) -> None:
    left = {key: value for key, value in HERE.items() if key != name}
    assert differences(HERE, left) == differences(left, HERE) == []
    assert differences(None, HERE) == differences(HERE, None) == differences({}, HERE) == []


def test_all_differences_are_told() -> None:
    found = differences(HERE, HERE | {"layer": 1, "site": "mlp", "pooling": "last"})
    assert [difference.fact for difference in found] == ["layer", "site", "pooling"]
    assert found[2].fitted == "none (a row per token)" and found[2].here == "last"
    assert told({}) == "an unknown place"


def test_names_of_one_model() -> None:
    assert same_model("openai-community/gpt2", "gpt2") and same_model("/a/GPT2", "/b/gpt2")
    assert not same_model("gpt2", "gpt2-medium")


def test_the_warning_names_both_sources_and_the_users_line() -> None:
    estimator = SimpleNamespace(source_=HERE)
    with pytest.warns(UserWarning, match=r"layer 4.*these rows are of layer 2.*differ in layer") as caught:
        warn_other_source(estimator, AnnotatedArray(np.eye(2), shared={"source": HERE | {"layer": 2}}))
    assert caught[0].filename == __file__


def test_rows_and_estimators_without_a_source_pass() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_other_source(SimpleNamespace(source_=HERE), np.eye(2))
        warn_other_source(SimpleNamespace(source_=None), AnnotatedArray(np.eye(2), shared={"source": HERE}))
        warn_other_source(object(), AnnotatedArray(np.eye(2), shared={"source": HERE}))
        warn_incomplete(AnnotatedArray(np.eye(2)))


def test_rows_of_an_interrupted_extraction_are_told() -> None:
    X = AnnotatedArray(np.eye(2), shared={"incomplete": "3 of 6 texts of 'a writer/st'"})
    with pytest.warns(UserWarning, match=r"interrupted extraction, 3 of 6 texts of 'a writer/st'.*extract_to goes on"):
        warn_incomplete(X[1:])


HUB, DIRECTORY = "607a30d783dfa663caf39e06633721c8d4cfcd7e", "sha256:" + "a" * 64


@pytest.mark.parametrize(
    "name",
    [
        "gpt2",
        "/models/gpt2",
        "/models/gpt2/",
        r"C:\models\gpt2",
        f"/cache/models--openai-community--gpt2/snapshots/{HUB}",
    ],
)
def test_a_model_of_the_hub_is_its_copy_in_a_directory(name: str) -> None:
    hub = {"model": "openai-community/gpt2", "revision": HUB}
    assert differences(hub, {"model": name, "revision": DIRECTORY}) == []
    assert differences({"model": name, "revision": DIRECTORY}, hub) == []
    other = differences(hub, {"model": "/models/other", "revision": DIRECTORY})
    assert [difference.fact for difference in other] == ["model"]
