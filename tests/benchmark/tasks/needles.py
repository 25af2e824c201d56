"""Needles: facts about invented people in a haystack, asked for in other words than they are told in.

After RULER's needle tasks (arXiv 2404.06654), whose needles a regular expression finds: here question and needle share
a name and no other content word. The same fact about people of like names, other facts about the same person, and
sentences that merely mention the person stand in the haystack too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.benchmark.tasks.draws import Draws
from tests.benchmark.tasks.folder import Form, GoldSpan, Question, TaskFolder
from tests.benchmark.tasks.haystack import Insertion, write_haystack
from tests.benchmark.tasks.prose import Prose
from tests.benchmark.tasks.word_lists import table

_DEPTHS = 40
_NAMESAKES = 3
_OTHER_FACTS = 2
_MENTIONS = 3
# One fact about somebody who is not asked for, for every so many tokens of haystack.
_DECOY_TOKENS = 2_000
_DOCUMENT_TOKENS = 50_000


@dataclass(frozen=True)
class Fact:
    """Templates with `{who}` and, in the needle, `{value}`; `values` names the list of what may fill it."""

    kind: str
    needle: str
    question: str
    values: str


@dataclass(frozen=True)
class Planned:
    """A question before it is placed. Where it is not `answerable`, the needle is left out."""

    who: str
    fact: Fact
    value: str
    answerable: bool


def facts() -> list[Fact]:
    """Facts that hold once for a person."""
    return [Fact(**raw) for raw in table("needles")["fact"]]


def values_of(fact: Fact) -> Sequence[str]:
    """What can fill a fact's `{value}`; numbers are made up as they are drawn."""
    found: Sequence[str] = table("needles")["values"].get(fact.values, ())
    return found


class NeedleTask:
    """Plans questions and their needles with `draws`, then writes them into a haystack."""

    def __init__(self, draws: Draws, *, count: int, unanswerable: int) -> None:
        """`count` questions, of which `unanswerable` ask for what stands nowhere."""
        self._draws = draws
        self._names: set[str] = set()
        kinds = draws.sample(facts(), len(facts()))
        self._planned: list[Planned] = []
        for number in range(count):
            fact = kinds[number % len(kinds)]
            self._planned.append(Planned(self._new_name(), fact, self._value(fact), number >= unanswerable))
        draws.shuffle(self._planned)

    def write(self, folder: TaskFolder, prose: Prose, *, size_tokens: int) -> list[Question]:
        depths = [(index + self._draws.unit()) / _DEPTHS for index in range(_DEPTHS)]
        self._draws.shuffle(depths)
        needles = [
            Insertion(plan.fact.needle.format(who=plan.who, value=plan.value), depths[number % _DEPTHS])
            for number, plan in enumerate(self._planned)
            if plan.answerable
        ]
        others: list[Insertion] = []
        choices = [(plan.value, *self._distract(plan, others)) for plan in self._planned]
        for _ in range(size_tokens // _DECOY_TOKENS):
            fact = self._draws.choice(facts())
            others.append(self._told(fact, self._unasked_name(), self._value(fact)))
        documents = max(1, size_tokens // _DOCUMENT_TOKENS)
        spans = iter(
            write_haystack(folder, prose, needles + others, self._draws, size_tokens=size_tokens, documents=documents)
        )
        return [
            self._question(number, plan, possible, (next(spans),) if plan.answerable else ())
            for number, (plan, possible) in enumerate(zip(self._planned, choices, strict=True), start=1)
        ]

    def _question(
        self, number: int, plan: Planned, possible: tuple[str, ...], evidence: tuple[GoldSpan, ...]
    ) -> Question:
        return Question(
            id=f"needles-{number}",
            kind=plan.fact.kind if plan.answerable else "unanswerable",
            text=plan.fact.question.format(who=plan.who),
            form=Form.TEXT,
            gold=(plan.value,) if plan.answerable else (),
            choices=tuple(values_of(plan.fact)) or possible,
            evidence=evidence,
        )

    def _distract(self, plan: Planned, insertions: list[Insertion]) -> list[str]:
        """Adds like-named people with the same fact, the same person with other facts of the same kind of value, and
        mentions; returns the values that are told there, all of them wrong.
        """
        others = [fact for fact in facts() if fact.values == plan.fact.values and fact.kind != plan.fact.kind]
        told = [(self._namesake(plan.who), plan.fact) for _ in range(_NAMESAKES)]
        told += [(plan.who, fact) for fact in self._draws.sample(others, _OTHER_FACTS)]
        wrong: list[str] = []
        for who, fact in told:
            while (value := self._value(fact)) == plan.value:
                pass
            wrong.append(value)
            insertions.append(self._told(fact, who, value))
        mentions = self._draws.sample(table("needles")["mentions"]["sentences"], _MENTIONS)
        insertions += [Insertion(each.format(who=plan.who), self._draws.unit()) for each in mentions]
        return wrong

    def _told(self, fact: Fact, who: str, value: str) -> Insertion:
        return Insertion(fact.needle.format(who=who, value=value), self._draws.unit())

    def _value(self, fact: Fact) -> str:
        if fact.values == "codes":
            return f"{self._draws.between(10, 99)}-{self._draws.between(100, 999)}"
        return self._draws.choice(values_of(fact))

    def _new_name(self) -> str:
        """A name that nobody has had; those of questions are never anyone else's."""
        name = self._unasked_name()
        self._names.add(name)
        return name

    def _unasked_name(self) -> str:
        names = table("names")
        while (
            name := f"{self._draws.choice(names['forenames'])} {self._draws.choice(names['surnames'])}"
        ) in self._names:
            pass
        return name

    def _namesake(self, who: str) -> str:
        """Somebody else with the same surname, or at times the same forename."""
        forename, surname = who.split(" ")
        while True:
            drawn = self._unasked_name().split(" ")
            name = f"{drawn[0]} {surname}" if self._draws.chance(0.7) else f"{forename} {drawn[1]}"
            if name not in self._names:
                return name
