"""Medians and ratios, as a table and as a plot."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import median
from typing import Any

_NLL = (("train_nll", 11), ("held_out_nll", 10))  # and the widths of their columns
# Figures that have a column, or are only in the file.
_PLACED = ("seconds", "peak_mib", "start_mib", "train_nll", "held_out_nll")


def summarize(repeats: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Each contender's medians and repeats, and how many times the first one's seconds it takes."""
    summary = {
        name: {"median": {key: median(r[key] for r in runs) for key in runs[0]}, "repeats": runs}
        for name, runs in repeats.items()
        if runs
    }
    first = summary.get(next(iter(repeats), ""))
    for contender in summary.values() if first else ():
        contender["ratio"] = contender["median"]["seconds"] / first["median"]["seconds"]
    return summary


def table(results: dict[str, Any]) -> str:
    """All figures, for people."""
    machine = results["machine"]
    rates = ", ".join(f"{rate:.0f} GFLOP/s (D = {d})" for d, rate in machine["matrix_gflops"].items())
    pools = ", ".join(f"{pool['internal_api']} {pool['num_threads']}" for pool in machine["thread_pools"])
    torch, repeat = machine["versions"]["torch"], results["settings"]["repeat"]
    # The start is what libraries, rows and given centers took before the work began.
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores; threads: torch {machine['torch_threads']}, {pools}",
        f"torch {torch}; float32 matrix rate: {rates}; medians of {repeat}",
        *([f"accelerator: {machine['gpu']}"] if machine["gpu"] else []),
    ]
    for name, item in results["items"].items():
        head = f"{'seconds':>11}{'ratio':>9}{'start MiB':>11}{'peak MiB':>10}{'train NLL':>11}{'held out':>10}"
        lines += ["", f"{name}: {item['title']}", f"  {'':34}{head}"]
        lines += [_line(label, contender) for label, contender in item["contenders"].items()]
        lines += [f"  {reason}" for reason in item.get("skipped", [])]
    return "\n".join(lines)


def _line(label: str, contender: dict[str, Any]) -> str:
    figures = contender["median"]
    seconds, ratio = f"{figures['seconds']:11.4g}", f"{contender.get('ratio', math.nan):8.3g}x"
    peak = f"{figures['start_mib']:11.0f}{figures['peak_mib']:10.0f}"
    nll = "".join(f"{figures[key]:{width}.2f}" if key in figures else " " * width for key, width in _NLL)
    others = [f"{key} {figures[key]:.4g}" for key in figures if key not in _PLACED]
    return f"  {label:34}{seconds}{ratio}{peak}{nll}  {', '.join(others)}".rstrip()


def plot(results: dict[str, Any], path: Path) -> bool:
    """Bars of how many times faster ours is, on a log axis, and one iteration's time against K; False if neither is."""
    from matplotlib.figure import Figure

    bars = _bars(results["items"])
    scaling = results["items"].get("scaling", {"contenders": {}})["contenders"]
    panels = [n for n, wanted in ((0, bars), (1, len(scaling) > 1)) if wanted]
    if not panels:
        return False
    figure = Figure(figsize=(10, 0.36 * max(len(bars), 4) + 1.2 + 2.6 * (1 in panels)), layout="constrained")
    heights = [[0.36 * max(len(bars), 4) + 1.0, 2.4][n] for n in panels]
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for n, ax in zip(panels, axes, strict=True):
        _draw_bars(ax, bars) if n == 0 else _draw_scaling(ax, scaling)
    machine = results["machine"]
    figure.suptitle(f"{machine['cpu']}, {machine['torch_threads']} threads", fontsize=9)
    figure.savefig(path, dpi=130)
    return True


def _bars(items: dict[str, Any]) -> list[tuple[str, float, str]]:
    """Label, ratio and note of each contender that is not ours."""
    bars = []
    for name, item in items.items():
        ours = item["contenders"].get("ours")
        for label, contender in item["contenders"].items() if ours else ():
            if label != "ours" and "ratio" in contender:
                note = f"{contender['ratio']:.3g}x{_worse(contender['median'], ours['median'])}"
                bars.append((f"{name}: {label}", contender["ratio"], note))
    return bars


def _worse(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    """By how much they are worse, where quality has a figure."""
    named = {"held_out_nll": "nats held out", "inertia_per_row": "inertia per row"}
    found = [f", {theirs[key] - ours[key]:+.2f} {name}" for key, name in named.items() if key in theirs and key in ours]
    return "".join(found)


def _draw_bars(ax: Any, bars: list[tuple[str, float, str]]) -> None:
    labels, ratios, notes = zip(*bars, strict=True)
    places = range(len(bars))
    ax.barh(places, [r - 1 for r in ratios], left=1, color=["C0" if r >= 1 else "C3" for r in ratios])
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(lambda ratio, _: f"{ratio:g}x")
    ax.grid(axis="x", linewidth=0.4)
    ax.set_axisbelow(True)
    ax.set_xlim(min(0.5, *ratios) / 1.5, max(2.0, *ratios) * 20)  # room for the notes
    for place, ratio, note in zip(places, ratios, notes, strict=True):
        ax.annotate(note, (max(ratio, 1), place), (4, 0), textcoords="offset points", va="center", fontsize=8)
    ax.axvline(1, color="black", linewidth=0.8)
    ax.set_yticks(places, labels, fontsize=8)
    ax.invert_yaxis()
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_xlabel("their time / ours (beside it: their held-out NLL or inertia less ours; + is worse)", fontsize=9)


def _draw_scaling(ax: Any, contenders: dict[str, Any]) -> None:
    sizes = [c["median"]["components"] for c in contenders.values()]
    seconds = [c["median"]["seconds"] for c in contenders.values()]
    ax.plot(sizes, seconds, "o-", label="measured")
    ax.plot(sizes, [seconds[0] * k / sizes[0] for k in sizes], ":", color="gray", label="proportional to K")
    ax.set(xscale="log", yscale="log", xlabel="components K", ylabel="seconds per EM iteration")
    ax.set_xticks(sizes, [f"{int(k):,}" for k in sizes])
    ax.set_yticks([])
    ax.minorticks_off()
    for k, s in zip(sizes, seconds, strict=True):
        ax.annotate(f"{s:.3g} s", (k, s), (0, 6), textcoords="offset points", ha="center", fontsize=8)
    ax.margins(y=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=8)
