"""The embedded sentences and language model, a user's files, and numbers from a known mixture."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections import defaultdict
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.model_selection import cross_val_score
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

from mfa_sklearn.datasets import load_concepts, make_mfa, read_texts, tiny_lm

BUILD = Path(__file__).resolve().parents[1] / "data" / "build"


@pytest.fixture(scope="module")
def concepts():
    return load_concepts()


def build_script(name: str) -> ModuleType:
    """A script of data/build, imported as it imports its own neighbors."""
    sys.path.insert(0, str(BUILD))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(BUILD))


# --- sentences


def test_there_are_a_hundred_different_sentences_for_each_concept(concepts):
    names, counts = np.unique(concepts.labels, return_counts=True)
    assert len(names) >= 36
    assert set(counts) == {100}
    assert len(set(concepts.texts)) == len(concepts.texts) == len(concepts.labels)
    assert concepts.target_names == names.tolist() == list(concepts.words)
    np.testing.assert_array_equal(names[concepts.target], concepts.labels)


def test_sentences_have_five_to_forty_words_and_end_like_sentences(concepts):
    lengths = [len(text.split()) for text in concepts.texts]
    assert min(lengths) >= 5
    assert max(lengths) <= 40
    assert np.std(lengths) > 5
    assert all(re.fullmatch(r"[A-Z][A-Za-z,' ]*[.?]", text) for text in concepts.texts)


def test_articles_agree_with_the_next_word(concepts):
    for text in concepts.texts:
        for article, first in re.findall(r"\b(an?) (\w)", text.lower().replace("a uniform", "").replace("a unan", "")):
            assert (article == "an") == (first in "aeiou"), text


def test_every_sentence_holds_three_words_of_its_concept(concepts):
    for text, label in zip(concepts.texts, concepts.labels, strict=True):
        assert len(set(re.findall(r"[a-z]+", text.lower())) & set(concepts.words[label])) >= 3


def blanked(concepts) -> list[str]:
    """The sentences with a blank for every content word of any concept: their frames."""
    every_word = set().union(*concepts.words.values())
    return [re.sub(r"[a-z]+", lambda m: "x" if m[0] in every_word else m[0], text.lower()) for text in concepts.texts]


def test_openings_serve_many_concepts(concepts):
    openings = defaultdict(list)
    for frame, label in zip(blanked(concepts), concepts.labels, strict=True):
        openings[tuple(frame.split()[:2])].append(label)
    common = [labels for labels in openings.values() if len(labels) >= 10]
    assert len(openings) > 100
    assert len(common) > 40
    assert min(len(set(labels)) / min(len(labels), 40) for labels in common) > 0.4


def test_words_tell_concepts_apart_and_frames_do_not(concepts):
    """A classifier that reads two words at a time needs the content words."""
    classifier = make_pipeline(CountVectorizer(ngram_range=(1, 2), token_pattern=r"[a-z]+|[,?]"), MultinomialNB())
    accuracy = {
        name: cross_val_score(classifier, texts, concepts.target, cv=3).mean()
        for name, texts in (("frames", blanked(concepts)), ("words", concepts.texts))
    }
    assert accuracy["frames"] < 0.08
    assert accuracy["words"] > 0.9


def test_words_overlap_as_in_life(concepts):
    homes = defaultdict(set)
    for name, words in concepts.words.items():
        for word in words:
            homes[word].add(name)
    assert {"river", "banking"} <= homes["bank"]
    assert {"biology", "prison"} <= homes["cell"]
    assert {"court", "prison", "publishing"} <= homes["sentence"]
    shared = {word for word, names in homes.items() if len(names) > 1}
    assert len(shared) > 100
    assert all(shared & set(words) for words in concepts.words.values())


def test_concepts_have_words_enough_and_none_of_the_neutral_ones(concepts):
    neutral = build_script("neutral").neutral_words()
    for words in concepts.words.values():
        assert len(words) >= 25
        assert not neutral & set(words)


def test_the_generator_writes_the_committed_files_again(concepts):
    script = build_script("build_dataset")
    folder = Path(concepts.filename).parent
    assert script.supervised() == (folder / "supervised.json").read_text(encoding="utf-8")
    assert script.concept_words() == (folder / "concepts.json").read_text(encoding="utf-8")


def test_return_x_y_gives_texts_and_labels(concepts):
    texts, labels = load_concepts(return_X_y=True)
    assert texts == concepts.texts
    np.testing.assert_array_equal(labels, concepts.labels)


# --- a user's files

LABELED = [("The canoe drifted.", "river"), ("A loan, repaid.", "banking")]
LAYOUTS = {
    "csv-prompt-label.csv": 'prompt,label\nThe canoe drifted.,river\n"A loan, repaid.",banking\n',
    "csv-other-case.csv": 'Concept,n,Sentence\nriver,1,The canoe drifted.\nbanking,2,"A loan, repaid."\n',
    "csv-with-bom.csv": '\ufefftext,concept\nThe canoe drifted.,river\n"A loan, repaid.",banking\n',
    "objects.json": json.dumps([{"prompt": text, "label": label} for text, label in LABELED]),
    "objects-text-concept.json": json.dumps([{"text": text, "concept": label} for text, label in LABELED]),
    "by-label.json": json.dumps({label: [text] for text, label in LABELED}),
    "lines.jsonl": "\n".join(json.dumps({"sentence": text, "label": label}) for text, label in LABELED) + "\n\n",
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_read_texts_layouts(tmp_path, name):
    path = tmp_path / name
    path.write_text(LAYOUTS[name], encoding="utf-8")
    data = read_texts(str(path))
    assert list(zip(data.texts, data.labels, strict=True)) == LABELED
    assert (data.n_rows, data.n_skipped, data.skipped, data.filename) == (2, 0, {}, str(path))


@pytest.mark.parametrize(
    ("name", "content"),
    [("t.json", '["One.", "Two."]'), ("t.jsonl", '"One."\n"Two."'), ("t.csv", "text\nOne.\nTwo.\n")],
)
def test_texts_without_labels(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content)
    data = read_texts(path)
    assert data.texts == ["One.", "Two."]
    assert data.labels is None


def test_skipped_rows_are_counted_by_reason(tmp_path):
    rows = [
        {"prompt": "Good.", "label": 3},
        {"prompt": "  "},
        {"label": "x"},
        {"text": 7},
        5,
        "Fine.",
        None,
        {"text": None},
    ]
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows))
    with pytest.warns(UserWarning, match=r"Skipped 6 of 8 rows of .*rows\.json: 2 with an empty text"):
        data = read_texts(path)
    assert data.texts == ["Good.", "Fine."]
    assert data.labels.tolist() == ["3", None]
    assert data.n_skipped == 6
    assert data.skipped == {
        "with an empty text": 2,
        "without a text column": 1,
        "whose text is of type int": 1,
        "of type int": 1,
        "of type NoneType": 1,
    }


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "[]", r"No texts in .*a\.json: 0 rows"),
        ("a.csv", "", "No texts in .*0 rows"),
        (
            "a.csv",
            "id,title\n1,Hello\n",
            r"1 without a text column.*one of prompt, text, sentence \(seen: id, title\)",
        ),
        ("a.json", '[{"prompt": ""}]', "1 with an empty text"),
        ("a.json", "[{]", "not valid JSON: .* at line 1"),
        ("a.json", '{"text": "a"}\n{"text": "b"}', r"named \.jsonl"),
        ("a.jsonl", '{"text": "a"}\n{"text": ', "not valid JSON: .* at line 2"),
        ("a.json", '{"prompt": "one"}', "an object with the keys"),
        ("a.json", "3", "holds int"),
        ("a.tsv", "Hello.", r"a\.tsv has no rows below its header"),
        ("a.xml", "Hello.", r"suffix is '\.xml', not one of \.csv, \.tsv, \.json, \.jsonl, \.txt or \.parquet, nor"),
    ],
)
def test_files_without_texts_are_refused(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_texts(path)


def test_other_encodings_and_missing_files(tmp_path):
    path = tmp_path / "latin.csv"
    path.write_bytes("text\nDéjà vu\n".encode("latin-1"))
    with pytest.raises(ValueError, match="not UTF-8"):
        read_texts(path)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv"):
        read_texts(tmp_path / "nowhere.csv")


# --- numbers


@pytest.mark.parametrize("noise", ["shared", "component"])
def test_make_mfa_draws_from_its_parameters(noise):
    X, y, params = make_mfa(60_000, 5, 3, 2, noise=noise, random_state=0, return_params=True)
    noise_variance = np.broadcast_to(params.noise_variance, (3, 5))
    np.testing.assert_allclose(np.bincount(y) / len(y), params.weights, atol=0.01)
    for k in range(3):
        covariance = params.loadings[k] @ params.loadings[k].T + np.diag(noise_variance[k])
        scale = np.abs(covariance).max()
        np.testing.assert_allclose(X[y == k].mean(0), params.means[k], atol=0.05 * scale**0.5)
        np.testing.assert_allclose(np.cov(X[y == k].T), covariance, atol=0.05 * scale)
        density = multivariate_normal(params.means[k], covariance)
        assert abs(density.logpdf(X[y == k]).mean() + density.entropy()) < 0.05
        residual = X[y == k] - params.means[k] - params.z[y == k] @ params.loadings[k].T
        np.testing.assert_allclose(residual.var(0), noise_variance[k], rtol=0.05)


def test_make_mfa_repeats_itself_and_separates():
    first, again, other = (make_mfa(50, random_state=seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    means = make_mfa(5, separation=0, random_state=0, return_params=True)[2].means
    np.testing.assert_array_equal(means, np.zeros_like(means))
    X, y = make_mfa(7, 4, 2, 0, random_state=np.random.RandomState(0))
    assert X.shape == (7, 4)
    assert y.shape == (7,)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"n_samples": 0}, {"n_features": 0}, {"n_components": 0}, {"n_factors": 10}, {"n_factors": -1}),
        *({"noise": "full"}, {"separation": -1.0}),
    ],
)
def test_make_mfa_names_the_parameter_that_is_wrong(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        make_mfa(**wrong)


# --- the language model


@pytest.fixture(scope="module")
def language_model():
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_lm())
    return transformers.AutoModelForCausalLM.from_pretrained(tiny_lm()).eval(), tokenizer


def test_tiny_lm_is_small():
    assert sum(path.stat().st_size for path in tiny_lm().rglob("*")) <= 6e6
    names = {path.name for path in tiny_lm().iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"} <= names


def test_tiny_lm_tokenizer(language_model, concepts):
    _, tokenizer = language_model
    assert len({tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id}) == 3
    ids = tokenizer("I think that the violin")["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == ["<bos>", "I", "Ġthink", "Ġthat", "Ġthe", "Ġviolin"]
    odd = "Größe 🎻 of\tthe Violin's  price: 3.5 €\n"
    assert tokenizer.decode(tokenizer(odd)["input_ids"], skip_special_tokens=True) == odd
    words = [f" {word}" for words in concepts.words.values() for word in words]
    assert {len(row) for row in tokenizer(words, add_special_tokens=False)["input_ids"]} == {1}


def test_tiny_lm_computes_in_float32_and_writes_sentences(language_model):
    model, tokenizer = language_model
    assert model.dtype == torch.float32
    torch.manual_seed(0)
    prompt = tokenizer("I think that", return_tensors="pt")
    with torch.inference_mode():
        text = tokenizer.decode(
            model.generate(**prompt, max_new_tokens=20, do_sample=True)[0], skip_special_tokens=True
        )
    assert len(text.split()) > 8


def test_tiny_lm_has_learned_topics(language_model):
    """After two content words, 60 % of the content probability is the concept's (chance: under 3 %)."""
    script = build_script("evaluate_tiny_lm")
    figures = script.measure(*language_model, script.held_out(300))
    assert figures["slots"] > 300
    assert figures["chance"] < 0.03
    assert figures["share_mean"] >= 0.6
