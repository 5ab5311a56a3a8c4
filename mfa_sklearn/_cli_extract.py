"""The command `extract`: a file of texts to activations on disk, by one process or by several."""

from __future__ import annotations

import argparse
import json
import os
import warnings
from pathlib import Path
from typing import Any

from ._base.progress import terminal_shown
from ._base.sites import SITES
from ._base.words import plural
from ._cli_help import DEVICE, add_backend, add_force, add_verbose
from ._cli_launch import Launch
from ._cli_select import add_select, selection_of
from ._cli_shell import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add = parser.add_argument
    add(
        "texts",
        type=Path,
        help="file of texts: .csv, .tsv, .json, .jsonl or .parquet with a column text and, if there are labels, label; "
        "or .txt, one text a line; all but .parquet also compressed, as .jsonl.gz",
    )
    add("-o", "--output", type=Path, required=True, metavar="DIR", help="folder to write")
    _add_model(parser)
    _add_choice_of_rows(parser)
    _add_reading(parser)
    _add_storing(parser)


def _add_reading(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--batch-size", type=int, default=32, metavar="N", help="most texts per forward pass")
    add("--batch-tokens", type=int, metavar="N", help="most tokens per forward pass, padding included")
    add("--max-length", type=int, metavar="N", help="cut texts at N tokens; by default at the model's context")
    add(
        "--stride",
        type=int,
        metavar="N",
        help="read longer texts in windows of --max-length tokens instead of cutting them, each with the last N tokens "
        "of the one before as context; 0 is no overlap",
    )
    add("--pack", action="store_true", help="read several short texts in one sequence, kept apart in attention")
    add(
        "--stream",
        action="store_true",
        help="read texts as they are needed, of a file larger than memory; --max-norm-ratio is then of the first 1,000",
    )


def _add_model(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--model",
        required=True,
        help="the language model: its name, or a directory that holds it; tiny_lm is the embedded one",
    )
    add("--layer", type=int, nargs="+", required=True, metavar="L", help="one or more layers to read, counted from 0")
    add(
        "--site",
        choices=tuple(SITES),
        default="residual",
        help="what to read: the residual stream after the layer or before it (residual_pre), the MLP's hidden units "
        "(mlp) or its output (mlp_out), or the attention's output (attn_out)",
    )
    add("--device", default="auto", help=DEVICE)
    add_backend(parser)
    add(
        "--load-option",
        type=load_option,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the model's loader, such as device_map=auto or n_devices=2; may be given several times",
    )


def _add_choice_of_rows(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--text-column", metavar="NAME", help="column of the texts, if it is not prompt, text or sentence")
    add("--label-column", metavar="NAME", help="column of the labels, if it is not label or concept")
    add_select(parser, "tokens that are rows")
    add(
        "--max-norm-ratio",
        type=float,
        metavar="RATIO",
        help="leave out attention sinks: rows whose norm is more than RATIO times the median, such as 100; by default "
        "no row is left out",
    )


def _add_storing(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--dtype",
        choices=("float16", "float32", "bfloat16"),
        default="float16",
        help="precision of the numbers on disk",
    )
    add(
        "--shard-size",
        type=int,
        default=1000,
        metavar="N",
        help="texts per shard; an interrupted run keeps the shards that are whole",
    )
    add(
        "--part",
        type=part_of,
        default="auto",
        metavar="I/N",
        help="do part I of N, counted from 0, of a store that N processes write together; auto is what torchrun or a "
        "SLURM job array says, and all where there is neither; all is all in any case",
    )
    add_verbose(parser)
    add_force(parser, "a store of other texts or parameters", "--no-resume")


def part_of(text: str) -> tuple[int, int] | str | None:
    """What `extract_to` takes for its `part`.

    Examples
    --------
    >>> part_of("1/4"), part_of("auto"), part_of("all")
    ((1, 4), 'auto', None)
    """
    if text in ("auto", "all"):
        return "auto" if text == "auto" else None
    number, mark, total = text.partition("/")
    if not (mark and number.isdecimal() and total.isdecimal() and int(number) < int(total)):
        raise argparse.ArgumentTypeError(
            f"invalid value {text!r}: give I/N, from 0/N to the part before N/N, as 0/4 for the first of four; auto, "
            "or all"
        )
    return int(number), int(total)


def load_option(text: str) -> tuple[str, Any]:
    """A name and a value, which is read as JSON where it is JSON.

    Examples
    --------
    >>> load_option("device_map=auto"), load_option('max_memory={"0": "20GiB"}')
    (('device_map', 'auto'), ('max_memory', {0: '20GiB'}))
    """
    name, mark, value = text.partition("=")
    if not mark or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"invalid value {text!r}: give NAME=VALUE, as device_map=auto")
    try:
        found = json.loads(value)
    except ValueError:
        return name, value
    if isinstance(found, dict):  # devices have numbers, which JSON's names are not
        found = {int(key) if key.isdecimal() else key: entry for key, entry in found.items()}
    return name, found


def extract(arguments: argparse.Namespace) -> None:
    """Write the activations of a file of texts."""
    from .activations import ActivationExtractor
    from .activations._store_run import check_place
    from .datasets import read_texts, stream_texts

    check_place(arguments.output)
    columns = {"text_column": arguments.text_column, "label_column": arguments.label_column}
    if arguments.stream:
        given: tuple[Any, ...] = (stream_texts(arguments.texts, **columns),)
        told = ""
    else:
        data = read_texts(arguments.texts, **columns)
        given, told = (data.texts, data.labels), f" of {plural(len(data.texts), 'text')} {_labeled(data.labels)}"
    warnings.filterwarnings("ignore", "labels hold ", UserWarning)  # which `read_texts` has said, of the file
    extractor = ActivationExtractor(
        select=selection_of(arguments),
        load_options=dict(arguments.load_option) or None,
        verbose=terminal_shown(arguments.verbose),
        **{name: getattr(arguments, name) for name in _PARAMETERS},
    )
    stored = {name: getattr(arguments, name) for name in ("dtype", "shard_size", "part")}
    store = extractor.extract_to(arguments.output, *given, resume=not arguments.force, **stored)
    going_on = Launch.of(os.environ).size > 1 and not store.complete
    say(f"{arguments.output}: activations{told}: {store}{'; the other processes may still be at theirs' * going_on}")


# Of the extractor, with the names of their options.
_PARAMETERS = (
    *("model", "layer", "site", "max_norm_ratio", "batch_size", "batch_tokens", "max_length", "stride", "pack"),
    *("device", "backend"),
)


def _labeled(labels: Any) -> str:
    n_labels = 0 if labels is None else len(set(labels.tolist()) - {None})
    return f"with {plural(n_labels, 'label')}" if n_labels else "without labels"
