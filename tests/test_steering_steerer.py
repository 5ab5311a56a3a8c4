"""Steering running models, against transformers with a hook written by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lm_fixtures import save_tiny_model

from mfa_sklearn.steering import MFASteerer

LAYER, ALPHA, D, K, Q = 1, 0.6, 32, 5, 3
PROMPTS = ["The cat sat on", "The", "Two boats, three birds"]


def make_mixture(width: int = D, **source: Any) -> SimpleNamespace:
    rng = np.random.default_rng(0)
    return SimpleNamespace(
        weights_=np.full(K, 1 / K),
        means_=rng.normal(0, 3, (K, width)),
        loadings_=rng.normal(0, 1, (K, width, Q)),
        noise_variance_=rng.uniform(0.5, 1, width),
        source_=source or None,
    )


class Pair:
    """The same small model as a bridge and as transformers has it."""

    def __init__(self, directory: Any, architecture: str) -> None:
        from transformer_lens.model_bridge import TransformerBridge
        from transformers import AutoModelForCausalLM

        path = str(save_tiny_model(directory / architecture, architecture))
        self.path, self.architecture = path, architecture
        self.bridge = TransformerBridge.boot_transformers(path, device="cpu", dtype=torch.float32)
        self.bridge.eval()
        self.plain = AutoModelForCausalLM.from_pretrained(path).eval()
        self.steerer = MFASteerer(self.bridge, make_mixture(), layer=LAYER)

    def tokens(self, prompt: str) -> torch.Tensor:
        return self.bridge.to_tokens(prompt)

    @contextmanager
    def by_hand(self, place: Callable[[int], bool], component: int = 2, alpha: float = ALPHA) -> Iterator[Any]:
        """transformers' model with the layer's output moved at the columns that `place` accepts."""
        mean = torch.as_tensor(make_mixture().means_[component], dtype=torch.float32)
        inner = self.plain.transformer.h if self.architecture == "gpt2" else self.plain.model.layers

        def hook(module: Any, args: Any, output: Any) -> Any:
            x = output[0] if isinstance(output, tuple) else output
            columns = torch.tensor([place(c) for c in range(x.shape[1])])
            moved = torch.where(columns[None, :, None], (1 - alpha) * x + alpha * mean, x)
            return (moved, *output[1:]) if isinstance(output, tuple) else moved

        handle = inner[LAYER].register_forward_hook(hook)
        try:
            yield self.plain
        finally:
            handle.remove()

    def greedy_by_hand(self, prompt: str, place: Callable[[int, int], bool], n: int) -> list[int]:
        """Greedy tokens without a cache; `place` is told the column and the prompt's length."""
        ids = self.tokens(prompt)
        n_prompt = ids.shape[1]
        with self.by_hand(lambda c: place(c, n_prompt)) as model, torch.no_grad():
            for _ in range(n):
                ids = torch.cat([ids, model(ids, use_cache=False).logits[:, -1:].argmax(-1)], dim=1)
        return ids[0].tolist()


@pytest.fixture(scope="module", params=["llama", "gpt2", "qwen2"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(tmp_path_factory.mktemp("models"), request.param)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(tmp_path_factory.mktemp("llama"), "llama")


def bos(pair: Pair) -> int:
    """How many tokens stand before the text."""
    return 0 if pair.architecture == "qwen2" else 1


# What each choice of positions means, of column c and prompt length n, for a model with `b` tokens before the text.
CHOICES: dict[str, tuple[Any, Callable[[int, int, int], bool]]] = {
    "all": ("all", lambda c, n, b: c >= b),
    "prompt": ("prompt", lambda c, n, b: b <= c < n),
    "last": ("last", lambda c, n, b: c == n - 1),
    "first": (0, lambda c, n, b: c == 0),
    "from the end": ([-2, -1], lambda c, n, b: c in (n - 2, n - 1)),
    "generated": ([9, 10], lambda c, n, b: c in (9, 10)),
}


@pytest.mark.parametrize("choice", ["all", "prompt", "last", "first", "from the end"])
def test_logits_are_those_of_the_formula_at_the_chosen_positions(pair: Pair, choice: str) -> None:
    positions, place = CHOICES[choice]
    ids = pair.tokens(PROMPTS[0])
    with pair.by_hand(lambda c: place(c, ids.shape[1], bos(pair))) as model, torch.no_grad():
        expected = model(ids).logits
    got = pair.steerer.logits(PROMPTS[0], component=2, alpha=ALPHA, positions=positions, every_position=True)
    torch.testing.assert_close(got, expected, atol=2e-5, rtol=1e-5)
    unsteered = pair.bridge(ids)
    assert (got - unsteered).abs().max() > 0.01


@pytest.mark.parametrize("use_past_kv_cache", [True, False])
@pytest.mark.parametrize("choice", list(CHOICES))
def test_generation_is_steered_at_every_token_with_and_without_cache(
    pair: Pair, choice: str, use_past_kv_cache: bool
) -> None:
    positions, place = CHOICES[choice]
    n_new, b = 8, bos(pair)
    expected = pair.greedy_by_hand(PROMPTS[0], lambda c, n: place(c, n, b), n_new)
    tokens = pair.steerer.generate(
        pair.tokens(PROMPTS[0]),
        component=2,
        alpha=ALPHA,
        positions=positions,
        max_new_tokens=n_new,
        do_sample=False,
        stop_at_eos=False,
        use_past_kv_cache=use_past_kv_cache,
    )
    assert tokens[0].tolist() == expected
    n_prompt = len(expected) - n_new
    # The last token generated is never read.
    read = [place(c, n_prompt, b) for c in range(len(expected) - 1)]
    assert pair.steerer.steered_ is not None and pair.steerer.steered_.mask.tolist() == [read]


@pytest.mark.parametrize("use_past_kv_cache", [True, False])
@pytest.mark.parametrize("positions", ["all", "prompt", "last", [-1, 7]])
def test_prompts_generated_together_are_those_generated_alone(
    pair: Pair, positions: Any, use_past_kv_cache: bool
) -> None:
    options = {"max_new_tokens": 5, "do_sample": False, "stop_at_eos": False, "use_past_kv_cache": use_past_kv_cache}
    move = {"alpha": ALPHA, "positions": positions}
    components = [2, 0, 4]
    together = pair.steerer.generate(PROMPTS, component=components, **move, **options)
    alone = [
        pair.steerer.generate(prompt, component=k, **move, **options)
        for prompt, k in zip(PROMPTS, components, strict=True)
    ]
    assert together == alone
    assert together != pair.bridge.generate(PROMPTS, verbose=False, **options)


@pytest.mark.parametrize("positions", ["all", "prompt", "last", -1])
def test_logits_of_padded_prompts_are_those_of_each_alone(pair: Pair, positions: Any) -> None:
    together = pair.steerer.logits(PROMPTS, component=[2, 0, 4], alpha=ALPHA, positions=positions)
    for row, (prompt, k) in enumerate(zip(PROMPTS, [2, 0, 4], strict=True)):
        alone = pair.steerer.logits(prompt, component=k, alpha=ALPHA, positions=positions)
        torch.testing.assert_close(together[row], alone[0], atol=2e-5, rtol=1e-5)


def test_a_text_may_end_in_the_padding_token(llama: Pair) -> None:
    assert llama.bridge.tokenizer.pad_token == "</s>"
    together = llama.steerer.logits([PROMPTS[0], "The</s>"], component=2, alpha=ALPHA)
    alone = llama.steerer.logits("The</s>", component=2, alpha=ALPHA)
    torch.testing.assert_close(together[1], alone[0], atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("positions", ["all", "last"])
def test_texts_given_to_the_model_itself_are_padded_without_a_mask(pair: Pair, positions: Any) -> None:
    """In a `with` block the model pads on its own: padding must neither count nor be taken for text."""
    with pair.steerer.steer(component=2, alpha=ALPHA, positions=positions) as steered:
        logits = pair.bridge(PROMPTS)
    for row, prompt in enumerate(PROMPTS):
        n = pair.tokens(prompt).shape[1]
        alone = pair.steerer.logits(prompt, component=2, alpha=ALPHA, positions=positions)
        torch.testing.assert_close(logits[row, n - 1], alone[0], atol=2e-5, rtol=1e-5)
        first = n - 1 if positions == "last" else bos(pair)
        assert steered.mask[row].nonzero()[0].tolist() == list(range(first, n))


def test_a_new_prompt_in_the_same_block_is_all_prompt(llama: Pair) -> None:
    first, second = llama.tokens("The cat"), llama.tokens("Two boats, three")
    with llama.steerer.steer(component=2, alpha=ALPHA, positions="prompt") as steered:
        llama.bridge.generate(first, max_new_tokens=4, stop_at_eos=False, do_sample=False, verbose=False)
        assert steered.mask.sum() == first.shape[1] - 1
        llama.bridge(second)
        assert steered.mask.tolist() == [[False] + [True] * (second.shape[1] - 1)]
        llama.bridge(second[:, :1])
        llama.bridge(second[:, :1])
        assert steered.mask.tolist() == [[False]]
        llama.bridge(second[:, :3])
        # One token longer, but not the same beginning.
        llama.bridge(torch.cat([second[:, :2], second[:, 1:3]], dim=1))
        assert steered.mask.tolist() == [[False, True, True, True]]


def test_a_first_token_that_is_the_padding_token_is_real(tmp_path: Any) -> None:
    pair = Pair(tmp_path, "gpt2")
    assert pair.bridge.tokenizer.pad_token_id == pair.bridge.tokenizer.bos_token_id
    steerer = MFASteerer(pair.bridge, make_mixture(), layer=LAYER, special_tokens=True)
    with steerer.steer(component=2, alpha=ALPHA) as steered:
        pair.bridge(["The cat", ""])
    assert steered.mask.tolist() == [[True, True, True], [True, False, False]]


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("choice", ["all", "prompt"])
def test_transformers_own_generation_is_steered_too(pair: Pair, choice: str, use_cache: bool) -> None:
    positions, place = CHOICES[choice]
    expected = pair.greedy_by_hand(PROMPTS[0], lambda c, n: place(c, n, bos(pair)), 6)
    with pair.steerer.steer(component=2, alpha=ALPHA, positions=positions):
        tokens = pair.bridge.hf_generate(
            pair.tokens(PROMPTS[0]), max_new_tokens=6, do_sample=False, stop_at_eos=False, use_cache=use_cache
        )
    assert tokens[0].tolist() == expected


def test_a_prompt_read_in_parts_keeps_its_places(llama: Pair) -> None:
    ids = llama.tokens(PROMPTS[0])
    whole = llama.steerer.logits(ids, component=2, alpha=ALPHA, positions=3)
    _, cache = llama.bridge(ids[:, :2], return_type="logits_and_cache", use_past_kv_cache=True)
    with llama.steerer.steer(component=2, alpha=ALPHA, positions=3) as steered:
        logits = llama.bridge(ids[:, 2:], past_key_values=cache)
    torch.testing.assert_close(logits[:, -1], whole, atol=2e-5, rtol=1e-5)
    assert steered.mask.tolist() == [[False, False, False, True] + [False] * (ids.shape[1] - 4)]


@pytest.mark.parametrize("move", [{"component": 2, "alpha": 0}, {"component": 1, "z": {}}, {"alpha": 0.0}])
def test_nothing_changes_to_the_bit(pair: Pair, move: dict[str, Any]) -> None:
    ids = pair.tokens(PROMPTS[0])
    with torch.no_grad():
        before = pair.bridge(ids)
    after = pair.steerer.logits(PROMPTS[0], every_position=True, **move)
    assert before.numpy().tobytes() == after.numpy().tobytes()
    options = {"max_new_tokens": 5, "do_sample": False, "stop_at_eos": False, "verbose": False}
    assert pair.steerer.generate(PROMPTS, **move, **options) == pair.bridge.generate(PROMPTS, **options)


MOVES = [{"alpha": 0.7}, {"component": 3, "z": [2.0, 0, -1]}, {"component": 3, "alpha": 0.5, "z": {1: 4}}]


@pytest.mark.parametrize("move", MOVES)
def test_each_move_reaches_the_activation(llama: Pair, move: dict[str, Any]) -> None:
    mixture, ids, name = make_mixture(), llama.tokens(PROMPTS[0]), llama.steerer.hook_name
    _, cache = llama.bridge.run_with_cache(ids, names_filter=name)
    x = cache[name][0, 1:].double().numpy()
    with llama.steerer.steer(**move):
        _, cache = llama.bridge.run_with_cache(ids, names_filter=name)
    k = move.get("component")
    from sklearn.mixture import GaussianMixture

    if k is None:
        oracle = GaussianMixture(K, covariance_type="full").fit(np.random.default_rng(0).normal(size=(50, D)))
        oracle.weights_, oracle.means_ = mixture.weights_, mixture.means_
        cov = mixture.loadings_ @ mixture.loadings_.transpose(0, 2, 1) + np.diag(mixture.noise_variance_)
        oracle.precisions_cholesky_ = np.stack([np.linalg.cholesky(np.linalg.inv(c)) for c in cov])
        target = oracle.predict_proba(x) @ mixture.means_
    else:
        target = mixture.means_[k]
    z = {"z": np.zeros(Q)} | move
    scores = np.array([z["z"].get(f, 0.0) for f in range(Q)]) if isinstance(z["z"], dict) else np.asarray(z["z"])
    expected = x + move.get("alpha", 0.0) * (target - x) + (0 if k is None else mixture.loadings_[k] @ scores)
    np.testing.assert_allclose(cache[name][0, 1:].numpy(), expected, atol=1e-4)


def n_hooks(model: Any) -> int:
    watched = len(model.original_model._forward_pre_hooks)
    return watched + sum(len(point.fwd_hooks) for point in model.hook_dict.values())


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, GeneratorExit])
def test_hooks_come_off_however_the_block_is_left(llama: Pair, error: type[BaseException]) -> None:
    before, ids = n_hooks(llama.bridge), llama.tokens("The cat")
    clean = llama.bridge(ids)
    with pytest.raises(error), llama.steerer.steer(component=1, alpha=1.0):
        assert n_hooks(llama.bridge) > before
        llama.bridge(ids)
        raise error
    assert n_hooks(llama.bridge) == before
    assert torch.equal(llama.bridge(ids), clean)


def test_hooks_come_off_when_the_model_fails(llama: Pair) -> None:
    before = n_hooks(llama.bridge)
    with pytest.raises(ValueError, match="2 components were given for a batch of 1"):
        llama.steerer.logits("The cat", component=[1, 2], alpha=1.0)
    with pytest.raises(ValueError, match="position -4 lies before"), llama.steerer.steer(1, 1.0, positions=-4):
        llama.bridge(llama.tokens("The cat"))
    assert n_hooks(llama.bridge) == before


def test_hooks_of_others_stay(llama: Pair) -> None:
    seen: list[int] = []
    with llama.bridge.hooks(fwd_hooks=[(llama.steerer.hook_name, lambda x, hook: seen.append(1))]):
        llama.steerer.logits("The cat", component=1, alpha=1.0)
        llama.bridge("The cat")
    assert len(seen) == 2


def test_blocks_nest(llama: Pair) -> None:
    other = MFASteerer(llama.bridge, make_mixture(), layer=2)
    with llama.steerer.steer(component=2, alpha=1.0):
        with other.steer(component=3, alpha=1.0, positions="last") as inner:
            both = llama.bridge(llama.tokens("The cat"))
        one = llama.bridge(llama.tokens("The cat"))
    assert inner.mask.tolist() == [[False, False, True]]
    assert torch.equal(both[:, 1], one[:, 1]) and not torch.equal(both[:, 2], one[:, 2])


def test_beginning_of_text_is_left_alone_unless_asked_for(llama: Pair) -> None:
    greedy = MFASteerer(llama.bridge, make_mixture(), layer=LAYER, special_tokens=True)
    for steerer, first in [(llama.steerer, False), (greedy, True)]:
        steerer.logits("The cat", component=1, alpha=1.0)
        assert steerer.steered_ is not None and steerer.steered_.mask.tolist() == [[first, True, True]]
    bare = MFASteerer(llama.bridge, make_mixture(), layer=LAYER, prepend_bos=False)
    bare.logits("The cat", component=1, alpha=1.0)
    assert bare.steered_ is not None and bare.steered_.mask.tolist() == [[True, True]]
    bare.generate("The cat", component=1, alpha=1.0, max_new_tokens=1, stop_at_eos=False)
    assert bare.steered_.mask.tolist() == [[True, True]]


def test_which_tokens_were_steered_as_a_table(llama: Pair) -> None:
    llama.steerer.logits(["The cat", "The"], component=1, alpha=1.0)
    assert llama.steerer.steered_ is not None
    table = llama.steerer.steered_.to_frame()
    assert table.to_dict("list") == {
        "prompt": [0, 0, 0, 1, 1],
        "position": [0, 1, 2, 0, 1],
        "token": ["<s>", "The", " cat", "<s>", "The"],
        "steered": [False, True, True, False, True],
    }


def test_logit_diff_lists_what_rises_and_falls(pair: Pair) -> None:
    before = pair.bridge(pair.tokens(PROMPTS[0]))[0, -1]
    after = pair.steerer.logits(PROMPTS[0], component=2, alpha=ALPHA)[0]
    change = (after - before).detach().numpy()
    order = np.argsort(-change)
    table = pair.steerer.logit_diff(PROMPTS[0], component=2, alpha=ALPHA, top_k=3)
    assert table["token_id"].tolist() == [*order[:3], *order[-3:]]
    np.testing.assert_allclose(table["change"], change[table["token_id"]], atol=1e-5)
    np.testing.assert_allclose(table["after"] - table["before"], table["change"], atol=1e-5)
    assert table["token"].tolist() == [pair.bridge.tokenizer.decode([i]) for i in table["token_id"]]
    absolute = pair.steerer.logit_diff(PROMPTS[0], component=2, alpha=ALPHA, top_k=4, by="absolute")
    assert absolute["token_id"].tolist() == np.argsort(-np.abs(change))[:4].tolist()


def test_logit_diff_of_several_prompts(llama: Pair) -> None:
    table = llama.steerer.logit_diff(PROMPTS, component=2, alpha=ALPHA, top_k=2)
    assert table["prompt"].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    alone = llama.steerer.logit_diff(PROMPTS[1], component=2, alpha=ALPHA, top_k=2)
    np.testing.assert_allclose(table["change"][4:8], alone["change"], atol=1e-5)


def test_sampling_is_reproducible_and_leaves_the_global_generator(llama: Pair) -> None:
    state = torch.random.get_rng_state()
    first, second = (llama.steerer.generate("The cat", 1, 0.2, random_state=3, max_new_tokens=8) for _ in range(2))
    assert first == second and torch.equal(state, torch.random.get_rng_state())


def test_half_precision_models_are_steered_in_their_precision(llama: Pair) -> None:
    from transformer_lens.model_bridge import TransformerBridge

    half = TransformerBridge.boot_transformers(llama.path, device="cpu", dtype=torch.bfloat16)
    logits = MFASteerer(half, make_mixture(), layer=LAYER).logits("The cat", component=2, alpha=ALPHA, z={0: 1.0})
    exact = llama.steerer.logits("The cat", component=2, alpha=ALPHA, z={0: 1.0})
    assert logits.dtype == torch.bfloat16
    assert (logits.float() - exact).abs().max() < 0.1 * exact.abs().max()


def test_aliased_hooks_in_compatibility_mode_steer_once(llama: Pair) -> None:
    from transformer_lens.model_bridge import TransformerBridge

    bridge = TransformerBridge.boot_transformers(llama.path, device="cpu", dtype=torch.float32)
    bridge.enable_compatibility_mode(disable_warnings=True)
    steerer = MFASteerer(bridge, make_mixture(), layer=LAYER)
    _, cache = bridge.run_with_cache(llama.tokens("The cat"), names_filter=steerer.hook_name)
    x = cache[steerer.hook_name]
    with steerer.steer(component=1, alpha=0.5):
        _, cache = bridge.run_with_cache(llama.tokens("The cat"), names_filter=steerer.hook_name)
    expected = 0.5 * x[0, 1].numpy() + 0.5 * make_mixture().means_[1]
    np.testing.assert_allclose(cache[steerer.hook_name][0, 1].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("site", ["residual_pre", "mlp", "mlp_out", "attn_out"])
def test_other_sites(pair: Pair, site: str) -> None:
    steerer = MFASteerer(pair.bridge, make_mixture(128 if site == "mlp" else D), layer=LAYER, site=site)
    with steerer.steer(component=1, alpha=1.0, positions="last"):
        _, cache = pair.bridge.run_with_cache(pair.tokens("The cat"), names_filter=steerer.hook_name)
    got = cache[steerer.hook_name][0, -1].numpy()
    np.testing.assert_allclose(got, make_mixture(len(got)).means_[1], atol=1e-5)


def make_older() -> Any:
    """A model with the verbs alone, entered past its torch hooks: nothing but shapes tell what it reads."""
    from transformer_lens.hook_points import HookPoint
    from transformer_lens.HookedRootModule import HookedRootModule

    class Toy(HookedRootModule):
        def __init__(self) -> None:
            super().__init__()
            self.embed = torch.nn.Embedding(10, D)
            self.blocks = torch.nn.ModuleList([torch.nn.Module()])
            self.blocks[0].hook_resid_post = HookPoint()
            self.setup()

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.blocks[0].hook_resid_post(self.embed(tokens))

    return Toy()


def test_models_that_cannot_be_watched_are_followed_by_shape() -> None:
    model = make_older()
    steerer, tokens = MFASteerer(model, make_mixture(), layer=0), torch.tensor([[1, 2, 3]])

    def run(ids: torch.Tensor) -> torch.Tensor:
        with model.hooks(fwd_hooks=[(steerer.hook_name, lambda x, hook: None)]):
            return model.run_with_hooks(ids)

    moved = torch.as_tensor(make_mixture().means_[1], dtype=torch.float32)
    with steerer.steer(component=1, alpha=1.0, positions="prompt") as steered:
        assert torch.equal(run(tokens), moved.expand(1, 3, D))
        assert torch.equal(run(torch.tensor([[4]])), model.embed(torch.tensor([[4]])))
        assert torch.equal(run(torch.tensor([[5]])), model.embed(torch.tensor([[5]])))
        assert steered.mask.tolist() == [[True, True, True, False, False]]
        grown = torch.tensor([[1, 2, 3, 4, 5, 6]])
        assert torch.equal(run(grown)[0, 3:], model.embed(grown)[0, 3:])
        assert steered.token_ids is None and steered.to_frame()["steered"].sum() == 3
    with steerer.steer(component=1, alpha=1.0, positions=[1, 4]) as steered:
        run(tokens)
        run(torch.tensor([[4]]))
        run(torch.tensor([[5]]))
        assert steered.mask.tolist() == [[False, True, False, False, True]]


BAD_STEERERS = [
    ({"layer": None}, ValueError, "give layer="),
    ({"layer": 3}, ValueError, "layer 3 is out of range"),
    ({"layer": -1}, ValueError, "layer -1 is out of range"),
    ({"layer": 1.5}, TypeError, "layer must be an integer"),
    ({"layer": [1, 2]}, ValueError, "stacked layers"),
    ({"layer": 1, "site": "resid"}, ValueError, "site='resid' is unknown"),
    ({"layer": 1, "site": "mlp"}, ValueError, "has 32 features, but activations at .* have 128"),
]


@pytest.mark.parametrize(("asked", "error", "match"), BAD_STEERERS)
def test_places_that_do_not_exist_are_refused(
    llama: Pair, asked: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        MFASteerer(llama.bridge, make_mixture(), **asked)


SOURCES = [
    ({"layer": 2, "site": "residual"}, {"layer": 1}, "fitted on layer 2, but is to steer 1"),
    ({"layer": 1, "site": "mlp_out"}, {"site": "residual"}, "fitted on site 'mlp_out', but is to steer 'residual'"),
    ({"layer": 1, "site": "residual", "model": "gpt2"}, {}, "fitted on model 'gpt2'"),
    ({"layer": 1, "site": "residual", "processing": "compatibility"}, {}, "processed as 'compatibility'"),
]


@pytest.mark.parametrize(("source", "asked", "match"), SOURCES)
def test_mixtures_fitted_elsewhere_are_refused_unless_told(
    llama: Pair, source: dict[str, Any], asked: dict[str, Any], match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        MFASteerer(llama.bridge, make_mixture(**source), **asked)
    steerer = MFASteerer(llama.bridge, make_mixture(**source), check_source=False, **asked)
    assert steerer.logits("The cat", component=0, alpha=0.5).shape == (1, llama.bridge.cfg.d_vocab)


def test_width_is_checked_even_when_the_source_is_not(llama: Pair) -> None:
    with pytest.raises(ValueError, match="has 31 features"):
        MFASteerer(llama.bridge, make_mixture(31), layer=1, check_source=False)


def test_the_place_is_taken_from_where_the_mixture_was_fitted(llama: Pair, tmp_path: Any) -> None:
    import shutil

    moved = shutil.copytree(llama.path, tmp_path / "llama")
    steerer = MFASteerer(llama.bridge, make_mixture(layer=[2], site="attn_out", model=str(moved)))
    assert (steerer.layer, steerer.site, steerer.hook_name) == (2, "attn_out", "blocks.2.hook_attn_out")


BAD_CALLS = [
    ({"positions": "first"}, ValueError, "positions='first' is unknown"),
    ({"positions": 1.5}, TypeError, "positions=1.5"),
    ({"positions": []}, ValueError, "positions is empty"),
    ({"positions": [True]}, TypeError, "positions="),
    ({"positions": 3}, ValueError, "position 3 lies outside a prompt of 3 tokens"),
    ({"prompts": ["The cat", "The"], "positions": -3}, ValueError, "position -3 lies outside a prompt of 2"),
    ({"prompts": []}, (TypeError, ValueError), "no prompt was given"),
    ({"prompts": torch.zeros(1, 0, dtype=torch.long)}, ValueError, "prompt 0 is empty"),
    ({"prompts": "The cat " * 60}, ValueError, "the model's context holds 64"),
    ({"prompts": 1.5}, TypeError, "prompts must be"),
    ({"by": "size"}, ValueError, "by='size'"),
    ({"top_k": 0}, ValueError, "top_k=0"),
]


@pytest.mark.parametrize(("asked", "error", "match"), BAD_CALLS)
def test_bad_calls_are_refused_before_the_model_runs(
    llama: Pair, asked: dict[str, Any], error: type[Exception], match: str
) -> None:
    given = {"prompts": "The cat", "component": 1, "alpha": 0.5, **asked}
    ran: list[int] = []
    handle = llama.bridge.original_model.register_forward_pre_hook(lambda *args: ran.append(1))
    with pytest.raises(error, match=match):
        llama.steerer.logit_diff(**given)
    handle.remove()
    assert not ran


def test_bad_moves_are_refused_when_the_block_is_made(llama: Pair) -> None:
    with pytest.raises(ValueError, match="component=99"):
        llama.steerer.steer(component=99, alpha=1.0)


def test_a_model_without_hooks_is_refused() -> None:
    with pytest.raises(TypeError, match="Linear, which has no hooks"):
        MFASteerer(torch.nn.Linear(2, 2), make_mixture(), layer=0)
