"""Train the tiny language model of `data/tiny-lm` on text of the grammar; about an hour on two cores.

    python data/build/train_tiny_lm.py            # from scratch, or on from the last checkpoint

Two parts. The first learns to predict the next token, at a constant learning rate. The second adds a second aim
while the rate falls to zero: what blocks 0 to 2 write must also foretell, through the model's own unembedding, the
next few rare words to come. A next-token model keeps its topic in a corner of the residual stream (4 to 15 % of the
variance at content words) and fills the rest with syntax; beyond the next word or two only the topic is worth
telling, so this aim makes topics what regions are made of. Nothing is added to the model.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import time
from pathlib import Path

# Threads that wait asleep: spinning ones slow a shared machine down tenfold. Read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from grammar import documents, load_concepts
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

PAD, BOS, EOS = "<pad>", "<bos>", "<eos>"
MAX_TOKENS = 96
TRAIN_SEED, TOKENIZER_SEED, WEIGHT_SEED = 1, 2, 3
OUTPUT = Path(__file__).resolve().parents[1] / "tiny-lm"


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level tokens, and one token for every word of the grammar with the space before it.

    The 256 bytes make every text encodable; a BPE model that ignores its merges takes a known word whole.
    """
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    pieces: dict[str, int] = {}
    for _, text in documents(TOKENIZER_SEED, 40_000):
        for piece, _ in byte_level.pre_tokenize_str(text):
            pieces[piece] = pieces.get(piece, 0) + 1
    forms = {"Ġ" + form for concept in load_concepts().values() for form in concept.forms}
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = sorted((forms | {piece for piece, n in pieces.items() if n >= 3}) - set(alphabet))
    vocabulary = {token: i for i, token in enumerate([PAD, BOS, EOS, *alphabet, *words])}

    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = byte_level
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([PAD, BOS, EOS])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, vocabulary[BOS])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        padding_side="right",
        model_max_length=256,
        clean_up_tokenization_spaces=False,
    )


def build_model(vocabulary: int) -> LlamaForCausalLM:
    torch.manual_seed(WEIGHT_SEED)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        attention_dropout=0.0,
    )
    return LlamaForCausalLM(config)


def encode(tokenizer: PreTrainedTokenizerFast, count: int) -> list[np.ndarray]:
    texts = [text for _, text in documents(TRAIN_SEED, count)]
    encoded = tokenizer(texts, return_attention_mask=False)["input_ids"]
    return [np.array([*ids, 2], dtype=np.int16)[:MAX_TOKENS] for ids in encoded]


def batches(rows: list[np.ndarray], steps: int, size: int) -> list[np.ndarray]:
    """`steps` arrays of row numbers, rows of like length together, in random order."""
    rng = random.Random(TRAIN_SEED)
    order: list[np.ndarray] = []
    while len(order) < steps:
        numbers = list(range(len(rows)))
        rng.shuffle(numbers)
        epoch = []
        for start in range(0, len(numbers) - 32 * size + 1, 32 * size):
            chunk = sorted(numbers[start : start + 32 * size], key=lambda i: len(rows[i]))
            epoch += [np.array(chunk[i : i + size]) for i in range(0, len(chunk), size)]
        rng.shuffle(epoch)
        order += epoch
    return order[:steps]


def collate(rows: list[np.ndarray]) -> torch.Tensor:
    """Right-padded token numbers of shape (n, longest)."""
    ids = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
    return torch.from_numpy(ids)


def loss_of(model: LlamaForCausalLM, ids: torch.Tensor) -> torch.Tensor:
    """Mean next-token cross-entropy; padding is on the right, so causal attention needs no mask."""
    hidden = model.model(input_ids=ids).last_hidden_state[:, :-1]
    target = ids[:, 1:]
    real = target != 0
    return cross_entropy(model.lm_head(hidden[real]), target[real])


def rare_tokens(rows: list[np.ndarray], vocabulary: int) -> torch.Tensor:
    """(vocabulary,): True for tokens that make up less than 1 in 500 of the text; padding and the like are not."""
    counts = np.bincount(np.concatenate(rows), minlength=vocabulary)
    rare = torch.from_numpy(counts < counts.sum() / 500)
    rare[:3] = False
    return rare


def rare_to_come(ids: torch.Tensor, rare: torch.Tensor, window: int = 4) -> torch.Tensor:
    """(n, T, window): the next rare tokens after each position, 0 where the text ends before."""
    is_rare = rare[ids]
    order = is_rare.cumsum(1)
    listed = torch.zeros(len(ids), int(order.max()) + window + 1, dtype=torch.long)
    row, column = is_rare.nonzero(as_tuple=True)
    listed[row, order[row, column] - 1] = ids[row, column]
    places = order[:, :, None] + torch.arange(window)
    return listed[:, None, :].expand(-1, ids.shape[1], -1).gather(2, places)


def topic_loss(model: LlamaForCausalLM, ids: torch.Tensor, rare: torch.Tensor, block: int) -> torch.Tensor:
    """Next-token loss, and half the loss of rare tokens to come as read from the output of one block."""
    output = model.model(input_ids=ids, output_hidden_states=True)
    target = ids[:, 1:]
    real = target != 0
    loss = cross_entropy(model.lm_head(output.last_hidden_state[:, :-1][real]), target[real])
    coming = rare_to_come(ids, rare)
    chosen = (ids != 0) & (coming[:, :, 0] != 0)
    coming = coming[chosen]
    log_probs = model.lm_head(model.model.norm(output.hidden_states[block + 1][chosen])).log_softmax(-1)
    return loss - 0.5 * log_probs.gather(1, coming)[coming != 0].mean()


def rate(step: int, arguments: argparse.Namespace) -> float:
    falling = (arguments.steps - step) / (arguments.steps - arguments.topic_from)
    return arguments.learning_rate * min((step + 1) / 200, 1.0, falling)


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, target: Path) -> None:
    """Write the directory beside the target, then put it in its place: no reader sees half of it."""
    fresh, stale = target.with_name(target.name + ".new"), target.with_name(target.name + ".old")
    shutil.rmtree(fresh, ignore_errors=True)
    half = LlamaForCausalLM(model.config)
    half.load_state_dict(model.state_dict())
    half.half().save_pretrained(fresh)
    tokenizer.save_pretrained(fresh)
    config = json.loads((fresh / "config.json").read_text())
    # float16 is how the weights are stored; a CPU should compute in float32.
    config["dtype"] = "float32"
    (fresh / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    for path in fresh.iterdir():
        path.chmod(0o644)
    if target.exists():
        os.rename(target, stale)
    os.rename(fresh, target)
    shutil.rmtree(stale, ignore_errors=True)


def train(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    tokenizer = build_tokenizer()
    model = build_model(len(tokenizer))
    decayed = [p for p in model.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if p.ndim != 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
        lr=0.0,
        betas=(0.9, 0.98),
        fused=True,
    )
    checkpoint, first = arguments.checkpoint, 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    rows = encode(tokenizer, arguments.documents)
    rare = rare_tokens(rows, len(tokenizer))
    plan = batches(rows, arguments.steps, arguments.batch_size)
    size = sum(p.numel() for p in model.parameters())
    print(f"{size:,} parameters, {len(tokenizer)} tokens in the vocabulary", flush=True)
    print(f"{sum(map(len, rows)):,} tokens of text, step {first} of {arguments.steps}", flush=True)
    started, losses = time.perf_counter(), []
    for step in range(first, arguments.steps):
        for group in optimizer.param_groups:
            group["lr"] = rate(step, arguments)
        ids = collate([rows[i] for i in plan[step]])
        topical = step >= arguments.topic_from
        loss = topic_loss(model, ids, rare, step % 3) if topical else loss_of(model, ids)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if (step + 1) % 25 == 0:
            seconds = time.perf_counter() - started
            print(
                f"step {step + 1} loss {np.mean(losses[-25:]):.4f} {seconds / len(losses):.3f} s/step",
                flush=True,
            )
        if (step + 1) % arguments.save_every == 0 or step + 1 == arguments.steps:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
            torch.save(state, checkpoint.with_suffix(".tmp"))
            os.replace(checkpoint.with_suffix(".tmp"), checkpoint)
            save(model, tokenizer, arguments.output)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--topic-from", type=int, default=3200, help="first step of the second part")
    parser.add_argument("--documents", type=int, default=400_000)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--save-every", type=int, default=100)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--checkpoint", type=Path, default=Path("tiny-lm-checkpoint.pt"))
    return parser.parse_args()


if __name__ == "__main__":
    train(parse())
