"""The chain strategy: a question's innermost description is looked up, its name put in its place, and so on outwards.

"The year in which the designer of the crossing that is guarded by a swan died" stands in no passage. Each link is one
search, one reading of the nearest sentences, which a model picks one of, and one check; all that decides is code. It
costs a few hundred tokens a link whatever the documents' size, and needs no model that programs. Where a link is not
found, the question may be one that a passage answers all the same: it is read for directly.
"""

import re
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace

from retrieval.passages import Passage
from rlm.answers import Answer, AnswerStatus, CitationList, Claim, Usage, searched
from rlm.chains.links import Links, descriptions
from rlm.chains.prompts import check_call, lookup_call, read_lookup
from rlm.chains.sentences import Candidate, Cosines, candidates
from rlm.errors import BudgetExhaustedError, RunCancelledError
from rlm.likeliest import likeliest
from rlm.namesakes import of_a_namesake
from rlm.plan.wording import take_apart
from rlm.questions import check_question
from rlm.quotes import locate
from rlm.replies import read_verdict
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
from rlm.subcalls.port import SubCall, SubCalls, SubFailure

_SHOWN = 12
_TRIES = 3
# Of a model that tells likelihoods: how many sentences are compared, and how many of them are read, one at a time.
_WEIGHED = 20
_TRIES_ALONE = 4
_KIND = re.compile(r"\b(?:the|a|an|The|A|An) ((?:[a-z][\w'’-]* ){1,3})$")
_NOT_FOUND = "These documents do not answer the question."


@dataclass(frozen=True)
class _Link:
    """A description, or the question itself, with its answer and the sentence that says so."""

    asked: str
    answer: str
    source: Candidate


@dataclass
class _Attempt:
    links: Links
    done: list[_Link] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    found: list[Passage] = field(default_factory=list)
    read: list[Passage] = field(default_factory=list)
    stopped: SubFailure | None = None


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
        asked = take_apart(question).asked
        clock = StageClock()
        yield Planned(tuple(_steps(asked)), "rules")
        attempt = _Attempt(Links.of(asked))
        try:
            while True:
                last = attempt.links.next is None
                link = yield from self._look_up(attempt, cancelled)
                clock.lap("links")
                if link is not None:
                    attempt.done.append(link)
                if link is None or last:
                    break
                attempt.links = attempt.links.put(link.answer)
        except RunCancelledError:
            return
        if cancelled():
            return
        spent = attempt.stopped is not None and attempt.stopped.code == BudgetExhaustedError.code
        if link is None and not spent and self._otherwise is not None:
            direct = yield from self._read_directly(self._otherwise, question, attempt, cancelled)
            if direct is None:
                return
            if direct.answer.status is not AnswerStatus.NOT_FOUND:
                yield direct
                return
            attempt.usage = direct.answer.usage
            clock.lap("read")
        answer, parts = self._conclude(attempt, whole=link is not None)
        yield from map(Delta, parts)
        clock.lap("conclude")
        yield Completed(replace(answer, timings_ms=clock.laps()))

    def _read_directly(
        self, otherwise: Strategy, question: str, attempt: _Attempt, cancelled: Callable[[], bool]
    ) -> Generator[Event, None, Completed | None]:
        """What the other strategy ends with, None when it was cancelled; an answer that finds nothing is not told."""
        parts: list[Delta] = []
        for event in otherwise.stream(question, cancelled=cancelled):
            if isinstance(event, Completed):
                if event.answer.status is not AnswerStatus.NOT_FOUND:
                    yield from parts
                return Completed(replace(event.answer, usage=event.answer.usage + attempt.usage))
            if isinstance(event, Delta):
                parts.append(event)
            else:
                yield event
        return None

    def _look_up(self, attempt: _Attempt, cancelled: Callable[[], bool]) -> Generator[Reading, None, _Link | None]:
        """The next link, or None where no sentence among the nearest holds it."""
        links = attempt.links
        passages = list(self._retrieve(links.query))
        attempt.found += [passage for passage in passages if passage not in attempt.found]
        for group in self._groups(attempt, passages, cancelled):
            if cancelled():
                return None
            read = tuple(dict.fromkeys(each.passage for each in group))
            attempt.read += [passage for passage in read if passage not in attempt.read]
            yield Reading(attempt.usage.calls + 1, read)
            picked = self._pick(attempt, group, cancelled)
            if picked is None:
                if self._weigh and attempt.stopped is None:
                    continue
                return None
            place, answer = picked
            source = group.pop(place)
            if self._holds(attempt, answer, source, cancelled):
                if links.next is None:
                    return _Link(f"{links.asked}?", answer, source)
                return _Link(links.next, with_kind(source.text, answer), source)
        return None

    def _groups(
        self, attempt: _Attempt, passages: Sequence[Passage], cancelled: Callable[[], bool]
    ) -> Iterator[list[Candidate]]:
        """What to read in one call and then in the next: the nearest sentences together, less those that were taken out
        as wrong; or one sentence at a time, the likeliest first, where the model tells likelihoods."""
        query = attempt.links.query
        near = candidates(query, passages, self._cosines, _WEIGHED if self._weigh else _SHOWN)
        if self._weigh and near:
            asked = attempt.links.short_task
            order, usage = likeliest(asked, [each.text for each in near], self._subcalls, cancelled)
            attempt.usage += usage
            yield from ([near[at]] for at in order[:_TRIES_ALONE])
            if order:
                return
        shown = near[:_SHOWN]
        for _ in range(_TRIES):
            if shown:
                yield shown

    def _pick(
        self, attempt: _Attempt, shown: Sequence[Candidate], cancelled: Callable[[], bool]
    ) -> tuple[int, str] | None:
        """Which sentence the model takes, and the answer it copies from it; None where it says neither."""
        text = self._ask(attempt, lookup_call(attempt.links.task, [each.text for each in shown]), cancelled)
        return None if text is None else read_lookup(text, [each.text for each in shown])

    def _holds(self, attempt: _Attempt, answer: str, source: Candidate, cancelled: Callable[[], bool]) -> bool:
        if of_a_namesake(attempt.links.query, source.text):
            return False
        excerpt = replace(source.passage, text=source.text)
        text = self._ask(attempt, check_call(attempt.links.short_task, answer, excerpt), cancelled)
        return text is not None and read_verdict(text)

    def _ask(self, attempt: _Attempt, call: SubCall, cancelled: Callable[[], bool]) -> str | None:
        (reply,) = self._subcalls.run([call], cancelled=cancelled)
        if isinstance(reply, SubFailure):
            attempt.usage += reply.usage
            attempt.stopped = reply
            return None
        if not reply.cached:
            attempt.usage += reply.usage
        return reply.text

    def _conclude(self, attempt: _Attempt, *, whole: bool) -> tuple[Answer, tuple[str, ...]]:
        citations = CitationList()
        claims = [
            Claim(
                link.answer if whole and link is attempt.done[-1] else f"{_capital(link.asked)}: {link.answer}.",
                (citations.cite(link.source.passage, link.source.start, link.source.end),),
                supported=True,
            )
            for link in attempt.done
        ]
        numbers = "".join(f"[{number}]" for number in range(1, len(citations.citations) + 1))
        way = [f"{claim.text} {''.join(f'[{number}]' for number in claim.citations)}" for claim in claims]
        if whole:
            answer = claims[-1]
            claims = [replace(answer, citations=tuple(range(1, len(citations.citations) + 1))), *claims[:-1]]
            status, parts = AnswerStatus.ANSWERED, [f"{answer.text} {numbers}", *way[:-1]]
        else:
            status, parts = self._unfinished(attempt, way)
        text = tuple(part if at == 0 else f"\n{part}" for at, part in enumerate(parts))
        return Answer(
            status=status,
            text="".join(text),
            claims=tuple(claims),
            citations=citations.citations,
            strategy=self.name,
            model=self._model_name,
            searched=searched(attempt.found, attempt.read),
            usage=attempt.usage,
        ), text

    def _unfinished(self, attempt: _Attempt, way: Sequence[str]) -> tuple[AnswerStatus, list[str]]:
        missing = attempt.links.next or f"{attempt.links.asked}?"
        if attempt.stopped is not None:
            ended = f"No answer was found before the end. {attempt.stopped.detail}"
            return AnswerStatus.PARTIAL, [ended, *way]
        return AnswerStatus.NOT_FOUND, [f"{_NOT_FOUND} Not found: {missing}", *way]


def with_kind(sentence: str, name: str) -> str:
    """A name with what the sentence calls it: "stone bridge Mason's Crossing" tells it from others of the name."""
    span = locate(name, sentence)
    if span is None:
        return name
    found = _KIND.search(sentence[: span[0]])
    return (found[1] if found else "") + sentence[span[0] : span[1]]


def _steps(question: str) -> Iterator[str]:
    for description in descriptions(question):
        yield f"Look up {description}."
    yield "Answer the question with what was found."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
