"""Work that is killed with SIGKILL at random moments and run again: does it end with the same bytes?

    python examples/benchmarks/killed.py fit --kills 10 --rows activations.npy
    python examples/benchmarks/killed.py gradient extraction --seed 1

The same command is run until it ends, in a process of its own that is killed a random time after its work began; then
everything it left is compared with what one run left that nobody killed. "fit" and "gradient" are fits with a
`checkpoint`, and what they leave is every learned attribute; "extraction" writes a store of a small language model's
activations, and what it leaves is every file. Ends with exit status 1 where bytes differ.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mfa_sklearn import MFA, datasets
from mfa_sklearn.activations import ActivationExtractor

BEGUN = "begun"
# Seconds between two checkpoints: often, because the fits are short.
INTERVAL = 0.2


def fit(folder: Path, arguments: argparse.Namespace) -> str:
    """EM until it has converged."""
    mfa = MFA(arguments.components, arguments.factors, max_iter=300, random_state=arguments.seed)
    return fitted(mfa, folder, arguments)


def gradient(folder: Path, arguments: argparse.Namespace) -> str:
    """Some epochs of Adam."""
    sizes = arguments.components, arguments.factors
    mfa = MFA(*sizes, solver="gradient", max_iter=20, early_stopping=True, random_state=arguments.seed)
    return fitted(mfa, folder, arguments)


def fitted(mfa: MFA, folder: Path, arguments: argparse.Namespace) -> str:
    """A digest of all that a fit learned."""
    mfa.set_params(checkpoint=folder, checkpoint_interval=INTERVAL).fit(rows(arguments))
    learned = {name: value for name, value in sorted(vars(mfa).items()) if name.endswith("_") and name[0] != "_"}
    # Not pickled: pickles of equal words differ where one word is there twice.
    parts = [value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode() for value in learned.values()]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def rows(arguments: argparse.Namespace) -> np.ndarray:
    """Rows to fit, from a file or made."""
    if arguments.rows is not None:
        return np.load(arguments.rows, mmap_mode="r")
    return datasets.make_mfa(20_000, 64, arguments.components, arguments.factors, random_state=0)[0].astype(np.float32)


def extraction(folder: Path, arguments: argparse.Namespace) -> str:
    """A digest of the files of a store."""
    texts, _ = datasets.load_concept_sentences(return_X_y=True)
    ActivationExtractor("tiny_lm", layers=[1], batch_size=8).extract_to(folder, texts * 2, shard_size=500)
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


WORK: dict[str, Callable[[Path, argparse.Namespace], str]] = {
    "fit": fit,
    "gradient": gradient,
    "extraction": extraction,
}


def run(name: str, folder: Path, options: list[str], kill_after: float | None = None) -> tuple[str | None, float]:
    """What the work left, None if it was killed before its end, and the seconds since it began."""
    command = [sys.executable, __file__, name, "--child", str(folder), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        if process.stdout.readline().strip() != BEGUN:
            raise RuntimeError(f"{name} did not begin")
        began = time.monotonic()
        try:
            process.wait(kill_after)
        except subprocess.TimeoutExpired:
            process.kill()
            return None, time.monotonic() - began
        if process.returncode:
            raise RuntimeError(f"{name} ended with status {process.returncode} after a kill")
        return process.stdout.read().strip(), time.monotonic() - began


def compare(name: str, arguments: argparse.Namespace, options: list[str]) -> bool:
    """Whether killed work left the same bytes as other work."""
    moments = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as home:
        alone, whole = run(name, Path(home) / "alone", options)
        found, kills, runs, lasted = None, 0, 0, []
        while found is None:
            # Soon enough to kill it as often as asked for, before it comes to its end.
            after = moments.uniform(0, whole / (arguments.kills + 1)) if kills < arguments.kills else None
            found, seconds = run(name, Path(home) / "killed", options, after)
            kills, runs = kills + (found is None), runs + 1
            lasted.append(seconds)
            print(f"{name}: run {runs} {'killed' if found is None else 'ended'} after {seconds:.2f} s", flush=True)
    same = "the same bytes" if found == alone else "OTHER BYTES"
    print(f"{name}: {same} after {kills} kills; {whole:.1f} s alone, {sum(lasted):.1f} s in {runs} runs", flush=True)
    return found == alone


def parsed() -> tuple[argparse.Namespace, list[str]]:
    """What was asked for, and how a child is asked for the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", nargs="+", choices=WORK, help="what to kill")
    parser.add_argument("--kills", type=int, default=10, help="how often (10)")
    parser.add_argument("--rows", type=Path, help=".npy file of rows to fit; by default 20,000 made ones of 64 columns")
    parser.add_argument("--components", type=int, default=100, help="components of the fits (100)")
    parser.add_argument("--factors", type=int, default=4, help="factors of each (4)")
    parser.add_argument("--seed", type=int, default=0, help="of the fits and of the moments (0)")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    options = [f"--{name}={getattr(arguments, name)}" for name in ("components", "factors", "seed")]
    return arguments, options + ([] if arguments.rows is None else [f"--rows={arguments.rows}"])


def main() -> int:
    arguments, options = parsed()
    if arguments.child is None:
        return int(not all([compare(name, arguments, options) for name in arguments.work]))
    warnings.simplefilter("ignore")
    print(BEGUN, flush=True)
    print(WORK[arguments.work[0]](arguments.child, arguments))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
