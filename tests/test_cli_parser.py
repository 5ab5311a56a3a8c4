"""Options explain themselves, and examples are valid."""

from __future__ import annotations

import argparse
import re
import shlex

import pytest

from mfa_sklearn._cli_parser import EXAMPLES, make_parser

COMMANDS = [
    "demo",
    "extract",
    "kmeans",
    "fit",
    "search",
    "describe",
    "top-tokens",
    "concepts",
    "plot",
    "atlas",
    "evaluate",
    "steer",
    "export",
    "verify",
]


def commands() -> dict[str, argparse.ArgumentParser]:
    (found,) = [a for a in make_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return found.choices


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_of_a_command_is_valid_and_shown(name: str) -> None:
    words = shlex.split(EXAMPLES[name])
    assert make_parser().parse_args(words).command == name == words[0]
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
