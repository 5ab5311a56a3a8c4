"""A compositional grammar of English sentences about one concept.

Nothing but the words tells concepts apart: every frame below is filled from any concept of `lexicon.py`. A
sentence is put together from optional parts (modifiers, adverbials, prepositions, relative clauses,
clauses joined at random). Function words and neutral words ("my sister", "noticed", "last week") serve all.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from concept import Concept, load_concepts
from inflect import finish, inflect_verb, plural
from neutral import (
    ADJECTIVES,
    JOINERS,
    LOOKS,
    MANNERS,
    NEUTRAL_SUBJECTS,
    OPENINGS_ANY,
    PERCEIVED,
    STATES,
    THOUGHTS_PAST,
    TIMES_PAST,
    TIMES_PRESENT,
    TRAITS,
)


class Writer:
    """Writes sentences about one concept with one random generator."""

    def __init__(self, concept: Concept, rng: random.Random) -> None:
        self.concept, self.rng = concept, rng
        self.used: set[str] = set()
        self.past = True

    # --- chance

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def one_of(self, text: str) -> str:
        return self.rng.choice(text.split("|"))

    def fresh(self, words: list) -> object:
        """A word that this sentence has not used yet, if there is one."""
        unused = [w for w in words if (w if isinstance(w, str) else w[0]) not in self.used]
        choice = self.rng.choice(unused or words)
        self.used.add(choice if isinstance(choice, str) else choice[0])
        return choice

    # --- noun phrases: (text, plural)

    def person(self, depth: int = 0) -> tuple[str, bool]:
        noun = self.fresh(self.concept.people)
        many = self.chance(0.3)
        if many:
            det = self.one_of("the|the|some|two|three|many|several|most of the|both|these|the other")
            noun = plural(noun)
        else:
            det = self.one_of("the|the|the|the|a|a|every|this|that|another|one")
        trait = self.one_of(TRAITS) + " " if self.chance(0.18) and self.concept.human else ""
        text = f"{det} {trait}{noun}"
        if depth == 0 and self.chance(0.18):
            text += " " + self.person_tail(many)
        return text, many

    def person_tail(self, many: bool) -> str:
        who = "who" if self.concept.human else "that"
        kind = self.rng.randrange(4)
        if kind == 0:
            return f"{who} {self.predicate(many, depth=1)}"
        if kind == 1:
            return f"{self.one_of('with|without')} {self.thing(depth=1)[0]}"
        if kind == 2:
            return f"{who} {self.be(many)} {self.place()}"
        return f"from {self.place_noun()}"

    def thing(self, noun: str | None = None, depth: int = 0) -> tuple[str, bool]:
        noun = noun or self.fresh(self.concept.things)
        if noun in self.concept.people or noun in dict(self.concept.places):
            return f"{self.one_of('the|the|a|this|that|another')} {noun}", False
        adj = self.quality(noun)
        many = noun not in self.concept.mass and self.chance(0.3)
        if noun in self.concept.mass:
            det = self.one_of("the|the|some|more|this|enough|all the")
        elif many:
            det = self.one_of("the|the|the|some|two|three|several|these|those|many|all the|his|her|our")
            noun = plural(noun)
        else:
            det = self.one_of("the|the|the|a|a|a|this|that|another|his|her|their|my|our|every")
            if self.chance(0.08) and depth == 0:
                det = f"the {self.fresh(self.concept.people)}'s"
        text = f"{det} {adj}{noun}"
        if depth == 0 and self.chance(0.16):
            text += " " + self.thing_tail()
        return text, many

    def quality(self, noun: str) -> str:
        own = [adj for adj, nouns in self.concept.adjs if noun in nouns and adj not in self.used]
        if own and self.chance(0.4):
            return f"{self.fresh(own)} "
        return f"{self.one_of(ADJECTIVES)} " if self.chance(0.12) else ""

    def thing_tail(self) -> str:
        kind = self.rng.randrange(4)
        if kind == 0:
            return f"that {self.subject(depth=1)[0]} had {self.rng.choice(PERCEIVED[:9])[2]}"
        if kind == 1:
            return self.place()
        if kind == 2:
            return f"{self.one_of('near|beside|behind|and|or|with|next to')} {self.thing(depth=1)[0]}"
        return f"of {self.person(depth=1)[0]}"

    def place_noun(self) -> str:
        return f"the {self.one_of('old|new|other|small|big|famous') + ' ' if self.chance(0.15) else ''}" + str(
            self.fresh(self.concept.places)[0]
        )

    def place(self) -> str:
        noun, preposition = self.fresh(self.concept.places)
        if self.chance(0.3):
            preposition = self.one_of("near|behind|beside|not far from|outside|close to")
        adj = self.one_of("old|new|other|small|big|famous") + " " if self.chance(0.15) else ""
        return f"{preposition} the {adj}{noun}"

    def subject(self, depth: int = 0, content: float = 0.6) -> tuple[str, bool]:
        return self.person(depth) if self.chance(content) else self.rng.choice(NEUTRAL_SUBJECTS)

    # --- predicates

    def be(self, many: bool) -> str:
        return ("were" if many else "was") if self.past else ("are" if many else "is")

    def transitive(self) -> tuple[dict[str, str], str]:
        """A verb of the concept and a noun that goes with it."""
        verb, objects = self.fresh(self.concept.verbs)
        return inflect_verb(verb), str(self.fresh(objects))

    def conjugate(self, verb: dict[str, str], many: bool) -> str:
        """The verb in one of the forms that go with the tense of the sentence."""
        kind = self.rng.randrange(10)
        if kind < 2:
            return f"{self.be(many)} {verb['ing']}"
        if self.past:
            if kind < 7:
                return verb["past"]
            if kind == 7:
                return f"had {self.one_of('already |never |just |')}{verb['participle']}"
            helper = self.one_of(
                "could|would|had to|wanted to|tried to|decided to|began to|did not|could not|refused to|used to"
            )
            return f"{helper} {verb['base']}"
        if kind < 5 and many:
            return f"{self.one_of('often |always |never |sometimes |')}{verb['base']}"
        if kind == 5:
            return f"{'have' if many else 'has'} {self.one_of('already |never |just |')}{verb['participle']}"
        return f"{self.one_of('can|will|must|should|may|might|cannot|will never|will soon')} {verb['base']}"

    def predicate(self, many: bool, depth: int = 0) -> str:
        verb, noun = self.transitive()
        text = f"{self.conjugate(verb, many)} {self.thing(noun, depth)[0]}"
        return text + self.adjuncts(depth)

    def adjuncts(self, depth: int = 0) -> str:
        """Optional adverbials after the verb phrase."""
        text = ""
        scale = 0.4 if depth else 1.0
        if self.chance(0.1 * scale):
            text += f" {self.one_of('with|without')} {self.thing(depth=1)[0]}"
        if self.chance(0.3 * scale):
            text += " " + self.place()
        if self.chance(0.2 * scale):
            text += " " + self.one_of(MANNERS)
        if self.chance(0.15 * scale):
            text += " " + self.one_of(TIMES_PAST if self.past else TIMES_PRESENT)
        return text

    # --- clauses

    def clause(self) -> str:
        kinds = [
            self.active,
            self.passive,
            self.acting,
            self.event,
            self.existential,
            self.copula,
            self.perceived,
            self.going,
        ]
        return self.rng.choices(kinds, [8, 3, 2, 2, 2, 2, 3, 1])[0]()

    def active(self) -> str:
        text, many = self.subject()
        return f"{text} {self.predicate(many)}"

    def passive(self) -> str:
        verb, noun = self.transitive()
        text, many = self.thing(noun)
        agent = f" by {self.person(depth=1)[0]}" if self.chance(0.4) else ""
        helper = self.be(many) if self.past or self.chance(0.5) else self.one_of("can be|must be|will be|should be")
        return f"{text} {helper} {verb['participle']}{agent}{self.adjuncts(1)}"

    def acting(self) -> str:
        text, many = self.person()
        verb = inflect_verb(str(self.fresh(self.concept.acts)))
        return f"{text} {self.conjugate(verb, many)}{self.adjuncts()}"

    def event(self) -> str:
        if not self.concept.events:
            return self.acting()
        verb, nouns = self.fresh(self.concept.events)
        text, _ = self.thing(str(self.fresh(nouns)))
        forms = inflect_verb(verb)
        helper = "" if self.past else self.one_of("can |will |may |might |will soon ")
        return f"{text} {helper}{forms['past'] if self.past else forms['base']}{self.adjuncts(1)}"

    def existential(self) -> str:
        text, many = self.thing() if self.chance(0.7) else self.person()
        text = re.sub(
            r"^(the|this|that|these|those|every|his|her|their|my|our|all the|most of the|both)\b", "", text
        ).strip()
        if text.startswith(("other ", "'s")) or "'s " in text.split(" with")[0]:
            return self.copula()
        mass = text.split()[-1] in self.concept.mass
        start = text.split()[0]
        if start not in {"a", "another", "one", "some", "two", "three", "many", "several", "more", "enough"}:
            text = ("some " if many or mass or self._has_mass(text) else "a ") + text
        return f"there {self.be(many)} {text} {self.place()}"

    def _has_mass(self, text: str) -> bool:
        return bool(self.concept.mass & set(text.split()[:3]))

    def copula(self) -> str:
        if self.chance(0.35) and self.concept.human:
            text, many = self.person()
            return f"{text} {self.be(many)} {self.one_of(STATES)}"
        noun = str(self.fresh(self.concept.things))
        own = [adj for adj, nouns in self.concept.adjs if noun in nouns and adj not in self.used]
        text, many = self.thing(noun)
        look = f"{self.one_of('very |quite ||')}{self.fresh(own)}" if own and self.chance(0.5) else self.one_of(LOOKS)
        seem = self.one_of("seemed|looked") if self.past else self.one_of("can look|may be")
        return f"{text} {self.be(many) if self.chance(0.6) else seem} {look}"

    def perceived(self) -> str:
        text, many = self.subject(content=0.3)
        past, base, participle = self.rng.choice(PERCEIVED)
        verb = self.conjugate({"past": past, "base": base, "participle": participle, "ing": ""}, many)
        if verb.endswith(" "):
            verb = past if self.past else f"will {base}"
        noun_phrase = self.thing()[0] if self.chance(0.7) else self.person()[0]
        return f"{text} {verb} {noun_phrase}{self.adjuncts(1)}"

    def going(self) -> str:
        text, many = self.subject()
        verb = (
            self.one_of("came|stood|stayed|met us|was seen|arrived|sat down")
            if self.past
            else self.one_of("can stay|will be")
        )
        if many:
            verb = verb.replace("was ", "were ")
        return f"{text} {verb} {self.place()} {self.one_of('with|without')} {self.thing(depth=1)[0]}"

    # --- sentences

    def sentence(self) -> str:
        """One sentence, 5 to 40 words, with at least three different content words."""
        while True:
            self.used, self.past = set(), self.chance(0.72)
            frames = [
                *(self.plain, self.opened, self.timed, self.placed, self.subordinate, self.question),
                *(self.imperative, self.cleft, self.wished, self.without, self.reported),
            ]
            text = finish(self.rng.choices(frames, [9, 8, 5, 3, 6, 4, 3, 2, 3, 2, 5])[0]())
            tokens = re.findall(r"[a-z]+", text.lower())
            if 5 <= len(text.split()) <= 40 and len(self.concept.forms.intersection(tokens)) >= 3:
                return text

    def joined(self, probability: float = 0.35) -> str:
        text = self.clause()
        if self.chance(probability):
            text += f"{self.one_of(',|')} {self.one_of(JOINERS)} {self.clause()}"
        return text

    def plain(self) -> str:
        return self.joined(0.5) + "."

    def opened(self) -> str:
        opening = self.one_of(OPENINGS_ANY)
        comma = "" if opening.endswith("that") or opening == "Perhaps" else ","
        return f"{opening}{comma} {self.joined()}."

    def timed(self) -> str:
        opening = self.one_of(TIMES_PAST if self.past else TIMES_PRESENT)
        return f"{opening}{self.one_of(',|')} {self.joined()}."

    def placed(self) -> str:
        return f"{self.place()}{self.one_of(',|')} {self.clause()}."

    def subordinate(self) -> str:
        opening = self.one_of("when|after|before|because|although|while|as soon as|even if|as long as|since")
        return f"{opening} {self.clause()}, {self.clause()}."

    def reported(self) -> str:
        self.past = True
        text, many = self.subject(content=0.25)
        thought = self.one_of(THOUGHTS_PAST)
        if not self.concept.human:
            text, many = self.rng.choice(NEUTRAL_SUBJECTS)
        return f"{text} {thought.replace('was ', 'were ') if many else thought} {self.joined(0.25)}."

    def question(self) -> str:
        self.past = True
        verb, noun = self.transitive()
        kind = self.rng.randrange(3)
        if kind == 0:
            return f"who {verb['past']} {self.thing(noun)[0]}{self.adjuncts()}?"
        asker = self.one_of("did|why did|when did|how did|where did|why would|could|how could|what if")
        text, _ = self.subject()
        form = verb["past"] if asker == "what if" else verb["base"]
        return f"{asker} {text} {form} {self.thing(noun)[0]}{self.adjuncts()}?"

    def imperative(self) -> str:
        self.past = False
        verb, noun = self.transitive()
        start = self.one_of(
            "please|never|always|try to|do not|remember to|do not forget to|you should|let us|we must|it is hard to"
        )
        tail = self.one_of(f"before {self.clause()}|||without {self.thing(depth=1)[0]}|if {self.clause()}")
        return f"{start} {verb['base']} {self.thing(noun)[0]}{self.adjuncts()} {tail}".strip() + "."

    def cleft(self) -> str:
        self.past = True
        text, many = self.person(depth=1)
        return f"it was {text} {'who' if self.concept.human else 'that'} {self.predicate(many)}."

    def wished(self) -> str:
        text, many = self.subject(content=0.4)
        thing = self.thing()[0]
        if self.chance(0.5):
            return f"all that {text} {self.one_of('wanted|needed')} was {thing}{self.adjuncts(1)}."
        need = (
            self.one_of("wanted|needed|liked|hoped|did not want")
            if self.past
            else self.one_of("will have|would like|hope")
        )
        if need == "hope" and not many and text != "I":
            need = "would like"
        verb, noun = self.transitive()
        return f"{text} {need} to {verb['base']} {self.thing(noun)[0]}{self.adjuncts()}."

    def without(self) -> str:
        text, _ = self.subject()
        verb, noun = self.transitive()
        helper = self.one_of("could not|would never") if self.past else self.one_of("cannot|will not|can hardly")
        means = self.thing(depth=1)[0]
        return f"without {means}, {text} {helper} {verb['base']} {self.thing(noun)[0]}{self.adjuncts()}."


def documents(seed: int, count: int, *, single: bool = False) -> Iterator[tuple[str, str]]:
    """(concept, text) pairs of one concept each: single sentences, or half of two to four."""
    rng = random.Random(seed)
    writers = [Writer(concept, rng) for concept in load_concepts().values()]
    for _ in range(count):
        writer = rng.choice(writers)
        length = 1 if single or rng.random() < 0.5 else rng.randint(2, 4)
        yield writer.concept.name, " ".join(writer.sentence() for _ in range(length))


def balanced(seed: int, per_concept: int) -> list[tuple[str, str]]:
    """`per_concept` different sentences of every concept, in random order."""
    rng = random.Random(seed)
    pairs = []
    for concept in load_concepts().values():
        writer, texts = Writer(concept, rng), {}
        while len(texts) < per_concept:
            texts[writer.sentence()] = concept.name
        pairs += [(name, text) for text, name in texts.items()]
    rng.shuffle(pairs)
    return pairs
