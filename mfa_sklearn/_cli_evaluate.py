"""The command `evaluate`: its options, what it fits, and its table on a terminal."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._base.files import check_writable, replacing
from ._base.home import home_path
from ._base.words import plural
from ._cli_files import PICTURES, as_text, give, output_file, read_language_model, read_mixture, read_rows
from ._cli_help import DEVICE, SEED, TABLE, add_backend, add_rows
from ._cli_shell import say

if TYPE_CHECKING:
    import pandas as pd

_FACTORS = 10


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add = parser.add_argument
    add_rows(parser, "activations")
    add("-k", "--components", type=int, metavar="K", help="how many components; by default as the first --mixture has")
    add("-q", "--factors", type=int, metavar="Q", help="how many factors; by default as the first --mixture, else 10")
    add(
        "--noise",
        choices=("shared", "component"),
        default="shared",
        help="noise of the mixtures that are fitted, one for all components or for each its own",
    )
    add(
        "--mixture",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="folders of mixtures to measure as well, as they are: one that was fitted on these texts has seen those "
        "held out",
    )
    add(
        "--target",
        metavar="LAYER",
        help="what is to be foretold of each row: another layer of the folder, by its number, or a folder or .npy file",
    )
    _add_how(parser)
    add("-o", "--output", type=Path, metavar="FILE", help=TABLE)
    add("--plot", type=Path, metavar="FILE", help="also draw the table: .png, .pdf or .svg")
    add("--verbose", action="store_true", help="say what is done")


def _add_how(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--test-size", type=float, default=0.2, metavar="SHARE", help="share of the texts to hold out")
    add("--resolution", type=float, metavar="R", help="precision of code lengths; by default 1 %% of the rows' spread")
    add("--seeds", type=int, default=0, metavar="N", help="how many seeds to compare for stability; 0 leaves it out")
    add("--losses", action="store_true", help="also measure what the language model loses with reconstructions")
    add_backend(parser)
    add("--model", help="another copy of the language model for --losses; by default the one of the activations")
    add("--device", default="auto", help=DEVICE)
    add("--resamples", type=int, default=200, metavar="N", help="resamples of the held-out texts, for the intervals")
    add("--random-state", type=int, default=0, metavar="SEED", help=SEED)


def evaluate(arguments: argparse.Namespace) -> None:
    """Fit a mixture and its baselines on most texts, and measure them and the mixtures given on the others."""
    output = output_file(arguments, (".csv",))
    picture = None if arguments.plot is None else check_writable(arguments.plot, PICTURES, overwrite=arguments.force)
    if picture is not None:
        from ._base.checks import import_optional

        import_optional("matplotlib", "--plot").use("agg")
    from .evaluation import EvaluationDisplay
    from .evaluation import evaluate as measure

    rows = read_rows(arguments.activations, arguments.layer)
    table = measure(
        _candidates(arguments),
        rows,
        target=_target(arguments),
        test_size=arguments.test_size,
        resolution="auto" if arguments.resolution is None else arguments.resolution,
        n_seeds=arguments.seeds,
        model=_language_model(arguments, rows) if arguments.losses else None,
        n_resamples=arguments.resamples,
        random_state=arguments.random_state,
        verbose=int(arguments.verbose),
    )
    give(table, output, in_columns)
    if picture is not None:
        display = EvaluationDisplay.from_table(table)
        with replacing(picture) as temporary:
            display.figure_.savefig(temporary, dpi=150)
        say(f"{picture}: {plural(len(display.measures_), 'measure')}")


def _candidates(arguments: argparse.Namespace) -> dict[str, Any]:
    """A mixture and what is simpler, to be fitted, and the mixtures that are given, by the names of their folders."""
    from .evaluation import baselines
    from .mixture import MFA

    given = {path: read_mixture(path) for path in arguments.mixture}
    first: Any = next(iter(given.values()), None)
    n_components, n_factors = arguments.components, arguments.factors
    if n_components is None:
        if first is None:
            raise ValueError(
                "nothing says how many components to fit: give -k, or the folder of a mixture by --mixture"
            )
        n_components = first.n_components_
    if n_factors is None:
        n_factors = _FACTORS if first is None else first.n_factors_
    settings: dict[str, Any] = {"noise": arguments.noise, "random_state": arguments.random_state}
    found = {"MFA": MFA(n_components, n_factors, **settings), **baselines(n_components, n_factors, **settings)}
    for estimator in found.values():
        places = [name for name in estimator.get_params() if name.rpartition("__")[2] == "device"]
        estimator.set_params(**dict.fromkeys(places, arguments.device))
    for path, mfa in given.items():
        found[str(path) if path.name in found else path.name] = mfa
    return found


def _target(arguments: argparse.Namespace) -> Any:
    """Rows of another layer of the same folder, or of another folder or file."""
    if arguments.target is None:
        return None
    if arguments.target.isdecimal():
        return read_rows(arguments.activations, int(arguments.target))
    return read_rows(home_path(arguments.target), None)


def _language_model(arguments: argparse.Namespace, rows: Any) -> Any:
    """The language model that the rows are of."""
    from ._base.annotated import shared_fact

    missing = "it is of: leave --losses out"
    return read_language_model(arguments, shared_fact(rows, "source"), arguments.activations[0], missing)


def in_columns(table: pd.DataFrame) -> str:
    """A line per measure and a column per candidate, with half the width of each interval behind its figure."""
    from .evaluation._measures import in_order

    cells = [_cell(*line) for line in table[["value", "low", "high"]].itertuples(index=False)]
    arrows = {"higher": " →", "lower": " ←", "": ""}
    named = dict(zip(table["measure"], table["measure"] + table["better"].map(arrows), strict=True))
    wide = table.assign(cell=cells).pivot(index="measure", columns="candidate", values="cell")
    ordered = wide.loc[in_order(named), list(dict.fromkeys(table["candidate"]))].rename(index=named)
    text = as_text(ordered.fillna("").reset_index(), "%s")
    facts = table.attrs
    return (
        f"{text}\n\n{plural(facts['n_test'], 'row')} of {plural(facts['n_test_texts'], 'text')} held out of "
        f"{facts['n_train_texts'] + facts['n_test_texts']:,}; behind ± half the width of {facts['confidence']:.0%} "
        f"intervals over these texts; code lengths at a resolution of {facts['resolution']:.3g}"
    )


def _cell(value: float, low: float, high: float) -> str:
    half = (high - low) / 2
    if math.isnan(half):
        return "" if math.isnan(value) else f"{value:,.5g}" if value < 1e5 else f"{value:,.0f}"
    digits = min(max(1 - math.floor(math.log10(half)), 0), 4) if half > 0 else 4
    return f"{value:,.{digits}f} ±{half:,.{digits}f}"
