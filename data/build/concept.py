"""A concept of the lexicon: its words by role, and every surface form they take."""

from __future__ import annotations

from dataclasses import dataclass, field

from inflect import inflect_verb, plural
from lexicon import CONCEPTS


@dataclass
class Concept:
    """The words of one concept, parsed from the compact strings of the lexicon."""

    name: str
    people: list[str]
    human: bool
    things: list[str]
    mass: set[str]
    places: list[tuple[str, str]]
    verbs: list[tuple[str, list[str]]]
    acts: list[str]
    events: list[tuple[str, list[str]]]
    adjs: list[tuple[str, list[str]]]
    forms: set[str] = field(default_factory=set)

    @classmethod
    def parse(cls, name: str) -> Concept:
        entry = CONCEPTS[name]
        raw = entry["things"].split()
        things = [word.lstrip("~") for word in raw]
        places = [tuple((p if "/" in p else p + "/in").split("/")) for p in entry["places"].split()]

        def pairs(key: str) -> list[tuple[str, list[str]]]:
            split = (item.partition(":") for item in entry.get(key, "").split())
            return [(head, objects.split(",") if objects else things) for head, _, objects in split]

        concept = cls(
            name=name,
            people=(entry.get("people") or entry["creatures"]).split(),
            human="people" in entry,
            things=things,
            mass={word[1:] for word in raw if word.startswith("~")},
            places=places,
            verbs=pairs("verbs"),
            acts=entry["acts"].split(),
            events=pairs("events"),
            adjs=pairs("adjs"),
        )
        concept.forms = concept._surface_forms()
        return concept

    def _surface_forms(self) -> set[str]:
        nouns = {*self.people, *self.things, *(place for place, _ in self.places)}
        nouns |= {word for _, objects in self.verbs for word in objects}
        verbs = {verb for verb, _ in self.verbs + self.events} | set(self.acts)
        forms = nouns | {plural(noun) for noun in nouns - self.mass - {place for place, _ in self.places}}
        forms |= {form for verb in verbs for form in inflect_verb(verb).values()}
        return forms | {adj for adj, _ in self.adjs}


def load_concepts() -> dict[str, Concept]:
    return {name: Concept.parse(name) for name in CONCEPTS}
