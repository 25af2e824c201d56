"""Multi-hop questions over documents about an invented world, after BrowseComp-Plus (arXiv 2508.06600).

A question leads over three to six facts, spread over many documents; no step but the last is named. The answer is
unique: an exhaustive query over all facts of the world finds it alone, and one thing alone at every step before it.
Beside each fact stand others like it: of a namesake of another kind, of things described almost alike, and the same
fact in an older source that was wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.benchmark.tasks.draws import Draws
from tests.benchmark.tasks.folder import Form, GoldSpan, Question, TaskFolder
from tests.benchmark.tasks.haystack import Insertion, write_haystack
from tests.benchmark.tasks.prose import Prose
from tests.benchmark.tasks.word_lists import table
from tests.benchmark.tasks.world import Entity, Fact, World, descriptors, relations, told, years

_HOPS = (3, 6)
_TRIES = 4_000
_OLD_SOURCES = (1870, 1925)
_DOCUMENT_TOKENS = 4_000
_FEWEST_DOCUMENTS, _MOST_DOCUMENTS = 10, 1_000

_ENDING = " Where two sources disagree, the later one is right. Give the final answer as 'Answer: <answer>'."


@dataclass(frozen=True)
class Chain:
    """A question's facts, first step first, its wording and the wordings of its answer."""

    facts: tuple[Fact, ...]
    ask: str
    gold: tuple[str, ...]


@dataclass(frozen=True)
class _Walk:
    """Where a chain has got to: what stands there now, in words that do not name it."""

    facts: tuple[Fact, ...]
    at: Entity
    words: str


class MultiHopTask:
    """Draws chains that share no fact from one world, then writes the documents."""

    def __init__(self, draws: Draws, *, count: int, unanswerable: int = 0) -> None:
        """`count` questions; of `unanswerable` ones, one fact that the chain needs is told nowhere."""
        self._draws = draws
        self._count = count
        self._unanswerable = unanswerable
        self.world = World(draws, entities_per_type=min(120, 40 + 4 * count))
        self._used: set[Fact] = set()

    def write(self, folder: TaskFolder, prose: Prose, *, size_tokens: int) -> list[Question]:
        """Raises `ValueError` for more questions than the world has chains for."""
        chains = [self.chain() for _ in range(self._count)]
        missing = {index: self._draws.choice(chain.facts) for index, chain in enumerate(chains[: self._unanswerable])}
        evidence = [fact for chain in chains for fact in chain.facts if fact not in missing.values()]
        others = self._others(chains, set(missing.values()), size_tokens)
        sentences = [*(told(fact, self._draws) for fact in evidence), *others]
        insertions = [Insertion(sentence, self._draws.unit()) for sentence in sentences]
        documents = max(_FEWEST_DOCUMENTS, min(_MOST_DOCUMENTS, size_tokens // _DOCUMENT_TOKENS))
        written = write_haystack(folder, prose, insertions, self._draws, size_tokens=size_tokens, documents=documents)
        spans = dict(zip(evidence, written, strict=False))
        questions = [self._question(chain, missing.get(index), spans) for index, chain in enumerate(chains)]
        self._draws.shuffle(questions)
        return [replace(question, id=f"multihop-{number}") for number, question in enumerate(questions, start=1)]

    def chain(self) -> Chain:
        """A chain over facts that no other one uses, verified to have one answer."""
        for _ in range(_TRIES):
            hops = self._draws.between(*_HOPS)
            chain = self._attempt(hops)
            if chain and self._used.isdisjoint(chain.facts):
                self._used.update(chain.facts)
                return chain
        raise ValueError("The world is too small for so many questions of several hops: ask for fewer.")

    def _attempt(self, hops: int) -> Chain | None:
        descriptor = self._draws.choice(list(descriptors().values()))
        start = self._draws.choice(self.world.entities[descriptor.type])
        first = self.world.facts.get(("descriptor", start))
        if first is None or not isinstance(first.value, tuple):
            return None
        a, b = first.value
        if self.world.described(start.type, (a, b)) != {start}:
            return None
        walk: _Walk | None = _Walk((first,), start, descriptor.ask.format(a=descriptor.a[a][1], b=descriptor.b[b][1]))
        ends_in_year = self._draws.chance(0.4)
        while walk and len(walk.facts) < hops - ends_in_year:
            walk = self._step(walk)
        if walk is None:
            return None
        if ends_in_year:
            return self._dated(walk) if walk.at.type in years() else None
        name = walk.at
        return Chain(walk.facts, table("world")["ask"][name.type].format(x=walk.words), _wordings(name))

    def _step(self, walk: _Walk) -> _Walk | None:
        """One relation further, along it or against it; None where that leads to several things, or back."""
        relation = self._draws.choice(list(relations().values()))
        at, world = walk.at, self.world
        if relation.subject == at.type and (relation.object != at.type or self._draws.chance(0.5)):
            found = world.objects(relation.name, [at])
            words = relation.forward
        elif relation.object == at.type:
            kind = self._draws.choice(table("world")["kinds"][relation.subject])
            found = world.subjects(relation.name, [at], kind)
            words = relation.inverse.replace("{kind}", kind)
        else:
            return walk
        if len(found) != 1:
            return None
        (to,) = found
        visited = {walk.facts[0].subject, *(fact.subject for fact in walk.facts), at}
        visited |= {fact.value for fact in walk.facts if isinstance(fact.value, Entity)}
        if to in visited:
            return None
        fact = world.fact(relation.name, at if words == relation.forward else to)
        return _Walk((*walk.facts, fact), to, words.replace("{x}", walk.words))

    def _dated(self, walk: _Walk) -> Chain:
        fact = self.world.fact("year", walk.at)
        return Chain((*walk.facts, fact), years()[walk.at.type][1].format(x=walk.words), (str(fact.value),))

    def _others(self, chains: Sequence[Chain], missing: set[Fact], size_tokens: int) -> list[str]:
        """Sentences that resemble evidence, and facts that nobody asks for."""
        sentences: list[str] = []
        for fact in (fact for chain in chains for fact in chain.facts):
            sentences += [told(near, self._draws) for near in self._near(fact)]
            if fact not in missing and fact.about != "descriptor" and self._draws.chance(0.5):
                sentences.append(told(self._outdated(fact), self._draws, year=self._draws.between(*_OLD_SOURCES)))
        known = sorted(self.world.facts.keys() - {(fact.about, fact.subject) for fact in self._used})
        idle = self._draws.sample(known, min(len(known), size_tokens // 1_500))
        return [*dict.fromkeys([*sentences, *(told(self.world.facts[key], self._draws) for key in idle)])]

    def _near(self, fact: Fact) -> list[Fact]:
        """Facts of the world that satisfy all but one condition: of a namesake, of one described almost alike, of
        another thing with the same object. None of them is evidence of another chain.
        """
        world, subject = self.world, fact.subject
        near = [
            other
            for each in world.entities[subject.type]
            if each != subject and (other := world.facts.get((fact.about, each)))
            if each.name == subject.name or _almost(other.value, fact.value)
        ]
        near = [other for other in near if other not in self._used]
        return self._draws.sample(near, 3)

    def _outdated(self, fact: Fact) -> Fact:
        """What an older source says instead."""
        if isinstance(fact.value, int):
            return replace(fact, value=fact.value + self._draws.choice((-21, -9, -4, 3, 8, 17)))
        assert isinstance(fact.value, Entity)
        others = [
            each
            for each in self.world.entities[fact.value.type]
            if each.name not in (fact.value.name, fact.subject.name)
        ]
        return replace(fact, value=self._draws.choice(others))

    def _question(self, chain: Chain, missing: Fact | None, spans: dict[Fact, GoldSpan]) -> Question:
        return Question(
            id="",
            kind="unanswerable" if missing else f"{len(chain.facts)}_hops",
            text=chain.ask + _ENDING,
            form=Form.TEXT,
            gold=() if missing else chain.gold,
            choices=self._choices(chain.facts[-1], chain.gold),
            evidence=() if missing else tuple(spans[fact] for fact in chain.facts),
        )

    def _choices(self, last: Fact, gold: tuple[str, ...]) -> tuple[str, ...]:
        """Names of the answer's type, or years."""
        if last.about == "year":
            return tuple(sorted({str(fact.value) for fact in self.world.facts.values() if fact.about == "year"}))
        for entities in self.world.entities.values():
            names = {each.name for each in entities}
            if gold[0] in names:
                return tuple(sorted(names))
        return ()


def _almost(one: object, other: object) -> bool:
    """Whether two descriptors share one of their parts, or two facts their object."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return bool((one[0] == other[0]) != (one[1] == other[1]))
    return isinstance(one, Entity) and one == other


def _wordings(entity: Entity) -> tuple[str, ...]:
    return (entity.name, entity.mention)
