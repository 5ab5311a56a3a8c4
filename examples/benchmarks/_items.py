"""What the suite measures: a table of items, each with its contenders, and the sizes they are measured at.

Nothing heavy is imported here. The process that starts the others stays small, because a process inherits the peak
memory of the one that started it.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple


class Sizes(NamedTuple):
    """Rows, components and so on; the defaults are those that figures are reported at."""

    rows: int = 40_000
    held_out: int = 20_000
    components: int = 100
    factors: int = 10
    iterations: tuple[int, int] = (30, 25)  # of exact EM, for shared noise and for noise per component
    gemm_rows: int = 20_000
    gemm_components: int = 500
    large_rows: int = 250_000
    large_components: int = 500
    timed_steps: int = 100  # of Adam, that an epoch's time is taken from
    scaling_iterations: int = 12
    kmeans_rows: int = 100_000
    kmeans_clusters: int = 500
    loop_rows: int = 500  # that the loop of `top_tokens` is timed on
    map_rows: int = 5_000_000
    map_components: int = 64
    map_factors: int = 4
    synthetic: tuple[int, int, int, int] = (20_000, 32, 10, 3)  # rows, features, components, factors
    gpu_features: int = 768  # of as many rows, components and factors as the large table has

    @property
    def needed(self) -> int:
        """Rows of real activations, held-out ones included."""
        return max(self.rows, self.large_rows, self.kmeans_rows) + self.held_out


SMALL = Sizes(
    rows=600,
    held_out=300,
    components=4,
    factors=2,
    iterations=(3, 3),
    gemm_rows=500,
    gemm_components=8,
    large_rows=900,
    large_components=6,
    timed_steps=3,
    scaling_iterations=4,
    kmeans_rows=1000,
    kmeans_clusters=8,
    loop_rows=20,
    map_rows=5000,
    map_components=3,
    map_factors=2,
    synthetic=(400, 6, 3, 2),
    gpu_features=8,
)


class Setting(NamedTuple):
    """What a measurement is told."""

    sizes: Sizes
    activations: Path  # .npy of float32 rows, in random order of texts
    tokens: Path  # .npy of their tokens; need not exist
    out: Path
    seed: int
    epochs: int  # most epochs of Adam on the rows that everything is fitted on
    large_epochs: int  # epochs of Adam on the large table; 0 only times some steps
    device: str = "cuda"  # of the items for an accelerator


class Contender(NamedTuple):
    """One way to do an item's work: a function of a `Setting` and of `arguments`, named so that it can wait."""

    function: str  # "module.name"
    arguments: tuple[Any, ...] = ()
    expensive: bool = False  # measured only under --full
    package: str | None = None  # that has to be installed beside what the development extra brings
    accelerated: bool = False  # measured on the accelerator

    def lacks(self, has_device: bool = True) -> str | None:
        """Why it cannot be measured; None if it can."""
        if self.accelerated and not has_device:
            return "there is no CUDA device here; --device cpu tries it on the processor"
        if self.package is not None and find_spec(self.package.replace("-", "_")) is None:
            return f"{self.package} is not installed: pip install {self.package}"
        return None

    def measure(self, setting: Setting) -> dict[str, Any]:
        """Run in this process; figures by name, of which "seconds" is one."""
        module, name = self.function.split(".")
        return getattr(import_module(module), name)(setting, *self.arguments)


class Item(NamedTuple):
    """Work that can be done in several ways; ratios are to the first, which is ours."""

    title: str
    contenders: dict[str, Contender]


def _gemm(n_features: int) -> Item:
    contenders = {
        "ours": Contender("_parts.score_samples", (n_features,)),
        "matrix product of the same size": Contender("_parts.matrix_product", (n_features,)),
    }
    return Item(f"score_samples against the machine's matrix rate, D = {n_features}", contenders)


def _accelerated(function: str, *arguments: Any, **more: Any) -> Contender:
    return Contender(f"_gpu.{function}", arguments, accelerated=True, **more)


ITEMS = {
    "gemm-384": _gemm(384),
    "gemm-768": _gemm(768),
    "shared": Item(
        "fit, shared noise (k-means included in ours and exact EM)",
        {
            "ours": Contender("_fits.ours", ("shared",)),
            "Adam, to its best epoch": Contender("_fits.adam"),
            "exact EM, annealed": Contender("_fits.exact_em", ("shared",)),
            "GaussianMixture, diag": Contender("_fits.gaussian_mixture", ("diag",)),
            "FactorAnalysis": Contender("_fits.factor_analysis"),
        },
    ),
    "component": Item(
        "fit, noise per component (k-means included in ours and exact EM)",
        {
            "ours": Contender("_fits.ours", ("component",)),
            "exact EM, annealed": Contender("_fits.exact_em", ("component",)),
            "GaussianMixture, diag": Contender("_fits.gaussian_mixture", ("diag",)),
            "GaussianMixture, full": Contender("_fits.gaussian_mixture", ("full",), expensive=True),
        },
    ),
    "large": Item(
        "fit of a large table, shared noise",
        {"ours": Contender("_fits.large_ours"), "Adam, 50 epochs": Contender("_fits.large_adam")},
    ),
    "scaling": Item(
        "one EM iteration",
        {f"{times} K" if times > 1 else "K": Contender("_fits.scaling", (times,)) for times in (1, 2, 4, 8)},
    ),
    "kmeans": Item(
        "k-means",
        {
            "ours": Contender("_parts.kmeans_ours"),
            "KMeans, 50 iterations": Contender("_parts.kmeans_sklearn"),
            "MiniBatchKMeans, batch 4096": Contender("_parts.kmeans_minibatch"),
            "superkmeans, all rows, 25 its.": Contender("_parts.kmeans_super", (True,), package="superkmeans"),
            "superkmeans, its defaults": Contender("_parts.kmeans_super", (False,), package="superkmeans"),
        },
    ),
    "top_tokens": Item(
        "top tokens of every component",
        {"ours": Contender("_parts.tokens_ours"), "loop over rows and components": Contender("_parts.tokens_loop")},
    ),
    "memory": Item("fit of a float16 memory map, two iterations", {"ours": Contender("_fits.memory_map")}),
    "synthetic": Item(
        "fit of rows from make_mfa",
        {
            "ours": Contender("_fits.synthetic_ours"),
            "GaussianMixture, full": Contender("_fits.synthetic_mixture", ("full",)),
            "GaussianMixture, diag": Contender("_fits.synthetic_mixture", ("diag",)),
        },
    ),
    "gpu-fit": Item(
        "fit of a large table of 768 columns on the accelerator, k-means included",
        {
            "ours": _accelerated("fit", "measured"),
            "ours, gradient": _accelerated("fit", "measured", "gradient"),
            "ours, on the processor": _accelerated("fit", "cpu", expensive=True),
        },
    ),
    "gpu-predictions": Item(
        "score_samples of those rows",
        {
            "ours": _accelerated("predictions", "measured"),
            "ours, on the processor": _accelerated("predictions", "cpu"),
        },
    ),
    "gpu-kmeans": Item(
        "k-means of those rows",
        {
            "ours": _accelerated("kmeans_ours"),
            "flash-kmeans, 25 iterations": _accelerated("kmeans_flash", package="flash-kmeans"),
        },
    ),
}

# What is done before anything is measured, in processes of their own as well.
PREPARATION = Item("", {"activations": Contender("_data.prepare"), "machine": Contender("_parts.machine")})
GROUPS = tuple(dict.fromkeys(name.split("-")[0] for name in ITEMS))
