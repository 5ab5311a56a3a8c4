"""What a group of processes refuses, with an error on each of them, and what becomes of the others where one ends."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch.distributed as dist
from group_cases import Failure, share, world
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.pipeline import make_pipeline

from mfa_sklearn import MFA, KMeansInitializer, MFASearch
from mfa_sklearn._base.annotated import AnnotatedArray
from mfa_sklearn.datasets import make_mfa
from mfa_sklearn.mixture._em.solver import EMSolver

X, _ = make_mfa(300, 5, 3, 1, random_state=0)
WORDS = np.array(["the", "cat", "sat"])[np.arange(len(X)) % 3]


def quick(**arguments: Any) -> MFA:
    return MFA(**{"n_components": 3, "random_state": 0, "max_iter": 4, "tol": 0.0, "distributed": True, **arguments})


def refused(rank: int, size: int, what: str) -> Any:
    mine, arguments, weights = share(X, rank, [150]), {}, None
    if what == "width" and rank:
        mine = mine[:, :4]
    elif what == "type" and rank:
        mine = mine.astype(np.float32)
    elif what == "parameter":
        arguments = {"n_factors": 1 + rank}
    elif what == "centers":
        arguments = {"init": X[:3] + rank}
    elif what == "weights" and rank:
        weights = np.ones(len(mine))
    elif what == "negative" and rank:
        mine, weights = mine, -np.ones(len(mine))
    elif what == "infinity" and rank:
        mine = np.where(np.arange(len(mine))[:, None] == 7, np.inf, mine)
    elif what == "no rows":
        mine = mine[:0]
    elif what == "few rows":
        mine = mine[:1]
    elif what == "foreign":
        arguments = {"init": KMeans(3)}
    elif what == "parameter out of range":
        arguments = {"n_factors": 1 - 2 * rank}
    elif what == "device" and rank:
        arguments = {"device": "cuda:99999"}
    elif what == "path" and rank:
        mine = "no/such/folder"
    elif what in ("last fit", "last fit on one"):
        rows = X + rank if what == "last fit" else X
        last = quick(distributed=False, warm_start=True).fit(rows) if rank or what == "last fit" else quick()
        return last.set_params(distributed=True, warm_start=True).fit(mine)
    elif what == "source":
        mine = AnnotatedArray(mine, shared={"source": {"model": "gpt2", "layer": 4 + rank}})
    elif what == "stream":
        learned = quick().partial_fit(mine).partial_fit(mine)
        (MFA.from_params(*learned_of(learned), **learned.get_params()) if rank else learned).partial_fit(mine)
    if what == "negative" and not rank:
        weights = np.ones(len(mine))
    quick(**arguments).fit(mine, sample_weight=weights)


def learned_of(mfa: MFA) -> tuple[np.ndarray, ...]:
    return mfa.weights_, mfa.means_, mfa.loadings_, mfa.noise_variance_


REFUSED = {
    "parameter out of range": "InvalidParameterError: The 'n_factors' parameter of MFA must be",
    "device": "device='cuda:99999'",
    "path": "there is no 'no/such/folder'",
    "last fit": "differ in the mixture of the last fit: 'digest .*' on rank 0, 'digest .*' on rank 1",
    "last fit on one": "differ in the mixture of the last fit: None on rank 0, 'digest .*' on rank 1",
    "source": "rows of rank 0 are of layer 4, of model 'gpt2', those of rank 1 of layer 5, .* differ in layer",
    "stream": "differ in the batches that partial_fit remembers, and their rows: .1, 600.0. on rank 0, .0, 0.0.",
    "width": "differ in the number of columns: 5 on rank 0, 4 on rank 1",
    "type": "differ in the type of the rows: 'float64' on rank 0, 'float32' on rank 1",
    "parameter": "differ in the parameter n_factors: 1 on rank 0, 2 on rank 1",
    "centers": "differ in the parameter init: 'array",
    "weights": "differ in the use of sample_weight: 'none' on rank 0, 'given' on rank 1",
    "negative": "Negative values in data passed to `sample_weight`",
    "infinity": "infinity \\(first at row 7, column 0\\)",
    "no rows": "no process of the group has any rows",
    "few rows": "n_components=3 is more than n_samples=2",
    "foreign": "would be fitted to the rows of one process only",
}


def goes_on(rank: int, size: int) -> Any:
    """Warm starts where one process knows how far the last fit had come, and the other does not."""
    mine = share(X, rank, [150])
    mfa = quick(warm_start=True, max_iter=40, tol="auto", n_components=np.int64(3) if rank else 3).fit(mine)
    if rank:
        mfa = MFA.from_params(*learned_of(mfa), **mfa.get_params())
    return mfa.fit(mine).n_iter_, mfa.means_


class Draws:
    """A callback that takes numbers from the global generator."""

    def setup(self, *args: Any, **kwargs: Any) -> None:
        """Nothing."""

    teardown = on_fit_task_begin = setup

    def on_fit_task_end(self, *args: Any, **kwargs: Any) -> None:
        """Draw."""
        np.random.rand(3)


def draws_anew(rank: int, size: int) -> Any:
    """Two fits without a seed, one process with a callback."""
    mfa = quick(random_state=None, init="random_from_data", solver="gradient", batch_size=64)
    if not rank:
        mfa.set_callbacks(Draws())
    return [mfa.fit(share(X, rank, [150])).means_ for _ in range(2)]


def streams(rank: int, size: int) -> Any:
    mfa = quick()
    for batch in np.split(X, 3):
        mfa.partial_fit(share(batch, rank, [40]))
    return mfa.means_, mfa.noise_variance_, mfa.lower_bounds_, mfa.n_samples_seen_


def streams_alone() -> Any:
    mfa = quick(distributed=False)
    for batch in np.split(X, 3):
        mfa.partial_fit(batch)
    return mfa.means_, mfa.noise_variance_, mfa.lower_bounds_, mfa.n_samples_seen_


def remembers(rank: int, size: int) -> Any:
    rows = AnnotatedArray(share(X, rank, [90]), {"tokens": share(WORDS, rank, [90])})
    piped = make_pipeline(KMeansInitializer(3, random_state=0, distributed=True), quick(n_components=None)).fit(rows)
    mfa = quick(max_iter=2, warm_start=True).fit(rows).fit(rows)
    again = pickle.loads(pickle.dumps(clone(mfa)))
    return mfa.component_tokens_, mfa.means_, piped[-1].means_, again.get_params()["distributed"]


def remembers_alone() -> Any:
    rows = AnnotatedArray(X, {"tokens": WORDS})
    alone = {"distributed": False}
    piped = make_pipeline(KMeansInitializer(3, random_state=0), quick(n_components=None, **alone)).fit(rows)
    mfa = quick(max_iter=2, warm_start=True, **alone).fit(rows).fit(rows)
    return mfa.component_tokens_, mfa.means_, piped[-1].means_, True


def loses_a_rank(rank: int, size: int) -> Any:
    class Fatal:
        """Rows whose reading ends the process."""

        shape, dtype = (100, 5), np.dtype(float)

        def __len__(self) -> int:
            return 100

        def __getitem__(self, index: Any) -> Any:
            os._exit(1)

    quick().fit(Fatal() if rank == 1 else X)


def keeps(rank: int, size: int, folder: str | None) -> Any:
    """A fit, and the same one interrupted on a process after some iterations and called again."""
    mine, arguments = share(X, rank, [90]), {"max_iter": 9, "held_out": 0.2, "noise": "component"}
    through = quick(**arguments).fit(mine)
    kept = quick(checkpoint=folder, checkpoint_interval=0.0, **arguments)
    step, steps = EMSolver.step, []

    def interrupted(self: EMSolver) -> Any:
        steps.append(rank)
        if rank and len(steps) == 5:
            raise KeyboardInterrupt
        return step(self)

    EMSolver.step = interrupted  # type: ignore[method-assign]
    ended = ""
    try:
        kept.fit(mine)
    except KeyboardInterrupt as error:
        ended = f"{len(steps)} {error}"
    EMSolver.step = step  # type: ignore[method-assign]
    kept.fit(mine)
    same = all(np.array_equal(getattr(kept, name), getattr(through, name)) for name in ("means_", "lower_bounds_"))
    return through.lower_bounds_, through.history_["held_out"], ended, same


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    calls = [*[(refused, (what,)) for what in REFUSED], (streams, ()), (remembers, ())]
    calls += [(goes_on, ()), (draws_anew, ())]
    calls.append((keeps, (str(tmp_path_factory.mktemp("kept") / "checkpoint"),)))
    return dict(zip([*REFUSED, "streams", "remembers", "goes on", "draws", "keeps"], world(2, *calls), strict=True))


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_fit_together_is_refused_on_every_process(found, what) -> None:
    for failure in found[what]:
        assert isinstance(failure, Failure), failure
        assert failure.kind in ("ValueError", "InvalidParameterError"), failure
    with pytest.raises(ValueError, match=REFUSED[what]):
        raise ValueError(found[what][0].message)
    own = found[what][1].message.removeprefix("rank 0 failed: ValueError: ")
    assert found[what][0].message.removeprefix(f"rank 1 failed: {found[what][1].kind}: ") == own


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("what", "alone"), [("streams", streams_alone), ("remembers", remembers_alone)])
def test_streams_warm_starts_pipelines_and_tokens_are_those_of_one_process(found, what, alone) -> None:
    expected = alone()
    for part in found[what]:
        assert not isinstance(part, Failure), part
        for value, wanted in zip(part, expected, strict=True):
            if isinstance(wanted, np.ndarray):
                np.testing.assert_allclose(value, wanted, rtol=1e-9, atol=1e-9)
            else:
                assert value == (pytest.approx(wanted, rel=1e-9) if isinstance(wanted, list) else wanted)


def test_a_warm_start_goes_on_as_the_first_process_knows(found) -> None:
    (n_iter, means), other = found["goes on"]
    assert n_iter <= 3 and other[0] == n_iter
    np.testing.assert_array_equal(other[1], means)


def test_what_others_draw_does_not_part_the_processes(found) -> None:
    (first, second), other = found["draws"]
    np.testing.assert_array_equal(other, [first, second])
    assert not np.allclose(first, second)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_an_interrupt_on_one_process_ends_all_and_a_checkpoint_goes_on_to_the_same_bytes(found) -> None:
    alone = quick(distributed=False, max_iter=9, held_out=0.2, noise="component").fit(X)
    for rank, part in enumerate(found["keeps"]):
        assert not isinstance(part, Failure), part
        bounds, held_out, ended, same = part
        np.testing.assert_allclose(bounds, alone.lower_bounds_, rtol=1e-10)
        np.testing.assert_allclose(held_out, alone.history_["held_out"], rtol=1e-10)
        assert ended == ("5 " if rank else "5 rank 1 failed: KeyboardInterrupt: ") and same


def test_a_process_that_dies_ends_the_fits_of_the_others() -> None:
    ((ended, nothing),) = world(2, (loses_a_rank, ()))
    assert nothing is None
    assert ended.kind == "RuntimeError" and "another process of the group has ended" in ended.message, ended


def test_without_a_group_or_in_a_search_the_remedy_is_named() -> None:
    for estimator in (quick(), KMeansInitializer(3, distributed=True)):
        with pytest.raises(ValueError, match="torchrun"):
            estimator.fit(X)
    with pytest.raises(ValueError, match="distributed=False"):
        MFASearch(quick(), n_components=[2]).fit(X)


def test_a_group_of_one_is_a_fit_by_one_process(tmp_path: Path) -> None:
    dist.init_process_group("gloo", store=dist.FileStore(str(tmp_path / "store"), 1), rank=0, world_size=1)
    try:
        here = quick().fit(X)
    finally:
        dist.destroy_process_group()
    alone = quick(distributed=False).fit(X)
    np.testing.assert_array_equal(here.means_, alone.means_)
    assert here.lower_bounds_ == alone.lower_bounds_
