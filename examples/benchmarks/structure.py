"""The structure of the package in figures: lengths of functions, private imports across folders, trips of the rows.

    python examples/benchmarks/structure.py

Lengths and imports are read from the source. Trips are recorded while fits run, and while one batch of rows enters the
sums of the E-step: a stay is a visit of the rows (the tensor, or a view of it) to a module, a return one to a module
already left.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch

import mfa_sklearn
from mfa_sklearn import MFA, datasets
from mfa_sklearn.mixture._em.sharp import SharpSums
from mfa_sklearn.mixture._fit import loop
from mfa_sklearn.mixture._model.density import prepare

PACKAGE = Path(mfa_sklearn.__file__).parent
FOLDERS = ("mixture", "activations", "interpret", "steering", "evaluation")
LONG = 25
PRODUCTS = {"addmm", "addmm_", "mm", "matmul", "baddbmm", "baddbmm_", "bmm"}


def bodies() -> list[tuple[int, str]]:
    """Lines of every function's body without its docstring, longest first, and where it stands."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) is not None else node.body
                lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
                found.append((lines, f"{path.relative_to(PACKAGE)}:{node.lineno} {node.name}"))
    return sorted(found, reverse=True)


def private_imports() -> Iterator[str]:
    """Private modules of one folder that another imports."""
    for folder in FOLDERS:
        for path in sorted((PACKAGE / folder).rglob("*.py")):
            here = ["mfa_sklearn", *path.relative_to(PACKAGE).parts[:-1]]
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.ImportFrom):
                    continue
                base = here[: len(here) - node.level + 1] if node.level else []
                parts = [*base, *(node.module or "").split(".")]
                foreign = len(parts) > 2 and parts[0] == "mfa_sklearn" and parts[1] in set(FOLDERS) - {folder}
                if foreign and any(part.startswith("_") for part in parts):
                    yield f"{path.relative_to(PACKAGE)} -> {'.'.join(parts[1:])}"


def record(run: Callable[[], Any], see: Callable[[FrameType, str, Any], None]) -> None:
    """Run something while `see` is shown the calls of the package's functions, and those that they make into torch."""

    def watch(frame: FrameType, event: str, arg: Any) -> None:
        if event in ("call", "c_call") and str(PACKAGE) in frame.f_code.co_filename:
            see(frame, event, arg)

    sys.setprofile(watch)
    try:
        run()
    finally:
        sys.setprofile(None)


def module(frame: FrameType) -> str:
    return str(Path(frame.f_code.co_filename).relative_to(PACKAGE))


def stack_of(frame: FrameType | None) -> list[str]:
    """The package's functions that are being called, from the outermost."""
    names = []
    while frame is not None:
        if str(PACKAGE) in frame.f_code.co_filename:
            names.append(frame.f_code.co_qualname)
        frame = frame.f_back
    return names[::-1]


def trip_of_a_fit(annealing: Any) -> tuple[set[str], list[str]]:
    """Modules that a fit enters, and the calls from `MFA.fit` to the first product of its first iteration."""
    X, _ = datasets.make_mfa(500, 8, n_components=4, random_state=0)
    modules: set[str] = set()
    calls: list[str] = []

    def see(frame: FrameType, event: str, arg: Any) -> None:
        modules.add(module(frame))
        if event == "c_call" and arg.__name__ in PRODUCTS and not calls:
            names = stack_of(frame)
            calls.extend(names if loop.run.__name__ in names else [])

    record(lambda: MFA(4, 2, annealing=annealing, random_state=0).fit(X), see)
    return modules, calls


def trip_of_a_batch() -> list[str]:
    """Modules that rows visit, one after the other, when they enter the sums of the E-step."""
    X, _, made = datasets.make_mfa(500, 8, n_components=4, random_state=0, return_params=True)
    mfa = MFA.from_params(made.weights, made.means, made.loadings, made.noise_variance)
    sums, rows = SharpSums(prepare(mfa._params())), torch.tensor(X)
    place, stays = rows.untyped_storage().data_ptr(), []

    def see(frame: FrameType, event: str, arg: Any) -> None:
        code = frame.f_code
        values = [frame.f_locals.get(name) for name in code.co_varnames[: code.co_argcount]]
        here = any(isinstance(v, torch.Tensor) and v.untyped_storage().data_ptr() == place for v in values)
        if here and stays[-1:] != [module(frame)]:
            stays.append(module(frame))

    record(lambda: sums.add(rows), see)
    return stays


def main() -> None:
    for folder in FOLDERS:
        own = len([p for p in (PACKAGE / folder).glob("*.py") if p.name != "__init__.py"])
        rooms = [p.parent.name for p in (PACKAGE / folder).glob("*/__init__.py")]
        print(f"{folder}: {own} modules" + (f" and the folders {', '.join(sorted(rooms))}" if rooms else ""))
    lengths = bodies()
    sizes = np.array([lines for lines, _ in lengths])
    print(f"bodies: {len(sizes)}, median {np.median(sizes):.0f}, 90 % up to {np.quantile(sizes, 0.9):.0f} lines")
    print(
        f"  {(sizes > LONG).sum()} over {LONG} lines: " + "; ".join(f"{n} {where}" for n, where in lengths if n > LONG)
    )
    foreign = list(private_imports())
    print(f"private imports across folders: {len(foreign)}", *foreign, sep="\n  ")
    for annealing in ("auto", 1):
        modules, calls = trip_of_a_fit(annealing)
        own = Counter(m.split("/")[0] for m in modules)
        print(f"a fit with annealing={annealing!r} enters {len(modules)} modules: {dict(own)}")
        print(f"  {len(calls)} calls to the first product: {' > '.join(calls)}")
    stays = trip_of_a_batch()
    print(f"rows entering the sums: {len(stays)} stays, {len(stays) - len(set(stays))} returns: {' > '.join(stays)}")


if __name__ == "__main__":
    main()
