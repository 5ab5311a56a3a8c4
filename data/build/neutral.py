"""The words that all concepts share: subjects, verbs, openings, adverbials; `|` stands between choices."""

from __future__ import annotations

import re

# (text, takes a plural verb)
NEUTRAL_SUBJECTS = [
    ("I", False), ("we", True), ("they", True), ("she", False), ("he", False), ("you", True),
    ("my sister", False), ("her brother", False), ("the people", True), ("a stranger", False),
    ("someone", False), ("everybody", False), ("my friends", True), ("the children", True),
    ("an old man", False), ("a young woman", False), ("our neighbours", True), ("his mother", False),
    ("the visitors", True), ("somebody", False), ("both of them", True), ("most people", True),
    ("one of us", False), ("the others", True), ("the whole family", False), ("her father", False),
]  # fmt: skip
# past, base, participle
PERCEIVED = [
    ("saw", "see", "seen"), ("noticed", "notice", "noticed"), ("found", "find", "found"),
    ("wanted", "want", "wanted"), ("needed", "need", "needed"), ("forgot", "forget", "forgotten"),
    ("brought", "bring", "brought"), ("liked", "like", "liked"), ("remembered", "remember", "remembered"),
    ("watched", "watch", "watched"), ("looked at", "look at", "looked at"),
    ("talked about", "talk about", "talked about"), ("knew", "know", "known"),
    ("asked about", "ask about", "asked about"), ("waited for", "wait for", "waited for"),
    ("described", "describe", "described"), ("admired", "admire", "admired"),
    ("showed us", "show us", "shown us"),
]  # fmt: skip
THOUGHTS_PAST = (
    "said that|thought that|told us that|believed that|knew that|hoped that|explained that|"
    "was sure that|remembered that|could see that|felt that|was told that|never said why|asked why|"
    "wondered why"
)
OPENINGS_ANY = (
    "I think that|We know that|I am sure that|Everybody knows that|They say that|"
    "The people said that|It seems that|It is true that|Perhaps|It was clear that|"
    "Nobody believed that|The news said that|You can see that|I have been told that|"
    "Some people say that|In the end|As usual|Of course|To be honest|In fact|My friend told me that"
)
TIMES_PAST = (
    "yesterday|last week|last night|this morning|in the morning|in the evening|two days ago|"
    "for many years|for hours|before noon|after lunch|one day|all day long|a long time ago|"
    "in the afternoon|that day|some years ago|until midnight|on Monday|on Sunday|at first|at last|"
    "once again"
)
TIMES_PRESENT = (
    "every day|every morning|these days|most of the time|at night|now and then|as a rule|"
    "every week|in the evening|on Sunday|from time to time|once a year|in the morning|nowadays"
)
MANNERS = (
    "slowly|carefully|quickly|quietly|again|together|twice|alone|with great care|"
    "as well as possible|without a word|in a hurry|for the first time|with some help|"
    "as if nothing had happened|on their own|with a smile"
)
ADJECTIVES = (
    "old|new|small|big|strange|beautiful|famous|ordinary|good|bad|perfect|broken|wonderful|"
    "unusual|other|little|important|simple"
)
TRAITS = (
    "young|old|tired|happy|nervous|famous|clever|brave|quiet|kind|angry|proud|careful|lazy|busy|experienced|worried"
)
STATES = (
    "tired|happy|nervous|very careful|angry|proud|late for everything|ready|worried|surprised|not at all happy|too slow"
)
LOOKS = "old|new|very small|too big|strange|beautiful|perfect|important|not very good|better than before|wonderful"
JOINERS = "and|but|because|although|while|when|before|after|until|so|as soon as"


def neutral_words() -> set[str]:
    """Every word that the frames themselves use; none may belong to a concept."""
    texts = [
        THOUGHTS_PAST,
        OPENINGS_ANY,
        TIMES_PAST,
        TIMES_PRESENT,
        MANNERS,
        ADJECTIVES,
        TRAITS,
        STATES,
        LOOKS,
    ]
    texts += [JOINERS, *(text for text, _ in NEUTRAL_SUBJECTS), *(" ".join(forms) for forms in PERCEIVED)]
    return {word for text in texts for word in re.findall(r"[a-z]+", text.lower())}
