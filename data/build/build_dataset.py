"""Write `data/supervised.json` and `data/concepts.json` from the grammar.

python data/build/build_dataset.py
"""

from __future__ import annotations

import json
from pathlib import Path

from grammar import balanced, load_concepts

DATASET_SEED, PER_CONCEPT = 20, 100
DATA = Path(__file__).resolve().parents[1]


def supervised() -> str:
    """A JSON list, one {"prompt", "label"} object a line."""
    rows = [json.dumps({"prompt": text, "label": name}) for name, text in balanced(DATASET_SEED, PER_CONCEPT)]
    return "[\n" + ",\n".join(rows) + "\n]\n"


def concept_words() -> str:
    """A JSON object: concept -> sorted surface forms of its content words."""
    rows = [f"{json.dumps(name)}: {json.dumps(sorted(c.forms))}" for name, c in load_concepts().items()]
    return "{\n" + ",\n".join(rows) + "\n}\n"


def main() -> None:
    (DATA / "supervised.json").write_text(supervised(), encoding="utf-8")
    (DATA / "concepts.json").write_text(concept_words(), encoding="utf-8")


if __name__ == "__main__":
    main()
