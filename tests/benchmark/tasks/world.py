"""A typed graph of an invented world: entities, the facts about them, and exhaustive queries over all of them."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from tests.benchmark.tasks.draws import Draws
from tests.benchmark.tasks.word_lists import table

_TYPES = ("person", "town", "festival", "ship", "work", "organisation", "bridge")
_FIRST_EVENT, _LAST_EVENT = 1640, 1860
_NEW_SOURCES = (1930, 1990)


@dataclass(frozen=True, order=True)
class Entity:
    """A thing of the world. `kind` sets apart two of the same type and name: a profession, a county, a rig."""

    type: str
    name: str
    kind: str

    @property
    def mention(self) -> str:
        """How a document calls it, without ambiguity."""
        match self.type:
            case "town":
                return f"{self.name} in {self.kind}"
            case "work":
                return f'the {self.kind} "{self.name}"'
            case _:
                return f"the {self.kind} {self.name}"


@dataclass(frozen=True)
class Relation:
    """What can be said of a subject and an object; each subject has one object. Wordings have `{x}` and `{kind}`."""

    name: str
    subject: str
    object: str
    tell: str
    forward: str
    inverse: str


@dataclass(frozen=True)
class Descriptor:
    """How a thing of a type is described by two parts, each a pair of the word told and the words asked with."""

    type: str
    tell: str
    ask: str
    a: tuple[tuple[str, str], ...]
    b: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Fact:
    """A statement as the world has it; `about` names the relation, `descriptor` or `year`."""

    about: str
    subject: Entity
    value: Entity | tuple[int, int] | int

    def clause(self) -> str:
        """The fact in words, to follow "… says that"."""
        match self.value:
            case Entity():
                return relations()[self.about].tell.format(subject=self.subject.mention, object=self.value.mention)
            case int():
                return years()[self.subject.type][0].format(subject=self.subject.mention, year=self.value)
            case (a, b):
                found = descriptors()[self.subject.type]
                return found.tell.format(subject=self.subject.mention, a=found.a[a][0], b=found.b[b][0])


def relations() -> dict[str, Relation]:
    return {raw["name"]: Relation(**raw) for raw in table("world")["relation"]}


def descriptors() -> dict[str, Descriptor]:
    """By type of entity."""
    return {
        raw["type"]: Descriptor(
            raw["type"], raw["tell"], raw["ask"], tuple(map(tuple, raw["a"])), tuple(map(tuple, raw["b"]))
        )
        for raw in table("world")["descriptor"]
    }


def years() -> dict[str, tuple[str, str]]:
    """How a year is told and asked for, by type of entity."""
    return {raw["type"]: (raw["tell"], raw["ask"]) for raw in table("world")["year"]}


class World:
    """Entities with one object for each relation, a year, and where their type has one a descriptor.

    Some entities share their name with another one of the type.
    """

    def __init__(self, draws: Draws, *, entities_per_type: int) -> None:
        self._draws = draws
        self.entities: dict[str, list[Entity]] = {kind: self._entities(kind, entities_per_type) for kind in _TYPES}
        self.facts: dict[tuple[str, Entity], Fact] = {}
        self._inverse: dict[tuple[str, Entity], list[Entity]] = defaultdict(list)
        for relation in relations().values():
            for subject in self.entities[relation.subject]:
                self._add(Fact(relation.name, subject, self._another(relation.object, subject)))
        for kind in years():
            for subject in self.entities[kind]:
                self._add(Fact("year", subject, draws.between(_FIRST_EVENT, _LAST_EVENT)))
        for descriptor in descriptors().values():
            self._describe(descriptor)

    def fact(self, about: str, subject: Entity) -> Fact:
        return self.facts[about, subject]

    def described(self, type_: str, value: tuple[int, int]) -> set[Entity]:
        """Every entity of a type with that descriptor."""
        return {each for each in self.entities[type_] if self.facts.get(("descriptor", each), _NONE).value == value}

    def objects(self, relation: str, subjects: Iterable[Entity]) -> set[Entity]:
        """What the subjects stand in the relation to."""
        values = (self.facts[relation, subject].value for subject in subjects)
        return {value for value in values if isinstance(value, Entity)}

    def subjects(self, relation: str, objects: Iterable[Entity], kind: str) -> set[Entity]:
        """Everything of a kind that stands in the relation to one of the objects."""
        return {each for object_ in objects for each in self._inverse[relation, object_] if each.kind == kind}

    def _add(self, fact: Fact) -> None:
        self.facts[fact.about, fact.subject] = fact
        if isinstance(fact.value, Entity):
            self._inverse[fact.about, fact.value].append(fact.subject)

    def _another(self, type_: str, than: Entity) -> Entity:
        while (found := self._draws.choice(self.entities[type_])) == than:
            pass
        return found

    def _entities(self, type_: str, count: int) -> list[Entity]:
        raw = table("world")
        kinds: list[str] = raw["counties"] if type_ == "town" else raw["kinds"][type_]
        names = self._draws.sample(_all_names(type_), count)
        entities = [Entity(type_, name, self._draws.choice(kinds)) for name in names]
        # One in three has a namesake of another kind.
        twins = [
            Entity(type_, each.name, self._draws.choice([kind for kind in kinds if kind != each.kind]))
            for each in self._draws.sample(entities, count // 3)
        ]
        return entities + twins

    def _describe(self, descriptor: Descriptor) -> None:
        """No two entities get the same descriptor; there are fewer than entities in a large world."""
        values = [(a, b) for a in range(len(descriptor.a)) for b in range(len(descriptor.b))]
        self._draws.shuffle(values)
        chosen = self._draws.sample(self.entities[descriptor.type], len(values))
        for subject, value in zip(chosen, values, strict=False):
            self._add(Fact("descriptor", subject, value))


def told(fact: Fact, draws: Draws, *, year: int | None = None) -> str:
    """A sentence in which a source of a year states the fact."""
    year = draws.between(*_NEW_SOURCES) if year is None else year
    return f"The {draws.choice(table('world')['sources'])} of {year} says that {fact.clause()}."


def _all_names(type_: str) -> list[str]:
    if type_ == "person":
        names = table("names")
        return [f"{forename} {surname}" for forename in names["forenames"] for surname in names["surnames"]]
    beginnings, endings = table("world")["names"][type_]
    return [f"{beginning}{ending}" for beginning in beginnings for ending in endings]


_NONE = Fact("", Entity("", "", ""), 0)
