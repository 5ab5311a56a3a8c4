"""The demo in an empty folder: what it keeps, and what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import joblib
import pytest
from cli_cases import PNG, read_csv


@pytest.mark.slow
def test_quick_demo_in_an_empty_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mfa_sklearn", "demo", "--quick"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-4000:]
    kept = tmp_path / "mfa-demo"
    assert {path.name for path in kept.iterdir()} == {
        *("components.csv", "concept_components.csv", "generated.csv", "logit_diff.csv", "logit_diff_two_stage.csv"),
        *("mixture", "pipeline.joblib", "recovery.csv", "steering.csv", "subspace.png", "summary.txt"),
        *("top_concepts.csv", "top_tokens.csv"),
    }
    assert f"All of this is in {kept} " in result.stdout
    assert (kept / "subspace.png").read_bytes().startswith(PNG)
    assert (kept / "summary.txt").read_text(encoding="utf-8").strip() in result.stdout
    nmi = {row["grouping"]: float(row["nmi"]) for row in read_csv(kept / "recovery.csv")}
    assert nmi["components of the mixture"] > nmi["components, labels shuffled"]
    labels = joblib.load(kept / "pipeline.joblib").predict(["The river ran under the old bridge."])
    assert labels.ndim == 1 and len(labels) >= 7
