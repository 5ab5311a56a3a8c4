"""What steering costs in time: generation with it beside the model's own, on the embedded model.

    python examples/benchmarks/steering_speed.py          # both backends, one and 32 prompts: about a minute
    python examples/benchmarks/steering_speed.py --repeat 60 --only "centroid, all" "centroid, prompt"

The embedded model is small (4 blocks of width 128), so what steering costs per token, whatever the model, shows as
hardly anywhere else. Each setting is run in turn with the model's own `generate`: same prompts, greedy, with its cache,
as many tokens. The ratio is the median over pairs of runs that follow each other, in processor time of one thread, so
that other work on the machine matters less. Prompts are read (tokenized) in both. The row "not steered" is the verb of
this library without a move: what checking prompts and looking for NaN cost. Part of the cost comes once per generation,
so the ratio falls with the number of new tokens (--new-tokens).

Printed: for each backend, number of prompts and setting the milliseconds per token (of one step for all prompts) of the
model alone, and how many times as long the steered run takes.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import torch
from sklearn.exceptions import ConvergenceWarning

from mfa_sklearn import MFA, ActivationExtractor, MFASteerer, datasets
from mfa_sklearn.activations import load_model
from mfa_sklearn.steering import NEUTRAL_PROMPTS, Gate, Steering, steer_with

LAYER = 1
BACKENDS = ("transformer_lens", "transformers")
OPTIONS = {"do_sample": False, "stop_at_eos": False}


def fit(n_components: int, every: int) -> MFA:
    """A mixture on some of the concept sentences."""
    data = datasets.load_concepts()
    X = ActivationExtractor(datasets.tiny_lm(), layer=LAYER).fit_transform(data.texts[::every], data.labels[::every])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # how good it is does not matter here
        return MFA(n_components, n_factors=4, max_iter=5, random_state=0).fit(X)


def settings(model: Any, mixture: MFA) -> dict[str, Steering]:
    """What is measured, by name."""
    steerer, gate = MFASteerer(model, mixture), Gate(1, below=0.5)
    found = {"not steered": Steering(model)}
    for select in ("all", "generated", "prompt"):
        found[f"centroid, {select}"] = steerer.steer(1, 0.3, select=select)
    found["direction, all"] = steerer.steer(1, 0.5, method="direction")
    found["direction to a set, all"] = steerer.steer({1: 0.6, 2: 0.4}, 0.5, method="direction")
    found["centroid with z, all"] = steerer.steer(1, 0.3, {0: 1.0})
    found["own function, all"] = steer_with(model, lambda x: x + 0.1, LAYER)
    found["centroid, gate, all"] = steerer.steer(1, 0.3, gate=gate)
    found["direction, gate, all"] = steerer.steer(1, 0.5, method="direction", gate=gate)
    return found


def paired(one: Callable[[], Any], other: Callable[[], Any], repeat: int) -> tuple[float, float]:
    """Median seconds of `one`, and the median ratio of `other` to it, of runs in turn."""
    times: list[tuple[float, float]] = []
    for number in range(repeat + 1):
        taken = [_seconds(run) for run in ((one, other) if number % 2 else (other, one))]
        times.append((taken[0], taken[1]) if number % 2 else (taken[1], taken[0]))
    kept = times[1:]  # the first warms up
    return statistics.median(a for a, _ in kept), statistics.median(b / a for a, b in kept)


def _seconds(run: Callable[[], Any]) -> float:
    start = time.thread_time()
    run()
    return time.thread_time() - start


def measured(model: Any, mixture: MFA, n_prompts: int, asked: argparse.Namespace) -> list[dict[str, Any]]:
    """A line for each setting."""
    texts: Any = [NEUTRAL_PROMPTS[0]] * n_prompts if n_prompts > 1 else NEUTRAL_PROMPTS[0]
    given = {"max_new_tokens": asked.new_tokens, **OPTIONS}
    lines = []
    for name, steering in settings(model, mixture).items():
        if asked.only and name not in asked.only:
            continue
        seconds, ratio = paired(
            lambda: model.generate(texts, **given, **({"verbose": False} if not _is_plain(model) else {})),
            lambda steering=steering: steering.generate(texts, **given),  # type: ignore[misc]
            asked.repeat,
        )
        line = {"prompts": n_prompts, "setting": name, "ms per token": 1e3 * seconds / asked.new_tokens}
        lines.append(line | {"ratio": ratio})
    return lines


def _is_plain(model: Any) -> bool:
    return type(model).__name__ == "PlainModel"


def main(arguments: Sequence[str] | None = None) -> pd.DataFrame:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backends", nargs="+", default=BACKENDS, choices=BACKENDS)
    parser.add_argument("--prompts", nargs="+", type=int, default=[1, 32])
    parser.add_argument("--components", type=int, default=100)
    parser.add_argument("--every", type=int, default=4, help="each such sentence is of the mixture's rows")
    parser.add_argument("--new-tokens", type=int, default=15)
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--only", nargs="+", help="names of settings")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    mixture, lines = fit(asked.components, asked.every), []
    for backend in asked.backends:
        model = load_model(datasets.tiny_lm(), backend=backend)
        for n_prompts in asked.prompts:
            lines += [{"backend": backend, **line} for line in measured(model, mixture, n_prompts, asked)]
    table = pd.DataFrame(lines)
    print(table.to_string(index=False, float_format="{:.2f}".format))
    return table


if __name__ == "__main__":
    main()
