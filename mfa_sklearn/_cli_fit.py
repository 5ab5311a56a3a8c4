"""The commands `fit` and `kmeans`: what they are told, and what they leave, alone or as one of several processes."""

from __future__ import annotations

import argparse
import os
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._base.files import check_writable
from ._base.home import home_path
from ._base.progress import terminal_shown
from ._base.words import plural
from ._cli_files import check_mixture_folder, mixture_folder, read_mixture, read_rows
from ._cli_help import DEVICE, SEED, Parser, add_force, add_rows, add_verbose, number_or_auto
from ._cli_launch import Launch, together
from ._cli_shell import say

if TYPE_CHECKING:
    from ._base.group import AnyGroup
    from .mixture import MFA, KMeansInitializer

_STARTS = ("kmeans", "k-means++", "random_from_data", "random")
_FACTORS = 10
CENTERS = ".safetensors"


# ---------------------------------------------------------------- options


def add_fit(parser: Parser) -> None:
    """The options of `fit`."""
    add = parser.add_argument
    add_rows(parser, "data")
    add("-o", "--output", type=Path, required=True, metavar="DIR", help="folder for the mixture")
    add("-k", "--components", type=int, metavar="K", help="how many components; with a PATH for --init, as it has them")
    add(
        "-q",
        "--factors",
        type=int,
        metavar="Q",
        help=f"how many factors each component has; by default {_FACTORS}, with a mixture for --init as it has them",
    )
    add(
        "--noise",
        choices=("shared", "component"),
        default="shared",
        help="one noise variance per feature for all components, or for each component its own",
    )
    add(
        "--noise-prior",
        type=number_or_auto,
        default="auto",
        metavar="ROWS",
        help="rows of the pooled noise that each component's own is mixed with; auto: read off the data, 0: none",
    )
    _add_solver(parser)
    add("--random-state", type=int, default=0, metavar="SEED", help=SEED)
    add("--device", default="auto", help=DEVICE)
    _add_checkpoint(parser)
    add_verbose(parser)
    add_force(parser, "a mixture, and a checkpoint of another fit,")


def _add_checkpoint(parser: Parser) -> None:
    add = parser.add_argument
    add(
        "--held-out",
        type=float,
        metavar="SHARE",
        help="do not fit this share of the texts, or of the rows of a table without texts, and say how likely they are",
    )
    add = parser.add_mutually_exclusive_group().add_argument
    add(
        "--checkpoint",
        type=Path,
        metavar="DIR",
        help="folder for what the fit goes on from, if it is interrupted or killed and the same command given again; "
        "deleted at the end; by default DIR.checkpoint beside the output",
    )
    add("--no-checkpoint", action="store_true", help="keep nothing to go on from")


def _add_solver(parser: Parser) -> None:
    add = parser.add_argument
    add("--solver", choices=("em", "gradient"), default="em", help="EM in closed form, or gradients with Adam")
    add(
        "--init",
        default="kmeans",
        metavar="HOW|PATH",
        help="how the components' first centers are found: by k-means (kmeans), by its seeding alone (k-means++), as "
        "rows drawn at random (random_from_data) or at random (random); or where they are: a file that `kmeans` wrote, "
        "a .npy file, or the folder of a mixture, which the fit goes on from",
    )
    add("--max-iter", type=int, default=100, metavar="N", help="iterations (em) or epochs (gradient) at most")
    add(
        "--tol",
        type=number_or_auto,
        default="auto",
        help="stop when less than this is still to gain, in nats of log-likelihood per row; auto weighs gain against "
        "cost",
    )


def add_kmeans(parser: Parser) -> None:
    """The options of `kmeans`."""
    add = parser.add_argument
    add_rows(parser, "data")
    add("-o", "--output", type=Path, required=True, metavar="FILE", help=f"file for the centers: {CENTERS}")
    add("-k", "--clusters", type=int, required=True, metavar="K", help="how many centers to find")
    add(
        "--metric",
        choices=("euclidean", "cosine"),
        default="euclidean",
        help="how far a row is from a center: by the squared distance, or by the angle between them",
    )
    add(
        "--sampling",
        choices=("uniform", "token_frequency"),
        default="uniform",
        help="count each row once, or less where its token is frequent, so that all tokens count the same",
    )
    add("--pool-size", type=int, metavar="N", help="rows that the first centers are found on; by default 32 a center")
    add("--refine-iter", type=int, default=3, metavar="N", help="passes over all rows at most, after those on samples")
    add("--random-state", type=int, default=0, metavar="SEED", help=SEED)
    add("--device", default="auto", help=DEVICE)
    add_verbose(parser)
    add_force(parser, "a file")


# ---------------------------------------------------------------- fit


def fit(arguments: argparse.Namespace) -> None:
    """Fit a mixture and keep it."""
    with together(Launch.of(os.environ), arguments.device) as group:
        if group.first:
            _check_places(arguments)
        mfa = _estimator(arguments, group)
        rows = read_rows(arguments.data, arguments.layer)
        mfa.set_params(**_held_out(arguments, rows))
        with _folder(arguments, rows, mfa, group):
            _fit(mfa, _own(rows, group), arguments, group)
            if group.first:
                _keep(mfa, arguments.output)
    say(
        f"{arguments.output}: {plural(mfa.n_components_, 'component')} of {plural(mfa.n_factors_, 'factor')} on "
        f"{plural(len(rows), 'row')}, a log-likelihood of {mfa.lower_bound_ - mfa.log_prior_:.3f} nats per row after "
        f"{plural(mfa.n_iter_, 'iteration')}{_told_of_others(mfa)}"
    )


def _check_places(arguments: argparse.Namespace) -> None:
    """Refuse folders that may not be written to, before anything is read."""
    from .mixture._checkpoint.folder import UnusableCheckpointError, check_place

    check_mixture_folder(arguments.output, arguments.force)
    folder = _checkpoint(arguments)
    if folder is not None:
        if folder.resolve().is_relative_to(arguments.output.resolve()):
            raise ValueError(
                f"--checkpoint {str(folder)!r} is inside the output, which holds a mixture and nothing else: name a "
                "folder beside it, or leave it out for one"
            )
        with suppress(UnusableCheckpointError):  # which the fit tells, or `--force` replaces
            check_place(folder)


def _checkpoint(arguments: argparse.Namespace) -> Path | None:
    """The folder that the fit goes on from if it is ended: the one named, or one beside the output."""
    if arguments.no_checkpoint:
        return None
    output = arguments.output.absolute()
    return arguments.checkpoint or output.with_name(f"{output.name}.checkpoint")


def _estimator(arguments: argparse.Namespace, group: AnyGroup) -> MFA:
    """What is to be fitted, with the start that it is given."""
    from .mixture import MFA

    start = _start(arguments)
    names = ("noise", "noise_prior", "solver", "max_iter", "tol", "random_state", "device")
    settings: dict[str, Any] = {name: getattr(arguments, name) for name in names}
    settings["verbose"] = int(terminal_shown(arguments.verbose))
    settings |= {"checkpoint": _checkpoint(arguments), "distributed": group.size > 1}
    if isinstance(start, MFA):
        sizes = {"n_components": start.n_components_, "n_factors": start.n_factors_}
        return start.set_params(**settings, **sizes, warm_start=True)
    factors = _FACTORS if arguments.factors is None else arguments.factors
    return MFA(arguments.components, factors, init=start, **settings)


def _start(arguments: argparse.Namespace) -> str | KMeansInitializer | MFA:
    """Where the fit starts: a way to find centers, centers, or a mixture of the size that is asked for."""
    from .mixture._saving.centers import read_centers

    how, path = arguments.init, home_path(arguments.init)
    if how in _STARTS:
        if arguments.components is None:
            raise ValueError("how many components to fit is not said: give -k, or centers or a mixture by --init PATH")
        return how
    if not path.exists():
        raise ValueError(
            f"--init {how!r} is nothing that is there, and none of {', '.join(_STARTS)}: give one of these words, a "
            "file that `kmeans` wrote, or the folder of a mixture"
        )
    if not path.is_dir():
        return read_centers(path)
    mfa = read_mixture(path)
    sizes = {"-k": (arguments.components, mfa.n_components_), "-q": (arguments.factors, mfa.n_factors_)}
    for name, (asked, found) in sizes.items():
        if asked not in (None, found):
            raise ValueError(f"{name} {asked} is not the size of the mixture {how!r}, which has {found}: leave it out")
    return mfa


def _held_out(arguments: argparse.Namespace, rows: Any) -> dict[str, Any]:
    from ._base.annotated import has_row_fact

    return {"held_out": arguments.held_out, "held_out_by": "text" if has_row_fact(rows, "text_index") else "row"}


def _told_of_others(mfa: MFA) -> str:
    """What is said of rows held out."""
    found: Any = mfa.history_.get("held_out")
    return f"; {found[-1]:.3f} on those held out" if found else ""


def _folder(arguments: argparse.Namespace, rows: Any, mfa: MFA, group: AnyGroup) -> AbstractContextManager[Any]:
    """The output, reserved by the first process, with room for the mixture."""
    if not group.first:
        return nullcontext()
    centers = getattr(mfa.init, "cluster_centers_", ())
    return mixture_folder(arguments.output, arguments.force, rows, mfa.n_components or len(centers), mfa.n_factors)


def _own(rows: Any, group: AnyGroup) -> Any:
    """The rows that are this process's."""
    from ._base.row_views import share_of

    return rows if group.size == 1 else share_of(rows, group.rank, group.size)


def _fit(mfa: MFA, rows: Any, arguments: argparse.Namespace, group: AnyGroup) -> None:
    """Fit; where another fit's checkpoint is in the way, only if it may be replaced."""
    from .mixture._checkpoint.folder import UnusableCheckpointError, discard

    try:
        try:
            mfa.fit(rows)
        except ValueError as error:
            unusable = isinstance(error, UnusableCheckpointError)
            if unusable and not arguments.force:
                raise ValueError(f"{error}; --force deletes it") from error
            if not (arguments.force and group.any(unusable)):  # what is wrong on one process is an error on all
                raise
            if group.first and mfa.checkpoint is not None:
                discard(Path(mfa.checkpoint))
            group.barrier()
            mfa.fit(rows)
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(_what_is_kept(mfa, arguments.output, group)) from error


def _what_is_kept(mfa: MFA, output: Path, group: AnyGroup) -> str:
    """What an interrupt leaves, and how to go on."""
    from .mixture._checkpoint.folder import read_description

    found = None if mfa.checkpoint is None else read_description(Path(mfa.checkpoint))
    if found is not None:
        return (
            f"the fit as it was after {plural(found['iteration'], 'iteration')} is kept in {str(mfa.checkpoint)!r}; to "
            "go on, do the same again, or with --max-iter 0 to have the mixture as it is"
        )
    if mfa.checkpoint is None and hasattr(mfa, "weights_") and hasattr(mfa, "n_iter_"):
        if group.first:
            _keep(mfa, output)
        return f"{output} holds the fit as far as it came; --force fits anew"
    return "nothing is kept, the fit had not begun to iterate"


def _keep(mfa: MFA, output: Path) -> None:
    """Write the mixture; what it would go on from is no longer needed."""
    from .mixture._checkpoint.folder import discard

    folder = mfa.checkpoint
    mfa.set_params(checkpoint=None, warm_start=False, distributed=False)
    mfa.save_pretrained(output)
    if folder is not None:
        discard(Path(folder))


# ---------------------------------------------------------------- k-means


def kmeans(arguments: argparse.Namespace) -> None:
    """Find centers and keep them."""
    from .mixture import KMeansInitializer
    from .mixture._saving.centers import write_centers

    with together(Launch.of(os.environ), arguments.device) as group:
        output = arguments.output
        if group.first:
            check_writable(output, (CENTERS,), overwrite=arguments.force)
        rows = read_rows(arguments.data, arguments.layer)
        names = ("metric", "sampling", "pool_size", "refine_iter", "random_state", "device")
        settings: dict[str, Any] = {name: getattr(arguments, name) for name in names}
        settings |= {"distributed": group.size > 1, "verbose": int(terminal_shown(arguments.verbose))}
        found = KMeansInitializer(arguments.clusters, **settings).fit(_own(rows, group))
        if group.first:
            write_centers(output, found)
    size = f"{plural(len(found.cluster_centers_), 'center')} of {plural(found.n_features_in_, 'feature')}"
    ended = f"an inertia of {found.inertia_:.6g} after {plural(found.n_iter_, 'step')}"
    say(f"{output}: {size} on {plural(len(rows), 'row')}, {ended}")
