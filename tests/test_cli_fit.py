"""The commands `fit` and `kmeans`: where fits start, what they hold out, and what an interrupted one goes on from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_stores import N_ROWS, token_rows, written

from mfa_sklearn import MFA, KMeansInitializer
from mfa_sklearn.cli import main
from mfa_sklearn.mixture import _fitting
from mfa_sklearn.mixture._em.solver import EMSolver
from mfa_sklearn.mixture._saving.centers import read_centers

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fit")
    rng = np.random.default_rng(0)
    np.save(path / "x.npy", rng.normal(size=(300, 4)) + 6 * rng.integers(0, 3, (300, 1)))
    written(path / "store", token_rows, [7])
    return path


def run(*words: Any, status: int = 0) -> None:
    assert main([str(word) for word in words]) == status


def fit(folder: Path, out: Path, *words: Any, status: int = 0) -> Path:
    run("fit", folder / "x.npy", "-q", "1", "--tol", "0", "-o", out / "mix", *words, status=status)
    return out / "mix"


def test_centers_are_those_of_the_function_and_fits_start_from_them(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    centers = tmp_path / "c.safetensors"
    run("kmeans", folder / "x.npy", "-k", "3", "-o", centers, "--metric", "cosine", "--refine-iter", "1")
    X = np.load(folder / "x.npy")
    expected = KMeansInitializer(3, metric="cosine", refine_iter=1, random_state=0).fit(X)
    np.testing.assert_array_equal(read_centers(centers).cluster_centers_, expected.cluster_centers_)
    said = capsys.readouterr()
    assert said.out.startswith(f"{centers}: 3 centers of 4 features on 300 rows, an inertia of {expected.inertia_:.6g}")
    assert said.err == ""
    found = MFA.from_pretrained(fit(folder, tmp_path, "--init", centers, "--max-iter", "3"))
    by_hand = MFA(n_factors=1, init=expected, max_iter=3, tol=0, random_state=0).fit(X)
    np.testing.assert_array_equal(found.means_, by_hand.means_)


def test_a_fit_goes_on_from_a_mixture(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = fit(folder, tmp_path, "-k", "3", "--max-iter", "4")
    second = tmp_path / "second"
    run("fit", folder / "x.npy", "--init", first, "--tol", "0", "--max-iter", "2", "-o", second)
    found, before = MFA.from_pretrained(second), MFA.from_pretrained(first)
    by_hand = MFA.from_pretrained(first).set_params(warm_start=True, max_iter=2).fit(np.load(folder / "x.npy"))
    np.testing.assert_array_equal(found.means_, by_hand.means_)
    assert found.lower_bounds_[0] == pytest.approx(before.lower_bound_) and not found.warm_start
    capsys.readouterr()
    for words, says in ((["-k", "2"], "-k 2 is not the size of the"), (["-q", "2"], "which has 1: leave it out")):
        run("fit", folder / "x.npy", "--init", first, *words, "-o", tmp_path / "third", status=2)
        assert says in capsys.readouterr().err
    assert not (tmp_path / "third").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "how many components to fit is not said: give -k"),
        (["--init", "kmean", "-k", "2"], "--init 'kmean' is nothing that is there, and none of kmeans, k-means++"),
        (["--init", "{f}/x.npy", "-k", "2"], "init gives 300 centers, but n_components=2"),
        (["--init", "{f}/store", "-k", "2"], "no saved mixture"),
        (["-k", "2", "--held-out", "1.5"], "held_out"),
        (["-k", "2", "--checkpoint", "{f}/store"], "holds other things"),
        (["-k", "2", "--checkpoint", "{f}/x.npy"], "it is a file"),
        (["-k", "2", "--checkpoint", "{out}/mix"], "mix' is inside the output, which holds a mixture and nothing else"),
        (["-k", "2", "--checkpoint", "{out}/../{out.name}/mix/own"], "own' is inside the output"),
    ],
)
def test_what_cannot_be_fitted(
    folder: Path, tmp_path: Path, words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(folder, tmp_path, *(word.format(f=folder, out=tmp_path) for word in words), status=2)
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1 and os.listdir(tmp_path) == []


def test_rows_of_a_share_of_the_texts_are_held_out(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["-k", "3", "-q", "1", "--max-iter", "2", "--tol", "0", "--held-out", "0.2"]
    run("fit", folder / "store", *options, "-o", tmp_path / "mix")
    mfa = MFA.from_pretrained(tmp_path / "mix")
    assert mfa.held_out_by == "text" and mfa.n_samples_seen_ < N_ROWS
    assert f"; {mfa.history_['held_out'][-1]:.3f} on those held out" in capsys.readouterr().out


def interrupted(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    step, steps = EMSolver.step, []

    def interrupting(solver: EMSolver) -> Any:
        steps.append(1)
        if len(steps) > after:
            raise KeyboardInterrupt
        return step(solver)

    monkeypatch.setattr(EMSolver, "step", interrupting)


def test_the_same_command_goes_on_with_an_interrupted_fit_and_ends_with_the_same_bytes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["-k", "3", "--max-iter", "9"]
    whole = fit(folder, tmp_path / "whole", *words)
    assert os.listdir(tmp_path / "whole") == ["mix"]  # the checkpoint is gone
    with monkeypatch.context() as patched:
        interrupted(patched, after=4)
        output = fit(folder, tmp_path / "parts", *words, status=130)
    kept = tmp_path / "parts" / "mix.checkpoint"
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"mfa-sklearn: interrupted: the fit as it was after 4 iterations is kept in '{kept}'; to go on, do the same "
        "again, or with --max-iter 0 to have the mixture as it is"
    )
    assert os.listdir(tmp_path / "parts") == ["mix.checkpoint"]
    fit(folder, tmp_path / "parts", *words)
    assert os.listdir(tmp_path / "parts") == ["mix"]
    for name in os.listdir(whole):
        assert (output / name).read_bytes() == (whole / name).read_bytes()


def test_an_interrupted_fit_can_be_had_as_it_is(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        interrupted(patched, after=4)
        fit(folder, tmp_path, "-k", "3", status=130)
    assert MFA.from_pretrained(fit(folder, tmp_path, "-k", "3", "--max-iter", "0")).n_iter_ == 4


@pytest.mark.parametrize("damage", [False, True])
def test_a_checkpoint_that_is_no_use_is_deleted_only_by_force(
    folder: Path, tmp_path: Path, damage: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patched:
        interrupted(patched, after=2)
        fit(folder, tmp_path, "-k", "3", status=130)
    kept = tmp_path / "mix.checkpoint" / "checkpoint.json"
    if damage:
        kept.write_text("{}")
    before = kept.read_bytes()
    capsys.readouterr()
    fit(folder, tmp_path, "-k", "2", "--max-iter", "3", status=2)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "mix.checkpoint" in said and said.endswith("--force deletes it\n")
    assert kept.read_bytes() == before
    fit(folder, tmp_path, "-k", "2", "--max-iter", "3", "--force")
    assert os.listdir(tmp_path) == ["mix"] and MFA.from_pretrained(tmp_path / "mix").n_components_ == 2


def test_force_goes_on_with_the_same_fit(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["-k", "3", "--max-iter", "5", "--force"]
    fit(folder, tmp_path, "-k", "2", "--max-iter", "1")
    with monkeypatch.context() as patched:
        interrupted(patched, after=4)
        fit(folder, tmp_path, *words, status=130)
    assert MFA.from_pretrained(tmp_path / "mix").n_components_ == 2  # the earlier mixture, until there is a new one
    with monkeypatch.context() as patched:
        interrupted(patched, after=1)  # of the iterations left
        fit(folder, tmp_path, *words)
    assert MFA.from_pretrained(tmp_path / "mix").n_iter_ == 5


def test_without_a_checkpoint_the_mixture_is_kept_as_far_as_it_came(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted(monkeypatch, after=2)
    fit(folder, tmp_path, "-k", "3", "--no-checkpoint", status=130)
    assert "mix holds the fit as far as it came; --force fits anew" in capsys.readouterr().err.splitlines()[-1]
    assert os.listdir(tmp_path) == ["mix"] and MFA.from_pretrained(tmp_path / "mix").n_iter_ == 2


@pytest.mark.parametrize("checkpoint", [[], ["--no-checkpoint"]])
def test_an_interrupt_before_the_first_iteration_leaves_nothing(
    folder: Path, tmp_path: Path, checkpoint: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_fitting, "pose", stop)
    fit(folder, tmp_path, "-k", "3", *checkpoint, status=130)
    assert "nothing is kept, the fit had not begun to iterate" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


def test_lines_are_shown_where_they_are_asked_for(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["-k", "2", "--max-iter", "2"]
    fit(folder, tmp_path / "a", *words)
    fit(folder, tmp_path / "b", *words, "--no-verbose")
    assert capsys.readouterr().err == ""
    fit(folder, tmp_path / "c", *words, "--verbose")
    said = capsys.readouterr()
    assert "lower bound" in said.err.splitlines()[-1] and said.out.count("\n") == 1
    run("kmeans", folder / "x.npy", "-k", "2", "-o", tmp_path / "c.safetensors", "--verbose")
    assert "k-means on 300 rows: " in capsys.readouterr().err
