"""Needles: facts about invented people in a haystack, asked for in other words than they are told in.

After RULER's needle tasks (arXiv 2404.06654), whose needles a regular expression finds: here question and needle share
a name and no other content word. The same fact about people of like names, other facts about the same person, and
sentences that merely mention the person stand in the haystack too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.benchmark.tasks.corpus import BenchmarkFolder, Form, GoldSpan, Question
from tests.benchmark.tasks.draws import Draws
from tests.benchmark.tasks.haystack import Insertion, write_haystack
from tests.benchmark.tasks.prose import Filler
from tests.benchmark.tasks.tables import table

TASK = "needle"
TASK_SEVERAL = "multi-needle"
_DEPTHS = 40
_NAMESAKES = 3
_OTHER_FACTS = 2
_MENTIONS = 3
_VALUES = (3, 8)
# One fact about somebody who is not asked for, for every so many tokens of haystack.
_DECOY_TOKENS = 2_000
_MOST_DECOYS = 5_000


@dataclass(frozen=True)
class Fact:
    """Templates with `{who}` and, in the needle, `{value}`; `values` names the list of what may fill it."""

    kind: str
    needle: str
    question: str
    values: str


@dataclass(frozen=True)
class Planned:
    """A question before it is placed: `needles` are empty where the documents shall not say."""

    who: str
    fact: Fact
    values: tuple[str, ...]
    needles: tuple[Insertion, ...]


def facts(group: str = "fact") -> list[Fact]:
    """The facts that hold once for a person; of the group `several`, those that may hold more often."""
    return [Fact(**raw) for raw in table("needles")[group]]


def values_of(fact: Fact) -> Sequence[str]:
    """What can fill a fact's `{value}`; numbers and people are made up as they are drawn."""
    found: Sequence[str] = table("needles")["values"].get(fact.values, ())
    return found


class NeedleTask:
    """Plans questions and their needles with `draws`, then writes them into a haystack."""

    def __init__(self, draws: Draws, *, several: bool = False) -> None:
        self._draws = draws
        self._several = several
        self._facts = facts("several" if several else "fact")
        self._names: set[str] = set()

    def write(
        self, folder: BenchmarkFolder, filler: Filler, *, size_tokens: int, count: int, unanswerable: int
    ) -> list[Question]:
        """`count` questions, of which `unanswerable` ask for what stands nowhere."""
        depths = [(index + self._draws.unit()) / _DEPTHS for index in range(_DEPTHS)]
        self._draws.shuffle(depths)
        kinds = self._draws.sample(self._facts, len(self._facts))
        planned = [
            self._plan(kinds[number % len(kinds)], depths[number % _DEPTHS], answerable=number >= unanswerable)
            for number in range(count)
        ]
        self._draws.shuffle(planned)
        insertions = [needle for plan in planned for needle in plan.needles]
        choices: list[tuple[str, ...]] = []
        for plan in planned:
            distractors, values = self._distractors(plan)
            insertions += distractors
            choices.append((*plan.values, *values))
        insertions += [self._decoy() for _ in range(min(_MOST_DECOYS, size_tokens // _DECOY_TOKENS))]
        spans = write_haystack(folder, filler, insertions, self._draws, size_tokens=size_tokens)
        return self._questions(planned, choices, spans)

    def _questions(
        self, planned: Sequence[Planned], choices: Sequence[tuple[str, ...]], spans: Sequence[GoldSpan]
    ) -> list[Question]:
        task = TASK_SEVERAL if self._several else TASK
        questions: list[Question] = []
        used = 0
        for number, (plan, possible) in enumerate(zip(planned, choices, strict=True), start=1):
            evidence = tuple(spans[used : used + len(plan.needles)])
            used += len(plan.needles)
            ending = " List all of them, separated by semicolons." if self._several else ""
            questions.append(
                Question(
                    id=f"{task}-{number}",
                    task=task,
                    kind=plan.fact.kind if plan.needles else "unanswerable",
                    text=plan.fact.question.format(who=plan.who) + ending,
                    form=Form.LIST if self._several else Form.TEXT,
                    gold=plan.values if plan.needles else (),
                    choices=tuple(values_of(plan.fact)) or possible,
                    evidence=evidence,
                )
            )
        return questions

    def _plan(self, fact: Fact, depth: float, *, answerable: bool) -> Planned:
        who = self._new_name()
        values = tuple(self._values(fact, self._draws.between(*_VALUES) if self._several else 1))
        if not answerable:
            return Planned(who, fact, values, ())
        depths = [depth, *(self._draws.unit() for _ in values[1:])]
        needles = tuple(_insertion(fact, who, value, at) for value, at in zip(values, depths, strict=True))
        return Planned(who, fact, values, needles)

    def _distractors(self, plan: Planned) -> tuple[list[Insertion], list[str]]:
        """Like-named people with the same fact, the same person with other facts of the same kind of value, mentions;
        and the values that are told there, all of them wrong.
        """
        others = [fact for fact in facts() if fact.values == plan.fact.values and fact.kind != plan.fact.kind]
        told: list[tuple[str, Fact]] = [(self._namesake(plan.who), plan.fact) for _ in range(_NAMESAKES)]
        told += [(plan.who, fact) for fact in self._draws.sample(others, _OTHER_FACTS)]
        insertions: list[Insertion] = []
        values: list[str] = []
        for who, fact in told:
            left = [value for value in values_of(fact) if value not in plan.values]
            values.append(self._draws.choice(left) if left else self._values(fact, 1)[0])
            insertions.append(_insertion(fact, who, values[-1], self._draws.unit()))
        mentions = self._draws.sample(table("needles")["mentions"]["sentences"], _MENTIONS)
        insertions += [Insertion(_told(mention, plan.who), self._draws.unit()) for mention in mentions]
        return insertions, values

    def _decoy(self) -> Insertion:
        fact = self._draws.choice(self._facts)
        return _insertion(fact, self._unasked_name(), self._values(fact, 1)[0], self._draws.unit())

    def _values(self, fact: Fact, count: int) -> list[str]:
        if fact.values == "codes":
            return [f"{self._draws.between(10, 99)}-{self._draws.between(100, 999)}" for _ in range(count)]
        if fact.values == "people":
            return [self._new_name() for _ in range(count)]
        return self._draws.sample(values_of(fact), count)

    def _new_name(self) -> str:
        """A name that nobody has had; those of questions are never anyone else's."""
        name = self._unasked_name()
        self._names.add(name)
        return name

    def _unasked_name(self) -> str:
        names = table("names")
        while True:
            name = f"{self._draws.choice(names['forenames'])} {self._draws.choice(names['surnames'])}"
            if name not in self._names:
                return name

    def _namesake(self, who: str) -> str:
        """Somebody else with the same surname, or at times the same forename."""
        names = table("names")
        forename, surname = who.split(" ")
        while True:
            if self._draws.chance(0.7):
                name = f"{self._draws.choice(names['forenames'])} {surname}"
            else:
                name = f"{forename} {self._draws.choice(names['surnames'])}"
            if name not in self._names:
                return name


def _insertion(fact: Fact, who: str, value: str, depth: float) -> Insertion:
    return Insertion(_told(fact.needle, who, value), depth)


def _told(template: str, who: str, value: str = "") -> str:
    return template.format(who=who, value=value)
