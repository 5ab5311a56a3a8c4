"""Which tokens, from a command line: the same words for rows and for steering."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .activations import TokenSelection

# What a selection of one word means; any other word is a token.
_NAMED: dict[str, dict[str, Any]] = {
    "all": {},
    "prompt": {"phase": "prompt"},
    "generated": {"phase": "generated"},
    "last": {"at": -1},
}


def add_select(parser: argparse.ArgumentParser, what: str) -> None:
    """The options of `selection_of`; `what` they choose."""
    add = parser.add_argument
    add(
        "--select",
        nargs="+",
        default=["all"],
        metavar="TOKEN",
        help=f"{what}: all, prompt, generated, last (of the prompt), or tokens, blanks included, as '.' or ' cat'",
    )
    add("--select-first", type=int, metavar="N", help="of these the first N tokens of each text or prompt only")
    add("--select-last", type=int, metavar="N", help="of these the last N tokens of each text or prompt only")
    add("--select-roles", nargs="+", metavar="ROLE", help="of chats: of these only what such as user or assistant says")


def selection_of(arguments: argparse.Namespace) -> TokenSelection:
    """The tokens that the options choose."""
    from .activations import TokenSelection

    words = arguments.select
    given = _NAMED.get(words[0]) if len(words) == 1 else None
    given = {"strings": words} if given is None else given
    return TokenSelection(
        **given, first=arguments.select_first, last=arguments.select_last, roles=arguments.select_roles
    )
