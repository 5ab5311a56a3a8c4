"""The stages from a shell: ``python -m mfa_sklearn --help``.

Each command is a thin layer over the function of the same name. What a person may get wrong (a path, a number, a name)
ends in one line on standard error and exit status 2; a traceback means a bug.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from ._base.home import home_path
from ._base.progress import showing, terminal_shown
from ._base.words import visible
from ._cli_atlas import atlas
from ._cli_describe import describe
from ._cli_evaluate import evaluate
from ._cli_export import export, factor_scores
from ._cli_extract import extract
from ._cli_files import as_text, give, output_file, read_language_model, read_mixture, read_rows, verify
from ._cli_fit import fit, kmeans
from ._cli_launch import Launch, quiet, wait_for_first
from ._cli_parser import make_parser
from ._cli_plot import plot
from ._cli_search import search
from ._cli_select import selection_of
from ._cli_shell import lenient_output, run, say


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments after the program's name; by default those of the process.

    Returns
    -------
    int
        The exit status: 0; 2 for an error that a person can mend, in the arguments too; 130 after an interrupt; 141 if
        what reads the output has ended.
    """
    # Read when torch is loaded, later on. Threads that spin while they wait make a fit ten times slower as soon as
    # anything else wants the same cores, and those that sleep make one up to three times slower where nothing does: the
    # lesser harm, and nobody knows beforehand what else will run. Who has the machine alone may set ACTIVE.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    launch, status = Launch.told_by(os.environ), None
    try:
        with lenient_output(), quiet(launch) as unheard:
            status = run(lambda: _run_command(argv))
    finally:
        if status != 0:
            wait_for_first(launch, unheard)
    return status


def _run_command(argv: Sequence[str] | None) -> None:
    parser = make_parser()
    arguments = parser.parse_args(argv)
    try:
        _write_out_homes(arguments)
    except ValueError as error:
        parser.error(str(error))
    Launch.of(os.environ).check(arguments.command)
    with showing(terminal_shown(getattr(arguments, "verbose", False))):
        _COMMANDS[arguments.command](arguments)


def _write_out_homes(arguments: argparse.Namespace) -> None:
    """Write out the ``~`` that a shell leaves alone, as in ``--output=~/acts``."""
    for name, value in vars(arguments).items():
        if isinstance(value, Path):
            setattr(arguments, name, home_path(value))
        elif isinstance(value, list) and value and all(isinstance(path, Path) for path in value):
            setattr(arguments, name, [home_path(path) for path in value])


def _demo(arguments: argparse.Namespace) -> None:
    from ._demo import run_demo

    run_demo(arguments.output, quick=arguments.quick, overwrite=arguments.force)


def _top_tokens(arguments: argparse.Namespace) -> None:
    from .interpret import format_tokens, top_tokens

    output = output_file(arguments, (".csv",))
    table = top_tokens(
        read_mixture(arguments.mixture),
        read_rows(arguments.activations, arguments.layer),
        score=arguments.score,
        aggregate=arguments.aggregate,
        n_tokens=arguments.n_tokens,
        components=arguments.component,
        context=arguments.context,
        n_contexts=arguments.contexts,
        stop_tokens=arguments.stop_tokens,
    )
    give(table, output, format_tokens)


def _concepts(arguments: argparse.Namespace) -> None:
    from .interpret import concept_components, top_concepts

    if arguments.by_concept and arguments.n_concepts is not None:
        raise ValueError("--by-concept lists one line for each label: leave --n-concepts out, or --by-concept")
    output = output_file(arguments, (".csv",))
    mfa, rows = read_mixture(arguments.mixture), read_rows(arguments.activations, arguments.layer)
    if arguments.by_concept:
        table = concept_components(mfa, rows).reset_index()
    else:
        table = top_concepts(mfa, rows, n_concepts=5 if arguments.n_concepts is None else arguments.n_concepts)
    give(table, output, lambda found: as_text(found, "%.3g"))


def _steer(arguments: argparse.Namespace) -> None:
    from ._base.checks import check_count
    from .steering import MFASteerer

    output = output_file(arguments, (".csv",))
    check_count("--generate", arguments.generate, least=0)
    z, select = factor_scores(arguments.z), selection_of(arguments)
    has_table = select.phase != "generated"  # else nothing is moved before the next token
    if not has_table and (output or not arguments.generate):
        raise ValueError("--select generated moves what is written: give --generate, and no --output for a table")
    mfa = read_mixture(arguments.mixture)
    missing = "it was fitted on: give --model and --layer"
    model = read_language_model(arguments, mfa.source_, arguments.mixture, missing)
    steerer = MFASteerer(model, mfa, arguments.layer, check_source=not arguments.no_source_check)
    move = {"component": arguments.component, "alpha": arguments.alpha, "z": z}
    move |= {"select": select, "method": arguments.method}
    if has_table:
        table = steerer.logit_diff(arguments.prompt, top_k=arguments.top_k, **move)
        give(table, output, lambda found: as_text(found, "%.3f"))
    if arguments.generate:
        say("")
        sampling = {"max_new_tokens": arguments.generate, "random_state": arguments.random_state}
        for name, options in (("before", {"alpha": 0.0}), (" after", move)):
            say(f"{name}: {visible(steerer.generate(arguments.prompt, **options, **sampling))}")


_COMMANDS = {
    "demo": _demo,
    "extract": extract,
    "kmeans": kmeans,
    "fit": fit,
    "search": search,
    "describe": describe,
    "top-tokens": _top_tokens,
    "concepts": _concepts,
    "plot": plot,
    "atlas": atlas,
    "evaluate": evaluate,
    "steer": _steer,
    "export": export,
    "verify": verify,
}
