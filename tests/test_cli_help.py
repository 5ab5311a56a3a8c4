"""A mistyped word gets the one that was meant."""

from __future__ import annotations

import pytest

from mfa_sklearn._cli_parser import make_parser

FIT = ["fit", "x", "-o", "m", "-k", "2"]
EXTRACT = ["extract", "t.csv", "-o", "x", "--model", "m", "--layer", "1"]


def said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        make_parser().parse_args(arguments)
    assert caught.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("usage: mfa-sklearn")
    return captured.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["tokens"], "; did you mean top-tokens?"),
        (["extrat"], "; did you mean extract?"),
        (["Concept"], "; did you mean concepts?"),
        (["--versoin"], "; there is no option --versoin, did you mean --version?"),
        (["kmeans", "x", "-o", "m", "--k", "3"], "required: -k/--clusters; there is no option --k, did you mean -k?"),
        ([*FIT, "--laier", "3"], "--laier 3; there is no option --laier, did you mean --layer?"),
        ([*FIT, "--max_iter=3"], "there is no option --max_iter, did you mean --max-iter?"),
        ([*FIT, "-z"], "there is no option -z"),
        ([*FIT, "--noise", "shard"], "; did you mean shared?"),
        ([*EXTRACT, "--site", "residul"], "; did you mean residual?"),
        ([*EXTRACT, "--colour"], "there is no option --colour"),
        (["concepts", "m", "x", "--by-concpet"], "did you mean --by-concept?"),
        ([*FIT, "--no-checkpont"], "did you mean --no-checkpoint?"),
        ([*FIT, "--no-checkpoint", "--checkpoint", "c"], "--checkpoint: not allowed with argument --no-checkpoint"),
        ([*FIT, "--tol", "abc"], "argument --tol: invalid value 'abc': give a number or 'auto'"),
        ([*FIT, "--noise-prior", "x"], "argument --noise-prior: invalid value 'x': give a number or 'auto'"),
        (["steer", "m", "The", "--component", "0", "--z", "0:2"], "'0:2' is not FACTOR=VALUE, as in 0=20"),
    ],
)
def test_mistyped_words(arguments: list[str], advice: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert advice in said(arguments, capsys)


@pytest.mark.parametrize(
    ("arguments", "end"),
    [
        (["zzzzzz"], "'verify')"),
        ([*FIT, "--max-iter", "-5x"], "expected one argument"),
        ([*FIT, "-k"], "expected one argument"),
        (["fit", "-k", "-3"], "-o/--output"),
        (["verify", "x", "y\x1b[2J\n"], "unrecognized arguments: y\\x1b[2J"),
    ],
)
def test_no_advice_where_there_is_none(arguments: list[str], end: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert end in said(arguments, capsys) and "\x1b" not in end


def test_names_may_be_cut_short_and_values_may_be_negative() -> None:
    found = make_parser().parse_args([*FIT[:3], "m", "--comp", "2", "--random-state", "-1", "--max-iter=7", "-q3"])
    assert (found.components, found.random_state, found.max_iter, found.factors) == (2, -1, 7, 3)
    assert make_parser().parse_args(["steer", "m", "-- dashes", "--component", "0", "--z", "0=-10"]).z == [(0, -10.0)]
