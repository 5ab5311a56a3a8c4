"""The table of components as text: everything known, nothing else, and nothing cut off."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from interpret_fixtures import annotated, mixture

from mfa_sklearn._base.annotated import AnnotatedArray
from mfa_sklearn.interpret import describe_components, format_components


def test_a_block_says_what_the_line_says() -> None:
    mfa = mixture(3.0)
    X = annotated(mfa)
    X = AnnotatedArray(np.asarray(X), rows={**X.rows, "text_index": np.arange(len(X)) // 5})
    table = describe_components(mfa, X, n_tokens=10)
    blocks = format_components(table).split("\n\n")
    assert len(blocks) == len(table) == 4
    for (component, line), block in zip(table.iterrows(), blocks, strict=True):
        lines = block.splitlines()
        assert lines[0].startswith(f"component {component}: {line['size']} rows, weight ")
        for name in ("tokens", "concepts", "ends"):
            assert not line[name] or f"  {name:<8}  {line[name]}" in lines
        assert all(context in block for context in line["contexts"])
        assert f"rows {', '.join(map(str, line['outlying']))}" in block
        assert f"nearest   component {line['nearest']}, " in block
        assert not line["concepts"] or f"  {line['n_enriched']} enriched" in block.replace(", ", "  ")


def test_what_is_not_known_is_left_out() -> None:
    mfa = mixture(3.0)
    text = format_components(describe_components(mfa, np.asarray(annotated(mfa)))[["typical", "size"]].head(1))
    head, typical = text.splitlines()
    assert head.startswith("component 0: ") and head.endswith(" rows") and typical.startswith("  typical   rows ")
    far = mixture(30.0)
    X, far.means_[1] = annotated(far), 1e6
    empty = format_components(describe_components(far, X).loc[[1]])
    assert empty.startswith("component 1: 0 rows, weight ") and "nan" not in empty and "typical" not in empty


def test_numbers_stay_whole_and_labels_do_no_harm() -> None:
    table = pd.DataFrame({"size": [75], "weight": [0.5], "factors_90": [1], "nearest": [2], "nearest_distance": [1.5]})
    assert format_components(table).splitlines() == [
        "component 0: 75 rows, weight 0.5, 1 factor for 90 %",
        "  nearest   component 2, 1.5 nats",
    ]
    text = format_components(pd.DataFrame({"concept": ["\x1b[31mred\n\u202e"], "factors_90": [2]}))
    assert text.isprintable() is False and "2 factors for 90 %" in text
    assert text.replace("\n", "", 1).isprintable() and "\\x1b[31mred\\n" in text


def test_no_table() -> None:
    with pytest.raises(TypeError, match="describe_components returns, got str"):
        format_components("table")  # type: ignore[arg-type]
