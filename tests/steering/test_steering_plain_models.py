"""Models of transformers are steered as bridges of the same weights are, also where there is no TransformerLens."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from chat_cases import CHATS, chatty
from lm_fixtures import SENTENCES, make_tokenizer, save_tiny_encoder, save_tiny_model
from steerer_cases import ALPHA, LAYER, PROMPTS, Pair, bos, make_mixture

from mfa_sklearn import MFA, ActivationExtractor, TokenSelection
from mfa_sklearn._base.sites import SITES
from mfa_sklearn.activations import PlainModel, load_model
from mfa_sklearn.evaluation import reconstruction_loss
from mfa_sklearn.steering import MFASteerer

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
MOVE: dict[str, Any] = {"component": 2, "alpha": ALPHA, "z": {0: 1.5}}


@pytest.fixture
def plain(pair: Pair) -> MFASteerer:
    """A steerer of transformers' own model."""
    return MFASteerer(pair.plain, make_mixture(), layer=LAYER)


# --- the same as a bridge


def test_steered_logits_are_those_of_a_bridge(pair: Pair, plain: MFASteerer) -> None:
    for prompts in (PROMPTS, PROMPTS[0], torch.tensor([[3, 9, 12], [5, 6, 7]])):
        for every_position in (False, True):
            mine, theirs = (
                steerer.logits(prompts, **MOVE, every_position=every_position) for steerer in (plain, pair.steerer)
            )
            real = torch.isfinite(theirs) if not every_position else slice(None)
            torch.testing.assert_close(mine[real], theirs[real], **CLOSE)
    assert not torch.allclose(plain.logits(PROMPTS, **MOVE), plain.logits(PROMPTS, alpha=0.0))


@pytest.mark.parametrize("site", [site for site in SITES if site != "residual"])
def test_every_site_is_steered_as_a_bridges(llama: Pair, site: str) -> None:
    mixture = make_mixture(128 if site == "mlp" else 32)
    mine, theirs = (
        MFASteerer(model, mixture, layer=LAYER, site=site).logits(PROMPTS, **MOVE)
        for model in (llama.plain, llama.bridge)
    )
    torch.testing.assert_close(mine, theirs, **CLOSE)


@pytest.mark.parametrize(
    "options",
    [
        {"do_sample": False},
        {"do_sample": False, "use_past_kv_cache": False},
        {"random_state": 3},
        {"random_state": 3, "temperature": 0.6, "top_k": 7},
        {"random_state": 3, "top_p": 0.7, "stop_at_eos": False},
    ],
    ids=str,
)
def test_steered_texts_are_those_of_a_bridge(pair: Pair, plain: MFASteerer, options: dict[str, Any]) -> None:
    for prompts in (PROMPTS, PROMPTS[2]):
        mine, theirs = (s.generate(prompts, **MOVE, max_new_tokens=6, **options) for s in (plain, pair.steerer))
        assert mine == theirs
    assert plain.steered_ is not None and pair.steerer.steered_ is not None
    np.testing.assert_array_equal(plain.steered_.mask, pair.steerer.steered_.mask)


def test_beams_are_steered(pair: Pair, plain: MFASteerer) -> None:
    ids = pair.tokens(PROMPTS[0])
    mine = plain.generate(ids, component=2, alpha=ALPHA, max_new_tokens=5, num_beams=3, do_sample=False)
    with pair.by_hand(lambda column: column >= bos(pair)) as model:
        theirs = model.generate(ids, max_new_tokens=5, num_beams=3, do_sample=False, use_cache=False, pad_token_id=0)
    assert torch.equal(mine, theirs)
    drawn = [plain.generate(PROMPTS, **MOVE, max_new_tokens=4, num_beams=2, random_state=seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_several_continuations_of_a_prompt_stand_side_by_side(plain_llama: MFASteerer) -> None:
    options: dict[str, Any] = {"max_new_tokens": 4, "stop_at_eos": False, "num_return_sequences": 2, "random_state": 0}
    texts = plain_llama.generate(["The cat", "Two boats"], 1, 0.6, **options)
    assert [text[:7] for text in texts] == ["The cat", "The cat", "Two boa", "Two boa"]
    assert plain_llama.steered_ is not None and plain_llama.steered_.mask[:, 1:].all()
    alone = plain_llama.generate("The cat", 1, 0.6, **options)
    assert isinstance(alone, list) and len(set(alone)) == 2
    ids = plain_llama.model.to_tokens("The cat")
    best = plain_llama.generate(ids, 1, 0.6, num_beams=2, do_sample=False, **options)
    top = plain_llama.generate(ids, 1, 0.6, num_beams=2, do_sample=False, **options | {"num_return_sequences": 1})
    assert best.shape == (2, top.shape[1]) and torch.equal(best[:1], top)


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_chats_are_read_and_steered_by_role_as_with_a_bridge(tmp_path: Path, architecture: str) -> None:
    path = chatty(tmp_path, architecture)
    users = {backend: [] for backend in ("transformer_lens", "transformers")}  # type: dict[str, list[Any]]
    for backend, found in users.items():
        extractor = ActivationExtractor(path, LAYER, backend=backend, select=TokenSelection(roles="user"))
        X = extractor.fit_transform(CHATS)
        steerer = MFASteerer(extractor.load(), make_mixture(), layer=LAYER)
        logits = steerer.logits(CHATS, **MOVE, select=TokenSelection(roles="user"))
        steering = steerer.steer(**MOVE, select=TokenSelection(roles="user"))
        text = steering.generate(CHATS[0], max_new_tokens=4, do_sample=False, stop_at_eos=False)
        found += [np.asarray(X), X.roles.tolist(), logits, text, steering.report_.mask]
    (rows, roles, logits, text, mask), other = users.values()
    assert set(roles) == {"user"} and roles == other[1] and text == other[3]
    np.testing.assert_allclose(rows, other[0], **CLOSE)
    torch.testing.assert_close(logits, other[2], **CLOSE)
    np.testing.assert_array_equal(mask, other[4])
    assert 0 < mask.sum() < mask.size


def test_reconstruction_losses_are_those_of_a_bridge(pair: Pair) -> None:
    def halved(rows: np.ndarray) -> np.ndarray:
        return rows / 2

    mine, theirs = (
        reconstruction_loss(model, {"half": halved}, SENTENCES, LAYER, batch_size=4)
        for model in (pair.plain, pair.bridge)
    )
    np.testing.assert_allclose(mine.cross_entropy, theirs.cross_entropy, rtol=1e-5)
    np.testing.assert_allclose(mine.kl, theirs.kl, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("architecture", ["bert", "roberta"])
@pytest.mark.filterwarnings("ignore:this model is an encoder")
def test_encoders_are_steered_and_do_not_write(tmp_path: Path, architecture: str) -> None:
    from transformers import AutoModelForMaskedLM

    path = save_tiny_encoder(tmp_path / architecture, architecture)
    steerer = MFASteerer(AutoModelForMaskedLM.from_pretrained(path), make_mixture(), layer=0)
    theirs = MFASteerer(load_model(path, "cpu"), make_mixture(), layer=0)
    mine = steerer.logits("The cat", **MOVE, every_position=True)
    torch.testing.assert_close(mine, theirs.logits("The cat", **MOVE, every_position=True), **CLOSE)
    with pytest.raises(ValueError, match="ForMaskedLM cannot generate: it fills gaps"):
        steerer.generate("The cat", **MOVE)
    assert steerer.steered_ is not None
    chosen = steerer.steered_.mask
    with steerer.steer(**MOVE) as steered, torch.no_grad():  # where nobody said which tokens open and close the text
        steerer.model(steerer.model.to_tokens("The cat"))
    assert chosen[0, 1:-1].all() and not chosen[0, [0, -1]].any() and steered.mask.tolist() == chosen.tolist()


# --- the model that was given


def test_a_model_of_transformers_is_wrapped_with_its_directorys_tokenizer(pair: Pair, plain: MFASteerer) -> None:
    assert isinstance(plain.model, PlainModel) and plain.model.original_model is pair.plain
    assert pair.path in repr(plain)
    ids = pair.tokens(PROMPTS[0])
    with plain.steer(**MOVE) as steered, torch.no_grad():
        inside = pair.plain(ids).logits
        written = pair.plain.generate(ids, max_new_tokens=3, do_sample=False, pad_token_id=0)
    torch.testing.assert_close(inside, plain.logits(ids, **MOVE, every_position=True), rtol=0, atol=0)
    assert steered.mask.shape == (1, written.shape[1] - 1) and steered.mask[:, bos(pair) :].all()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in pair.plain.modules())


def test_a_tokenizer_may_be_given(llama: Pair) -> None:
    tokenizer = make_tokenizer("llama")
    steerer = MFASteerer(PlainModel(llama.plain, tokenizer), make_mixture(), layer=LAYER)
    assert steerer.generate(PROMPTS[0], **MOVE, do_sample=False) == llama.steerer.generate(
        PROMPTS[0], **MOVE, do_sample=False
    )


def test_a_model_without_a_directory_reads_ids(llama: Pair) -> None:
    model = copy.deepcopy(llama.plain)
    model.config.name_or_path = ""
    steerer = MFASteerer(model, make_mixture(model="another", revision="sha256:0"), layer=LAYER)
    ids = llama.tokens(PROMPTS[0])[:, 1:]  # nothing tells that a token is the beginning of a text
    torch.testing.assert_close(steerer.logits(ids, **MOVE), llama.steerer.logits(ids, **MOVE), **CLOSE)
    assert torch.equal(
        steerer.generate(ids, **MOVE, do_sample=False), llama.steerer.generate(ids, **MOVE, do_sample=False)
    )
    with pytest.raises(ValueError, match="the model has no tokenizer: give token ids instead of strings"):
        steerer.logits(PROMPTS[0], **MOVE)


def test_a_model_in_training_is_steered_in_evaluation_mode(llama: Pair, plain_llama: MFASteerer) -> None:
    expected = plain_llama.logits(PROMPTS, **MOVE)
    llama.plain.train()
    try:
        torch.testing.assert_close(plain_llama.logits(PROMPTS, **MOVE), expected, rtol=0, atol=0)
        assert llama.plain.training
    finally:
        llama.plain.eval()


@pytest.fixture
def plain_llama(llama: Pair) -> MFASteerer:
    return MFASteerer(llama.plain, make_mixture(), layer=LAYER)


def test_options_of_generate_are_those_of_the_wrapped_model(plain_llama: MFASteerer) -> None:
    with pytest.raises(TypeError, match="generate takes no option 'num_beam': did you mean 'num_beams'"):
        plain_llama.generate(PROMPTS, **MOVE, num_beam=2)
    with pytest.raises(TypeError, match="generate takes no option 'freq_penalty'"):
        plain_llama.generate(PROMPTS, **MOVE, freq_penalty=1.0)


# --- where a mixture belongs


def test_a_mixture_steers_the_model_it_was_fitted_on_whatever_loaded_it(llama: Pair, tmp_path: Path) -> None:
    rows = {
        backend: ActivationExtractor(llama.path, layer=LAYER, device="cpu", backend=backend).fit_transform(SENTENCES)
        for backend in ("transformer_lens", "transformers")
    }
    mixtures = {backend: MFA(2, 1, random_state=0, max_iter=3, tol=0).fit(found) for backend, found in rows.items()}
    for mixture in mixtures.values():
        for model in (llama.bridge, llama.plain, load_model(llama.path, "cpu", backend="transformers")):
            assert MFASteerer(model, mixture).layer == LAYER
    other = load_model(save_tiny_model(tmp_path / "other", "llama", seed=1), "cpu", backend="transformers")
    with pytest.raises(ValueError, match="this is another model"):
        MFASteerer(other, mixtures["transformers"])


def test_what_has_no_hooks_is_told(llama: Pair) -> None:
    with pytest.raises(ValueError, match="its architecture lacks the site 'mlp'"):
        MFASteerer(unknown_mlp(llama), make_mixture(128), layer=LAYER, site="mlp")
    with pytest.raises(TypeError, match="model is a LlamaMLP, which has no hooks: give a TransformerLens model or one"):
        MFASteerer(llama.plain.model.layers[0].mlp, make_mixture(), layer=LAYER)


def unknown_mlp(pair: Pair) -> PlainModel:
    """A model of which no more is known than its layers."""
    model = PlainModel(pair.plain)
    model.hook_dict = {name: site for name, site in model.hook_dict.items() if "resid" in name}
    return model


# --- without TransformerLens

WITHOUT = """
import sys
sys.modules["transformer_lens"] = None
sys.path.insert(0, {tests!r})
from lm_fixtures import SENTENCES
from mfa_sklearn import MFA, ActivationExtractor, MFASteerer
from mfa_sklearn.activations import load_model
from mfa_sklearn.evaluation import reconstruction_loss

try:
    load_model({path!r})
except ImportError as error:
    print(error)
extractor = ActivationExtractor({path!r}, layer=1, device="cpu", backend="transformers")
mfa = MFA(2, 1, random_state=0, max_iter=3, tol=0).fit(extractor.fit_transform(SENTENCES))
steerer = MFASteerer(extractor.load(), mfa)
print(tuple(steerer.logits(["The cat", "A"], component=1, alpha=0.5).shape))
print(steerer.generate("The cat", component=1, alpha=0.5, max_new_tokens=3, random_state=0).startswith("The cat"))
print(len(steerer.logit_diff("The cat", component=1, alpha=0.5, top_k=2)))
print(reconstruction_loss(extractor.load(), {{"MFA": mfa}}, SENTENCES[:2]).names)
print([name for name in sys.modules if name.startswith("transformer_lens")])
"""


def test_everything_goes_on_without_transformer_lens(llama: Pair) -> None:
    code = WITHOUT.format(tests=str(Path(__file__).parents[1]), path=llama.path)
    result = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:mfa_sklearn", "-c", code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    lines = result.stdout.strip().splitlines()
    assert "pip install 'mfa-sklearn[lm]'. Or go on without it: backend='transformers'" in lines[0]
    vocabulary = llama.bridge.cfg.d_vocab
    assert lines[1:] == [
        f"(2, {vocabulary})",
        "True",
        "4",
        "('original', 'zero', 'mean', 'MFA')",
        "['transformer_lens']",
    ]
