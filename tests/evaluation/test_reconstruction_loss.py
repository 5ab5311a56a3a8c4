"""Losses with reconstructions in place, beside transformers' own model with a hook by hand."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lm_fixtures import SENTENCES, save_tiny_encoder
from loss_cases import LAYER, Plain
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA, TruncatedSVD

from mfa_sklearn import MFA, ActivationExtractor, KMeansInitializer, MFASteerer, TokenSelection, datasets
from mfa_sklearn.activations import load_model
from mfa_sklearn.evaluation import SparseCoder, as_candidate, reconstruction_loss


def bend(rows: np.ndarray) -> np.ndarray:
    return 0.6 * rows + 0.3


@pytest.fixture(scope="module", params=["gpt2", "llama", "qwen2", "bert", "roberta"])
def plain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Plain:
    return Plain(tmp_path_factory.mktemp("losses"), request.param)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Plain:
    return Plain(tmp_path_factory.mktemp("llama"), "llama")


@pytest.fixture(scope="module")
def embedded() -> tuple[Any, list[str], Any]:
    """The embedded model, texts, and rows of other texts."""
    texts = datasets.load_concepts().texts
    extractor = ActivationExtractor(datasets.tiny_lm(), layer=1, device="cpu")
    return extractor.load(), texts[1:601:60], extractor.fit_transform(texts[:600:12])


@pytest.mark.parametrize("every_row", [False, True], ids=["rows of the extractor", "every row"])
def test_losses_are_those_of_a_model_changed_by_hand(plain: Plain, every_row: bool) -> None:
    mean = np.concatenate([plain.rows(text) for text in plain.texts]).mean(axis=0, dtype=np.float64)
    given = mean if every_row else None
    every = TokenSelection(special=True) if every_row else None
    found = reconstruction_loss(
        plain.bridge, {"bent": bend}, plain.texts, plain.layer, mean=given, select=every, batch_size=4
    )
    functions = {
        "original": lambda rows: rows,
        "zero": np.zeros_like,
        "mean": lambda rows: np.tile(mean, (len(rows), 1)),
        "bent": bend,
    }
    assert found.names == tuple(functions)
    for number, function in enumerate(functions.values()):
        expected = [plain.losses(text, function, every_row) for text in plain.texts]
        assert found.n_tokens.tolist() == [loss.n_tokens for loss in expected]
        assert_allclose(found.cross_entropy[number], [loss.cross_entropy for loss in expected], rtol=1e-4)
        assert_allclose(found.kl[number], [loss.kl for loss in expected], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "choice",
    [{}, {"select": TokenSelection(special=True)}, {"select": {"."}}, {"max_norm_ratio": 1.2}, {"prepend_bos": False}],
    ids=str,
)
@pytest.mark.parametrize("site", ["residual", "residual_pre", "mlp", "mlp_out", "attn_out"])
def test_rows_are_those_of_the_extractor(llama: Plain, site: str, choice: dict[str, Any]) -> None:
    seen = []
    found = reconstruction_loss(
        llama.bridge, {"same": lambda rows: seen.append(rows) or rows}, SENTENCES, LAYER, site, batch_size=1, **choice
    )
    expected = ActivationExtractor(llama.path, LAYER, site=site, device="cpu", batch_size=1, **choice)
    X = expected.fit_transform(SENTENCES)
    assert found.n_replaced.tolist() == np.bincount(X.text_index, minlength=len(SENTENCES)).tolist()
    order = np.argsort([-len(llama.tokenizer(text)["input_ids"]) for text in SENTENCES], kind="stable")
    rows = np.concatenate([np.asarray(X)[X.text_index == text] for text in order])
    assert_allclose(np.concatenate(seen[1:]), rows, atol=1e-5)  # the first are a trial's


def test_the_same_rows_leave_the_model_as_it_is(embedded: Any) -> None:
    model, texts, _ = embedded
    found = reconstruction_loss(model, {"same": lambda rows: rows}, texts, layer=1)
    assert_array_equal(found.cross_entropy[3], found.cross_entropy[0])
    assert found.kl[3].tolist() == found.kl[0].tolist() == [0] * len(texts)
    assert [found.measure("same", f"recovered_{ablation}") for ablation in ("zero", "mean")] == [1, 1]


@pytest.mark.parametrize("given", [True, False])
def test_the_mean_recovers_nothing(embedded: Any, given: bool) -> None:
    model, texts, X = embedded
    held_out = ActivationExtractor(datasets.tiny_lm(), layer=1, device="cpu").fit_transform(texts)
    rows = X if given else held_out
    mean = np.asarray(rows).mean(axis=0, dtype=np.float64)
    found = reconstruction_loss(
        model, {"mean row": lambda rows: np.tile(mean, (len(rows), 1))}, texts, 1, mean=rows if given else None
    )
    assert_allclose(found.measure("mean row", "recovered_mean"), 0, atol=1e-6)
    assert_allclose(found.cross_entropy[3], found.cross_entropy[2], rtol=1e-5)
    assert found.measure("zero", "recovered_zero") == 0


def test_a_mean_row_is_taken_as_rows_of_that_mean_are(embedded: Any) -> None:
    model, texts, X = embedded
    one, many = (
        reconstruction_loss(model, {"same": lambda rows: rows}, texts[:3], 1, mean=mean)
        for mean in (torch.from_numpy(np.asarray(X, dtype=np.float64).mean(0)), X)
    )
    assert_allclose(one.cross_entropy, many.cross_entropy, rtol=1e-12)


def test_candidates_stand_for_the_rows_that_they_reconstruct(embedded: Any) -> None:
    model, texts, X = embedded
    pca, svd, kmeans = PCA(5).fit(X), TruncatedSVD(5).fit(X), KMeans(6, n_init=1, random_state=0).fit(X)
    mfa, ours = MFA(6, 2, tol=1e-1, random_state=0).fit(X), KMeansInitializer(6, random_state=0).fit(X)
    directions = torch.from_numpy(pca.components_)
    coder = SparseCoder(lambda rows: rows @ directions.T, lambda code: code @ directions).fit(X)
    candidates = {"pca": pca, "svd": svd, "k-means": kmeans, "mfa": mfa, "ours": ours, "coder": coder}
    functions = {
        "pca": lambda rows: pca.inverse_transform(pca.transform(rows)),
        "svd": lambda rows: svd.inverse_transform(svd.transform(rows)),
        "k-means": lambda rows: kmeans.cluster_centers_[kmeans.predict(rows)],
        "mfa": mfa.reconstruct,
        "ours": lambda rows: ours.cluster_centers_[ours.predict(rows)],
        "coder": lambda rows: rows @ pca.components_.T @ pca.components_,
    }
    found = reconstruction_loss(model, candidates, texts)  # the layer is where the mixture was fitted
    expected = reconstruction_loss(model, functions, texts, 1)
    assert found.names == expected.names and found.hook_name == "blocks.1.hook_resid_post"
    assert_allclose(found.cross_entropy, expected.cross_entropy, rtol=1e-4)
    assert_allclose(found.kl, expected.kl, rtol=1e-3)
    again = reconstruction_loss(model, {"mfa": as_candidate(mfa)}, texts)
    assert_array_equal(again.cross_entropy[3], found.cross_entropy[found.names.index("mfa")])


def test_batches_and_padding_change_nothing(llama: Plain) -> None:
    one, all_ = (reconstruction_loss(llama.bridge, {"bent": bend}, SENTENCES, 1, batch_size=n) for n in (1, 32))
    assert_allclose(one.cross_entropy, all_.cross_entropy, rtol=1e-4)
    assert_allclose(one.kl, all_.kl, rtol=1e-3, atol=1e-5)


def test_the_last_layer_of_an_encoder_has_nothing_to_recover(tmp_path: Path) -> None:
    model = load_model(save_tiny_encoder(tmp_path, "bert"), device="cpu")
    found = reconstruction_loss(model, {"bent": bend}, ["The cat"], layer=1)
    assert_array_equal(found.cross_entropy[1:], np.tile(found.cross_entropy[:1], (3, 1)))
    assert np.isnan(found.measure("bent", "recovered_zero"))


def test_an_encoder_without_a_head_is_refused(tmp_path: Path) -> None:
    model = load_model(save_tiny_encoder(tmp_path, "bert"), device="cpu")
    model.original_model.config.architectures = ["BertModel"]
    with pytest.raises(ValueError, match="saved as BertModel, without a head"):
        reconstruction_loss(model, {"bent": bend}, ["The cat"], layer=0)


def test_a_model_of_lower_precision_keeps_its_own(tmp_path: Path) -> None:
    path = Plain(tmp_path, "llama").path
    seen = []
    for dtype in ("bfloat16", "float64"):
        model = load_model(path, device="cpu", dtype=dtype)
        found = reconstruction_loss(model, {"same": lambda rows: seen.append(rows.dtype) or rows}, SENTENCES, 1)
        assert_array_equal(found.cross_entropy[3], found.cross_entropy[0])
    assert {str(dtype) for dtype in seen} == {"float32", "float64"}


def test_what_the_caller_has_set_in_torch_changes_nothing(llama: Plain) -> None:
    expected = reconstruction_loss(llama.bridge, {"bent": bend}, SENTENCES, 1)
    llama.bridge.original_model.train()
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.inference_mode():
        found = reconstruction_loss(llama.bridge, {"bent": bend}, SENTENCES, 1)
    assert llama.bridge.original_model.training
    llama.bridge.original_model.eval()
    assert_array_equal(found.cross_entropy, expected.cross_entropy)


def test_passes_of_another_thread_are_left_alone(llama: Plain) -> None:
    expected = reconstruction_loss(llama.bridge, {"bent": bend}, SENTENCES, 1)
    ids = torch.tensor([[5, 6, 7]])

    def meanwhile(rows: np.ndarray) -> np.ndarray:
        thread = threading.Thread(target=llama.bridge, args=(ids,))
        thread.start()
        thread.join()
        return bend(rows)

    found = reconstruction_loss(llama.bridge, {"bent": meanwhile}, SENTENCES, 1)
    assert_array_equal(found.cross_entropy, expected.cross_entropy)


def test_hooks_come_off_after_an_error(llama: Plain) -> None:
    def fail(rows: np.ndarray) -> np.ndarray:
        raise KeyError("mine")

    ids = torch.tensor([[5, 6, 7]])
    before = llama.bridge(ids)
    with pytest.raises(KeyError, match="mine"):
        reconstruction_loss(llama.bridge, {"failing": fail}, SENTENCES, 1)
    assert torch.equal(llama.bridge(ids), before)


def test_a_steered_model_is_told(embedded: Any) -> None:
    model, texts, X = embedded
    steerer = MFASteerer(model, MFA(3, 1, tol=1e-1, random_state=0).fit(X))
    with steerer.steer(component=0, alpha=0.5), pytest.warns(UserWarning, match="'original' is the steered model"):
        reconstruction_loss(model, {"same": lambda rows: rows}, texts[:2], 1)


def test_texts_that_are_cut_are_told(llama: Plain) -> None:
    with pytest.warns(UserWarning, match="were cut"):
        found = reconstruction_loss(llama.bridge, {"bent": bend}, SENTENCES, 1, max_length=5)
    assert found.n_tokens.max() == 4


def narrow(name: str) -> Any:
    rng = np.random.default_rng(0)
    return {"PCA": PCA(2), "KMeans": KMeans(2, n_init=1)}[name].fit(rng.normal(size=(9, 31)))


REFUSED = [
    ({}, ValueError, "candidates is empty"),
    ({"zero": bend}, ValueError, "no candidate can be named 'zero'"),
    ({3: bend}, ValueError, "no candidate can be named 3"),
    (bend, TypeError, "candidates must be a dict of name to candidate, got function"),
    ({"a": 5}, TypeError, "no fitted estimator"),
    ({"a": lambda rows: None}, ValueError, "'a' cannot reconstruct rows"),
    ({"a": lambda rows: rows[:, 1:]}, ValueError, r"'a' made float32 of shape \(\d+, 31\) of rows of shape"),
    ({"a": lambda rows: rows + np.nan}, ValueError, "'a' reconstructs rows as NaN"),
    ({"a": narrow("PCA")}, ValueError, "candidate 'a' has 31 features"),
    ({"a": narrow("KMeans")}, ValueError, "candidate 'a' has 31 features"),
]


@pytest.mark.parametrize(("candidates", "error", "match"), REFUSED)
def test_candidates_that_are_none_are_refused(
    llama: Plain, candidates: Any, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        reconstruction_loss(llama.bridge, candidates, SENTENCES, 1)


BAD = [
    ({"layer": None}, ValueError, "give layer=: no candidate does"),
    ({"layer": 9}, ValueError, "layer 9 is out of range"),
    ({"site": "mlp_in"}, ValueError, "site='mlp_in' is unknown"),
    ({"batch_size": 0}, ValueError, "batch_size=0"),
    ({"max_length": 1000}, ValueError, "beyond the model's context"),
    ({"max_norm_ratio": 0.5}, ValueError, "max_norm_ratio must be a number above 1"),
    ({"select": "."}, ValueError, "select='.' is unknown"),
    ({"select": set()}, ValueError, "select is empty"),
    ({"select": {"zebra"}}, ValueError, "chooses no token of the 6 texts"),
    ({"select": "generated"}, ValueError, "chooses generated tokens"),
    ({"check_source": "no"}, TypeError, "check_source='no'"),
    ({"mean": np.ones(31)}, ValueError, "mean has 31 features"),
    ({"mean": np.ones((0, 32))}, ValueError, r"mean must be a row \(D,\) or rows"),
    ({"mean": np.full(32, np.inf)}, ValueError, "mean holds NaN"),
    ({"texts": "The cat"}, TypeError, "texts must be a list of strings"),
    ({"texts": ["a"], "prepend_bos": False}, ValueError, "nothing to predict"),
]


@pytest.mark.parametrize(("changed", "error", "match"), BAD)
def test_parameters_out_of_range_are_refused(
    llama: Plain, changed: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        reconstruction_loss(llama.bridge, **{"candidates": {"bent": bend}, "texts": SENTENCES, "layer": 1} | changed)


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(TypeError, match="which has no hooks: load it first"):
        reconstruction_loss("gpt2", {"bent": bend}, SENTENCES, 1)


def test_candidates_fitted_elsewhere_are_refused_unless_told(embedded: Any) -> None:
    model, texts, X = embedded
    mfa = MFA(3, 1, tol=1e-1, random_state=0).fit(X)
    with pytest.raises(ValueError, match="candidate 'MFA' was fitted on layer 1, but is to reconstruct 0"):
        reconstruction_loss(model, {"MFA": mfa}, texts, layer=0)
    assert reconstruction_loss(model, {"MFA": mfa}, texts, layer=0, check_source=False).hook_name.startswith("blocks.0")
