"""The stages from a shell: ``python -m mfa_sklearn --help``.

Each command is a thin layer over the function of the same name. What a person may get wrong (a path, a number, a name)
ends in one line on standard error and exit status 2; a traceback means a bug.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__
from ._base.files import check_writable, replacing
from ._base.sites import SITES

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from .activations import StoredActivations
    from .mixture import MFA

_PROGRAM = "mfa-sklearn"
_PICTURES = (".png", ".pdf", ".svg")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments after the program's name; by default those of the process.

    Returns
    -------
    int
        The exit status: 0; 2 for an error that a person can mend, in the arguments too; 130 after an interrupt.
    """
    arguments = make_parser().parse_args(argv)
    # Read when torch is loaded, later on. Threads that spin while they wait make a fit five times slower as soon as
    # anything else wants the same cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            arguments.run(arguments)
        except BrokenPipeError:
            # The reader of our output has seen enough (`| head`); without this, closing stdout would complain again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        # Nothing but a diverging fit raises the last of these: numpy does so only when it is told to.
        except (ValueError, OSError, ImportError, FloatingPointError) as error:
            print(f"{_PROGRAM}: error: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print(f"{_PROGRAM}: interrupted", file=sys.stderr)
            return 130
    return 0


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    # Only what this library and scikit-learn say about the data; deprecations inside other packages are not the user's.
    if not issubclass(category, DeprecationWarning | FutureWarning):
        print(f"{_PROGRAM}: warning: {message}", file=sys.stderr)


# --- arguments


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, where there are any to speak of."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        silent = action.required or action.default in (None, False, [])
        return action.help if silent else super()._get_help_string(action)


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="Mixtures of factor analyzers on language-model activations, stage by stage.",
        epilog="A round: extract texts.csv, fit, top-tokens, concepts, plot, steer. `demo` does it all, offline.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_demo(commands)
    _add_extract(commands)
    _add_fit(commands)
    _add_top_tokens(commands)
    _add_concepts(commands)
    _add_plot(commands)
    _add_steer(commands)
    return parser


def _command(commands: Any, name: str, run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
    description = f"{text[0].upper()}{text[1:]}."
    parser = commands.add_parser(name, help=text, description=description, formatter_class=_Help)
    parser.set_defaults(run=run)
    return parser


def _tolerance(text: str) -> float | str:
    """What `MFA` takes for its `tol`."""
    if text == "auto":
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"invalid value {text!r}: give a number or 'auto'") from None


def _add_demo(commands: Any) -> None:
    parser = _command(commands, "demo", _demo, "the tutorial on the embedded texts and language model, offline")
    parser.add_argument("--output", type=Path, default=Path("mfa-demo"), metavar="DIR", help="where to keep results")
    parser.add_argument("--quick", action="store_true", help="an eighth of the texts and fewer components")


def _add_extract(commands: Any) -> None:
    parser = _command(commands, "extract", _extract, "texts to activations on disk")
    parser.add_argument("texts", type=Path, help=".csv, .json or .jsonl with texts and, if there are any, labels")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--model", required=True, help="a model's name or a local directory")
    parser.add_argument("--layer", type=int, nargs="+", required=True, help="one or more, counted from 0")
    parser.add_argument("--site", choices=tuple(SITES), default="residual", help="where in the layer")
    parser.add_argument("--keep", nargs="+", metavar="TOKEN", help="keep only these tokens, as '.' or ' cat'")
    parser.add_argument("--max-norm-ratio", type=float, help="leave out rows this many times the median norm (100)")
    parser.add_argument("--batch-size", type=int, default=32, help="texts per forward pass")
    parser.add_argument("--max-length", type=int, help="tokens per text at most")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ...")
    parser.add_argument("--dtype", choices=("float16", "float32"), default="float16", help="of the numbers on disk")


def _add_fit(commands: Any) -> None:
    parser = _command(commands, "fit", _fit, "fit a mixture to activations, or to any table of numbers")
    parser.add_argument("data", type=Path, help="folder that `extract` wrote, or a table in a .npy file")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder for the mixture")
    parser.add_argument("-k", "--components", type=int, required=True, help="how many components")
    parser.add_argument("-q", "--factors", type=int, default=10, help="how many factors each")
    parser.add_argument("--layer", type=int, help="which layer of the folder, if it holds several")
    parser.add_argument("--noise", choices=("shared", "component"), default="shared", help="one noise for all, or each")
    parser.add_argument("--solver", choices=("em", "gradient"), default="em", help="closed form, or Adam")
    parser.add_argument(
        "--init", choices=("kmeans", "k-means++", "random_from_data", "random"), default="kmeans", help="start"
    )
    parser.add_argument("--max-iter", type=int, default=100, help="iterations (em) or epochs (gradient) at most")
    parser.add_argument("--tol", type=_tolerance, default="auto", help="stop at this gain, in nats per row, or 'auto'")
    parser.add_argument("--random-state", type=int, default=0, metavar="SEED", help="seed")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ...")
    parser.add_argument("--verbose", action="store_true", help="say how the fit goes")


def _add_fitted(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("mixture", type=Path, help="folder that `fit` wrote, or `save_pretrained`")
    parser.add_argument("activations", type=Path, help="folder that `extract` wrote")
    parser.add_argument("--layer", type=int, help="which layer of the folder, if it holds several")


def _add_top_tokens(commands: Any) -> None:
    parser = _command(commands, "top-tokens", _top_tokens, "the tokens that each component scores highest")
    _add_fitted(parser)
    parser.add_argument("--component", type=int, nargs="+", metavar="K", help="only these; by default all")
    parser.add_argument("--score", choices=("posterior", "likelihood"), default="posterior", help="what to rank by")
    parser.add_argument(
        "--aggregate", choices=("occurrence", "max", "sum"), default="occurrence", help="over rows of one token"
    )
    parser.add_argument("--n-tokens", type=int, default=10, help="tokens per component")
    parser.add_argument("--context", type=int, default=40, help="characters shown on either side")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write a .csv instead of printing")


def _add_concepts(commands: Any) -> None:
    parser = _command(commands, "concepts", _concepts, "the labels that each component over-represents")
    _add_fitted(parser)
    parser.add_argument("--by-concept", action="store_true", help="the best component of each label instead")
    parser.add_argument("--n-concepts", type=int, default=5, help="labels per component")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write a .csv instead of printing")


def _add_plot(commands: Any) -> None:
    parser = _command(commands, "plot", _plot, "a component's tokens in its subspace, as a picture")
    _add_fitted(parser)
    parser.add_argument("--component", type=int, required=True, metavar="K", help="which")
    parser.add_argument("--factors", type=int, nargs="+", default=[0, 1], metavar="J", help="two or three axes")
    parser.add_argument("--axes", choices=("factors", "principal"), default="factors", help="as fitted, or rotated")
    parser.add_argument("--max-labels", type=int, default=250, help="tokens written out")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help=".png, .pdf or .svg")


def _add_steer(commands: Any) -> None:
    parser = _command(commands, "steer", _steer, "steer the model towards a component: logits and text")
    parser.add_argument("mixture", type=Path, help="folder that `fit` wrote, or `save_pretrained`")
    parser.add_argument("prompt", help="text to go on from")
    parser.add_argument("--component", type=int, required=True, metavar="K", help="where to")
    parser.add_argument("--alpha", type=float, default=0.6, help="0 changes nothing, 1 goes all the way")
    parser.add_argument("--z", nargs="+", type=_factor_score, default=[], metavar="J=VALUE", help="as in 0=20 8=-10")
    parser.add_argument("--positions", choices=("all", "prompt", "last"), default="all", help="which tokens to move")
    parser.add_argument("--method", choices=("centroid", "transport"), default="centroid", help="how to move")
    parser.add_argument("--model", help="another copy of the model; by default the one the mixture was fitted on")
    parser.add_argument("--layer", type=int, help="which layer to steer; by default the one the mixture was fitted on")
    parser.add_argument(
        "--no-source-check", action="store_true", help="steer wherever the width fits (check_source=False)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ...")
    parser.add_argument("--top-k", type=int, default=10, help="tokens that rise and that fall to list")
    parser.add_argument("--generate", type=int, default=0, metavar="N", help="also write N tokens before and after")
    parser.add_argument("--random-state", type=int, default=0, metavar="SEED", help="seed of the sampling")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the logits' table to a .csv instead")


def _factor_score(text: str) -> tuple[int, float]:
    factor, equals, value = text.partition("=")
    try:
        if not equals:
            raise ValueError
        return int(factor), float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not FACTOR=VALUE, as in 0=20") from None


# --- commands


def _demo(arguments: argparse.Namespace) -> None:
    from ._demo import run_demo

    run_demo(arguments.output, quick=arguments.quick)


def _extract(arguments: argparse.Namespace) -> None:
    from .activations import ActivationExtractor
    from .datasets import read_texts

    data = read_texts(arguments.texts)
    extractor = ActivationExtractor(
        model=arguments.model,
        layer=arguments.layer,
        site=arguments.site,
        keep=None if arguments.keep is None else set(arguments.keep),
        max_norm_ratio=arguments.max_norm_ratio,
        batch_size=arguments.batch_size,
        max_length=arguments.max_length,
        device=arguments.device,
        verbose=sys.stderr.isatty(),
    )
    store = extractor.extract_to(arguments.output, data.texts, data.labels, dtype=arguments.dtype)
    print(f"{arguments.output}: activations of {len(data.texts):,} texts: {store}")


def _fit(arguments: argparse.Namespace) -> None:
    from .mixture import MFA
    from .mixture._saving.folder import check_target

    output = check_target(arguments.output)
    rows = _read_rows(arguments.data, arguments.layer)
    mfa = MFA(
        n_components=arguments.components,
        n_factors=arguments.factors,
        noise=arguments.noise,
        solver=arguments.solver,
        init=arguments.init,
        max_iter=arguments.max_iter,
        tol=arguments.tol,
        random_state=arguments.random_state,
        device=arguments.device,
        verbose=int(arguments.verbose),
    ).fit(rows)
    mfa.save_pretrained(output)
    print(
        f"{output}: {mfa.n_components_} components of {mfa.n_factors_} factors on {len(rows):,} rows, "
        f"{mfa.lower_bound_:.3f} nats per row after {mfa.n_iter_} iterations"
    )


def _top_tokens(arguments: argparse.Namespace) -> None:
    from .interpret import format_tokens, top_tokens

    output = None if arguments.output is None else check_writable(arguments.output, (".csv",))
    table = top_tokens(
        _read_mixture(arguments.mixture),
        _read_rows(arguments.activations, arguments.layer),
        score=arguments.score,
        aggregate=arguments.aggregate,
        n_tokens=arguments.n_tokens,
        components=arguments.component,
        context=arguments.context,
    )
    _give(table, output, format_tokens)


def _concepts(arguments: argparse.Namespace) -> None:
    from .interpret import concept_components, top_concepts

    output = None if arguments.output is None else check_writable(arguments.output, (".csv",))
    mfa, rows = _read_mixture(arguments.mixture), _read_rows(arguments.activations, arguments.layer)
    if arguments.by_concept:
        table = concept_components(mfa, rows).reset_index()
    else:
        table = top_concepts(mfa, rows, n_concepts=arguments.n_concepts)
    _give(table, output, lambda found: found.to_string(index=False, float_format="%.3g"))


def _plot(arguments: argparse.Namespace) -> None:
    from ._base.checks import import_optional

    output = check_writable(arguments.output, _PICTURES)
    mfa = _read_mixture(arguments.mixture)
    import_optional("matplotlib", "plot").use("agg")
    from .interpret import SubspaceDisplay

    display = SubspaceDisplay.from_estimator(
        mfa,
        _read_rows(arguments.activations, arguments.layer),
        arguments.component,
        factors=arguments.factors,
        axes=arguments.axes,
        max_labels=arguments.max_labels,
    )
    with replacing(output) as temporary:
        display.figure_.savefig(temporary, dpi=150, bbox_inches="tight")
    print(f"{output}: {len(display.projection):,} tokens of component {arguments.component}")


def _steer(arguments: argparse.Namespace) -> None:
    from ._base.checks import check_count
    from .activations import load_model
    from .steering import MFASteerer

    check_count("--generate", arguments.generate, least=0)
    output = None if arguments.output is None else check_writable(arguments.output, (".csv",))
    mfa = _read_mixture(arguments.mixture)
    source = mfa.source_ or {}
    name = arguments.model or source.get("model")
    if name is None:
        raise ValueError(
            f"{arguments.mixture} does not say which language model it was fitted on: give --model and --layer"
        )
    model = load_model(
        name, arguments.device, source.get("dtype", "float32"), processing=source.get("processing", "raw")
    )
    steerer = MFASteerer(model, mfa, arguments.layer, check_source=not arguments.no_source_check)
    move = {"component": arguments.component, "alpha": arguments.alpha, "z": dict(arguments.z) or None}
    move |= {"positions": arguments.positions, "method": arguments.method}
    table = steerer.logit_diff(arguments.prompt, top_k=arguments.top_k, **move)
    _give(table, output, lambda found: found.to_string(index=False, float_format="%.3f"))
    if arguments.generate:
        sampling = {"max_new_tokens": arguments.generate, "random_state": arguments.random_state}
        print("\nbefore:", steerer.generate(arguments.prompt, alpha=0.0, **sampling))
        print(" after:", steerer.generate(arguments.prompt, **move, **sampling))


# --- files


def _read_rows(path: Path, layer: int | None) -> StoredActivations | np.ndarray:
    """Activations of a folder, or a table of a .npy file; both stay on disk and are read as they are needed."""
    from .activations import ActivationStore
    from .activations._path import rows_at

    if layer is None and path.is_dir():
        layers = ActivationStore(path).layers
        if len(layers) > 1:
            raise ValueError(f"{str(path)!r} holds the layers {list(layers)}: name one with --layer")
    return rows_at(path, layer)


def _read_mixture(path: Path) -> MFA:
    from .mixture import MFA

    return MFA.from_pretrained(path)


def _give(table: pd.DataFrame, output: Path | None, as_text: Callable[[pd.DataFrame], str]) -> None:
    if output is None:
        print(as_text(table))
        return
    with replacing(output) as temporary:
        table.to_csv(temporary, index=False)
    print(f"{output}: {len(table):,} rows")
