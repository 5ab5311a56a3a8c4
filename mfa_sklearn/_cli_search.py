"""The command `search`: which sizes to try, by what to judge them, and what is kept."""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._base.words import plural
from ._cli_files import as_text, check_mixture_folder, give, mixture_folder, output_file, read_rows
from ._cli_help import DEVICE, SEED, TABLE, Parser, add_force, add_rows, number_or_auto
from ._cli_shell import say

if TYPE_CHECKING:
    import pandas as pd

_STRUCTURES = "UUU, UUC, UCU, UCC, CUU, CUC, CCU, CCC"


def add_options(parser: Parser) -> None:
    """The options of the command."""
    add = parser.add_argument
    add_rows(parser, "data")
    add("-k", "--components", type=int, nargs="+", required=True, metavar="K", help="numbers of components to try")
    add("-q", "--factors", type=int, nargs="+", required=True, metavar="Q", help="numbers of factors to try")
    add(
        "--structures",
        nargs="+",
        metavar="CODE",
        help=f"structures to try, all or of {_STRUCTURES}: C where loadings are common, noise is, is isotropic; else U",
    )
    add(
        "--criterion",
        choices=("bic", "icl", "aic", "likelihood"),
        default="bic",
        help="judge by an information criterion, or by the log-likelihood of rows held out",
    )
    add("--folds", type=int, default=5, metavar="N", help="splits for likelihood; tokens of one text stay together")
    _add_fit(parser)
    add("-o", "--output", type=Path, metavar="FILE", help=TABLE)
    add("--mixture", type=Path, metavar="DIR", help="also keep the best mixture in this folder")
    add_force(parser, "results and a mixture")


def _add_fit(parser: Parser) -> None:
    add = parser.add_argument
    add("--max-iter", type=int, default=100, metavar="N", help="iterations of each fit at most")
    add("--tol", type=number_or_auto, default="auto", help="stop a fit when less than this is to gain, in nats per row")
    add("--n-init", type=int, default=1, metavar="N", help="starts of each fit, the best of which counts")
    add("--jobs", type=int, metavar="N", help="processes to fit in; by default one")
    add("--random-state", type=int, default=0, metavar="SEED", help=SEED)
    add("--device", default="auto", help=DEVICE)
    add("--verbose", action="store_true", help="say how the search goes")


def search(arguments: argparse.Namespace) -> None:
    """Fit a mixture of each size, and say which is best."""
    from ._base.checks import check_count, import_optional
    from .mixture import MFA, MFASearch

    output = output_file(arguments, (".csv",))
    if arguments.mixture is not None:
        check_mixture_folder(arguments.mixture, arguments.force)
    import_optional("pandas", "search")
    check_count("--folds", arguments.folds, 2)
    rows = read_rows(arguments.data, arguments.layer)
    settings = {name: getattr(arguments, name) for name in ("max_iter", "tol", "n_init", "random_state", "device")}
    made = MFASearch(
        MFA(init="kmeans", **settings),
        arguments.components,
        arguments.factors,
        structures="all" if arguments.structures == ["all"] else arguments.structures,
        criterion=arguments.criterion,
        cv=_folds(rows, arguments.folds) if arguments.criterion == "likelihood" else arguments.folds,
        n_jobs=arguments.jobs,
        verbose=int(arguments.verbose),
    )
    with _folder(arguments, rows) as folder:
        made.fit(rows)
        if folder is not None:
            made.best_estimator_.save_pretrained(folder)
    give(made.results_, output, _in_columns)
    best = made.best_estimator_
    size = f"{plural(best.n_components_, 'component')} of {plural(best.n_factors_, 'factor')}"
    score = made.best_score_ if arguments.criterion == "likelihood" else -made.best_score_
    what = "nats per row held out" if arguments.criterion == "likelihood" else arguments.criterion.upper()
    say(f"best: {size}, {score:,.6g} {what}{'' if folder is None else f', in {folder}'}")


def _folder(arguments: argparse.Namespace, rows: Any) -> AbstractContextManager[Path | None]:
    """The folder for the best mixture, with room for the largest; or none."""
    if arguments.mixture is None:
        return nullcontext()
    return mixture_folder(arguments.mixture, arguments.force, rows, max(arguments.components), max(arguments.factors))


def _folds(rows: Any, n_folds: int) -> Any:
    """Splits that leave the tokens of a text together, where rows are tokens."""
    from ._base.annotated import row_fact

    numbers = row_fact(rows, "text_index")
    if numbers is None:
        return n_folds
    from sklearn.model_selection import GroupKFold

    return list(GroupKFold(n_folds, shuffle=True, random_state=0).split(numbers, groups=numbers))


def _in_columns(table: pd.DataFrame) -> str:
    shown = table.sort_values("rank", kind="stable").drop(columns=["fit_time"])
    return as_text(shown, "%.6g")
