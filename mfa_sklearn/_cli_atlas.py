"""The command `atlas`: its options, and the page that it writes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ._base.files import check_writable
from ._base.words import plural
from ._cli_files import read_language_model, read_mixture, read_rows
from ._cli_help import DEVICE, add_backend
from ._cli_shell import say

# What --model stands for without a name: the model that the mixture was fitted on.
_OWN = ""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add = parser.add_argument
    add("-o", "--output", type=Path, required=True, metavar="FILE", help="page to write: .html")
    add(
        "--against",
        type=Path,
        nargs="+",
        metavar="DIR",
        help="folder of a second mixture to show beside the first; and if it is of other activations of the same "
        "tokens, their folder",
    )
    add("--against-layer", type=int, metavar="L", help="which layer the second mixture is of")
    add("--title", help="of the page")
    add("--names", nargs="+", metavar="NAME", help="what to call the mixture, or the two")
    add("--data", type=Path, metavar="DIR", help="also write the data to this folder: JSON, and tables as .csv")
    _add_amounts(parser)
    _add_model(parser)
    add("--random-state", type=int, default=0, metavar="SEED", help="seed of all random draws: one seed, one page")


def _add_amounts(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--n-tokens", type=int, default=8, metavar="N", help="tokens per region")
    add("--contexts", type=int, metavar="N", help="texts shown of each token (default: 2; of many regions 1)")
    add("--context", type=int, default=12, metavar="N", help="tokens of the text shown on either side")
    add("--n-points", type=int, default=250, metavar="N", help="rows in the picture of each region at most")


def _add_model(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--model",
        nargs="?",
        const=_OWN,
        help="also steer a language model to each region, and list the tokens that this promotes; without a name the "
        "one that the mixture was fitted on",
    )
    add("--alpha", type=float, default=0.6, help="how far to steer: 0 changes nothing, 1 goes all the way")
    add("--method", choices=("centroid", "direction", "transport"), default="centroid", help="how to steer")
    add("--prompt", nargs="+", metavar="TEXT", help="what the model reads; by default eight beginnings without a topic")
    add("--device", default="auto", help=DEVICE)
    add_backend(parser)


def atlas(arguments: argparse.Namespace) -> None:
    """Write the atlas of a mixture, or of two side by side."""
    from .atlas import write_atlas
    from .atlas._write_atlas import check_data_folder

    output = check_writable(arguments.output, (".html", ".htm"), overwrite=arguments.force)
    if arguments.data is not None:
        check_data_folder(arguments.data, arguments.force)
    mfa = read_mixture(arguments.mixture)
    rows = read_rows(arguments.activations, arguments.layer)
    steered: dict[str, Any] = {}
    if arguments.model is not None:
        missing = "it was fitted on: give --model a name"
        steered["model"] = read_language_model(arguments, mfa.source_, arguments.mixture, missing)
    if arguments.prompt:
        steered["prompts"] = arguments.prompt
    write_atlas(
        mfa,
        rows,
        output,
        **_second(arguments),
        **steered,
        title=arguments.title,
        names=arguments.names,
        data_folder=arguments.data,
        method=arguments.method,
        alpha=arguments.alpha,
        n_tokens=arguments.n_tokens,
        n_contexts=arguments.contexts,
        context=arguments.context,
        n_points=arguments.n_points,
        random_state=arguments.random_state,
        overwrite=arguments.force,
        verbose=bool(arguments.verbose),
    )
    size = f"{plural(mfa.n_components_, 'region')} on {plural(len(rows), 'row')}"
    say(f"{output}: {size}, {output.stat().st_size / 1e6:.1f} MB")


def _second(arguments: argparse.Namespace) -> dict[str, Any]:
    """The second mixture and its rows, if they are given."""
    if arguments.against is None:
        if arguments.against_layer is not None:
            raise ValueError("--against-layer is of a second mixture: give its folder by --against")
        return {}
    if len(arguments.against) > 2:
        raise ValueError(f"--against takes a mixture and at most one folder of activations, got {arguments.against}")
    found: dict[str, Any] = {"against": read_mixture(arguments.against[0])}
    if len(arguments.against) == 2 or arguments.against_layer is not None:
        folder = arguments.against[1] if len(arguments.against) == 2 else arguments.activations
        found["against_activations"] = read_rows(folder, arguments.against_layer)
    return found
