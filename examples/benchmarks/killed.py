"""Work that is killed with SIGKILL again and again, and run again: does it end with the same bytes?

    python examples/benchmarks/killed.py fit truncated --kills 10 --rows activations.npy
    python examples/benchmarks/killed.py shell group extract parts stream --seed 1

The same commands are run until they end, in processes of their own that are killed after their work began; then
everything they left is compared, name by name, with what one run left that nobody killed. The moments take turns: a
random one; as soon as a file is being written; as soon as one has been written whole; and first, for a fit, one before
anything was written, which is in the k-means of the start. Where several processes work together, one of them is killed
in turn with all of them. Ends with exit status 1 where bytes differ.

* "fit", "truncated", "gradient": `MFA(checkpoint=...)`, all learned attributes, those of the gradient
  to rounding.
* "shell": the command `fit`, files of the mixture; "group": the same by two processes under torchrun.
* "extract", "stream", "parts": the command `extract`, from a list of texts, from a stream, and by two processes side by
  side, which are compared with what a single one left.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mfa_sklearn import MFA, cli, datasets
from mfa_sklearn.mixture._checkpoint import checkpoint

# Seconds between two checkpoints: often, because the fits are short; between two looks at what is written; and until
# processes that lost one of theirs have to have ended.
INTERVAL, LOOK, PATIENCE = 0.2, 0.002, 120.0
# Numbers of a gradient fit may differ by this share of the largest one.
ROUNDING = 1e-5
MOMENTS = ("random", "writing", "written")


class Work(NamedTuple):
    """Something to kill."""

    commands: Callable[[Path, argparse.Namespace], list[list[str]]]  # to run side by side, in a folder of their own
    left: Callable[[Path], dict[str, Any]]  # what they left there
    place: str = "checkpoint"  # of what is written meanwhile
    alone: str | None = None  # what to compare with, if it is not the same work


# ---------------------------------------------------------------- the work


def of_library(home: Path, arguments: argparse.Namespace) -> list[list[str]]:
    """A fit by a call, in a process that keeps what was learned."""
    return [[sys.executable, __file__, arguments.name, f"--child={home}", *arguments.options]]


def fit_here(home: Path, name: str, arguments: argparse.Namespace) -> None:
    """The fit, in this process."""
    sizes = arguments.components, arguments.factors
    if name == "truncated":
        sizes = max(90, arguments.components), arguments.factors
    settings: dict[str, Any] = {"max_iter": arguments.max_iter, "random_state": arguments.seed}
    if name == "gradient":
        settings |= {"solver": "gradient", "early_stopping": True, "tol": 0}
    mfa = MFA(*sizes, checkpoint=home / "checkpoint", checkpoint_interval=INTERVAL, **settings)
    mfa.fit(np.load(arguments.rows, mmap_mode="r"))
    learned = {name: value for name, value in vars(mfa).items() if name.endswith("_") and name[0] != "_"}
    np.save(home / "learned.npy", np.array(learned, dtype=object), allow_pickle=True)


def learned(home: Path) -> dict[str, Any]:
    """All learned attributes."""
    return np.load(home / "learned.npy", allow_pickle=True).item()


def of_shell(home: Path, arguments: argparse.Namespace) -> list[list[str]]:
    """`mfa-sklearn fit`, by one process or several."""
    asked = [*arguments.sizes, f"--random-state={arguments.seed}"]
    places = [str(arguments.rows), f"--output={home / 'mixture'}", f"--checkpoint={home / 'checkpoint'}"]
    start = [sys.executable]
    if arguments.name == "group":
        start += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return [[*start, __file__, "fit", "--shell", "fit", *places, *asked, "--device=cpu"]]


def of_extraction(home: Path, arguments: argparse.Namespace) -> list[list[str]]:
    """`mfa-sklearn extract`, by one process or by two that each do a part."""
    texts, output = arguments.rows.with_name("texts.txt"), home / "store"
    command = [sys.executable, __file__, "fit", "--shell", "extract", str(texts), f"--output={output}"]
    command += ["--model=tiny_lm", "--layer=1", "--batch-size=8", "--shard-size=50", "--device=cpu"]
    if arguments.name == "stream":
        command.append("--stream")
    return [[*command, f"--part={i}/2"] for i in range(2)] if arguments.name == "parts" else [command]


def files_in(place: str) -> Callable[[Path], dict[str, str]]:
    """What gives digests of all files of a folder."""

    def left(home: Path) -> dict[str, str]:
        paths = sorted(path for path in (home / place).rglob("*") if path.is_file())
        return {path.relative_to(home).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}

    return left


WORK = {
    "fit": Work(of_library, learned),
    "truncated": Work(of_library, learned),
    "gradient": Work(of_library, learned),
    "shell": Work(of_shell, files_in("mixture")),
    "group": Work(of_shell, files_in("mixture")),
    "extract": Work(of_extraction, files_in("store"), "store"),
    "stream": Work(of_extraction, files_in("store"), "store"),
    "parts": Work(of_extraction, files_in("store"), "store", "extract"),
}

# ---------------------------------------------------------------- killing it


def seen(folder: Path) -> tuple[bool, frozenset[tuple[str, int]]]:
    """Whether anything is being written in a folder, and the files that are there whole, by their times."""
    with suppress(OSError):
        # Shards of a store and states of a fit: what describes them is there from the beginning.
        entries = [entry for entry in os.scandir(folder) if "shard-" in entry.name or "state-" in entry.name]
        whole = {(entry.name, entry.stat().st_mtime_ns) for entry in entries if entry.name[0] != "."}
        return any(entry.name[0] == "." for entry in entries), frozenset(whole)
    return False, frozenset()


def wait_for(condition: Callable[[], bool], processes: list[subprocess.Popen[str]]) -> bool:
    """Wait until something is so; false if the processes have ended before."""
    while not condition():
        if all(process.poll() is not None for process in processes):
            return False
        time.sleep(LOOK)
    return True


def moment(name: str, folder: Path, processes: list[subprocess.Popen[str]], seconds: float) -> None:
    """Wait, once work has begun, for the moment to kill it."""
    wait_for(folder.is_dir, processes)
    if name == "start":
        time.sleep(seconds)
        return
    before = seen(folder)[1]
    wait_for(lambda: seen(folder)[0] if name == "writing" else bool(seen(folder)[1] - before), processes)
    if name == "random":
        time.sleep(seconds)


def family(pid: int) -> Iterator[int]:
    """A process's own children."""
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            yield from map(int, (task / "children").read_text().split())


def kill(processes: list[subprocess.Popen[str]], one: bool) -> None:
    """Kill one of the processes that work, or all of them."""
    living = [process.pid for process in processes if process.poll() is None]
    workers = [child for pid in living for child in family(pid)] or living
    for pid in workers[-1:] if one and len(workers) > 1 else {*living, *workers}:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for process in processes:
        process.communicate(timeout=PATIENCE)


def attempt(work: Work, home: Path, arguments: argparse.Namespace, at: str, seconds: float, one: bool) -> list[int]:
    """Run the work, kill it at a moment, unless this is "never", and say how its processes ended."""
    home.mkdir(exist_ok=True)
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    processes = [subprocess.Popen(command, **pipes) for command in work.commands(home, arguments)]
    if at == "never":
        said = [process.communicate()[0] for process in processes]
        if any(process.returncode for process in processes):
            raise RuntimeError(f"{arguments.name} failed: {said}")
    else:
        moment(at, home / work.place, processes, seconds)
        kill(processes, one)
    return [process.returncode for process in processes]


def compare(name: str, home: Path, arguments: argparse.Namespace) -> bool:
    """Whether killed work left the same bytes as other work."""
    work, moments, began = WORK[name], random.Random(arguments.seed), time.monotonic()
    arguments.name, kills = WORK[name].alone or name, []
    attempt(work, home / f"{name}-alone", arguments, "never", 0, False)
    whole, arguments.name = time.monotonic() - began, name
    before = ["start"] * 2 if work.place == "checkpoint" else []
    turns = before + [MOMENTS[i % len(MOMENTS)] for i in range(arguments.kills - len(before))]
    for i, at in enumerate(turns[: arguments.kills]):
        wait = moments.uniform(0, 0.3 if at == "start" else whole / (2 * arguments.kills))
        ended = attempt(work, home / name, arguments, at, wait, one=i % 2 == 1)
        if not any(ended):
            break
        kills.append(at)
        print(f"  {name}: kill {len(kills)}, {at}, statuses {ended}", flush=True)
    attempt(work, home / name, arguments, "never", 0, False)
    other = differences(work.left(home / f"{name}-alone"), work.left(home / name), name == "gradient")
    told = f"OTHER BYTES: {other}" if other else "same to rounding" if name == "gradient" else "same bytes"
    counts = ", ".join(f"{kills.count(at)} {at}" for at in ("start", *MOMENTS) if at in kills)
    print(f"| {name} | {len(kills)} ({counts}) | {told} | {whole:.1f} s |", flush=True)
    return not other


def differences(one: Any, other: Any, rounding: bool, name: str = "") -> list[str]:
    """Names of what is not the same."""
    if isinstance(one, dict) and isinstance(other, dict):
        names = sorted({*one, *other}, key=str)
        return [n for k in names for n in differences(one.get(k), other.get(k), rounding, f"{name}.{k}".strip("."))]
    if isinstance(one, np.ndarray):
        same = one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    else:
        same = repr(one) == repr(other)
    if not same and rounding and isinstance(one, np.ndarray | list | float):
        same = bool(np.allclose(one, other, rtol=ROUNDING, atol=ROUNDING * float(np.abs(one).max())))
    return [] if same else [name]


# ---------------------------------------------------------------- what is asked for


def parsed(argv: list[str]) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", nargs="+", choices=WORK, help="what to kill")
    parser.add_argument("--kills", type=int, default=10, help="how often (10)")
    parser.add_argument("--rows", type=Path, help=".npy file of rows to fit; by default 20,000 made ones of 64 columns")
    parser.add_argument("--texts", type=int, default=20, help="how often the texts of the data set are extracted (20)")
    parser.add_argument("--components", type=int, default=100, help="components of the fits (100)")
    parser.add_argument("--factors", type=int, default=4, help="factors of each (4)")
    parser.add_argument("--max-iter", type=int, default=100, help="iterations or epochs at most (100)")
    parser.add_argument("--seed", type=int, default=0, help="of the fits and of the moments (0)")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def prepare(home: Path, arguments: argparse.Namespace) -> None:
    """Make rows and texts, and say how a child is asked for the same."""
    texts, _ = datasets.load_concepts(return_X_y=True)
    if arguments.rows is None:
        made = datasets.make_mfa(20_000, 64, arguments.components, arguments.factors, random_state=0)[0]
        np.save(home / "rows.npy", made.astype(np.float32))
    else:
        (home / "rows.npy").symlink_to(arguments.rows.absolute())
    arguments.rows = home / "rows.npy"
    (home / "texts.txt").write_text("\n".join(texts[::20] * arguments.texts), encoding="utf-8")
    sizes = [f"--{name}={getattr(arguments, name)}" for name in ("components", "factors")]
    arguments.sizes = [*sizes, f"--max-iter={arguments.max_iter}"]
    arguments.options = [*arguments.sizes, f"--seed={arguments.seed}", f"--rows={arguments.rows}"]


def main() -> int:
    if "--shell" in sys.argv:
        # The shell keeps a state every five minutes only.
        made = checkpoint.FolderCheckpoint.__init__

        def often(self: Any, folder: Path, interval: float, *rest: Any) -> None:
            made(self, folder, INTERVAL, *rest)

        checkpoint.FolderCheckpoint.__init__ = often  # type: ignore[method-assign]
        return cli.main(sys.argv[sys.argv.index("--shell") + 1 :])
    arguments = parsed(sys.argv[1:])
    if arguments.child is not None:
        warnings.simplefilter("ignore")
        fit_here(arguments.child, arguments.work[0], arguments)
        return 0
    with tempfile.TemporaryDirectory() as home:
        prepare(Path(home), arguments)
        return int(not all([compare(name, Path(home), arguments) for name in arguments.work]))


if __name__ == "__main__":
    raise SystemExit(main())
