"""Options explain themselves, examples are valid, and a mistyped word gets the one that was meant."""

from __future__ import annotations

import argparse
import re
import shlex

import pytest

from mfa_sklearn._cli_parser import EXAMPLES, make_parser

COMMANDS = [
    "demo",
    "extract",
    "fit",
    "search",
    "describe",
    "top-tokens",
    "concepts",
    "plot",
    "evaluate",
    "steer",
    "export",
    "verify",
]
FIT = ["fit", "x", "-o", "m", "-k", "2"]
EXTRACT = ["extract", "t.csv", "-o", "x", "--model", "m", "--layer", "1"]


def said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        make_parser().parse_args(arguments)
    assert caught.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("usage: mfa-sklearn")
    return captured.err.splitlines()[-1]


def commands() -> dict[str, argparse.ArgumentParser]:
    (found,) = [a for a in make_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return found.choices


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["tokens"], "; did you mean top-tokens?"),
        (["extrat"], "; did you mean extract?"),
        (["Concept"], "; did you mean concepts?"),
        (["--versoin"], "; there is no option --versoin, did you mean --version?"),
        (["fit", "x", "-o", "m", "--k", "3"], "required: -k/--components; there is no option --k, did you mean -k?"),
        ([*FIT, "--laier", "3"], "--laier 3; there is no option --laier, did you mean --layer?"),
        ([*FIT, "--max_iter=3"], "there is no option --max_iter, did you mean --max-iter?"),
        ([*FIT, "-z"], "there is no option -z"),
        ([*FIT, "--noise", "shard"], "; did you mean shared?"),
        ([*EXTRACT, "--site", "residul"], "; did you mean residual?"),
        ([*EXTRACT, "--colour"], "there is no option --colour"),
        (["concepts", "m", "x", "--by-concpet"], "did you mean --by-concept?"),
        ([*FIT, "--tol", "abc"], "argument --tol: invalid value 'abc': give a number or 'auto'"),
        ([*FIT, "--noise-prior", "x"], "argument --noise-prior: invalid value 'x': give a number or 'auto'"),
        (["steer", "m", "The", "--component", "0", "--z", "0:2"], "'0:2' is not FACTOR=VALUE, as in 0=20"),
    ],
)
def test_mistyped_words(arguments: list[str], advice: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert advice in said(arguments, capsys)


@pytest.mark.parametrize(
    ("arguments", "end"),
    [
        (["zzzzzz"], "'verify')"),
        ([*FIT, "--max-iter", "-5x"], "expected one argument"),
        ([*FIT, "-k"], "expected one argument"),
        (["fit", "-k", "-3"], "-o/--output"),
        (["fit", "x", "y\x1b[2J\n", "-o", "m", "-k", "2"], "unrecognized arguments: y\\x1b[2J"),
    ],
)
def test_no_advice_where_there_is_none(arguments: list[str], end: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert end in said(arguments, capsys) and "\x1b" not in end


def test_names_may_be_cut_short_and_values_may_be_negative() -> None:
    found = make_parser().parse_args([*FIT[:3], "m", "--comp", "2", "--random-state", "-1", "--max-iter=7", "-q3"])
    assert (found.components, found.random_state, found.max_iter, found.factors) == (2, -1, 7, 3)
    assert make_parser().parse_args(["steer", "m", "-- dashes", "--component", "0", "--z", "0=-10"]).z == [(0, -10.0)]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_of_a_command_is_valid_and_shown(name: str) -> None:
    words = shlex.split(EXAMPLES[name])
    assert make_parser().parse_args(words).command == name == words[0]
    if name == "plot":  # has an example for each kind
        return
    assert f"example:\n  mfa-sklearn {EXAMPLES[name]}\n" in commands()[name].format_help()


def test_every_command_is_described_once() -> None:
    assert list(commands()) == COMMANDS == list(EXAMPLES)
    text = make_parser().format_help()
    assert "a typical run:" in text and all(f"mfa-sklearn {EXAMPLES[name]}" in text for name in COMMANDS[1:])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_is(name: str) -> None:
    for action in commands()[name]._actions:
        assert action.help and (len(action.help.split()) > 2), (name, action.option_strings, action.help)
        assert "None" not in action.help


def test_defaults_that_are_shown() -> None:
    text = re.sub(r"\s+", " ", commands()["fit"].format_help() + commands()["extract"].format_help())
    for shown in (
        "seed of all random draws: one seed, one result (default: 0)",
        "(default: 100)",
        "(default: float16)",
    ):
        assert shown in text
    assert "such as 100; by default no row is left out" in text and "a typical" not in text
