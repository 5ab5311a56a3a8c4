"""What all commands' parsers are made of: help with defaults and examples, and what a mistyped word may have meant."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ._base.words import one_line
from ._cli_shell import PROGRAM

DEVICE = "where to compute: auto (a GPU where there is one), cpu, cuda, ..."
MIXTURE = "folder of the mixture that `fit`, or `save_pretrained`, wrote"
TABLE = "write the table to this .csv file instead of printing it"
SEED = "seed of all random draws: one seed, one result"


class _Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows defaults, where there are any to speak of, and examples as they stand."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        silent = action.required or action.default is None or action.default is False or action.default == []
        return action.help if silent else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """A parser that says what a mistyped option or command may have meant."""

    def __init__(self, **options: Any) -> None:
        self._given: list[str] = []
        super().__init__(formatter_class=_Help, **options)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As `argparse` does it, but what a command does not know is refused by the command, which can give advice."""
        self._given = list(sys.argv[1:] if args is None else args)
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return found, rest

    def error(self, message: str) -> Any:
        """Exit with status 2, after one line that says what was wrong."""
        super().error(one_line(f"{message}{self._advice(message)}"))

    def _advice(self, message: str) -> str:
        choice = re.search(r"invalid choice: '?(.*?)'? \(choose from (.*)\)", message)
        if choice:
            close = _closest(choice[1], re.findall(r"[\w.+-]+", choice[2]))
            return f"; did you mean {close}?" if close else ""
        for argument in self._given:
            if not self._is_known(argument):
                name = argument.partition("=")[0]
                close = _closest(name, list(self._option_string_actions))
                return f"; there is no option {name}" + (f", did you mean {close}?" if close else "")
        return ""

    def _is_known(self, argument: str) -> bool:
        """Whether an argument is an option's name or the beginning of one, or no option at all."""
        name = argument.partition("=")[0]
        if argument.startswith("--"):
            return len(argument) == 2 or any(known.startswith(name) for known in self._option_string_actions)
        return not re.match(r"-[^\W\d]", argument) or argument[:2] in self._option_string_actions


def _closest(name: str, names: Sequence[str]) -> str | None:
    bare = {known.lstrip("-"): known for known in names}
    found = get_close_matches(name, names, 1, 0.5) or [bare.get(name.lstrip("-"), "")]
    return found[0] or None


def add_command(commands: Any, name: str, text: str, example: str, more: str = "") -> Parser:
    """A command's parser, described in a line, or some more, and by an example."""
    description = f"{text[0].upper()}{text[1:]}.{more}"
    epilog = f"example:\n  {PROGRAM} {example}"
    return commands.add_parser(name, help=text, description=description, epilog=epilog)


def add_fitted(parser: argparse.ArgumentParser) -> None:
    """A mixture and rows, the arguments of every command that says what the one makes of the other."""
    parser.add_argument("mixture", type=Path, help=MIXTURE)
    add_rows(parser, "activations")
    add_verbose(parser)


def add_verbose(parser: argparse.ArgumentParser) -> None:
    """Whether to show the progress of work that may be long."""
    parser.add_argument(
        "--verbose",
        action=argparse.BooleanOptionalAction,
        help="show how it goes, as lines with the time where there is no terminal; on one, a bar is shown by default",
    )


def add_backend(parser: argparse.ArgumentParser) -> None:
    """The option of every command that loads a language model."""
    parser.add_argument(
        "--backend",
        choices=("transformer_lens", "transformers"),
        default="transformer_lens",
        help="what loads the language model; transformers gives the same rows without TransformerLens",
    )


def add_rows(parser: argparse.ArgumentParser, name: str, nargs: str = "+", what: str = "") -> None:
    """An argument for rows, and their layer; several folders or files are read one after the other."""
    where = "folder that `extract` wrote, or a table of numbers in a .npy file; several are read one after the other"
    parser.add_argument(name, type=Path, nargs=nargs, help=what + where)
    parser.add_argument("--layer", type=int, metavar="L", help="which layer of the folder, if it holds several")


def add_force(parser: argparse.ArgumentParser, what: str, *names: str) -> None:
    """The option without which no command writes over a result that is there."""
    parser.add_argument("--force", *names, action="store_true", dest="force", help=f"replace {what} that is there")


def number_or_auto(text: str) -> float | str:
    """What `MFA` takes for its `tol` and `noise_prior`."""
    if text == "auto":
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"invalid value {text!r}: give a number or 'auto'") from None
