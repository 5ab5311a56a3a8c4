"""Selections of tokens beside plain loops over them, and over transformers' own hidden states."""

from __future__ import annotations

import functools
import operator
import random
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from lm_fixtures import SENTENCES, hidden_rows, make_tokenizer, save_tiny_model
from sklearn.base import clone

from mfa_sklearn import ActivationExtractor, TokenSelection
from mfa_sklearn.activations import _selection_facts
from mfa_sklearn.activations._language_model import load_tokenizer
from mfa_sklearn.activations._selection import as_selection
from mfa_sklearn.activations._selection_facts import (
    Chooser,
    TokenFacts,
    kept_tokens,
    predicate_digest,
    recorded,
    settings_of,
)


class Token(NamedTuple):
    """One token, as a loop sees it."""

    id: int
    place: int
    n_prompt: int
    special: bool
    role: str
    rank: int  # of the prompt's tokens that are not special, from 0
    n_own: int

    @property
    def string(self) -> str:
        return "abcdefgh"[self.id]

    @property
    def generated(self) -> bool:
        return self.place >= self.n_prompt


Rule = Callable[[Token], bool]
CASES: dict[str, tuple[Any, Rule]] = {
    "all": ("all", lambda t: not t.special),
    "special too": (TokenSelection(special=True), lambda t: True),
    "only special": (TokenSelection(special=True) - TokenSelection(), lambda t: t.special),
    "prompt": ("prompt", lambda t: not t.special and not t.generated),
    "generated": ("generated", lambda t: t.generated),
    "last": ("last", lambda t: t.place == t.n_prompt - 1),
    "places": ([0, -2, 6], lambda t: t.place in (0, t.n_prompt - 2, 6)),
    "places of the prompt": (
        TokenSelection(at=[1, 6], phase="prompt"),
        lambda t: t.place in (1, 6) and not t.generated,
    ),
    "a place that is special, refused": (
        TokenSelection(at=[0, 1], special=False),
        lambda t: t.place < 2 and not t.special,
    ),
    "first": (TokenSelection(first=2), lambda t: not t.special and not t.generated and t.rank < 2),
    "last two": (TokenSelection(last=2), lambda t: not t.special and not t.generated and t.rank >= t.n_own - 2),
    "windows with special": (TokenSelection(first=2, special=True), lambda t: t.place < 2 and not t.generated),
    "both windows": (
        TokenSelection(first=3, last=3),
        lambda t: not t.special and not t.generated and t.n_own - 3 <= t.rank < 3,
    ),
    "first generated": (TokenSelection(phase="generated", first=2), lambda t: 0 <= t.place - t.n_prompt < 2),
    "ids": (TokenSelection(ids=[0, 3]), lambda t: t.id in (0, 3)),
    "strings": ({"b", "a"}, lambda t: t.string in "ab"),
    "strings, not special": (
        TokenSelection(strings={"b", "a"}, special=False),
        lambda t: t.string in "ab" and not t.special,
    ),
    "predicate": (lambda string: string > "c", lambda t: t.string > "c" and not t.special),
    "roles": (TokenSelection(roles={"user"}), lambda t: t.role == "user" and not t.special),
    "conditions together": (
        TokenSelection(phase="prompt", strings={"b", "c"}, predicate="c".__eq__, roles=["user", "assistant"]),
        lambda t: t.string == "c" and not t.generated and t.role != "",
    ),
    "either": (
        TokenSelection(first=1) | "generated" | {"d"},
        lambda t: t.generated or t.string == "d" or (t.rank == 0 and not t.special),
    ),
    "exclusions after a join": (
        (TokenSelection(phase="prompt") - {"b"}) | TokenSelection(phase="generated", first=1) | {"b", "c"},
        lambda t: t.string != "b" and (t.string == "c" or (not t.generated and not t.special) or t.place == t.n_prompt),
    ),
    "two exclusions": (
        TokenSelection(special=True) - 0 - TokenSelection(last=1),
        lambda t: t.place != 0 and not (not t.special and not t.generated and t.rank == t.n_own - 1),
    ),
}


def make_rows(seed: int) -> tuple[TokenFacts, list[list[Token | None]]]:
    """Rows with prompts of several lengths, padded in front, with tokens behind them; None is padding."""
    rng = np.random.default_rng(seed)
    rows: list[list[Token | None]] = []
    for _ in range(9):
        n_prompt, n_new = int(rng.integers(1, 7)), 3
        special = [place == 0 and bool(rng.random() < 0.6) for place in range(n_prompt)]
        roles = ["" if s else str(rng.choice(["user", "assistant"])) for s in special] + ["assistant"] * n_new
        own = [place for place in range(n_prompt) if not special[place]]
        row = [
            Token(int(rng.integers(8)), p, n_prompt, (special + [False] * 3)[p], roles[p], _rank(own, p), len(own))
            for p in range(n_prompt + n_new)
        ]
        rows.append([None] * (10 - len(row)) + row)

    def array(of: Callable[[Token], Any], blank: Any) -> np.ndarray:
        return np.array([[blank if token is None else of(token) for token in row] for row in rows])

    facts = TokenFacts(
        ids=array(lambda t: t.id, -1),
        real=array(lambda t: True, False),
        place=array(lambda t: t.place, -1),
        n_prompt=np.array([row[-1].n_prompt for row in rows if row[-1] is not None]),
        special=array(lambda t: t.special, False),
        roles=array(lambda t: t.role, ""),
    )
    return facts, rows


def _rank(own: list[int], place: int) -> int:
    return own.index(place) if place in own else -1


def letters() -> Any:
    """A tokenizer whose tokens are letters."""
    return SimpleNamespace(
        decode=lambda ids, **_: "abcdefgh"[ids[0]],
        convert_ids_to_tokens=lambda ids: ["abcdefgh"[i] for i in ids],
        all_special_tokens=["a"],
        __len__=lambda: 8,
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("case", CASES)
def test_tokens_are_those_that_a_loop_accepts(case: str, seed: int) -> None:
    select, rule = CASES[case]
    facts, rows = make_rows(seed)
    choose = Chooser(as_selection(select), letters())
    expected = [[token is not None and rule(token) for token in row] for row in rows]
    assert choose(facts).tolist() == expected
    # Column by column behind the prompts, as a model writes them.
    for column in range(7, 10):
        own = facts.roles
        assert own is not None
        part = facts._replace(
            ids=facts.ids[:, [column]],
            real=facts.real[:, [column]],
            place=facts.place[:, [column]],
            special=facts.special[:, [column]],
            roles=own[:, [column]],
        )
        assert choose(part)[:, 0].tolist() == [row[column] for row in expected]


def test_a_function_is_asked_once_per_token() -> None:
    asked: list[str] = []
    choose = Chooser(TokenSelection(predicate=lambda string: bool(asked.append(string)) or string == "b"), letters())
    facts, _ = make_rows(0)
    assert (choose(facts) == choose(facts)).all()
    assert sorted(asked) == sorted({"abcdefgh"[i] for i in facts.ids[facts.real]})


def test_roles_of_texts_that_have_none() -> None:
    facts, _ = make_rows(0)
    with pytest.raises(ValueError, match="asks for roles, which plain texts and token ids have none of: give chats"):
        Chooser(TokenSelection(roles="user"), letters())(facts._replace(roles=None))


def test_strings_need_a_tokenizer() -> None:
    Chooser(TokenSelection(ids=3), None)
    for select in (TokenSelection(strings="a"), TokenSelection() - TokenSelection(predicate=str.isspace)):
        with pytest.raises(ValueError, match="has no tokenizer, so tokens have no strings to select by: use ids="):
            Chooser(select, None)


# Of texts that a model reads: token id and string, place, number of tokens, and whether the tokenizer put it there.
ROWS: dict[str, tuple[Any, Callable[[int, str, int, int, bool], bool]]] = {
    "default": (None, lambda i, s, p, n, special: not special),
    "special": (TokenSelection(special=True), lambda i, s, p, n, special: True),
    "strings": ({" bank", "."}, lambda i, s, p, n, special: s in (" bank", ".")),
    "predicate": (lambda token: token.startswith(" b"), lambda i, s, p, n, special: s.startswith(" b") and not special),
    "ids": (TokenSelection(ids=range(40)), lambda i, s, p, n, special: i < 40),
    "first": (TokenSelection(first=2), lambda i, s, p, n, special: 0 < p < 3),
    "last": ("last", lambda i, s, p, n, special: p == n - 1),
    "window at the end": (TokenSelection(last=3), lambda i, s, p, n, special: p >= max(1, n - 3)),
    "places": ([0, -3, 5], lambda i, s, p, n, special: p in (0, n - 3, 5)),
    "prompt": ("prompt", lambda i, s, p, n, special: not special),
    "exclusions": (
        (TokenSelection(special=True) - {"."}) | TokenSelection(first=1) - TokenSelection(last=2),
        lambda i, s, p, n, special: s != "." and not (p >= max(1, n - 2)),
    ),
}


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> ActivationExtractor:
    path = save_tiny_model(tmp_path_factory.mktemp("selection") / "llama", "llama")
    return ActivationExtractor(path, layer=1, device="cpu", batch_size=4)


@pytest.mark.parametrize("case", ROWS)
def test_rows_are_those_of_transformers_that_a_loop_accepts(reader: ActivationExtractor, case: str) -> None:
    select, rule = ROWS[case]
    tokenizer = make_tokenizer("llama")
    expected, places = [], []
    for text in SENTENCES:
        states, ids = hidden_rows(reader.model, text, 1)
        for place, token in enumerate(ids):
            if rule(token, tokenizer.decode([token]), place, len(ids), place == 0):
                expected.append(states[place])
                places.append(place)
    X = clone(reader).set_params(select=select).transform(SENTENCES)
    np.testing.assert_allclose(X, np.stack(expected), atol=2e-5)
    assert X.positions is not None and X.positions.tolist() == places


def test_many_texts_are_selected_as_few(reader: ActivationExtractor, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = clone(reader).set_params(select=TokenSelection(last=2)).transform(SENTENCES)
    monkeypatch.setattr(_selection_facts, "_TOGETHER", 4)
    np.testing.assert_array_equal(clone(reader).set_params(select=TokenSelection(last=2)).transform(SENTENCES), whole)
    assert kept_tokens(None, [], "all") == []


EARLIER: list[tuple[Any, dict[str, Any]]] = [
    (None, {"keep": None, "include_special": False}),
    (TokenSelection(special=False), {"keep": None, "include_special": False}),
    (TokenSelection(special=True), {"keep": None, "include_special": True}),
    ({".", " cat"}, {"keep": [" cat", "."], "include_special": False}),
    ({"a"}, {"select": {"strings": ["a"]}}),  # a special token, which was no row then
    (TokenSelection(strings="a", special=False), {"keep": ["a"], "include_special": False}),
    (TokenSelection(strings=".", special=True), {"select": {"strings": ["."], "special": True}}),
    (TokenSelection(first=3), {"select": {"first": 3}}),
    (TokenSelection(first=3) - {"."}, {"select": {"either": [{"first": 3}], "without": [{"strings": ["."]}]}}),
]


@pytest.mark.parametrize(("select", "expected"), EARLIER, ids=range(len(EARLIER)))
def test_settings_of_what_could_be_said_before_are_those_of_then(select: Any, expected: dict[str, Any]) -> None:
    selection = as_selection(select)
    assert settings_of(selection, recorded(selection, letters), letters) == expected


def test_a_predicate_is_recorded_by_what_it_chooses() -> None:
    tokenizer = make_tokenizer("llama")
    select = TokenSelection(predicate=lambda token: token == ".") | TokenSelection(first=1)
    record = recorded(select, lambda: tokenizer)
    digest = predicate_digest(tokenizer, ".".__eq__)
    assert record == {"either": [{"predicate": digest}, {"first": 1}]}
    alone = TokenSelection(predicate=".".__eq__)
    assert settings_of(alone, recorded(alone, lambda: tokenizer), lambda: tokenizer)["keep"] == digest


def keepers() -> dict[str, tuple[Any, Any]]:
    """Pairs of functions that look the same and keep other tokens."""
    made = []
    for end in (".", "k"):
        made.append(lambda token: token.endswith(end))  # noqa: B023 - all of them see the last one
    outer = [lambda token, end=end: token.endswith(end) for end in (".", "k")]

    def closing(end: str) -> Any:
        return lambda token: token.endswith(end)

    class Held:
        def __init__(self, *ends: str) -> None:
            self.ends = ends

        def keeps(self, token: str) -> bool:
            return token.endswith(self.ends)

        __call__ = keeps

    scopes = [{"END": end} for end in (".", "k")]
    for scope in scopes:
        exec("def keep(token): return token.endswith(END)", scope)
    return {
        "lambdas in a loop with defaults": (outer[0], outer[1]),
        "closures": (closing("."), closing("k")),
        "bound methods": (Held(".").keeps, Held("k").keeps),
        "callables with state": (Held("."), Held("k")),
        "functions of their globals": (scopes[0]["keep"], scopes[1]["keep"]),
        "built-in methods": ({"."}.__contains__, {" bank"}.__contains__),
        "built-in types and operators": (operator.contains, str.isalpha),
        "partials of partials": tuple(functools.partial(functools.partial(ends_with), end=end) for end in (".", "k")),
        "compiled patterns": (re.compile(r"\.$").search, re.compile("k$").search),
        "constants": (lambda token: token[-1:] == ".", lambda token: token[-1:] == "k"),
        "a loop's variable": (made[0], outer[0]),
    }


def ends_with(token: str, end: str) -> bool:
    return token.endswith(end)


@pytest.mark.parametrize(("first", "second"), keepers().values(), ids=keepers().keys())
def test_functions_are_told_apart_by_what_they_keep(reader: ActivationExtractor, first: Any, second: Any) -> None:
    tokenizer = load_tokenizer(reader.model)
    assert predicate_digest(tokenizer, first) != predicate_digest(tokenizer, second)
    assert predicate_digest(tokenizer, first) == predicate_digest(tokenizer, first)


class EverySecond:
    """Keeps by what it was asked before."""

    def __init__(self, n_first: int | None = None) -> None:
        self.n_first = n_first
        self.asked = 0

    def __call__(self, token: str) -> bool:
        self.asked += 1
        return self.asked % 2 == 0 if self.n_first is None else self.asked <= self.n_first


@pytest.mark.parametrize("keep", [EverySecond(), EverySecond(30), lambda token: random.random() < 0.5])
def test_a_function_that_changes_its_mind_is_refused(reader: ActivationExtractor, tmp_path: Path, keep: Any) -> None:
    keeper = clone(reader)
    keeper.select = keep
    with pytest.raises(
        ValueError, match=r"predicate of select says (True|False) of the token .*, and something else when it is asked"
    ):
        keeper.extract_to(tmp_path / "store", SENTENCES)
    assert not (tmp_path / "store").exists()


CONSTANT: list[tuple[Any, bool | None]] = [
    ("all", True),
    ("generated", True),
    (TokenSelection(special=True), True),
    (TokenSelection(ids=1) | "generated", True),
    (TokenSelection() - "prompt", True),
    ("prompt", False),
    ("last", False),
    (TokenSelection(first=3), False),
    (TokenSelection(phase="prompt", ids=[1, 2]), False),
    (TokenSelection() - "generated", False),
    (TokenSelection(ids=1) - "generated", False),
    (TokenSelection(at=[-1, -3]), False),
    (TokenSelection(phase="generated", first=2), None),
    (TokenSelection(ids=[1, 2]), None),
    (TokenSelection() - TokenSelection(ids=1), None),
    (TokenSelection(at=[-1, 7]), None),
    (TokenSelection(roles="assistant"), None),
]


@pytest.mark.parametrize(("select", "expected"), CONSTANT)
def test_what_is_the_same_for_every_generated_token(select: Any, expected: bool | None) -> None:
    choose = Chooser(as_selection(select), None)
    assert choose.of_generated is expected
    if expected is None:
        return
    ids, real = np.arange(12).reshape(2, 6), np.ones((2, 6), dtype=bool)
    real[0, 3] = False
    place, roles = 4 + real.cumsum(axis=1), np.full((2, 6), "assistant")
    facts = TokenFacts(ids, real, place, np.array([4, 3]), np.zeros_like(real), roles)
    assert np.array_equal(choose(facts), real & expected)
