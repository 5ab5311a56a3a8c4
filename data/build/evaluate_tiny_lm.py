"""Has the tiny language model learned topics? Its topic share, and its perplexity beside a bigram model's.

    python data/build/evaluate_tiny_lm.py

Topic share: in a held-out sentence of concept c, take every position whose next token is a content word of c,
once at least two different content words of c have been read. There the share is P(words of c) / P(words of
any concept): the model's probability of the next token, summed over the tokens that are surface forms of c,
and of all concepts. A word of several concepts (bank, bill, cell) counts for each concept that has it. Chance
is the mean over concepts of the same ratio with all content words equally probable.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from grammar import documents, load_concepts
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score
from transformers import AutoModelForCausalLM, AutoTokenizer

HELD_OUT_SEED, BIGRAM_SEED = 1001, 1


def topic_masks(tokenizer, names: list[str]) -> torch.Tensor:
    """(n_concepts, vocabulary): True where a token is a content word of the concept."""
    masks = torch.zeros(len(names), len(tokenizer), dtype=torch.bool)
    concepts = load_concepts()
    for row, name in enumerate(names):
        forms = [" " + form for form in sorted(concepts[name].forms)]
        ids = tokenizer(forms, add_special_tokens=False)["input_ids"]
        masks[row, [tokens[0] for tokens in ids if len(tokens) == 1]] = True
    return masks


def held_out(count: int) -> list[tuple[str, str]]:
    """Single sentences from a seed that neither the training text nor the data set uses."""
    return list(documents(HELD_OUT_SEED, count, single=True))


def slots(ids: list[int], own: torch.Tensor) -> list[int]:
    """Positions whose next token is a word of the concept, two different ones having been read."""
    seen: set[int] = set()
    found = []
    for position in range(len(ids) - 1):
        if own[ids[position]]:
            seen.add(ids[position])
        if len(seen) >= 2 and own[ids[position + 1]]:
            found.append(position)
    return found


@torch.inference_mode()
def measure(model, tokenizer, sentences: list[tuple[str, str]]) -> dict[str, float]:
    names = list(load_concepts())
    masks = topic_masks(tokenizer, names)
    any_concept = masks.any(0)
    shares, nats, tokens = [], 0.0, 0
    for name, text in sentences:
        ids = tokenizer(text)["input_ids"] + [tokenizer.eos_token_id]
        log_probs = model(torch.tensor([ids])).logits[0].float().log_softmax(-1)
        nats -= log_probs[:-1].gather(1, torch.tensor(ids[1:])[:, None]).sum().item()
        tokens += len(ids) - 1
        own = masks[names.index(name)]
        probs = log_probs[slots(ids, own)].exp()
        shares += (probs[:, own].sum(1) / probs[:, any_concept].sum(1)).tolist()
    sizes = masks.sum(1) / any_concept.sum()
    return {
        "slots": len(shares),
        "share_mean": float(np.mean(shares)),
        "share_median": float(np.median(shares)),
        "chance": float(sizes.mean()),
        "perplexity": float(np.exp(nats / tokens)),
        "tokens": tokens,
    }


def bigram_perplexity(tokenizer, sentences: list[tuple[str, str]], count: int = 100_000) -> float:
    """Interpolated bigram of `count` documents; its weight is tuned, in its favor, on the test itself."""
    size = len(tokenizer)
    pairs, singles = np.zeros((size, size), dtype=np.float32), np.ones(size)
    texts = [text for _, text in documents(BIGRAM_SEED, count)]
    for ids in tokenizer(texts)["input_ids"]:
        row = np.array([*ids, tokenizer.eos_token_id])
        np.add.at(pairs, (row[:-1], row[1:]), 1.0)
        np.add.at(singles, row[1:], 1.0)
    unigram = singles / singles.sum()
    totals = pairs.sum(1)
    probabilities = []
    for _, text in sentences:
        row = np.array([*tokenizer(text)["input_ids"], tokenizer.eos_token_id])
        before, after = row[:-1], row[1:]
        bigram = pairs[before, after] / np.maximum(totals[before], 1)
        probabilities.append(np.stack([bigram, unigram[after]]))
    both = np.concatenate(probabilities, axis=1)
    weights = np.linspace(0.5, 0.995, 100)[:, None]
    return float(np.exp(-np.log(weights * both[0] + (1 - weights) * both[1]).mean(1)).min())


@torch.inference_mode()
def region_nmi(model, tokenizer, sentences: list[tuple[str, str]], clusters: int = 60) -> list[float]:
    """After the embedding and each block: normalized mutual information of k-means regions and concepts.

    Rows are the residuals of content words; the last entry is read after the final norm.
    """
    names = list(load_concepts())
    masks = topic_masks(tokenizer, names)
    rows, labels = [], []
    for name, text in sentences:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        states = torch.stack(model(ids, output_hidden_states=True).hidden_states)[:, 0]
        content = masks[names.index(name)][ids[0]]
        rows.append(states[:, content])
        labels += [name] * int(content.sum())
    points = torch.cat(rows, dim=1).numpy()
    fits = [KMeans(clusters, n_init=2, random_state=0).fit(layer) for layer in points]
    return [float(normalized_mutual_info_score(labels, fit.labels_)) for fit in fits]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path(__file__).resolve().parents[1] / "tiny-lm")
    parser.add_argument("--sentences", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="only the model's own two figures")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    sentences = held_out(arguments.sentences)
    for key, value in measure(model, tokenizer, sentences).items():
        print(f"{key:>20} {value:.4g}")
    if not arguments.quick:
        print(f"{'bigram perplexity':>20} {bigram_perplexity(tokenizer, sentences):.4g}")
        places = ["embedding", *(f"block {i}" for i in range(len(model.model.layers) - 1)), "final norm"]
        for place, nmi in zip(places, region_nmi(model, tokenizer, sentences), strict=True):
            print(f"{'nmi after ' + place:>20} {nmi:.3f}")


if __name__ == "__main__":
    main()
