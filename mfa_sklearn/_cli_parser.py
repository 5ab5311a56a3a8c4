"""The arguments of all commands, with an example of each."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from . import (
    __version__,
    _cli_atlas,
    _cli_describe,
    _cli_evaluate,
    _cli_export,
    _cli_extract,
    _cli_fit,
    _cli_plot,
    _cli_search,
)
from ._cli_help import DEVICE, MIXTURE, TABLE, Parser, add_backend, add_command, add_fitted, add_force
from ._cli_select import add_select
from ._cli_shell import PROGRAM

# One line each that can be typed as it is, after those above it.
EXAMPLES = {
    "demo": "demo --quick",
    "extract": "extract texts.csv --model gpt2 --layer 4 -o activations",
    "kmeans": "kmeans activations -k 500 -o centers.safetensors",
    "fit": "fit activations -k 500 -q 10 -o mixture",
    "search": "search table.npy -k 2 3 4 5 -q 1 2 3 --criterion bic -o results.csv --mixture best",
    "describe": "describe mixture activations",
    "top-tokens": "top-tokens mixture activations --component 20 --n-tokens 15",
    "concepts": "concepts mixture activations --by-concept -o concepts.csv",
    "plot": "plot subspace mixture activations --component 20 --factors 0 8 -o region.png",
    "atlas": "atlas mixture activations -o atlas.html",
    "evaluate": "evaluate activations -k 500 -q 10 --plot evaluation.png",
    "steer": 'steer mixture "I think that" --component 20 --alpha 0.6 --generate 20',
    "export": "export mixture --component 20 --alpha 0.6 -o move.safetensors",
    "verify": "verify activations",
}


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands; what it parses has the command's name in `command`."""
    steps = "\n".join(f"  {PROGRAM} {line}" for name, line in EXAMPLES.items() if name != "demo")
    parser = Parser(
        prog=PROGRAM,
        description="Mixtures of factor analyzers on language-model activations, stage by stage.",
        epilog=f"a typical run:\n{steps}\n\n`{PROGRAM} demo` does it all, offline.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)
    described = (_add_describe, _add_top_tokens, _add_concepts, _add_plot, _add_atlas, _add_evaluate, _add_steer)
    for add in (_add_demo, _add_extract, _add_kmeans, _add_fit, _add_search, *described, _add_export, _add_verify):
        add(commands)
    return parser


def _command(commands: Any, name: str, text: str, more: str = "") -> Parser:
    return add_command(commands, name, text, EXAMPLES[name], more)


def _add_demo(commands: Any) -> None:
    parser = _command(
        commands,
        "demo",
        "the tutorial on the embedded texts and language model, offline",
        "\nIt takes a minute or two on two cores, and some ten seconds with --quick.",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("mfa-demo"), metavar="DIR", help="folder for the tables and the picture"
    )
    parser.add_argument("--quick", action="store_true", help="take an eighth of the texts and fewer components")
    add_force(parser, "an earlier demo's folder")


def _add_extract(commands: Any) -> None:
    _cli_extract.add_arguments(_command(commands, "extract", "texts to activations on disk"))


def _add_kmeans(commands: Any) -> None:
    parser = _command(
        commands,
        "kmeans",
        "centers for a mixture to start from",
        "\nUnder torchrun the processes share the rows out. `fit --init FILE` starts from the centers.",
    )
    _cli_fit.add_kmeans(parser)


def _add_fit(commands: Any) -> None:
    parser = _command(
        commands,
        "fit",
        "fit a mixture to activations, or to any table of numbers",
        "\nUnder torchrun the processes share the rows out. An interrupted or killed fit goes on where it was, if the\n"
        "same command is given again. OMP_WAIT_POLICY=ACTIVE in the environment may make it faster on a machine that\n"
        "runs nothing else, and makes it much slower on any other.",
    )
    _cli_fit.add_fit(parser)


def _add_search(commands: Any) -> None:
    parser = _command(
        commands,
        "search",
        "which numbers of components and factors suit the rows",
        "\nA mixture of each size is fitted. `plot search` draws the table that -o writes.",
    )
    _cli_search.add_options(parser)


def _add_describe(commands: Any) -> None:
    parser = _command(
        commands,
        "describe",
        "a line for each component: its rows, concepts and tokens",
        "\nWith --component, all that is known of each of these; with -o, all that is known of all.",
    )
    _cli_describe.add_options(parser)


def _add_top_tokens(commands: Any) -> None:
    parser = _command(commands, "top-tokens", "the tokens that say most about each component")
    add_fitted(parser)
    add = parser.add_argument
    add("--component", type=int, nargs="+", metavar="K", help="list these components only, counted from 0; else all")
    add(
        "--score",
        choices=("posterior", "likelihood"),
        default="posterior",
        help="rank tokens by the probability of the component, or by their density under it",
    )
    add(
        "--aggregate",
        choices=("auto", "llr", "occurrence", "max", "sum"),
        default="auto",
        help="list tokens by how much a component over-represents them (llr), single rows (occurrence), or tokens by "
        "their best row (max) or all their rows (sum); auto is llr, and max for likelihoods",
    )
    add("--contexts", type=int, metavar="N", help="rows shown of each token (default: 3; 1 for single rows)")
    add("--stop-tokens", nargs="+", metavar="TOKEN", help="leave these tokens out, such as . , the")
    add("--n-tokens", type=int, default=10, metavar="N", help="tokens per component")
    add("--context", type=int, default=40, metavar="N", help="characters of the text shown on either side")
    add("-o", "--output", type=Path, metavar="FILE", help=TABLE)
    add_force(parser, "a file")


def _add_concepts(commands: Any) -> None:
    parser = _command(commands, "concepts", "the labels that each component over-represents")
    add_fitted(parser)
    parser.add_argument("--by-concept", action="store_true", help="list the best component of each label instead")
    parser.add_argument(
        "--n-concepts", type=int, metavar="N", help="labels per component, not --by-concept (default: 5)"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help=TABLE)
    add_force(parser, "a file")


def _add_plot(commands: Any) -> None:
    parser = _command(commands, "plot", "a picture: of a component, a fit, a search, an evaluation, ...")
    _cli_plot.add_kinds(parser)


def _add_atlas(commands: Any) -> None:
    parser = _command(commands, "atlas", "all regions in one HTML file to browse, without a network")
    add_fitted(parser)
    _cli_atlas.add_options(parser)
    add_force(parser, "a file")


def _add_evaluate(commands: Any) -> None:
    parser = _command(
        commands,
        "evaluate",
        "a mixture beside everything simpler, on texts held out",
        "\nA mixture, k-means, k-means + local PCA, a diagonal mixture and PCA of equal size are fitted on most texts\n"
        "and measured on the others.",
    )
    _cli_evaluate.add_options(parser)
    add_force(parser, "a file")


def _add_steer(commands: Any) -> None:
    parser = _command(commands, "steer", "steer the model towards a component: logits and text")
    add = parser.add_argument
    add("mixture", type=Path, help=MIXTURE)
    add("prompt", help="text that the model goes on from")
    add("--component", type=int, required=True, metavar="K", help="number of the component to steer to, from 0")
    _add_move(parser)
    add("--model", help="another copy of the language model; by default the one the mixture was fitted on")
    add("--layer", type=int, metavar="L", help="layer to steer; by default the one the mixture was fitted on")
    add(
        "--no-source-check",
        action="store_true",
        help="steer wherever the width fits, though the mixture was fitted elsewhere or nobody knows where",
    )
    add("--device", default="auto", help=DEVICE)
    add_backend(parser)
    add("--top-k", type=int, default=10, metavar="N", help="list N tokens that rise and N that fall")
    add("--generate", type=int, default=0, metavar="N", help="also write N tokens of text, not steered and steered")
    add("--random-state", type=int, default=0, metavar="SEED", help="seed of the text that --generate samples")
    add("-o", "--output", type=Path, metavar="FILE", help=TABLE)
    add_force(parser, "a file")


def _add_export(commands: Any) -> None:
    parser = _command(commands, "export", "a move as a file for other programs: EasySteer, llama.cpp")
    _cli_export.add_options(parser)
    add_force(parser, "a file")


def _add_verify(commands: Any) -> None:
    parser = _command(commands, "verify", "whether a store or a mixture is as it was written")
    parser.add_argument("folder", type=Path, help="folder that `extract` or `fit` wrote, or `save_pretrained`")


def _add_move(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--alpha", type=float, default=0.6, help="how far to go: 0 changes nothing, 1 goes all the way")
    _cli_export.add_way(parser)
    add_select(parser, "tokens to move")
