"""The command `export`: its options, and the file that it writes."""

from __future__ import annotations

import argparse
from pathlib import Path

from ._base.files import check_writable
from ._base.words import plural
from ._cli_files import read_mixture
from ._cli_help import MIXTURE
from ._cli_shell import say


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add = parser.add_argument
    add("mixture", type=Path, help=MIXTURE)
    add("--component", type=int, required=True, metavar="K", help="number of the component to steer to, from 0")
    add("--alpha", type=float, help="how far to go: 0 changes nothing, 1 goes all the way; with --z alone, 0")
    add_way(parser)
    add("--source", type=int, metavar="J", help="number of the component that transport starts from")
    add("--layer", type=int, metavar="L", help="layer to steer; by default the one the mixture was fitted on")
    _add_file(parser)


def add_way(parser: argparse.ArgumentParser) -> None:
    """Where inside a component a move leads, and by which way."""
    add = parser.add_argument
    add(
        "--z",
        nargs="+",
        type=_factor_score,
        default=[],
        metavar="J=VALUE",
        help="a place inside the component: scores of its factors in standard deviations, as in 0=20 8=-10",
    )
    add(
        "--method",
        choices=("centroid", "direction", "transport"),
        default="centroid",
        help="move towards the component's mean, along the way from the mean of all to it, or by transport",
    )


def _factor_score(text: str) -> tuple[int, float]:
    factor, equals, value = text.partition("=")
    try:
        if not equals:
            raise ValueError
        return int(factor), float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not FACTOR=VALUE, as in 0=20") from None


def _add_file(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--dtype",
        choices=("float32", "float16", "bfloat16"),
        default="float32",
        help="precision of a .safetensors file",
    )
    add("--model-type", metavar="NAME", help="for a .gguf file: what the model's config.json calls it, as in llama")
    add(
        "--constant-part",
        action="store_true",
        help="for a .gguf file, which holds a vector to be added: leave out that activations shrink towards a centroid",
    )
    add("--note", default="", metavar="TEXT", help="anything that is to be said in the file")
    add(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="file to write: .safetensors, an affine map; or .gguf, a control vector for llama.cpp",
    )


def export(arguments: argparse.Namespace) -> None:
    """Write a move as an affine map or as a control vector, as the file's name says."""
    from .steering import affine_map, save_affine, save_control_vector
    from .steering._control_vector import VECTOR
    from .steering._export import AFFINE
    from .steering._place import one_layer

    output = check_writable(arguments.output, (AFFINE, VECTOR), overwrite=arguments.force)
    is_vector = output.suffix.lower() == VECTOR
    _check_goes_with(arguments, is_vector)
    mfa = read_mixture(arguments.mixture)
    source = mfa.source_ or {}
    layer = one_layer(source.get("layer") if arguments.layer is None else arguments.layer)
    z = factor_scores(arguments.z)
    move = affine_map(mfa, arguments.component, arguments.alpha, z, method=arguments.method, source=arguments.source)
    said = {"source": source, "note": arguments.note, "overwrite": arguments.force}
    if is_vector:
        hint = {"model_type": arguments.model_type, "constant_part": arguments.constant_part}
        save_control_vector(output, {layer: move}, **hint, **said)
    else:
        save_affine(output, {layer: move}, dtype=arguments.dtype, **said)
    what = "a control vector" if is_vector else "an affine map"
    say(f"{output}: {what} of {plural(len(move.bias), 'feature')} for layer {layer}")


def _check_goes_with(arguments: argparse.Namespace, is_vector: bool) -> None:
    """Refuse an option that has nothing to say in the file, and a control vector that does not say what it is for."""
    if is_vector and not arguments.model_type:
        raise ValueError("a .gguf file says what model it is for: give --model-type, as in --model-type llama")
    if is_vector and arguments.dtype != "float32":
        raise ValueError(f"--dtype {arguments.dtype} is for .safetensors files: numbers of a .gguf file are float32")
    if not is_vector and (arguments.model_type or arguments.constant_part):
        raise ValueError("--model-type and --constant-part are for .gguf files: leave them out, or name such a file")


def factor_scores(pairs: list[tuple[int, float]]) -> dict[int, float] | None:
    """Scores by their factors, each named once; None of none."""
    if len(dict(pairs)) < len(pairs):
        raise ValueError(f"--z names a factor twice: {[factor for factor, _ in pairs]}")
    return dict(pairs) or None
