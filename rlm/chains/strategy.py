"""The chain strategy: a question's innermost description is looked up, its name put in its place, and so on outwards.

"The year in which the designer of the crossing that is guarded by a swan died" stands in no passage. Each link is a
search, a reading of the nearest sentences, which a model picks one of, and a check; all that decides is code. A first
description is searched for in guessed words, too; a model that tells likelihoods is shown the likeliest alone. It
costs a few hundred tokens a link whatever the documents' size, and needs no model that programs. A link that leads
nowhere is taken back, and the next likely one followed. Where none leads to the end, the question may be one that a
passage answers all the same: it is read for directly.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace

from rlm.answers import Answer, AnswerStatus, CitationList, Claim, searched
from rlm.candidates import Cosines
from rlm.chains.links import Links, descriptions
from rlm.chains.lookup import Link, Lookup, Record
from rlm.errors import BudgetExhaustedError, RunCancelledError
from rlm.plan.wording import in_form, take_apart
from rlm.questions import check_question
from rlm.strategies import (
    Completed,
    Delta,
    Event,
    Planned,
    Reading,
    Retriever,
    StageClock,
    Strategy,
    complete,
    never,
)
from rlm.subcalls.port import SubCalls

_NOT_FOUND = "These documents do not answer the question."
# However many links lead nowhere.
_MAX_LOOKUPS = 24


@dataclass
class _Way:
    """The longest way that was found so far: its links, and the question with them put in; `form` is its answer's."""

    links: Links
    form: str = ""
    done: tuple[Link, ...] = ()

    @property
    def whole(self) -> bool:
        return len(self.done) > len(self.links.found)

    def said(self, link: Link) -> str:
        """What the last link of a whole way brings is the answer; others say what they are about."""
        if self.whole and link is self.done[-1]:
            return in_form(self.form, link.answer)
        return f"{_capital(link.asked)}: {link.answer}."

    def keep(self, done: tuple[Link, ...], links: Links) -> None:
        if len(done) > len(self.done):
            self.done, self.links = done, links


class ChainStrategy:
    """Answers chains of facts; `retrieve` finds many passages, `cosines` compares their sentences."""

    name = "chain"

    def __init__(
        self,
        retrieve: Retriever,
        cosines: Cosines,
        subcalls: SubCalls,
        model_name: str,
        *,
        weigh: bool = False,
        otherwise: Strategy | None = None,
    ) -> None:
        """`otherwise` answers what is no chain after all; `weigh` where the model's server tells likelihoods."""
        self._weigh = weigh
        self._retrieve = retrieve
        self._cosines = cosines
        self._subcalls = subcalls
        self._model_name = model_name
        self._otherwise = otherwise

    def answer(self, question: str) -> Answer:
        """The answer that `stream` ends with."""
        return complete(self.stream(question))

    def stream(self, question: str, *, cancelled: Callable[[], bool] = never) -> Iterator[Event]:
        """Events as they happen. Raises `QuestionError` before the first, and what searching or `otherwise` raises: a
        model that is away is told as it is for any other question."""
        question = check_question(question)
        wording = take_apart(question)
        clock = StageClock()
        yield Planned(tuple(_steps(wording.asked)), "rules")
        lookup = Lookup(self._retrieve, self._cosines, self._subcalls, cancelled, weigh=self._weigh)
        way = _Way(Links.of(wording.asked), wording.form)
        try:
            yield from _follow(lookup, way, way.links, ())
        except RunCancelledError:
            return
        clock.lap("links")
        if cancelled():
            return
        if not way.whole and not _spent(lookup.record) and self._otherwise is not None:
            direct = yield from self._read_directly(self._otherwise, question, lookup.record, cancelled)
            if direct is None:
                return
            if direct.answer.status is not AnswerStatus.NOT_FOUND:
                yield direct
                return
            lookup.record.usage = direct.answer.usage
            clock.lap("read")
        answer, parts = self._conclude(way, lookup.record)
        yield from map(Delta, parts)
        clock.lap("conclude")
        yield Completed(replace(answer, timings_ms=clock.laps()))

    def _read_directly(
        self, otherwise: Strategy, question: str, record: Record, cancelled: Callable[[], bool]
    ) -> Generator[Event, None, Completed | None]:
        """What the other strategy ends with, None when it was cancelled; an answer that finds nothing is not told."""
        parts: list[Delta] = []
        for event in otherwise.stream(question, cancelled=cancelled):
            if isinstance(event, Completed):
                if event.answer.status is not AnswerStatus.NOT_FOUND:
                    yield from parts
                return Completed(replace(event.answer, usage=event.answer.usage + record.usage))
            if isinstance(event, Delta):
                parts.append(event)
            else:
                yield event
        return None

    def _conclude(self, way: _Way, record: Record) -> tuple[Answer, tuple[str, ...]]:
        citations = CitationList()
        claims = [
            Claim(
                way.said(link),
                (citations.cite(link.source.passage, link.source.start, link.source.end),),
                supported=True,
            )
            for link in way.done
        ]
        numbers = "".join(f"[{number}]" for number in range(1, len(citations.citations) + 1))
        told = [f"{claim.text} {''.join(f'[{number}]' for number in claim.citations)}" for claim in claims]
        if way.whole:
            answer = claims[-1]
            claims = [replace(answer, citations=tuple(range(1, len(citations.citations) + 1))), *claims[:-1]]
            status, parts = AnswerStatus.ANSWERED, [f"{answer.text} {numbers}", *told[:-1]]
        else:
            status, parts = _unfinished(way, record, told)
        text = tuple(part if at == 0 else f"\n{part}" for at, part in enumerate(parts))
        return Answer(
            status=status,
            text="".join(text),
            claims=tuple(claims),
            citations=citations.citations,
            strategy=self.name,
            model=self._model_name,
            searched=searched(record.found, record.read),
            usage=record.usage,
            finished=way.whole or record.stopped is None,
        ), text


def _follow(lookup: Lookup, way: _Way, links: Links, done: tuple[Link, ...]) -> Generator[Reading, None, bool]:
    """Follow each likely link to the end, the likeliest first; False where none leads there."""
    for event in lookup.look_up(links):
        if isinstance(event, Reading):
            yield event
            continue
        here = (*done, event)
        if links.next is None:
            way.keep(here, links)
            return True
        further = links.put(event.answer)
        way.keep(here, further)
        if not _over(lookup.record) and (yield from _follow(lookup, way, further, here)):
            return True
        if _over(lookup.record):
            break
    return False


def _over(record: Record) -> bool:
    return record.stopped is not None or record.lookups >= _MAX_LOOKUPS


def _spent(record: Record) -> bool:
    return record.stopped is not None and record.stopped.code == BudgetExhaustedError.code


def _unfinished(way: _Way, record: Record, told: Sequence[str]) -> tuple[AnswerStatus, list[str]]:
    missing = way.links.next or f"{way.links.asked}?"
    if record.stopped is not None:
        ended = f"No answer was found before the end. {record.stopped.detail}"
        return AnswerStatus.PARTIAL, [ended, *told]
    return AnswerStatus.NOT_FOUND, [f"{_NOT_FOUND} Not found: {missing}", *told]


def _steps(question: str) -> Iterator[str]:
    for description in descriptions(question):
        yield f"Look up {description}."
    yield "Answer the question with what was found."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
