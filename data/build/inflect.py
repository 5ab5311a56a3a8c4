"""English inflection: rules, and the words of the lexicon that do not follow them."""

from __future__ import annotations

import re

# past, participle; the -ing form follows the rule
IRREGULAR_VERBS = {
    "bite": "bit bitten", "bleed": "bled bled", "blow": "blew blown", "build": "built built",
    "cast": "cast cast", "catch": "caught caught", "cut": "cut cut", "dig": "dug dug",
    "draw": "drew drawn", "drive": "drove driven", "feed": "fed fed", "fight": "fought fought",
    "fly": "flew flown", "forecast": "forecast forecast", "hear": "heard heard", "hit": "hit hit",
    "kneel": "knelt knelt", "lay": "laid laid", "lend": "lent lent", "light": "lit lit",
    "lose": "lost lost", "overtake": "overtook overtaken", "proofread": "proofread proofread",
    "repay": "repaid repaid", "saw": "sawed sawn", "sew": "sewed sewn", "shine": "shone shone",
    "shoot": "shot shot", "sing": "sang sung", "sink": "sank sunk", "slide": "slid slid",
    "sow": "sowed sown", "split": "split split", "steal": "stole stolen", "string": "strung strung",
    "swim": "swam swum", "swing": "swung swung", "teach": "taught taught", "throw": "threw thrown",
    "weave": "wove woven", "win": "won won", "withdraw": "withdrew withdrawn", "write": "wrote written",
}  # fmt: skip

# the last consonant is doubled before -ed and -ing
DOUBLING = {
    "acquit", "bat", "chop", "cut", "dam", "debug", "dig", "fit", "gut", "hem", "hit", "hum", "jog",
    "knit", "map", "pet", "plot", "program", "rappel", "refuel", "scrub", "shovel", "skid", "spar",
    "split", "stir", "swim", "travel", "trim", "tunnel", "win",
}  # fmt: skip

IRREGULAR_PLURALS = {
    "leaf": "leaves", "knife": "knives", "tooth": "teeth", "sheep": "sheep", "calf": "calves",
    "trout": "trout", "salmon": "salmon", "fisherman": "fishermen", "cameraman": "cameramen",
    "boatman": "boatmen", "ferryman": "ferrymen", "weatherman": "weathermen", "signalman": "signalmen",
    "foreman": "foremen", "woodsman": "woodsmen", "helmsman": "helmsmen", "trawlerman": "trawlermen",
    "nucleus": "nuclei", "volcano": "volcanoes", "nebula": "nebulae",
}  # fmt: skip

A_BEFORE = {"uniform", "unanimous"}
AN_BEFORE = {"hour", "honest"}


def inflect_verb(base: str) -> dict[str, str]:
    """Base, past, participle and -ing form of a verb."""
    stem = base + base[-1] if base in DOUBLING else base
    if base.endswith("e"):
        past, ing = base + "d", base[:-1] + "ing"
    elif base.endswith("y") and base[-2] not in "aeiou":
        past, ing = base[:-1] + "ied", base + "ing"
    else:
        past, ing = stem + "ed", stem + "ing"
    past, participle = IRREGULAR_VERBS.get(base, f"{past} {past}").split()
    return {"base": base, "past": past, "participle": participle, "ing": ing}


def plural(noun: str) -> str:
    if noun in IRREGULAR_PLURALS:
        return IRREGULAR_PLURALS[noun]
    if noun.endswith(("s", "x", "z", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def finish(text: str) -> str:
    """Articles, spaces and the capital at the start."""

    def article(match: re.Match[str]) -> str:
        word = match.group(2).lower()
        vowel = word in AN_BEFORE or (word[0] in "aeiou" and word not in A_BEFORE)
        return match.group(1) + ("n " if vowel else " ") + match.group(2)

    text = re.sub(r"\b([Aa]) (\w+)", article, re.sub(r"\s+", " ", text).replace(" ,", ","))
    return text[0].upper() + text[1:]
