"""Fits: ours, and what a user would pick instead."""

from __future__ import annotations

import math
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _adam import BATCH_SIZE, epoch, mean_nll, model_at, optimizer_of, train
from _data import held_out_rows, train_rows, write_map
from _items import Setting
from _measure import measured, nll
from sklearn.decomposition import FactorAnalysis
from sklearn.mixture import GaussianMixture

from mfa_sklearn import MFA, KMeansInitializer, datasets
from mfa_sklearn.mixture._em.exact import ExactPass
from mfa_sklearn.mixture._em.solver import EMSolver
from mfa_sklearn.mixture._fit.loop import run
from mfa_sklearn.mixture._fit.problem import Known, Problem, pose
from mfa_sklearn.mixture._model.params import MFAParams
from mfa_sklearn.mixture._solvers import starting_params
from mfa_sklearn.mixture._validation import check_rows

# Of noise per component, for all that have a floor: 5 % of the mean residual variance. Around 100 k-means centers with
# 10 principal components each, that is 35 % of the features' variance (first 20,000 rows).
NOISE_FLOOR = 0.017
# Of exact EM: temperatures fall from 20 by this factor per iteration.
START_TEMPERATURE = 20.0
DECAY = {"shared": 0.85, "component": 0.8}


class _Clock:
    """A callback that notes when iterations end."""

    def __init__(self, times: list[float]) -> None:
        self.times = times

    def setup(self, estimator: Any, context: Any) -> None: ...

    def teardown(self, estimator: Any, context: Any) -> None: ...

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None: ...

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        if context.task_name == "iteration":
            self.times.append(time.perf_counter())


class TimedMFA(MFA):
    """Notes when each iteration ended, in ``times_``."""

    def fit(self, X: Any, y: object = None, sample_weight: Any = None) -> TimedMFA:
        """Fit, with a callback that looks at the clock."""
        self.times_: list[float] = []
        self.set_callbacks(_Clock(self.times_))
        return super().fit(X, y, sample_weight)

    def progress(self) -> dict[str, Any]:
        """How the fit went."""
        figures: dict[str, Any] = {"iterations": self.n_iter_, "converged": int(self.converged_)}
        if len(self.times_) > 1:
            figures["seconds_per_iteration"] = float(np.median(np.diff(self.times_)))
        return figures


def mixture(setting: Setting, noise: str, kind: type[MFA] = TimedMFA) -> Any:
    """The estimator as it comes, but for the noise floor of components that have noise of their own."""
    sizes = setting.sizes
    floor = {"noise_floor": NOISE_FLOOR} if noise == "component" else {}
    return kind(sizes.components, sizes.factors, noise=noise, init="kmeans", random_state=setting.seed, **floor)


def ours(setting: Setting, noise: str) -> dict[str, Any]:
    """MFA with its defaults, its k-means included."""
    X, held_out = train_rows(setting, setting.sizes.rows), held_out_rows(setting)
    mfa, figures = measured(lambda: mixture(setting, noise).fit(X))
    return figures | nll(mfa, X, held_out) | mfa.progress()


def posed(estimator: MFA, X: np.ndarray) -> tuple[Problem, MFAParams]:
    """What the estimator would fit, and from where."""
    known = Known(np.random.RandomState(estimator.random_state))
    problem = pose(estimator, X, check_rows(estimator, X, reset=True), None, known)
    return problem, starting_params(estimator, problem, 0)


class _Never:
    """A monitor that lets all iterations happen."""

    def done(self, bound: float) -> bool:
        return False


def fit_exactly(estimator: MFA, X: np.ndarray, n_iter: int, decay: float) -> MFA:
    """Plain EM with all components for every row, annealed by a fixed schedule, from the estimator's own start."""
    problem, params = posed(estimator, X)
    schedule = {"temperature": START_TEMPERATURE, "decay": decay, "acceleration": False}
    rows = ExactPass(params, problem.batches, problem.rng, soft_above=math.inf)
    solver = EMSolver(params, rows, estimator._structure, estimator.noise_floor, **schedule)
    found = problem.conditioner.outward(run(solver, _Never(), n_iter).params)
    noise = found.noise_variance if estimator.noise == "component" else found.noise_variance[0]
    return MFA.from_params(found.log_weights.exp(), found.means, found.loadings, noise)


def exact_em(setting: Setting, noise: str) -> dict[str, Any]:
    """Annealed EM by a schedule set by hand, k-means included."""
    sizes = setting.sizes
    X, held_out = train_rows(setting, sizes.rows), held_out_rows(setting)
    n_iter = sizes.iterations[noise == "component"]
    mfa, figures = measured(lambda: fit_exactly(mixture(setting, noise, MFA), X, n_iter, DECAY[noise]))
    return figures | nll(mfa, X, held_out) | {"iterations": n_iter}


def adam(setting: Setting) -> dict[str, Any]:
    """The plain trainer, from our own k-means centers, which it is given free of charge."""
    X, held_out = train_rows(setting, setting.sizes.rows), torch.from_numpy(held_out_rows(setting))
    problem, params = posed(mixture(setting, "shared", MFA), X)
    centers, rows = problem.conditioner.outward(params).means.numpy(), torch.from_numpy(X)
    model = model_at(rows, centers, setting.sizes.factors, setting.seed)
    training, figures = measured(lambda: train(model, rows, held_out, setting.epochs))
    figures |= {"train_nll": mean_nll(training.model, rows), "held_out_nll": mean_nll(training.model, held_out)}
    told = {"best_epoch": training.best_epoch, "epochs": training.epochs}
    return figures | told | {"seconds": training.seconds_to_best, "seconds_per_epoch": training.seconds_per_epoch}


def gaussian_mixture(setting: Setting, covariance: str) -> dict[str, Any]:
    """scikit-learn's mixture, its defaults."""
    X, held_out = train_rows(setting, setting.sizes.rows), held_out_rows(setting)
    model = GaussianMixture(setting.sizes.components, covariance_type=covariance, random_state=setting.seed)
    _, figures = measured(lambda: model.fit(X))
    return figures | nll(model, X, held_out) | {"iterations": model.n_iter_, "converged": int(model.converged_)}


def factor_analysis(setting: Setting) -> dict[str, Any]:
    """scikit-learn's single factor analyzer: what many components are worth."""
    X, held_out = train_rows(setting, setting.sizes.rows), held_out_rows(setting)
    model = FactorAnalysis(setting.sizes.factors, random_state=setting.seed)
    _, figures = measured(lambda: model.fit(X))
    return figures | nll(model, X, held_out) | {"iterations": model.n_iter_}


def large_ours(setting: Setting) -> dict[str, Any]:
    """MFA with its defaults on the large table."""
    sizes = setting.sizes
    X, held_out = train_rows(setting, sizes.large_rows), held_out_rows(setting)
    mfa = TimedMFA(sizes.large_components, sizes.factors, init="kmeans", random_state=setting.seed)
    _, figures = measured(lambda: mfa.fit(X))
    return figures | nll(mfa, X, held_out) | mfa.progress()


def large_adam(setting: Setting) -> dict[str, Any]:
    """50 epochs of the plain trainer, by the time of some steps or of the epochs asked for."""
    sizes = setting.sizes
    X = torch.from_numpy(train_rows(setting, sizes.large_rows))
    kmeans = KMeansInitializer(sizes.large_components, random_state=setting.seed).fit(X.numpy())
    model = model_at(X, kmeans.cluster_centers_, sizes.factors, setting.seed)
    optimizer, n_steps = optimizer_of(model), -(-len(X) // BATCH_SIZE)
    epoch(model, optimizer, X, max_steps=3)  # warm up
    n_epochs = setting.large_epochs
    if n_epochs:
        _, figures = measured(lambda: [epoch(model, optimizer, X) for _ in range(n_epochs)])
        per_epoch = figures["seconds"] / n_epochs
        held_out = torch.from_numpy(held_out_rows(setting))
        figures |= {"epochs": n_epochs, "train_nll": mean_nll(model, X), "held_out_nll": mean_nll(model, held_out)}
    else:
        timed = min(sizes.timed_steps, n_steps)
        _, figures = measured(lambda: epoch(model, optimizer, X, max_steps=timed))
        per_epoch = figures["seconds"] * n_steps / timed
    return figures | {"seconds": 50 * per_epoch, "seconds_per_epoch": per_epoch}


def scaling(setting: Setting, times: int) -> dict[str, Any]:
    """One iteration of a fit with so many times the components."""
    n_components = times * setting.sizes.large_components
    X = train_rows(setting, setting.sizes.large_rows)
    seconds, figures = iteration_seconds(X, n_components, setting)
    return figures | {"seconds": seconds, "components": n_components}


def iteration_seconds(X: np.ndarray, n_components: int, setting: Setting) -> tuple[float, dict[str, Any]]:
    """Mean over the last eight iterations of a plain fit, two turns of all kinds, from centers that cost little."""
    seed, pool = setting.seed, min(len(X), max(20_000, 8 * n_components))
    kmeans = KMeansInitializer(n_components, pool_size=pool, max_iter=3, refine_iter=0, random_state=seed)
    mfa = TimedMFA(
        n_components, setting.sizes.factors, init=kmeans.fit(X), tol=0, max_iter=setting.sizes.scaling_iterations
    ).set_params(random_state=seed, annealing=1)
    _, figures = measured(lambda: mfa.fit(X))
    return float(np.mean(np.diff(mfa.times_)[-8:])), figures


def memory_map(setting: Setting) -> dict[str, Any]:
    """Peak memory of a fit to more rows than it should hold."""
    sizes = setting.sizes
    mfa = MFA(sizes.map_components, sizes.map_factors, max_iter=2, random_state=setting.seed)
    with tempfile.TemporaryDirectory(dir=setting.out) as folder:
        path = Path(folder) / "rows.f16"
        shape = write_map(setting, path)
        X = np.memmap(path, dtype=np.float16, mode="r", shape=shape)
        _, figures = measured(lambda: mfa.fit(X))
        return figures | {"file_mib": path.stat().st_size / 2**20}


def synthetic_rows(setting: Setting) -> tuple[np.ndarray, np.ndarray]:
    """Rows to fit and as many held out, of components that overlap."""
    n, n_features, n_components, n_factors = setting.sizes.synthetic
    X, _ = datasets.make_mfa(2 * n, n_features, n_components, n_factors, separation=1.0, random_state=setting.seed)
    order = np.random.default_rng(setting.seed).permutation(2 * n)
    rows = X[order].astype(np.float32)
    return rows[:n], rows[n:]


def synthetic_ours(setting: Setting) -> dict[str, Any]:
    """MFA of the true sizes, its defaults."""
    X, held_out = synthetic_rows(setting)
    _, _, n_components, n_factors = setting.sizes.synthetic
    mfa = TimedMFA(n_components, n_factors, random_state=setting.seed)
    _, figures = measured(lambda: mfa.fit(X))
    return figures | nll(mfa, X, held_out) | mfa.progress()


def synthetic_mixture(setting: Setting, covariance: str) -> dict[str, Any]:
    """scikit-learn's mixture of the true number of components, its defaults."""
    X, held_out = synthetic_rows(setting)
    n_components = setting.sizes.synthetic[2]
    model = GaussianMixture(n_components, covariance_type=covariance, random_state=setting.seed)
    _, figures = measured(lambda: model.fit(X))
    return figures | nll(model, X, held_out) | {"iterations": model.n_iter_}
