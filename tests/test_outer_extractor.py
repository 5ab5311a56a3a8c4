"""What the extractor is asked for beside texts, and which runs are the same."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn
from lm_fixtures import SENTENCES, save_tiny_model
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline, make_pipeline

from mfa_sklearn import MFA, ActivationExtractor
from mfa_sklearn.activations import _extractor as extractor_module
from mfa_sklearn.activations._forward import _check_shape, _forward
from mfa_sklearn.activations._language_model import load_tokenizer
from mfa_sklearn.activations._tokenize import keep_digest

LABELS = ["pets", "nature", "finance", "finance", "nature", "nature"]


@pytest.fixture(scope="module")
def extractor(tmp_path_factory: pytest.TempPathFactory) -> ActivationExtractor:
    directory = save_tiny_model(tmp_path_factory.mktemp("model"), "gpt2")
    return ActivationExtractor(directory, layer=1, batch_size=4, device="cpu")


# --- keywords


@pytest.mark.parametrize("unknown", [{"labels": LABELS}, {"sample_weight": [1.0] * 6, "labels": LABELS}])
def test_keywords_that_would_be_dropped_are_refused(extractor: ActivationExtractor, unknown: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=rf"fit_transform takes no {', '.join(sorted(unknown))}: .*labels as y"):
        clone(extractor).fit_transform(SENTENCES, **unknown)
    assert clone(extractor).fit_transform(SENTENCES, y=LABELS).labels is not None


def test_a_pipeline_passes_nothing_on_that_is_not_asked_for(extractor: ActivationExtractor) -> None:
    rows = make_pipeline(clone(extractor), PCA(2)).fit_transform(SENTENCES, LABELS)
    assert rows.shape[1] == 2
    with pytest.raises(TypeError, match="fit_transform takes no labels"):
        Pipeline([("lm", clone(extractor)), ("pca", PCA(2))]).fit(SENTENCES, lm__labels=LABELS)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_routed_metadata_go_past_the_extractor(extractor: ActivationExtractor) -> None:
    n_rows = len(extractor.transform(SENTENCES))
    weights = np.linspace(1, 2, n_rows)
    with sklearn.config_context(enable_metadata_routing=True):
        mfa = MFA(2, 1, max_iter=3, random_state=0).set_fit_request(sample_weight=True)
        routed = make_pipeline(clone(extractor), mfa).fit(SENTENCES, sample_weight=weights)[-1]
    direct = MFA(2, 1, max_iter=3, random_state=0).fit(extractor.transform(SENTENCES), sample_weight=weights)
    np.testing.assert_array_equal(routed.means_, direct.means_)
    assert routed.source_ == extractor.transform(SENTENCES[:1]).source


# --- sites that are not reached


def test_a_site_that_is_not_reached_is_a_mistake_of_the_user() -> None:
    with pytest.raises(ValueError, match=r"never reached \['blocks.1.x'\]: choose another site"):
        _forward(lambda *_, **__: None, None, None, ["blocks.1.x"], {})


def test_a_site_without_a_row_per_token_is_one_too() -> None:
    with pytest.raises(ValueError, match="no row per token in this architecture, choose another"):
        _check_shape(np.zeros((2, 3)), (2, 3), "blocks.1.x")


# --- functions as keep


def starts_with(token: str, start: str) -> bool:
    return token.startswith(start)


class Ending:
    """An object that is called."""

    def __init__(self, end: str) -> None:
        self.end = end

    def __call__(self, token: str) -> bool:
        return token.endswith(self.end)


OTHERS = {
    "lambdas": (lambda token: token == " bank", lambda token: token == "."),
    "partials": (functools.partial(starts_with, start=" b"), functools.partial(starts_with, start=" r")),
    "objects": (Ending("n"), Ending("s")),
    "methods": (" bank.".__contains__, " river".__contains__),
    "one that fails on some": (lambda token: token[1] == "b", lambda token: token[1:2] == "b"),
}


@pytest.mark.parametrize(("first", "second"), OTHERS.values(), ids=OTHERS.keys())
def test_functions_that_keep_other_tokens_are_other_runs(
    extractor: ActivationExtractor, tmp_path: Path, first: Any, second: Any
) -> None:
    tokenizer = load_tokenizer(extractor.model)
    assert keep_digest(tokenizer, first) != keep_digest(tokenizer, second)
    keeper = clone(extractor)
    keeper.keep = Ending(".") if first is OTHERS["one that fails on some"][0] else first
    keeper.extract_to(tmp_path / "store", SENTENCES, shard_size=3)
    keeper.keep = second
    with pytest.raises(ValueError, match="holds activations of other texts, labels or parameters"):
        keeper.extract_to(tmp_path / "store", SENTENCES, shard_size=3)


def test_functions_that_keep_the_same_are_the_same_run(
    extractor: ActivationExtractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = clone(extractor).set_params(keep=lambda token: token[-1:] == ".")
    store = keeper.extract_to(tmp_path / "store", SENTENCES, shard_size=3)
    monkeypatch.setattr(extractor_module, "load_model", lambda *_: pytest.fail("loaded a model"))
    again = clone(extractor).set_params(keep=Ending(".")).extract_to(tmp_path / "store", SENTENCES, shard_size=3)
    assert again.n_rows == store.n_rows > 0


def test_the_digest_is_the_same_in_another_process(extractor: ActivationExtractor) -> None:
    code = (
        "from mfa_sklearn.activations._language_model import load_tokenizer\n"
        "from mfa_sklearn.activations._tokenize import keep_digest\n"
        f"print(keep_digest(load_tokenizer({str(extractor.model)!r}), lambda token: token.startswith(' b')))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert other == keep_digest(load_tokenizer(extractor.model), functools.partial(starts_with, start=" b"))
