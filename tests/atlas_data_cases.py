"""Mixtures and rows of texts to make atlases of, and what the documented schema asks of their data."""

from __future__ import annotations

import json
import math
import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

import numpy as np
from interpret_fixtures import LABELS, mixture

from mfa_sklearn import MFA, ActivationArray
from mfa_sklearn.atlas import Atlas

VOCABULARY = np.array(["river", "money", "the", "song", "bank", "sings", "flows", "of", "pays", "a"])


def known_mixture(spread: float = 1.0, n_components: int = 4, seed: int = 0, **facts: Any) -> MFA:
    """A mixture with known parameters, whose components overlap where `spread` is small."""
    exact = mixture(spread, n_components, seed)
    mfa = MFA.from_params(exact.weights_, exact.means_, exact.loadings_, exact.noise_variance_)
    for name, fact in facts.items():
        setattr(mfa, name, fact)
    return mfa


def rows_of_texts(
    mfa: MFA,
    n_texts: int = 30,
    seed: int = 1,
    offsets: bool = True,
    vocabulary: np.ndarray = VOCABULARY,
    concepts: np.ndarray = LABELS,
) -> ActivationArray:
    """Rows drawn from a mixture as if they were tokens of texts; the first word of every text is no row.

    Words of a text are parted by a blank that belongs to no token.
    """
    rng = np.random.default_rng(seed)
    lengths = rng.integers(3, 12, n_texts)
    words = [vocabulary[rng.integers(len(vocabulary), size=n)] for n in lengths]
    exact = mixture(1.0, len(mfa.weights_), 0)
    exact.means_, exact.loadings_, exact.weights_ = mfa.means_, mfa.loadings_, mfa.weights_
    exact.noise_variance_ = mfa.noise_variance_
    facts: dict[str, list[Any]] = {name: [] for name in ("tokens", "text_index", "positions", "starts", "ends")}
    for number, own in enumerate(words):
        place = len(own[0]) + 1
        for position, word in enumerate(own[1:], 1):
            facts["tokens"].append(word)
            facts["text_index"].append(number)
            facts["positions"].append(position)
            facts["starts"].append(place)
            facts["ends"].append(place + len(word))
            place += len(word) + 1
    labels = concepts[np.arange(n_texts) % len(concepts)].astype(object)
    labels[::5] = None
    facts["labels"] = list(labels[facts["text_index"]])
    if not offsets:
        del facts["starts"], facts["ends"]
    X = exact.sample(len(facts["tokens"]), rng)
    shared = {"texts": tuple(" ".join(own) for own in words)} if offsets else {}
    return ActivationArray(X, rows=facts, shared=shared)


def check_schema(data: Any) -> None:
    """Refuse data that is not as the schema says: types, ranges, and numbers that point at nothing."""
    check_type(data, Atlas, "atlas")
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    for mixture_data in data["mixtures"]:
        _check_mixture(mixture_data)
    assert (data["matches"] is None) == (len(data["mixtures"]) == 1)
    for match in data["matches"] or []:
        for name, own in zip(("first", "second"), data["mixtures"], strict=True):
            assert 0 <= match[name] < own["n_components"]
        assert 0 < match["jaccard"] <= 1 and match["shared"] > 0


def check_type(value: Any, expected: Any, place: str) -> None:
    """Whether plain data is of a type, of which typed dicts are looked into."""
    origin, inner = get_origin(expected), get_args(expected)
    if expected is Any:
        return
    if is_typeddict(expected):
        hints = get_type_hints(expected)
        assert isinstance(value, dict), place
        assert set(value) == set(hints), (place, set(value) ^ set(hints))
        for name, hint in hints.items():
            check_type(value[name], hint, f"{place}.{name}")
    elif origin in (Union, types.UnionType):
        assert any(_is_of(value, option, place) for option in inner), (place, value)
    elif origin is Literal:
        assert value in inner, (place, value)
    elif origin is list:
        assert isinstance(value, list), place
        for number, entry in enumerate(value):
            check_type(entry, inner[0], f"{place}[{number}]")
    elif origin is dict:
        assert isinstance(value, dict), place
    elif expected is float:
        assert type(value) in (int, float) and math.isfinite(value), (place, value)
    else:
        assert type(value) is (type(None) if expected is None else expected), (place, value)


def _is_of(value: Any, expected: Any, place: str) -> bool:
    if value is None or expected is type(None):
        return value is None and expected is type(None)
    check_type(value, expected, place)
    return True


def _check_mixture(m: Any) -> None:
    assert [region["component"] for region in m["regions"]] == list(range(m["n_components"]))
    assert sum(region["size"] for region in m["regions"]) == m["n_rows"]
    assert len(set(m["strings"])) == len(m["strings"])
    for region in m["regions"]:
        _check_region(region, m)


def _check_region(region: Any, m: Any) -> None:
    n_strings, n_concepts, n_rows = len(m["strings"]), len(m["concepts"]), m["n_rows"]
    for name in ("weight", "sharpness", "purity"):
        assert region[name] is None or 0 <= region[name] <= 1, name
    assert 0 <= region["cluster"] < m["n_clusters"] and 0 <= region["factors_90"] <= m["n_factors"]
    assert all(0 <= row < n_rows for row in region["typical"] + region["outlying"])
    for token in region["tokens"]:
        assert 0 <= token["token"] < n_strings
        assert 0 < token["count"] <= min(token["total"], region["size"])
    for concept in region["concepts"]:
        assert 0 <= concept["concept"] < n_concepts
        assert 0 < concept["share"] <= 1 and 0 <= concept["q_value"] <= 1
    for neighbor in region["neighbors"]:
        assert 0 <= neighbor["component"] < m["n_components"] and neighbor["component"] != region["component"]
        assert 0 <= neighbor["overlap"] <= 1 and neighbor["distance"] >= 0
    for context in region["contexts"]:
        _check_context(context, n_strings, n_concepts, n_rows)
    if region["histogram"] is not None:
        own, others = region["histogram"]["own"], region["histogram"]["others"]
        assert len(own) == len(others) and sum(own) <= region["size"]
        assert region["histogram"]["low"] < region["histogram"]["high"]
    if region["scatter"] is not None:
        _check_scatter(region["scatter"], n_strings, n_concepts, n_rows)
    for end in region["ends"]:
        assert 0 < end["share"] <= 1 and all(0 <= token < n_strings for token in end["low"] + end["high"])
    for changes, sign in (
        ((region["steering"] or {}).get("promoted", []), 1),
        (
            (region["steering"] or {}).get("demoted", []),
            -1,
        ),
    ):
        assert all(0 <= change["token"] < n_strings and sign * change["change"] >= 0 for change in changes)


def _check_context(context: Any, n_strings: int, n_concepts: int, n_rows: int) -> None:
    pieces, posterior, score = (context[name] for name in ("tokens", "responsibility", "score"))
    assert len(pieces) == len(posterior) == len(score) > context["at"] >= 0
    assert all(0 <= piece < n_strings for piece in pieces)
    assert all(-1 <= value <= 100 for value in (*posterior, *score))
    assert [value < 0 for value in posterior] == [value < 0 for value in score]
    assert posterior[context["at"]] >= 0 and 0 <= context["row"] < n_rows
    assert context["concept"] is None or 0 <= context["concept"] < n_concepts


def _check_scatter(scatter: Any, n_strings: int, n_concepts: int, n_rows: int) -> None:
    n_points = len(scatter["x"])
    assert n_points == len(scatter["y"]) == len(scatter["row"]) and len(scatter["axes"]) in (1, 2)
    assert all(0 <= place <= 1000 for place in (*scatter["x"], *scatter["y"]))
    assert len(scatter["x_range"]) == len(scatter["y_range"]) == 2 and scatter["x_range"][0] < scatter["x_range"][1]
    for name, most in (("token", n_strings), ("concept", n_concepts), ("row", n_rows)):
        assert len(scatter[name]) in (0, n_points) and all(-1 <= number < most for number in scatter[name])
