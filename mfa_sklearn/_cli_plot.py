"""The command `plot`: a kind of picture for each thing that there is to look at.

A new kind is a line in `KINDS`: what it shows, an example, its options, and the function that draws it.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ._base.files import replacing
from ._base.words import plural, visible
from ._cli_files import PICTURES, output_file, read_mixture, read_rows, read_table
from ._cli_help import MIXTURE, SEED, Parser, add_command, add_fitted, add_force, add_rows, add_verbose
from ._cli_shell import say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_INCHES, _MOST_DPI = 100, 2400
_NARROW = 4.5  # inches


class Kind(NamedTuple):
    """A kind of picture."""

    text: str  # what it shows, in a line
    example: str
    add_options: Callable[[Parser], None]
    draw: Callable[[argparse.Namespace], tuple[Figure, str]]  # the figure, and what is in it
    panels: bool = False  # whether a title is above several panels


def add_kinds(parser: Parser) -> None:
    """A parser for each kind."""
    kinds = parser.add_subparsers(
        title="kinds of pictures", metavar="KIND", dest="kind", required=True, help="which picture to draw"
    )
    for name, kind in KINDS.items():
        own = add_command(kinds, name, kind.text, f"plot {name} {kind.example}")
        kind.add_options(own)
        add = own.add_argument
        add("-o", "--output", type=Path, required=True, metavar="FILE", help="picture to write: .png, .pdf or .svg")
        add("--title", help="title to write above the picture")
        add("--size", type=_size, metavar="WxH", help="width and height in inches, as in 3.4x2.6")
        add("--dpi", type=_dpi, default=200, metavar="N", help="dots per inch of a .png file, and of points in others")
        add_force(own, "a file")


def plot(arguments: argparse.Namespace) -> None:
    """Draw a picture into a file."""
    from ._base.checks import import_optional

    output = output_file(arguments, PICTURES)
    assert output is not None
    matplotlib = import_optional("matplotlib", "plot")
    matplotlib.use("agg")
    kind = KINDS[arguments.kind]
    with matplotlib.rc_context({"font.size": _font_size(arguments.size)}):
        figure, what = kind.draw(arguments)
        if arguments.size is not None:
            figure.set_size_inches(arguments.size)
        if arguments.title is not None:
            _write_title(figure, arguments.title, kind.panels)
        with replacing(output) as temporary:
            # A size that was asked for is kept; else nothing that stands beside the axes is cut off.
            figure.savefig(temporary, dpi=arguments.dpi, bbox_inches=None if arguments.size else "tight")
    say(f"{output}: {what}")


def _write_title(figure: Figure, title: str, above_panels: bool) -> None:
    from ._base.plotting import safe_text, styled

    with styled():
        if above_panels:
            figure.suptitle(visible(title), **safe_text(fontsize="medium"))
        else:
            figure.axes[0].set_title(visible(title), **safe_text())


def _font_size(size: tuple[float, float] | None) -> float:
    """Points: those of a caption where a picture is as wide as a column of a paper."""
    return 8 if size is not None and size[0] < _NARROW else 10


def _size(text: str) -> tuple[float, float]:
    try:
        width, height = (float(part) for part in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT, as in 3.4x2.6") from None
    if not (0.5 <= width <= _MOST_INCHES and 0.5 <= height <= _MOST_INCHES):
        raise argparse.ArgumentTypeError(f"{text!r} must be of 0.5 to {_MOST_INCHES} inches each")
    return width, height


def _dpi(text: str) -> int:
    if not text.isdecimal() or not 10 <= int(text) <= _MOST_DPI:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from 10 to {_MOST_DPI}")
    return int(text)


# ---------------------------------------------------------------- subspace


def _add_subspace(parser: Parser) -> None:
    add_fitted(parser)
    add = parser.add_argument
    add("--component", type=int, required=True, metavar="K", help="number of the component to draw, counted from 0")
    add(
        "--factors",
        type=int,
        nargs="+",
        metavar="J",
        help="numbers of one to three factors, or principal axes, to draw along; by default the first two",
    )
    add(
        "--axes",
        choices=("principal", "factors"),
        default="principal",
        help="draw along the principal axes of the component's subspace, or along its factors as fitted",
    )
    add("--max-labels", type=int, default=40, metavar="N", help="tokens written out at most")
    add("--color-by", metavar="FACT", help="what colors say: tokens, labels, positions, or any fact of the rows")


def _draw_subspace(arguments: argparse.Namespace) -> tuple[Figure, str]:
    from .interpret import SubspaceDisplay

    mfa = read_mixture(arguments.mixture)
    rows = read_rows(arguments.activations, arguments.layer)
    options = {name: getattr(arguments, name) for name in ("factors", "axes", "max_labels")}
    display = SubspaceDisplay.from_estimator(mfa, rows, arguments.component, color=arguments.color_by, **options)
    return display.figure_, f"{plural(len(display.projection), 'row')} of component {arguments.component}"


def _add_factors(parser: Parser) -> None:
    add_fitted(parser)
    add = parser.add_argument
    add("--component", type=int, required=True, metavar="K", help="number of the component to draw, counted from 0")
    add("--factors", type=int, nargs="+", metavar="J", help="numbers of axes to draw; by default the first ones")
    add("--axes", choices=("principal", "factors"), default="principal", help="principal axes, or factors as fitted")
    add(
        "--show", choices=("auto", "rows", "columns"), default="auto", help="tokens at either end, or columns' loadings"
    )
    add("--n-tokens", type=int, default=6, metavar="N", help="tokens at each end")


def _draw_factors(arguments: argparse.Namespace) -> tuple[Figure, str]:
    from .interpret import FactorEndsDisplay

    mfa = read_mixture(arguments.mixture)
    rows = read_rows(arguments.activations, arguments.layer)
    options = {name: getattr(arguments, name) for name in ("factors", "axes", "show", "n_tokens")}
    display = FactorEndsDisplay.from_estimator(mfa, rows, arguments.component, **options)
    return display.figure_, f"ends of component {arguments.component}"


# ---------------------------------------------------------------- map


def _add_map(parser: Parser) -> None:
    add = parser.add_argument
    add("mixture", type=Path, help=MIXTURE)
    add_rows(parser, "activations", "*", "rows to take names from: ")
    add(
        "--color-by", default="cluster", metavar="COLUMN", help="cluster, weight, or a column of what `describe` writes"
    )
    add("--clusters", type=int, metavar="N", help="how many clusters; by default as many as stand apart")
    add("--max-labels", type=int, default=40, metavar="N", help="names written out at most")
    add_verbose(parser)
    add("--random-state", type=int, default=0, metavar="SEED", help=SEED)


def _draw_map(arguments: argparse.Namespace) -> tuple[Figure, str]:
    from .interpret import ComponentMapDisplay

    mfa = read_mixture(arguments.mixture)
    rows = read_rows(arguments.activations, arguments.layer) if arguments.activations else None
    options = {name: getattr(arguments, name) for name in ("max_labels", "random_state")}
    how = {"color": arguments.color_by, "n_clusters": arguments.clusters}
    display = ComponentMapDisplay.from_estimator(mfa, rows, **how, **options)
    return display.figure_, plural(mfa.n_components_, "component")


# ---------------------------------------------------------------- convergence


def _add_convergence(parser: Parser) -> None:
    parser.add_argument("mixture", type=Path, nargs="+", help=f"{MIXTURE}; several are drawn on one another")
    parser.add_argument(
        "--scale",
        choices=("bound", "gap"),
        default="bound",
        help="bounds as they are, or how far they are below the best, on a logarithmic axis",
    )


def _draw_convergence(arguments: argparse.Namespace) -> tuple[Figure, str]:
    from .mixture import ConvergenceDisplay

    named = {str(path) if _is_twice(path, arguments.mixture) else path.name: path for path in arguments.mixture}
    fits = {name: read_mixture(path) for name, path in named.items()}
    display = ConvergenceDisplay.from_estimator(fits, scale=arguments.scale)
    n_iter = [len(line.get_xdata()) - 1 for line in display.lines_.values()]  # type: ignore[arg-type]
    return display.figure_, ", ".join(plural(count, "iteration") for count in n_iter)


def _is_twice(path: Path, among: list[Path]) -> bool:
    return not path.name or sum(other.name == path.name for other in among) > 1


# ---------------------------------------------------------------- tables: search, evaluation, steering


def _add_search(parser: Parser) -> None:
    parser.add_argument("table", type=Path, help="table that `search` wrote, a .csv file")
    parser.add_argument(
        "--criterion", choices=("bic", "icl", "aic", "likelihood"), help="what to draw; by default what ranks them"
    )


def _draw_search(arguments: argparse.Namespace) -> tuple[Figure, str]:
    from .mixture import SearchDisplay

    table = read_table(arguments.table)
    display = SearchDisplay.from_results(table, criterion=arguments.criterion)
    return display.figure_, plural(len(table), "candidate")


def _add_evaluation(parser: Parser) -> None:
    parser.add_argument("table", type=Path, help="table that `evaluate` wrote, a .csv file")
    parser.add_argument(
        "--measures", nargs="+", metavar="NAME", help="measures to draw; by default those that can be better"
    )
    parser.add_argument("--columns", type=int, metavar="N", help="panels side by side")


def _draw_evaluation(arguments: argparse.Namespace) -> tuple[Figure, str]:
    from .evaluation import EvaluationDisplay

    columns = {} if arguments.columns is None else {"n_columns": arguments.columns}
    display = EvaluationDisplay.from_table(read_table(arguments.table), measures=arguments.measures, **columns)
    return display.figure_, plural(len(display.measures_), "measure")


def _add_steering(parser: Parser) -> None:
    add = parser.add_argument
    add("table", type=Path, help="table of evaluate_steering, written by its to_csv(FILE, index=False)")
    add("--x", default="collateral", metavar="MEASURE", help="what a move costs, a column of the table")
    add("--y", default="share_next", metavar="MEASURE", help="what it does, a column of the table")
    add("--half", choices=("judge", "choose"), default="judge", help="which half of the prompts")
    add("--arms", nargs="+", metavar="NAME", help="arms to draw, in this order; by default all")
    add("--band", action="store_true", help="shade the middle half of the concepts")


def _draw_steering(arguments: argparse.Namespace) -> tuple[Figure, str]:
    from .steering import SteeringDisplay

    options = {name: getattr(arguments, name) for name in ("x", "y", "half", "arms", "band")}
    display = SteeringDisplay.from_table(read_table(arguments.table), **options)
    return display.figure_, plural(len(display.lines_), "arm")


# ---------------------------------------------------------------- density


def _add_density(parser: Parser) -> None:
    add = parser.add_argument
    add("mixture", type=Path, help=MIXTURE)
    add_rows(parser, "activations", "*", "rows to draw below: ")
    add("--features", nargs="+", required=True, metavar="COLUMN", help="one or two columns, by name or number from 0")
    add(
        "--given",
        nargs="+",
        type=_value,
        default=[],
        metavar="COLUMN=VALUE",
        help="values of other columns, that the density is to be given, as in 3=0.5 or height=170",
    )
    add("--n-components", type=int, default=12, metavar="N", help="components drawn apart, the heaviest first; 0: none")


def _value(text: str) -> tuple[str, float]:
    name, equals, value = text.rpartition("=")
    try:
        if not equals or not name or not math.isfinite(float(value)):
            raise ValueError
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not COLUMN=VALUE, as in 3=0.5") from None


def _draw_density(arguments: argparse.Namespace) -> tuple[Figure, str]:
    from .mixture import DensityDisplay

    mfa = read_mixture(arguments.mixture)
    if len({name for name, _ in arguments.given}) < len(arguments.given):
        raise ValueError(f"--given names a column twice: {[visible(name) for name, _ in arguments.given]}")
    given = {_column(mfa, name): value for name, value in arguments.given}
    features = [_column(mfa, name) for name in arguments.features]
    rows = read_rows(arguments.activations, arguments.layer) if arguments.activations else None
    display = DensityDisplay.from_estimator(mfa, features, given=given, X=rows, n_components=arguments.n_components)
    return display.figure_, f"{' and '.join(visible(name) for name in display.names)}"


def _column(mfa: Any, name: str) -> int | str:
    """A column by its name, or else by its number."""
    return name if name in getattr(mfa, "feature_names_in_", ()) or not name.isdecimal() else int(name)


_SUBSPACE = "mixture activations --component 20 --factors 0 8 -o region.png"
_EVALUATION = "evaluation.csv --measures AMI 'bits per row' -o evaluation.pdf"
KINDS = {
    "subspace": Kind("a component's rows and tokens in its subspace", _SUBSPACE, _add_subspace, _draw_subspace),
    "factors": Kind(
        "what lies at either end of a component's axes",
        "mixture activations --component 20 -o ends.png",
        _add_factors,
        _draw_factors,
        True,
    ),
    "map": Kind(
        "all components in a plane, near where they are alike",
        "mixture activations --color-by concept -o map.png",
        _add_map,
        _draw_map,
    ),
    "convergence": Kind(
        "the bounds and temperatures of fits over their iterations",
        "mixture other-mixture -o convergence.png",
        _add_convergence,
        _draw_convergence,
    ),
    "search": Kind(
        "the criterion of a search over numbers of components", "results.csv -o search.png", _add_search, _draw_search
    ),
    "evaluation": Kind("figures with their intervals", _EVALUATION, _add_evaluation, _draw_evaluation, True),
    "steering": Kind(
        "what moves of activations do over what they cost",
        "steering.csv --x kl --y log_odds -o steering.png",
        _add_steering,
        _draw_steering,
    ),
    "density": Kind(
        "the density of one or two columns, or given others",
        "mixture table.npy --features 0 3 --given 2=1.5 -o density.png",
        _add_density,
        _draw_density,
    ),
}
