"""`MFA`, `KMeansInitializer` and `MFASearch` on an accelerator: what they give there is what the processor gives.

On a pretend device, which is as strict as CUDA about tensors that meet, and the same cases on a real one where there is
one. The methods are found by looking: one without a case is a failure.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerator_cases import Place, assert_alike, learned, moved, on_both, public
from mixture_oracles import STRUCTURES, estimator_arguments
from pretend_device import pretend_accelerator
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from mfa_sklearn import MFA, KMeansInitializer, MFASearch
from mfa_sklearn._base.annotated import AnnotatedArray
from mfa_sklearn.datasets import make_mfa
from mfa_sklearn.mixture import _rows

X, Y = make_mfa(120, 6, 3, 2, random_state=0)
WEIGHTS = np.random.default_rng(0).uniform(0.5, 2.0, len(X))
# More components than a truncated pass compares, of few rows each.
MANY, MANY_Y = make_mfa(500, 4, 90, 1, random_state=0)
# Starts of so many features take other ways, by random directions.
WIDE, _ = make_mfa(260, 100, 2, 2, random_state=0)
TOKENS = AnnotatedArray(X, rows={"token_ids": np.random.default_rng(0).integers(9, size=len(X))})


def holes(share: float = 0.1) -> np.ndarray:
    rows = X.copy()
    rows[np.random.default_rng(1).random(X.shape) < share] = np.nan
    return rows


def crowded(n_components: int, n_rows: int) -> dict[str, Any]:
    """Blobs of rows, and centers of which two share the first and one stands between the next two."""
    k = np.arange(n_components)
    places = 20.0 * np.stack([k, k % 7, k % 3], 1)
    rows = (places[:, None] + np.random.default_rng(0).standard_normal((n_components, n_rows, 3))).reshape(-1, 3)
    between = [places[0] - 0.5, places[0] + 0.5, (places[1] + places[2]) / 2]
    settings = {"n_components": n_components, "n_factors": 0, "annealing": 1, "split_merge": True, "tol": 0.1}
    return {"rows": rows, "init": np.concatenate([between, places[3:]]), "acceleration": False, **settings}


HOLES = holes()


def fit(device: str, rows: Any = X, sample_weight: Any = None, **arguments: Any) -> MFA:
    settings = {"n_components": 3, "n_factors": 2, "max_iter": 4, "tol": 0.0, "random_state": 0} | arguments
    return MFA(**settings, device=device).fit(rows, sample_weight=sample_weight)


@cache
def base() -> MFA:
    return fit("cpu", max_iter=8)


def given(rows: Any, value: float, columns: Any) -> Any:
    """Rows of any kind with a value in some columns."""
    changed = rows.clone() if isinstance(rows, torch.Tensor) else np.array(rows)
    changed[:, columns] = value
    return changed


def condition(mfa: MFA, rows: Any) -> tuple[Any, ...]:
    conditional = mfa.condition(given(rows, np.nan, [1, 4]))
    draws = conditional.sample(2, random_state=0)
    return conditional, conditional.means, conditional.mean(), draws, conditional.log_prob(rows[:, [1, 4]])


def from_params(mfa: MFA, rows: Any) -> np.ndarray:
    arrays = (mfa.weights_, mfa.means_, mfa.loadings_, mfa.noise_variance_)
    parts = (torch.as_tensor(part, device=torch.device(mfa.device)) for part in arrays)
    return MFA.from_params(*parts, device=mfa.device).predict_proba(rows)


def partial_fit(mfa: MFA, rows: Any) -> list[Any]:
    stream = clone(mfa).set_params(max_iter=2)
    return [learned(stream.partial_fit(part)) for part in (rows[:60], rows[60:], rows[:30])]


def saved(mfa: MFA, rows: Any, folder: Path) -> np.ndarray:
    mfa.save_pretrained(folder)
    return MFA.from_pretrained(folder, device=mfa.device).score_samples(rows)


def checkpoint(mfa: MFA, rows: Any, folder: Path) -> np.ndarray:
    state = {"pi_logits": torch.zeros(2), "mu": torch.tensor([[0.0] * 6, [3.0] * 6])}
    state |= {"dir_raw": torch.ones(2, 6, 1), "scale_rho": torch.zeros(2, 1), "psi_rho": torch.zeros(6)}
    torch.save({"state_dict": state, "meta": {"eps_floor": 1e-5}}, folder / "mfa.pt")
    return MFA.from_reference_checkpoint(folder / "mfa.pt", device=mfa.device).score_samples(rows)


def warm(mfa: MFA, rows: Any) -> dict[str, Any]:
    return learned(clone(mfa).set_params(max_iter=2, warm_start=True).fit(rows).fit(rows))


Case = Callable[..., Any]
METHODS: dict[str, Case] = {
    "aic": lambda m, X, _: m.aic(X),
    "bic": lambda m, X, _: m.bic(X),
    "condition": lambda m, X, _: condition(m, X),
    "dictionary_": lambda m, X, _: m.dictionary_,
    "fit": lambda m, X, _: warm(m, X),
    "fit_predict": lambda m, X, _: clone(m).set_params(max_iter=2).fit_predict(X),
    "fit_transform": lambda m, X, _: clone(m).set_params(max_iter=2).fit_transform(X),
    "from_params": lambda m, X, _: from_params(m, X),
    "from_pretrained": saved,
    "from_reference_checkpoint": checkpoint,
    "get_covariance": lambda m, X, _: (m.get_covariance(), m.get_covariance(1)),
    "get_feature_names_out": lambda m, X, _: m.get_feature_names_out(),
    "get_precision": lambda m, X, _: (m.get_precision(), m.get_precision(1)),
    "icl": lambda m, X, _: m.icl(X),
    "impute": lambda m, X, _: [m.impute(given(X, np.nan, [0, 2]), draw=draw) for draw in (False, True)],
    "inverse_transform": lambda m, X, _: m.inverse_transform(given(X, 0.5, 0)[:, [0] * 9]),
    "iter_log_joint": lambda m, X, _: list(m.iter_log_joint(X)),
    "iter_pairs": lambda m, X, _: list(m.iter_pairs(X)),
    "partial_fit": lambda m, X, _: partial_fit(m, X),
    "posterior_mean": lambda m, X, _: (m.posterior_mean(X), m.posterior_mean(X, 1)),
    "predict": lambda m, X, _: m.predict(X),
    "predict_proba": lambda m, X, _: m.predict_proba(X),
    "reconstruct": lambda m, X, _: m.reconstruct(X),
    "sample": lambda m, X, _: m.sample(7),
    "save_pretrained": saved,
    "score": lambda m, X, _: (m.score(X), m.score(X, sample_weight=WEIGHTS)),
    "score_samples": lambda m, X, _: m.score_samples(X),
    "transform": lambda m, X, _: m.transform(X),
}


def as_array(place: Place, device: str) -> tuple[str, Any]:
    return device, X


def with_the_device(place: Place, device: str) -> tuple[str, Any]:
    """Rows that lie where the estimator computes."""
    return device, torch.tensor(X, device=device)


def elsewhere(place: Place, device: str) -> tuple[str, Any]:
    """Rows of a user that lie on another device."""
    return device, torch.tensor(X, device="cpu" if device == "cpu" else place.other)


def brought_back(place: Place, device: str) -> tuple[str, Any]:
    """Rows of a user that lie on a device, for an estimator of the processor."""
    return "cpu", torch.tensor(X, device=device)


ROWS = {kind.__name__: kind for kind in (as_array, with_the_device, elsewhere, brought_back)}


def test_every_method_of_a_mixture_has_a_case() -> None:
    assert public(MFA) == set(METHODS)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_methods_give_what_the_processor_gives(method: str, rows: str, place: Place, tmp_path: Path) -> None:
    def compute(device: str) -> Any:
        at, table = ROWS[rows](place, device)
        folder = tmp_path / device.replace(":", "")
        folder.mkdir()
        return METHODS[method](moved(base(), at), table, folder)

    on_both(place, compute)


@pytest.mark.parametrize("method", ["score_samples", "predict_proba", "transform", "impute", "posterior_mean", "icl"])
@pytest.mark.parametrize("structure", ["UUC", "CUU", "CCC"])
def test_methods_with_missing_values(method: str, structure: str, place: Place, tmp_path: Path) -> None:
    mfa = fit("cpu", **estimator_arguments(STRUCTURES[structure]))
    on_both(place, lambda device: METHODS[method](moved(mfa, device), HOLES, tmp_path))


# Arguments of fits, by what is special about them.
FITS: dict[str, dict[str, Any]] = {
    **{name: estimator_arguments(structure) for name, structure in STRUCTURES.items()},
    "many features": {"rows": WIDE, "n_components": 2, "max_iter": 2},
    "one component": {"n_components": 1},
    "no factors": {"n_factors": 0},
    "factors by component": {"n_factors": [2, 0, 1]},
    "missing values": {"rows": HOLES},
    "missing values, own isotropic noise": {"rows": HOLES, "noise": "component", "noise_form": "isotropic"},
    "weights": {"sample_weight": WEIGHTS},
    "weights of zero": {"sample_weight": np.where(np.arange(len(X)) % 7, WEIGHTS, 0.0)},
    "annealing": {"annealing": 8.0, "max_iter": 6},
    "moves": {**crowded(3, 30), "max_iter": 20},
    "moves, truncated": {**crowded(90, 8), "max_iter": 19},
    "no acceleration": {"acceleration": False, "annealing": 1},
    "acceleration": {"annealing": 1, "max_iter": 12},
    "fixed prior": {"noise": "component", "noise_prior": 3.0},
    "restarts": {"n_init": 2},
    "varimax": {"rotation": "varimax"},
    "quartimax of common loadings": {"rotation": "quartimax", "loading_type": "common"},
    "small batches": {"batch_size": 50},
    "from labels": {"init": Y},
    "from centers": {"init": np.stack([X[k == Y].mean(0) for k in range(3)])},
    "from random rows": {"init": "random_from_data"},
    "from k-means": {"init": KMeansInitializer(random_state=0)},
    "single precision": {"dtype": "float32", "annealing": 1},
    "truncated": {"rows": MANY, "init": MANY_Y, "n_components": 90, "n_factors": 1, "max_iter": 6},
    "truncated, missing": {
        **{"rows": np.where(MANY > 8, np.nan, MANY), "init": MANY_Y, "noise": "component"},
        **{"n_components": 90, "n_factors": 0, "max_iter": 2, "annealing": 1},
    },
    "annealed to truncated": {
        **{"rows": MANY, "n_components": 90, "n_factors": 1, "annealing": 2, "split_merge": True, "max_iter": 8},
    },
    "gradient": {"solver": "gradient", "batch_size": 40},
    "gradient, every tie": {
        **{"solver": "gradient", "noise_form": "isotropic", "loading_type": "common", "batch_size": 40},
    },
    "gradient, early stopping": {"solver": "gradient", "early_stopping": True, "noise": "component"},
    "gradient, missing": {"solver": "gradient", "rows": HOLES, "max_iter": 2},
    "gradient, weights": {"solver": "gradient", "sample_weight": WEIGHTS},
    "gradient, pairs": {"solver": "gradient", "rows": MANY, "init": MANY_Y, "n_components": 90, "max_iter": 2},
    "gradient, single precision": {"solver": "gradient", "dtype": "float32", "max_iter": 2},
}


@pytest.mark.parametrize("case", FITS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_fits_give_what_the_processor_gives(case: str, place: Place) -> None:
    place = place._replace(tolerance=max(place.tolerance, 1e-4 if "single" in case else 0.0))

    def compute(device: str) -> dict[str, Any]:
        found = learned(fit(device, **FITS[case]))
        assert not case.startswith("moves") or "moved" in found["history_"]["step"]
        return found

    on_both(place, compute)


@pytest.mark.parametrize("solver", ["em", "gradient"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_products_are_not_rounded_because_the_program_has_it_so(solver: str, place: Place) -> None:
    """`torch.set_float32_matmul_precision("high")` lets CUDA round factors to ten bits."""

    def compute(precision: str) -> Any:
        torch.set_float32_matmul_precision(precision)
        try:
            mfa = fit(place.device, X.astype(np.float32), solver=solver, annealing=1, max_iter=2)
            return learned(mfa), mfa.predict_proba(X.astype(np.float32))
        finally:
            torch.set_float32_matmul_precision("highest")

    assert_alike(compute("high"), compute("highest"), 1e-12 if place.machine else 1e-4)


@pytest.mark.parametrize("solver", ["em", "gradient"])
def test_rows_that_are_read_again_and_again(solver: str, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_rows, "KEEP_BYTES", 0)
    rows = {"array": HOLES, "tensor": torch.tensor(HOLES, device=place.other)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = {
            name: learned(fit(place.device, table, WEIGHTS, solver=solver, max_iter=2, batch_size=50))
            for name, table in rows.items()
        }
        expected = learned(fit("cpu", HOLES, WEIGHTS, solver=solver, max_iter=2, batch_size=50))
    for name, attributes in found.items():
        assert_alike(attributes, expected, place.tolerance, name)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_weights_and_starts_may_lie_on_a_device(place: Place) -> None:
    centers = torch.tensor(np.stack([X[k == Y].mean(0) for k in range(3)]), device=place.other)
    weights = torch.tensor(WEIGHTS, device=place.device)
    found = fit(place.device, torch.tensor(X, device=place.other), weights, init=centers)
    expected = fit("cpu", X, WEIGHTS, init=centers.cpu().numpy())
    assert_alike(learned(found), learned(expected), place.tolerance)
    labels = fit(place.device, X, init=torch.tensor(Y, device=place.other))
    assert_alike(learned(labels), learned(fit("cpu", X, init=Y)), place.tolerance)


KMEANS_METHODS: dict[str, Case] = {
    "fit": lambda k, X, _: learned(clone(k).fit(X)),
    "fit_predict": lambda k, X, _: clone(k).fit_predict(X),
    "fit_transform": lambda k, X, _: clone(k).fit_transform(X),
    "get_feature_names_out": lambda k, X, _: k.get_feature_names_out(),
    "predict": lambda k, X, _: k.predict(X),
    "score": lambda k, X, _: (k.score(X), k.score(X, sample_weight=WEIGHTS)),
    "transform": lambda k, X, _: k.transform(X),
}


def test_every_method_of_k_means_has_a_case() -> None:
    assert public(KMeansInitializer) == set(KMEANS_METHODS)


@cache
def k_means(metric: str = "euclidean") -> KMeansInitializer:
    return KMeansInitializer(4, metric=metric, random_state=0, device="cpu").fit(X)  # type: ignore[arg-type]


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("method", KMEANS_METHODS)
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_methods_of_k_means(method: str, metric: str, rows: str, place: Place) -> None:
    def compute(device: str) -> Any:
        at, table = ROWS[rows](place, device)
        return KMEANS_METHODS[method](moved(k_means(metric), at), table, None)

    on_both(place, compute)


KMEANS_FITS: dict[str, dict[str, Any]] = {
    "samples": {"pool_size": 40, "n_init": 2},
    "projected": {"projection": 2},
    "unprojected": {"projection": None},
    "weights": {"sample_weight": np.where(np.arange(len(X)) % 7, WEIGHTS, 0.0)},
    "weighted samples": {"pool_size": 40, "sample_weight": WEIGHTS},
    "tokens": {"rows": TOKENS, "sampling": "token_frequency"},
    "cosine, small batches": {"metric": "cosine", "pool_size": 40, "batch_size": 33},
    "many": {"rows": MANY, "n_clusters": 90, "pool_size": 200},
    "single precision": {"dtype": "float32"},
}


@pytest.mark.parametrize("case", KMEANS_FITS)
def test_fits_of_k_means(case: str, place: Place) -> None:
    settings = {"n_clusters": 4, "random_state": 0} | KMEANS_FITS[case]
    rows, weights = settings.pop("rows", X), settings.pop("sample_weight", None)
    on_both(place, lambda device: learned(KMeansInitializer(**settings, device=device).fit(rows, None, weights)))


def search(device: str, rows: Any = X, **arguments: Any) -> MFASearch:
    mfa = MFA(max_iter=2, tol=0.0, random_state=0, device=device)
    return MFASearch(mfa, n_components=[1, 2], n_factors=1, **arguments).fit(rows)


def told(found: MFASearch) -> dict[str, Any]:
    results = {name: value for name, value in found.cv_results_.items() if "time" not in name}
    return {"results": results, "best": found.best_params_, "score": found.best_score_}


SEARCH_METHODS: dict[str, Case] = {
    "fit": lambda s, X, _: told(search(s.estimator.device, X)),
    "fit_transform": lambda s, X, _: clone(s).fit_transform(X),
    "get_feature_names_out": lambda s, X, _: s.get_feature_names_out(),
    "inverse_transform": lambda s, X, _: s.inverse_transform(s.transform(X)),
    "n_features_in_": lambda s, X, _: s.n_features_in_,
    "plot": lambda s, X, _: s.plot().lines_,
    "predict": lambda s, X, _: s.predict(X),
    "predict_proba": lambda s, X, _: s.predict_proba(X),
    "results_": lambda s, X, _: s.results_.drop(columns=[name for name in s.results_ if "time" in name]),
    "score": lambda s, X, _: s.score(X),
    "score_samples": lambda s, X, _: s.score_samples(X),
    "transform": lambda s, X, _: s.transform(X),
}
# Of the base class: parameters, and methods that a mixture has not.
SEARCH_HAS_NOT = {"classes_", "decision_function", "multimetric_", "predict_log_proba", "refit", "return_train_score"}


def test_every_method_of_a_search_has_a_case() -> None:
    assert public(MFASearch) - SEARCH_HAS_NOT == set(SEARCH_METHODS)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_methods_of_a_search(place: Place) -> None:
    for criterion in ("bic", "likelihood"):
        there, here = (search(device, criterion=criterion, cv=2) for device in (place.device, "cpu"))
        rows = torch.tensor(X, device=place.other)
        assert_alike(told(there), told(here), place.tolerance)
        for name, method in SEARCH_METHODS.items():
            if name != "plot":
                assert_alike(method(there, rows, None), method(here, X, None), place.tolerance, name)


@pytest.mark.parametrize("arguments", [{}, {"solver": "gradient", "batch_size": 5000}])
def test_the_processor_does_not_wait_for_the_device_once_a_row(arguments: dict[str, Any]) -> None:
    """What it waits for are numbers of the components, however many rows there are."""

    def waits(n_rows: int) -> int:
        rows, _ = make_mfa(n_rows, 4, 3, 1, random_state=0)
        with pretend_accelerator() as machine, warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            mfa = fit("cuda", rows, n_factors=1, annealing=1, acceleration=False, **arguments)
            mfa.predict(rows)
            mfa.transform(rows)
            return machine.waits.total()

    assert waits(2000) <= waits(200) + 20
