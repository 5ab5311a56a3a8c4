"""Public methods in whatever torch context they are called, and beside other threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator

from mfa_sklearn import MFA, KMeansInitializer
from mfa_sklearn._base.isolation import coarse, give_way, isolated, plain_torch

X = (np.random.default_rng(0).standard_normal((200, 12)) @ np.random.default_rng(1).standard_normal((12, 12))).astype(
    np.float32
)
FITTED = MFA(3, 2, random_state=0, max_iter=3, tol=0).fit(X)
HOLES = np.where(np.random.default_rng(2).random(X.shape) < 0.1, np.nan, X)
KMEANS = KMeansInitializer(4, random_state=0).fit(X)

# What each method says; generators are gone through inside the context.
METHODS = {
    "fit": lambda: MFA(3, 2, random_state=0, max_iter=3, tol=0).fit(X).means_,
    "gradient fit": lambda: MFA(3, 2, solver="gradient", random_state=0, max_iter=2, tol=0).fit(X).means_,
    "partial_fit": lambda: MFA(3, 2, random_state=0, max_iter=2, tol=0).partial_fit(X).partial_fit(X).means_,
    "rotation": lambda: MFA(2, 2, random_state=0, rotation="varimax", max_iter=2, tol=0).fit(X).loadings_,
    "score_samples": lambda: FITTED.score_samples(X),
    "score": lambda: FITTED.score(X, sample_weight=np.arange(200)),
    "predict_proba": lambda: FITTED.predict_proba(X),
    "transform": lambda: FITTED.transform(X).toarray(),
    "reconstruct": lambda: FITTED.reconstruct(X),
    "posterior_mean": lambda: FITTED.posterior_mean(X, 1),
    "impute": lambda: FITTED.impute(HOLES),
    "drawn imputation": lambda: FITTED.impute(HOLES, draw=True),
    "condition": lambda: FITTED.condition(np.where(np.arange(12) < 6, np.nan, X)).log_prob(X[:, :6]),
    "iter_pairs": lambda: np.concatenate([part[3] for part in FITTED.iter_pairs(X)]),
    "iter_log_joint": lambda: np.concatenate([joint for _, joint in FITTED.iter_log_joint(X)]),
    "bic": lambda: FITTED.bic(X),
    "sample": lambda: FITTED.sample(20)[0],
    "precision": lambda: FITTED.get_precision(0),
    "from_params": lambda: (
        MFA.from_params(
            FITTED.weights_, FITTED.means_, FITTED.loadings_, FITTED.noise_variance_, rotation="varimax"
        ).loadings_
    ),
    "k-means": lambda: KMeansInitializer(4, random_state=0).fit(X).cluster_centers_,
    "k-means score": lambda: KMEANS.score(X),
}


@contextmanager
def rounded_products() -> Iterator[None]:
    """As programs set it that run a language model on a GPU, or on a processor that has units for bfloat16."""
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


CONTEXTS = {
    "rounded products": rounded_products,
    "autocast": lambda: torch.autocast("cpu"),
    "float16 autocast": lambda: torch.autocast("cpu", dtype=torch.float16),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "default device": lambda: torch.device("meta"),
}


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("method", METHODS)
def test_methods_say_the_same_in_every_context(method, context):
    expected = METHODS[method]()
    with CONTEXTS[context]():
        found = METHODS[method]()
    np.testing.assert_array_equal(found, expected)


def test_rows_made_in_inference_mode_are_fitted_outside_and_inside_it():
    with torch.inference_mode():
        rows = torch.from_numpy(X) * 1
        inside = MFA(2, 1, solver="gradient", random_state=0, max_iter=2, tol=0).fit(rows)
    outside = MFA(2, 1, solver="gradient", random_state=0, max_iter=2, tol=0).fit(rows)
    np.testing.assert_array_equal(inside.means_, outside.means_)


def test_contexts_are_put_back_around_methods_and_between_the_steps_of_a_generator():
    @isolated
    def numbers():
        for n in range(2):
            assert not torch.is_autocast_enabled("cpu")
            assert not torch.is_grad_enabled()
            yield n

    with torch.autocast("cpu"):
        for _ in numbers():
            assert torch.is_autocast_enabled("cpu")
            assert torch.is_grad_enabled()
        with pytest.raises(ValueError, match="2D"):
            FITTED.predict(X[0])
        assert torch.is_autocast_enabled("cpu")


def test_one_random_state_gives_one_fit_in_threads():
    """Of wide rows, whose starts project them at random, and at temperatures that let products round."""
    rows = np.random.default_rng(0).standard_normal((400, 120)).astype(np.float32)
    settings = {"n_components": 2, "n_factors": 3, "random_state": 0, "max_iter": 4, "tol": 0, "annealing": 8}

    def bound(_):
        return MFA(**settings).fit(rows).lower_bound_

    alone = bound(0)
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(bound, range(6))) == {alone}


def test_a_fit_draws_nothing_from_the_generators_of_the_process():
    torch.manual_seed(5)
    np.random.seed(5)
    before, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()
    rows = np.random.default_rng(0).standard_normal((300, 120))
    for solver in ("em", "gradient"):
        MFA(2, 2, solver=solver, random_state=0, max_iter=2, tol=0).fit(rows).impute(rows, draw=True)
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(np.random.get_state()[1], numpys)


def test_products_round_only_while_no_other_thread_computes():
    state = {"rounds": 0, "computes": 0}
    seen = []

    def switch():
        state["rounds"] += 1

        def put_back():
            state["rounds"] -= 1

        return put_back

    def work(number):
        for _ in range(20):
            with plain_torch():
                state["computes"] += 1
                seen.append(state["rounds"])
                state["computes"] -= 1
                give_way()
                with coarse(switch), coarse(switch):
                    seen.append(state["computes"])
                    with plain_torch():
                        pass

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert not any(thread.is_alive() for thread in threads), "threads wait for one another"
    assert seen == [0] * 160
    assert state == {"rounds": 0, "computes": 0}


class OfThreads(BaseEstimator):
    """An initializer whose fit waits for threads that compute, some of them alone, and that takes a gradient."""

    def fit(self, rows, y=None):
        found = {}
        threads = [
            threading.Thread(target=lambda seed=seed: found.update({seed: self.one(rows, seed)}), daemon=True)
            for seed in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(100)
        assert len(found) == 3, "threads wait for one another"
        self.cluster_centers_ = found[2]
        leaf = torch.ones(1, requires_grad=True)
        (2 * leaf).sum().backward()
        return self

    @staticmethod
    def one(rows, seed):
        with plain_torch(), coarse(lambda: lambda: None):
            return MFA(2, 1, random_state=seed, max_iter=2, tol=0).fit(rows).means_


def test_an_initializer_may_wait_for_its_own_threads_and_take_gradients():
    found = MFA(2, 1, init=OfThreads(), max_iter=2, tol=0).fit(X)
    alone = MFA(2, 1, init=OfThreads.one(X, 2), max_iter=2, tol=0).fit(X)
    np.testing.assert_array_equal(found.means_, alone.means_)
    with plain_torch():
        assert not torch.is_grad_enabled()


def test_what_fails_while_it_is_alone_lets_the_others_on():
    with pytest.raises(KeyboardInterrupt), plain_torch(), coarse(lambda: lambda: None):
        raise KeyboardInterrupt
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(FITTED.predict, X).result(timeout=300).shape == (200,)


def test_products_are_in_full_until_the_last_thread_has_left() -> None:
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with plain_torch():
            entered.set()
            leave.wait(300)

    def rounds() -> bool:
        if not hasattr(torch.backends.mkldnn, "matmul"):  # before torch 2.9
            return torch.get_float32_matmul_precision() == "medium"
        return torch.backends.mkldnn.matmul.fp32_precision == "bf16"

    with rounded_products():
        thread = threading.Thread(target=other)
        thread.start()
        assert entered.wait(300) and not rounds()
        with plain_torch(), plain_torch():
            assert not rounds()
        assert not rounds()
        leave.set()
        thread.join()
        assert rounds() and torch.get_float32_matmul_precision() == "medium"
        with pytest.raises(ValueError, match="inside"), plain_torch():
            raise ValueError("inside")
        assert rounds()
