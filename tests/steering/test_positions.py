"""Which positions are steered: in prompts and generated tokens, with and without a cache, padded or read in parts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from steerer_cases import ALPHA, CHOICES, LAYER, PROMPTS, RULES, D, Pair, Rule, bos, make_mixture

from mfa_sklearn import TokenSelection
from mfa_sklearn.activations._selection import as_selection
from mfa_sklearn.steering import MFASteerer
from mfa_sklearn.steering._positions import PositionTracker
from mfa_sklearn.steering._watch import Seen, watch


@pytest.mark.parametrize(
    "choice", ["all", "prompt", "last", "beginning", "first", "window at the end", "from the end", "special"]
)
def test_logits_are_those_of_the_formula_at_the_chosen_positions(pair: Pair, choice: str) -> None:
    select, place = CHOICES[choice]
    ids = pair.tokens(PROMPTS[0])
    with pair.by_hand(lambda c: place(c, ids.shape[1], bos(pair))) as model, torch.no_grad():
        expected = model(ids).logits
    got = pair.steerer.logits(PROMPTS[0], component=2, alpha=ALPHA, select=select, every_position=True)
    torch.testing.assert_close(got, expected, atol=2e-5, rtol=1e-5)
    unsteered = pair.bridge(ids)
    assert (got - unsteered).abs().max() > 0.01


@pytest.mark.parametrize("use_past_kv_cache", [True, False])
@pytest.mark.parametrize("choice", list(CHOICES))
def test_generation_is_steered_at_every_token_with_and_without_cache(
    pair: Pair, choice: str, use_past_kv_cache: bool
) -> None:
    select, place = CHOICES[choice]
    n_new, b = 8, bos(pair)
    expected = pair.greedy_by_hand(PROMPTS[0], lambda c, n: place(c, n, b), n_new)
    tokens = pair.steerer.generate(
        pair.tokens(PROMPTS[0]),
        component=2,
        alpha=ALPHA,
        select=select,
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


@pytest.mark.parametrize("select", ["all", "last"])
def test_texts_given_to_the_model_itself_are_padded_without_a_mask(pair: Pair, select: Any) -> None:
    """In a `with` block the model pads on its own: padding must neither count nor be taken for text."""
    with pair.steerer.steer(component=2, alpha=ALPHA, select=select) as steered:
        logits = pair.bridge(PROMPTS)
    for row, prompt in enumerate(PROMPTS):
        n = pair.tokens(prompt).shape[1]
        alone = pair.steerer.logits(prompt, component=2, alpha=ALPHA, select=select)
        torch.testing.assert_close(logits[row, n - 1], alone[0], atol=2e-5, rtol=1e-5)
        first = n - 1 if select == "last" else bos(pair)
        assert steered.mask[row].nonzero()[0].tolist() == list(range(first, n))


def test_a_new_prompt_in_the_same_block_is_all_prompt(llama: Pair) -> None:
    first, second = llama.tokens("The cat"), llama.tokens("Two boats, three")
    with llama.steerer.steer(component=2, alpha=ALPHA, select="prompt") as steered:
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
    steerer = MFASteerer(pair.bridge, make_mixture(), layer=LAYER)
    with steerer.steer(component=2, alpha=ALPHA, select=TokenSelection(special=True)) as steered:
        pair.bridge(["The cat", ""])
    assert steered.mask.tolist() == [[True, True, True], [True, False, False]]


def cached(use_cache: bool) -> dict[str, bool]:
    """Options of the bridge's `hf_generate`, which leaves the cache on unless it is told twice."""
    return {"use_cache": use_cache, "use_past_kv_cache": use_cache}


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("choice", ["all", "prompt"])
def test_transformers_own_generation_is_steered_too(pair: Pair, choice: str, use_cache: bool) -> None:
    select, place = CHOICES[choice]
    expected = pair.greedy_by_hand(PROMPTS[0], lambda c, n: place(c, n, bos(pair)), 6)
    with pair.steerer.steer(component=2, alpha=ALPHA, select=select):
        tokens = pair.bridge.hf_generate(
            pair.tokens(PROMPTS[0]), max_new_tokens=6, do_sample=False, stop_at_eos=False, **cached(use_cache)
        )
    assert tokens[0].tolist() == expected


def test_a_prompt_read_in_parts_keeps_its_places(llama: Pair) -> None:
    ids = llama.tokens(PROMPTS[0])
    whole = llama.steerer.logits(ids, component=2, alpha=ALPHA, select=3)
    _, cache = llama.bridge(ids[:, :2], return_type="logits_and_cache", use_past_kv_cache=True)
    with llama.steerer.steer(component=2, alpha=ALPHA, select=3) as steered:
        logits = llama.bridge(ids[:, 2:], past_key_values=cache)
    torch.testing.assert_close(logits[:, -1], whole, atol=2e-5, rtol=1e-5)
    assert steered.mask.tolist() == [[False, False, False, True] + [False] * (ids.shape[1] - 4)]


def test_beginning_of_text_is_left_alone_unless_asked_for(llama: Pair) -> None:
    for select, first in [("all", False), (TokenSelection(special=True), True)]:
        llama.steerer.logits("The cat", component=1, alpha=1.0, select=select)
        assert llama.steerer.steered_ is not None and llama.steerer.steered_.mask.tolist() == [[first, True, True]]
    bare = MFASteerer(llama.bridge, make_mixture(), layer=LAYER, prepend_bos=False)
    bare.logits("The cat", component=1, alpha=1.0)
    assert bare.steered_ is not None and bare.steered_.mask.tolist() == [[True, True]]
    bare.generate("The cat", component=1, alpha=1.0, max_new_tokens=1, stop_at_eos=False)
    assert bare.steered_.mask.tolist() == [[True, True]]


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
    with steerer.steer(component=1, alpha=1.0, select="prompt") as steered:
        assert torch.equal(run(tokens), moved.expand(1, 3, D))
        assert torch.equal(run(torch.tensor([[4]])), model.embed(torch.tensor([[4]])))
        assert torch.equal(run(torch.tensor([[5]])), model.embed(torch.tensor([[5]])))
        assert steered.mask.tolist() == [[True, True, True, False, False]]
        grown = torch.tensor([[1, 2, 3, 4, 5, 6]])
        assert torch.equal(run(grown)[0, 3:], model.embed(grown)[0, 3:])
        assert steered.token_ids is None and steered.to_frame()["steered"].sum() == 3
    with steerer.steer(component=1, alpha=1.0, select=[1, 4]) as steered:
        run(tokens)
        run(torch.tensor([[4]]))
        run(torch.tensor([[5]]))
        assert steered.mask.tolist() == [[False, True, False, False, True]]


def padded_left(pair: Pair) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """Ids, mask and lengths of the prompts together."""
    rows = [pair.tokens(prompt)[0] for prompt in PROMPTS]
    ids = torch.nn.utils.rnn.pad_sequence(rows, True, pair.bridge.tokenizer.pad_token_id or 0, padding_side="left")
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], True, 0, padding_side="left")
    return ids, mask, [len(row) for row in rows]


def written(pair: Pair, rule: Rule, **options: Any) -> Any:
    """What transformers writes behind the prompts, moved by hand."""
    ids, mask, lengths = padded_left(pair)
    with pair.by_rule(rule, lengths) as model, torch.no_grad():
        return model.generate(ids, attention_mask=mask, eos_token_id=None, use_cache=False, **options)


def check_histories(pair: Pair, rule: Rule, n_rows: int) -> None:
    """What was moved is what the rule says of the tokens that the rows are told to have."""
    steered, lengths = pair.steerer.steered_, padded_left(pair)[2]
    assert steered is not None and steered.token_ids is not None and len(steered.mask) == n_rows
    for number, (row, tokens) in enumerate(zip(steered.mask, steered.token_ids, strict=True)):
        n = lengths[number // (n_rows // len(lengths))]
        front = max(lengths) - n
        strings = [pair.bridge.tokenizer.decode([token]) for token in tokens]
        expected = [c >= front and rule(s, c - front, n, bos(pair)) for c, s in enumerate(strings)]
        assert row.tolist() == expected


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("choice", RULES)
def test_beams_are_steered_each_by_what_it_has_written(pair: Pair, choice: str, use_cache: bool) -> None:
    select, rule = RULES[choice]
    # Drawn, at a temperature at which beams overtake each other: rows then change places between passes.
    beams = {"num_beams": 3, "num_return_sequences": 2, "max_new_tokens": 6, "do_sample": True, "temperature": 4.0}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        expected = written(pair, rule, **beams)
    ids, mask, _ = padded_left(pair)
    options = {"attention_mask": mask, "stop_at_eos": False, **cached(use_cache), **beams}
    with torch.random.fork_rng(), pair.steerer.steer(component=2, alpha=ALPHA, select=select):
        torch.manual_seed(0)
        found = pair.bridge.hf_generate(ids, **options)
    assert found.tolist() == expected.tolist()
    check_histories(pair, rule, n_rows=9)
    assert pair.steerer.steered_ is not None and pair.steerer.steered_.token_ids is not None
    assert pair.steerer.steered_.token_ids.tolist() == pair.read[-1].tolist()


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("choice", RULES)
def test_what_is_sampled_is_drawn_from_the_steered_distribution(pair: Pair, choice: str, use_cache: bool) -> None:
    select, rule = RULES[choice]
    options = {"max_new_tokens": 6, "return_dict_in_generate": True, "output_logits": True, "do_sample": True}
    ids, mask, lengths = padded_left(pair)
    with torch.random.fork_rng(), pair.steerer.steer(component=2, alpha=ALPHA, select=select):
        torch.manual_seed(0)
        found = pair.bridge.hf_generate(
            ids, attention_mask=mask, stop_at_eos=False, **cached(use_cache), num_return_sequences=2, **options
        )
    check_histories(pair, rule, n_rows=6)
    whole = torch.cat([mask.repeat_interleave(2, 0), torch.ones(6, 6, dtype=mask.dtype)], dim=1)
    places = (whole.cumsum(1) - 1).clamp(min=0)
    with pair.by_rule(rule, lengths) as model, torch.no_grad():
        logits = model(input_ids=found.sequences, attention_mask=whole, position_ids=places, use_cache=False).logits
    torch.testing.assert_close(torch.stack(found.logits, 1), logits[:, ids.shape[1] - 1 : -1], atol=5e-5, rtol=1e-4)


@pytest.mark.parametrize("choice", RULES)
def test_greedy_text_of_padded_prompts(pair: Pair, choice: str) -> None:
    select, rule = RULES[choice]
    expected = written(pair, rule, max_new_tokens=6, do_sample=False)
    options = {"max_new_tokens": 6, "do_sample": False, "stop_at_eos": False, "return_type": "tokens"}
    for use_cache in (True, False):
        move = {"component": 2, "alpha": ALPHA, "select": select, "use_past_kv_cache": use_cache}
        assert pair.steerer.generate(PROMPTS, **move, **options).tolist() == expected.tolist()
        check_histories(pair, rule, n_rows=3)


@pytest.mark.parametrize("use_cache", [True, False])
def test_generated_tokens_are_counted_from_one(llama: Pair, use_cache: bool) -> None:
    ids, mask, lengths = padded_left(llama)
    tracker = PositionTracker(TokenSelection(), llama.bridge.tokenizer)
    steps = []

    def count(x: torch.Tensor, hook: Any) -> None:
        tracker.select(*x.shape[:2])
        steps.append(tracker.generated_step().tolist())

    with watch(llama.bridge, tracker), llama.bridge.hooks(fwd_hooks=[(llama.steerer.hook_name, count)]):
        options = {"num_beams": 2, "max_new_tokens": 3, "do_sample": False, "stop_at_eos": False}
        llama.bridge.hf_generate(ids, attention_mask=mask, **cached(use_cache), **options)
    width = max(lengths)
    expected = [[[0] * width] * 6, [[1]] * 6, [[2]] * 6]
    if not use_cache:
        expected = [[[0] * width + list(range(1, k + 1))] * 6 for k in range(3)]
    assert steps == expected


def passes(kind: str) -> list[tuple[Seen, bool]]:
    """Forward passes, and whether the token of each need not be looked at."""
    generator, width = torch.Generator().manual_seed(0), 5
    real = torch.ones(2, width, dtype=torch.long)
    if kind in ("padded", "taken back"):
        real[1, :2] = 0
    found = [(Seen(torch.randint(3, 9, (2, width), generator=generator), real, 0), False)]
    for step in range(4):
        more = torch.ones(2, 1, dtype=torch.long)
        more[0] = int(not (kind == "taken back" and step == 1))  # a row that has ended
        real, ids = torch.cat([real, more], dim=1), torch.randint(3, 9, (2, 1), generator=generator)
        mask = None if kind == "no mask" or (kind == "mask at times" and step % 2) else real
        found.append((Seen(ids, mask, width + step), kind != "taken back" or step != 1))
    other = Seen(torch.randint(3, 9, (2, 4), generator=generator), None, 0)
    return [*found, (other, False), (Seen(other.ids[:, :1], None, 4), True)]  # type: ignore[index]


@pytest.mark.parametrize("select", ["all", "prompt", "generated"])
@pytest.mark.parametrize("kind", ["plain", "no mask", "mask at times", "padded", "taken back"])
@pytest.mark.parametrize("order", [None, [1, 0]])
def test_tokens_that_need_not_be_looked_at_are_chosen_as_others(select: str, kind: str, order: Any) -> None:
    quick, slow = (PositionTracker(as_selection(select)) for _ in range(2))
    for number, (seen, is_known) in enumerate(passes(kind)):
        for tracker in (quick, slow):
            tracker.expect(seen)
            if order is not None and number == 3:
                tracker.reorder(torch.tensor(order))
        shape = seen.ids.shape  # type: ignore[union-attr]
        chosen, expected = quick.choose(*shape), slow.select(*shape)
        assert isinstance(chosen, bool) == (is_known and (order is None or number != 3))
        assert torch.equal(torch.as_tensor(chosen).expand(shape), expected)
        assert quick.n_read == slow.n_read and quick.in_prompt == slow.in_prompt
        if number % 2 or number > 4:  # put together after one pass and after several
            assert torch.equal(quick.generated_step(), slow.generated_step())
            for one, other in zip(quick.sequence, slow.sequence, strict=True):  # type: ignore[arg-type]
                assert torch.equal(torch.as_tensor(one), torch.as_tensor(other))


def test_tokens_of_which_more_is_asked_are_looked_at() -> None:
    for select in (TokenSelection(ids=4), TokenSelection() - {"x"}, TokenSelection(phase="generated", first=2)):
        tracker = PositionTracker(select, tokenizer=SimpleNamespace(convert_ids_to_tokens=str, decode=str))
        assert tracker._always is None


NOTHING: list[tuple[Any, str]] = [
    ({"zebra"}, r"strings=\('zebra',\)\) chooses no token of the prompt, and none is generated: nothing would be"),
    ("generated", "chooses no token of the prompt, and none is generated"),
    (TokenSelection(ids=1, special=False), "chooses no token of the prompt"),
    (TokenSelection() - "all", "chooses no token of the prompt"),
    (TokenSelection(roles="user"), "asks for roles, which plain texts and token ids have none of: give chats"),
]


@pytest.mark.parametrize(("select", "match"), NOTHING)
def test_a_selection_of_nothing_is_refused_before_the_model_runs(llama: Pair, select: Any, match: str) -> None:
    ran: list[int] = []
    handle = llama.bridge.original_model.register_forward_pre_hook(lambda *args: ran.append(1))
    with pytest.raises(ValueError, match=match):
        llama.steerer.logits("The cat", component=2, alpha=ALPHA, select=select)
    handle.remove()
    assert not ran


def test_what_may_yet_be_written_is_waited_for(llama: Pair) -> None:
    move = {"component": 2, "alpha": ALPHA, "max_new_tokens": 3, "do_sample": False}
    llama.steerer.generate("The cat", **move, select="generated")
    for select in (TokenSelection(phase="prompt", strings="zebra"), TokenSelection(first=2) - TokenSelection(last=9)):
        with pytest.raises(ValueError, match="chooses no token of the prompt: nothing would be steered"):
            llama.steerer.generate("The cat", **move, select=select)
    with pytest.raises(ValueError, match="chose no token of any of 3 forward passes, so nothing was steered"):
        llama.steerer.generate("The cat", **move, select={"zebra"})


def test_a_block_in_which_nothing_was_chosen_is_an_error(llama: Pair) -> None:
    block = {"component": 2, "alpha": ALPHA, "select": {"zebra"}}
    refused = pytest.raises(ValueError, match=r"select=.*'zebra'.* chose no token of the forward pass")
    with refused, llama.steerer.steer(**block):
        llama.bridge(llama.tokens("The cat"))
    with llama.steerer.steer(**block):
        pass  # nothing ran
    with pytest.raises(KeyError), llama.steerer.steer(**block):  # what went wrong in the block is told instead
        llama.bridge(llama.tokens("The cat"))
        raise KeyError


def test_a_model_that_does_not_show_its_ids_is_steered_by_place_only() -> None:
    steerer = MFASteerer(make_older(), make_mixture(), layer=0)
    refused = pytest.raises(ValueError, match="does not show what it reads: select by phase or place")
    with refused, steerer.steer(component=1, alpha=1.0, select=TokenSelection(ids=[1, 2])):
        steerer.model.run_with_hooks(torch.tensor([[1, 2, 3]]), fwd_hooks=[])
