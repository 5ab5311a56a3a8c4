"""A plain model gives the rows, tokens, logits and texts of a bridge of the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lm_fixtures import (
    ENCODERS,
    SENTENCES,
    hidden_rows,
    make_tokenizer,
    save_tiny_encoder,
    save_tiny_experts,
    save_tiny_model,
    save_tiny_translator,
)
from plain_cases import tiny_model
from sklearn.base import clone

from mfa_sklearn import ActivationExtractor, datasets
from mfa_sklearn._base.origin import differences
from mfa_sklearn.activations import PlainModel, load_model
from mfa_sklearn.activations._plain_model import with_stand_ins

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
POST = "blocks.1.hook_resid_post"


@pytest.fixture(scope="module")
def both(models: dict[str, Path]) -> dict[str, tuple[Any, Any]]:
    """Each small model as a bridge and as a plain one."""
    return {
        name: tuple(load_model(path, "cpu", backend=backend) for backend in ("transformer_lens", "transformers"))
        for name, path in models.items()
    }


def extracted(directory: Path, **options: Any) -> tuple[Any, Any]:
    """Rows of both backends."""
    extractor = ActivationExtractor(directory, device="cpu", batch_size=4, **options)
    return extractor.transform(SENTENCES), clone(extractor).set_params(backend="transformers").transform(SENTENCES)


# --- rows


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("site", ["residual", "mlp"])
def test_rows_and_tokens_are_those_of_a_bridge(models: dict[str, Path], architecture: str, site: str) -> None:
    theirs, mine = extracted(models[architecture], layer=[0, 2], site=site)
    np.testing.assert_allclose(np.asarray(mine), np.asarray(theirs), **CLOSE)
    for fact in ("token_ids", "tokens", "positions", "text_index", "starts", "ends"):
        assert getattr(mine, fact).tolist() == getattr(theirs, fact).tolist()
    assert mine.source == theirs.source and not differences(mine.source, theirs.source)


def test_rows_are_the_hidden_states_of_transformers(models: dict[str, Path]) -> None:
    X = ActivationExtractor(models["llama"], layer=1, device="cpu", backend="transformers").transform(SENTENCES)
    for number, text in enumerate(SENTENCES):
        states, ids = hidden_rows(models["llama"], text, layer=1)
        assert X[X.text_index == number].token_ids.tolist() == ids[1:]
        np.testing.assert_allclose(np.asarray(X[X.text_index == number]), states[1:], **CLOSE)


@pytest.mark.parametrize("architecture", ENCODERS)
@pytest.mark.filterwarnings("ignore:2 of 6 texts had more")
def test_rows_of_encoders(tmp_path: Path, architecture: str) -> None:
    theirs, mine = extracted(save_tiny_encoder(tmp_path / architecture, architecture), layer=1, include_special=True)
    np.testing.assert_allclose(np.asarray(mine), np.asarray(theirs), **CLOSE)
    assert mine.token_ids.tolist() == theirs.token_ids.tolist()


def test_rows_of_experts(tmp_path: Path) -> None:
    path = save_tiny_experts(tmp_path / "mixtral")
    theirs, mine = extracted(path, layer=1, site="mlp_out")
    np.testing.assert_allclose(np.asarray(mine), np.asarray(theirs), **CLOSE)
    with pytest.raises(ValueError, match="site='mlp' is refused for a mixture of experts"):
        ActivationExtractor(path, layer=1, site="mlp", device="cpu", backend="transformers").transform(SENTENCES)


def test_rows_of_the_embedded_model() -> None:
    texts = datasets.load_concepts().texts[:20]
    extractor = ActivationExtractor("tiny_lm", layer=[1, 3], device="cpu")
    theirs, mine = extractor.transform(texts), clone(extractor).set_params(backend="transformers").transform(texts)
    # Some numbers of a row are a thousand times as large as others, so rounding is counted in rows.
    distance = np.linalg.norm(np.asarray(mine) - np.asarray(theirs), axis=1)
    assert (distance <= 1e-5 * np.linalg.norm(np.asarray(theirs), axis=1)).all()
    assert mine.source == theirs.source


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_precisions(models: dict[str, Path], dtype: str) -> None:
    theirs, mine = extracted(models["llama"], layer=1, dtype=dtype)
    rtol = {"bfloat16": 2e-2, "float16": 2e-3, "float64": 1e-6}[dtype]
    assert np.linalg.norm(np.asarray(mine) - np.asarray(theirs)) <= rtol * np.linalg.norm(np.asarray(theirs))
    assert mine.dtype == theirs.dtype


def test_rows_of_a_model_with_capped_attention(tmp_path: Path) -> None:
    tiny_model("gemma2", vocab_size=384).float().save_pretrained(tmp_path / "gemma2")
    make_tokenizer("llama").save_pretrained(tmp_path / "gemma2")
    theirs, mine = extracted(tmp_path / "gemma2", layer=[0, 1])
    np.testing.assert_allclose(np.asarray(mine), np.asarray(theirs), **CLOSE)


def test_a_model_without_a_beginning_token_begins_with_its_end(tmp_path: Path) -> None:
    """As TransformerLens has it where an architecture's texts begin with a token that the tokenizer lacks."""
    path = save_tiny_model(tmp_path / "llama", "llama")
    tokenizer = make_tokenizer("qwen2")
    tokenizer.save_pretrained(path)
    theirs, mine = extracted(path, layer=1, include_special=True)
    assert mine.token_ids.tolist() == theirs.token_ids.tolist()
    assert mine.token_ids[0] == tokenizer.eos_token_id


def test_stand_ins_leave_the_users_tokenizer_alone() -> None:
    tokenizer = make_tokenizer("qwen2")
    filled = with_stand_ins(tokenizer)
    assert (filled.bos_token, filled.pad_token) == ("<|im_end|>", "<|endoftext|>")
    assert tokenizer.bos_token is None
    whole = make_tokenizer("gpt2")
    assert with_stand_ins(whole) is whole and with_stand_ins(None) is None


# --- loading


def test_what_was_loaded_is_in_evaluation_mode_and_says_what_it_is(models: dict[str, Path]) -> None:
    model = load_model(models["llama"], "cpu", "bfloat16", backend="transformers")
    assert isinstance(model, PlainModel) and not model.original_model.training
    assert next(model.parameters()).dtype == torch.bfloat16
    assert model.mfa_source == load_model(models["llama"], "cpu", "bfloat16").mfa_source
    assert repr(model).startswith("PlainModel(LlamaForCausalLM, ")


def test_processing_is_the_bridges_alone(models: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match=r"processing='compatibility' is TransformerLens' own.*processing='raw', or"):
        load_model(models["llama"], "cpu", processing="compatibility", backend="transformers")
    extractor = ActivationExtractor(models["llama"], layer=1, processing="compatibility", backend="transformers")
    with pytest.raises(ValueError, match="TransformerLens' own"):
        extractor.fit(SENTENCES)


def test_other_backends_are_refused(models: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match=r"backend='nnsight' is unknown; choose one of 'transformer_lens', 'trans"):
        load_model(models["llama"], "cpu", backend="nnsight")
    with pytest.raises(ValueError, match="backend=None"):
        ActivationExtractor(models["llama"], layer=1, backend=None).fit(SENTENCES)  # type: ignore[arg-type]


def test_what_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="sequence-to-sequence model"):
        load_model(save_tiny_translator(tmp_path / "t5"), "cpu", backend="transformers")
    with pytest.raises(TypeError, match="model is a Linear, and no model of transformers"):
        PlainModel(torch.nn.Linear(2, 2))  # type: ignore[arg-type]


def test_an_extractor_loads_anew_for_another_backend(models: dict[str, Path]) -> None:
    extractor = ActivationExtractor(models["llama"], layer=1, device="cpu")
    assert not isinstance(extractor.load(), PlainModel)
    plain = extractor.set_params(backend="transformers").load()
    assert isinstance(plain, PlainModel) and extractor.load() is plain


def test_a_store_goes_on_with_another_backend(models: dict[str, Path], tmp_path: Path) -> None:
    extractor = ActivationExtractor(models["llama"], layer=1, device="cpu")
    first = extractor.extract_to(tmp_path / "store", SENTENCES, dtype="float32").load()
    again = (
        clone(extractor).set_params(backend="transformers").extract_to(tmp_path / "store", SENTENCES, dtype="float32")
    )
    np.testing.assert_array_equal(np.asarray(again.load()), np.asarray(first))


def test_a_directory_without_a_tokenizer_reads_ids_alone(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    path = save_tiny_model(tmp_path / "llama", "llama")
    ids = load_model(path, "cpu", backend="transformers").to_tokens("The cat")
    for file in path.glob("*token*"):
        file.unlink()
    hf_model = AutoModelForCausalLM.from_pretrained(path)
    with pytest.raises(ValueError, match="tokenizer"):
        PlainModel(hf_model).to_tokens("The cat")
    plain = PlainModel(hf_model, make_tokenizer("llama"))
    assert plain.to_tokens("The cat").tolist() == ids.tolist()


# --- hooks


def test_hooks_read_replace_and_come_off(both: dict[str, tuple[Any, Any]]) -> None:
    _, model = both["llama"]
    ids, seen = torch.tensor([[1, 5, 6]]), []

    def note(activation: torch.Tensor, hook: Any) -> None:
        seen.append((hook.name, float(activation.sum())))

    def grow(activation: torch.Tensor, hook: Any) -> torch.Tensor:
        return activation + 1

    with torch.no_grad():
        before = model(ids)
        with model.hooks(fwd_hooks=[(POST, note), (POST, grow), (POST, note), ("blocks.2.hook_resid_pre", note)]):
            changed = model(ids)
        assert torch.equal(model(ids), before) and not torch.allclose(changed, before)
    assert [name for name, _ in seen] == [POST, POST, "blocks.2.hook_resid_pre"]
    assert seen[1][1] == pytest.approx(seen[0][1] + 3 * 32, rel=1e-4) and seen[2][1] == seen[1][1]


def test_hooks_come_off_whatever_happens(both: dict[str, tuple[Any, Any]]) -> None:
    _, model = both["llama"]

    def fail(activation: torch.Tensor, hook: Any) -> None:
        raise ArithmeticError

    with pytest.raises(ArithmeticError), model.hooks(fwd_hooks=[(POST, fail)]):
        model(torch.tensor([[1, 5, 6]]))
    with (
        pytest.raises(KeyError, match="no known hook point 'blocks"),
        model.hooks(fwd_hooks=[(POST, fail), ("blocks.9.hook_resid_post", fail)]),
    ):
        pytest.fail("entered")
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.original_model.modules())


def test_the_end_of_a_pass_may_be_cut_off(both: dict[str, tuple[Any, Any]]) -> None:
    """As extraction does it; the next pass is whole again."""
    _, model = both["qwen2"]
    ids, ran = torch.tensor([[3, 5, 6]]), []
    handle = model.original_model.model.layers[2].register_forward_hook(lambda *_: ran.append(1))
    try:
        with torch.no_grad():
            before = model(ids)
            list(run_once(model, ids))
            assert len(ran) == 1
            assert torch.equal(model(ids), before)
    finally:
        handle.remove()


def run_once(model: Any, ids: torch.Tensor) -> Any:
    from mfa_sklearn.activations._forward import run_batches

    return run_batches(model, [row.numpy() for row in ids], [POST], 4)


# --- passes


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "qwen2"])
def test_logits_are_those_of_a_bridge_padded_on_either_side(
    both: dict[str, tuple[Any, Any]], architecture: str
) -> None:
    bridge, plain = both[architecture]
    alone = torch.tensor([[9, 12, 30]])
    with torch.no_grad():
        expected = plain(alone)
        torch.testing.assert_close(expected, bridge(alone), **CLOSE)
        for ids, mask, place in (
            ([9, 12, 30, 0, 0], [1, 1, 1, 0, 0], slice(0, 3)),
            ([0, 0, 9, 12, 30], [0, 0, 1, 1, 1], slice(2, 5)),
        ):
            batch = torch.tensor([ids, [5, 6, 7, 8, 10]])
            logits = plain(batch, attention_mask=torch.tensor([mask, [1] * 5]))
            torch.testing.assert_close(logits[:1, place], expected, **CLOSE)


def test_strings_are_read_as_texts(both: dict[str, tuple[Any, Any]]) -> None:
    bridge, plain = both["llama"]
    assert plain.to_tokens("The cat").tolist() == bridge.to_tokens("The cat").tolist()
    assert plain.to_tokens("The cat", prepend_bos=False).shape[1] == bridge.to_tokens("The cat").shape[1] - 1
    with torch.no_grad():
        torch.testing.assert_close(plain("The cat"), bridge("The cat"), **CLOSE)
        several = plain(["The cat sat", "The"])
        torch.testing.assert_close(several[1:, :2], plain("The"), **CLOSE)
        assert plain("The", return_type=None) is None
    with pytest.raises(ValueError, match="leave truncate out"):
        plain.to_tokens("The cat", truncate=True)


def test_a_cache_goes_on(both: dict[str, tuple[Any, Any]]) -> None:
    _, plain = both["gpt2"]
    ids = torch.tensor([[9, 12, 30, 31]])
    with torch.no_grad():
        whole = plain(ids)
        first, cache = plain(ids[:, :3], return_type="logits_and_cache", use_past_kv_cache=True)
        last, _ = plain(ids[:, 3:], return_type="logits_and_cache", past_key_values=cache)
    torch.testing.assert_close(torch.cat([first, last], 1), whole, **CLOSE)


def test_a_model_without_a_head_says_so(models: dict[str, Path]) -> None:
    from transformers import AutoModel

    plain = PlainModel(AutoModel.from_pretrained(models["llama"]))
    assert POST in plain.hook_dict
    with pytest.raises(ValueError, match="LlamaModel has no head that gives logits: load it with AutoModelForCausalLM"):
        plain(torch.tensor([[1, 2]]))


# --- generation


def drawn(model: Any, ids: torch.Tensor, **options: Any) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        more = {} if isinstance(model, PlainModel) else {"verbose": False}
        return model.generate(ids, max_new_tokens=6, **options, **more)


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "qwen2"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.7, "top_k": 5},
        {"top_p": 0.8},
        {"do_sample": False},
        {"temperature": 0.0},
        {"do_sample": False, "repetition_penalty": 1.5},
        {"do_sample": False, "use_past_kv_cache": False},
        {"do_sample": False, "stop_at_eos": False},
    ],
    ids=str,
)
def test_texts_are_those_of_a_bridge(both: dict[str, tuple[Any, Any]], architecture: str, options: Any) -> None:
    """Both draw from the same distributions with the same generator, so that the draws are the same."""
    bridge, plain = both[architecture]
    ids, mask = torch.tensor([[0, 0, 9, 12], [5, 6, 7, 8]]), torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    theirs = drawn(bridge, ids, attention_mask=mask, **options)
    assert drawn(plain, ids, attention_mask=mask, **options).tolist() == theirs.tolist()


def test_a_text_ends_as_a_bridges_does(both: dict[str, tuple[Any, Any]]) -> None:
    bridge, plain = both["llama"]
    ids = torch.tensor([[1, 9, 12, 40], [1, 6, 7, 8]])
    free = drawn(plain, ids, do_sample=False)
    end = int(free[0, 5])
    theirs = drawn(bridge, ids, do_sample=False, eos_token_id=end)
    assert drawn(plain, ids, do_sample=False, eos_token_id=end).tolist() == theirs.tolist()
    assert theirs[0, 5:].tolist() == [end] * (theirs.shape[1] - 5)


@pytest.mark.parametrize(("cached", "widths"), [(True, [3, 1, 1, 1]), (False, [3, 4, 5, 6])])
def test_hooks_fire_once_in_a_pass(both: dict[str, tuple[Any, Any]], cached: bool, widths: list[int]) -> None:
    for model in both["llama"]:
        seen: list[int] = []
        with model.hooks(fwd_hooks=[(POST, lambda activation, hook, seen=seen: seen.append(activation.shape[1]))]):
            model.generate(torch.tensor([[1, 5, 6]]), max_new_tokens=4, stop_at_eos=False, use_past_kv_cache=cached)
        assert seen == widths


@pytest.mark.parametrize("sampled", [False, True])
def test_beams_are_those_of_transformers(both: dict[str, tuple[Any, Any]], sampled: bool) -> None:
    _, plain = both["qwen2"]
    ids = torch.tensor([[9, 12, 30], [5, 6, 7]])
    mine = drawn(plain, ids, num_beams=3, do_sample=sampled, length_penalty=0.5)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = plain.original_model.generate(
            ids, max_new_tokens=6, num_beams=3, do_sample=sampled, length_penalty=0.5, top_k=0, pad_token_id=0
        )
    assert mine.tolist() == theirs.tolist()
    with pytest.raises(ValueError, match="num_beams=0 must be at least 1"):
        plain.generate(ids, num_beams=0)


def test_what_a_model_recommends_is_left_out(both: dict[str, tuple[Any, Any]]) -> None:
    bridge, plain = both["gpt2"]
    ids, own = torch.tensor([[9, 12, 30]]), plain.original_model.generation_config
    expected = drawn(plain, ids)
    kept = {name: getattr(own, name) for name in ("temperature", "top_k", "do_sample", "num_beams", "eos_token_id")}
    try:
        own.temperature, own.top_k, own.do_sample, own.num_beams = 0.1, 1, False, 4
        own.eos_token_id = int(expected[0, 3])
        assert drawn(plain, ids).tolist() == expected.tolist()
        assert drawn(plain, ids, stop_at_eos=False).tolist() == drawn(bridge, ids, stop_at_eos=False).tolist()
    finally:
        for name, value in kept.items():
            setattr(own, name, value)


def test_strings_are_written_on(both: dict[str, tuple[Any, Any]]) -> None:
    bridge, plain = both["llama"]
    assert drawn(plain, "The cat", do_sample=False) == drawn(bridge, "The cat", do_sample=False)  # type: ignore[arg-type]
    several = drawn(plain, ["The cat sat on", "The"], do_sample=False)  # type: ignore[arg-type]
    assert several == [drawn(plain, text, do_sample=False) for text in ("The cat sat on", "The")]  # type: ignore[arg-type]
    ids = drawn(plain, "The", do_sample=False, return_type="tokens")  # type: ignore[arg-type]
    assert ids.shape == (1, 2 + 6)
