"""The direct strategy: retrieve, decide whether it is worth reading, read quote first, verify, answer.

The language model proposes and code disposes: a quotation counts once it was located, an answer once its quotation
supports it, and "the documents do not say" is decided from the passages' own evidence. The model is called
`max_calls` times at most for an answer, each time over the most promising passages not read yet, the last time over
several. When the budget ends before that, the best that was found is the answer, marked partial.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from langchain_core.language_models import BaseChatModel

from retrieval.passages import Passage
from rlm.answerability import (
    HELD,
    HELD_OF_LIKELIEST,
    THRESHOLD,
    WORTH_READING,
    Decision,
    Weighed,
    before_reading,
    said_of_others,
    weigh,
)
from rlm.answers import Answer, Usage, searched
from rlm.candidates import Candidate
from rlm.composing import compose, not_found, unfinished
from rlm.contrasts import Contrast, Contrasts
from rlm.errors import BudgetExhaustedError, LanguageModelOutputError, RunCancelledError
from rlm.namesakes import full_name, without_name
from rlm.profiles import ModelProfile
from rlm.prompts import new_nonce
from rlm.questions import check_question
from rlm.reader import Reader
from rlm.strategies import Completed, Delta, Event, Reading, Retrieved, Retriever, StageClock, complete, never
from rlm.verification import Finding, verify

# What the last call reads where single passages were read before: more of them than a small model answers well from.
_LAST_PASSAGES = 5


class DirectStrategy:
    """Answers from the passages that a retriever finds.

    How many it gives to a call is in the model's profile. Small models read one at a time: of the same XQuAD questions
    a 1.5B model answers 23 of 29 so, with prompts of 300 tokens, and 21 reading five at once, with 1,100; in pairs 11
    of 20, singly 15.
    """

    name = "direct"

    def __init__(
        self,
        retrieve: Retriever,
        model: BaseChatModel,
        profile: ModelProfile,
        *,
        max_calls: int = 4,
        contrasts: Contrasts | None = None,
        nonce: Callable[[], str] = new_nonce,
    ) -> None:
        """`contrasts` compare sentences by the model's likelihoods, where its server tells."""
        if max_calls < 1:
            raise ValueError("max_calls must be at least 1")
        self._retrieve = retrieve
        self._reader = Reader(model, profile, nonce=nonce)
        self._model_name = profile.name
        self._passages_per_call = profile.passages_per_call
        self._max_calls = max_calls
        self._contrasts = contrasts

    def answer(self, question: str) -> Answer:
        """The answer that `stream` ends with."""
        return complete(self.stream(question))

    def stream(self, question: str, *, cancelled: Callable[[], bool] = never) -> Iterator[Event]:
        """Events as they happen. Raises `QuestionError` before the first, and what the retriever or the model raises,
        such as `RunCancelledError` of one that gives up what is cancelled.

        A reply that cannot be read is no error, for the next passage may be; `LanguageModelOutputError` is raised when
        every call ended in it. A spent budget is no error either: the answer is partial and says so.
        """
        question = check_question(question)
        clock = StageClock()
        passages = tuple(self._retrieve(question))
        clock.lap("retrieve")
        yield Retrieved(passages)
        attempt = _Attempt(weigh(question, passages))
        decision = before_reading(attempt.weighed)
        if decision.answerable and decision.score < THRESHOLD and not self._contrast(question, attempt):
            return
        if attempt.contrast.said_of_others:
            decision = said_of_others(attempt.weighed[0])
        clock.lap("decide")
        for reading in self._reading(question, attempt) if decision.answerable else ():
            if cancelled():
                return
            yield reading
        if cancelled():
            return
        clock.lap("read")
        answer, parts = self._conclude(attempt, decision, passages)
        clock.lap("conclude")
        yield from map(Delta, parts)
        yield Completed(replace(answer, timings_ms=clock.laps()))

    def _contrast(self, question: str, attempt: "_Attempt") -> bool:
        """Put the passages with the likeliest sentences first, of those worth reading; False when it was cancelled."""
        attempt.contrasted = True
        if self._contrasts is None:
            return True
        name = full_name(question)
        rest = "" if name is None else without_name(question, name)
        others = self._retrieve(rest) if any(map(str.isalnum, rest)) else ()
        try:
            found = self._contrasts.of(question, [each.passage for each in attempt.weighed], others)
        except RunCancelledError:
            return False
        attempt.contrast = found
        attempt.weighed = sorted(
            attempt.weighed, key=lambda each: (each.score < WORTH_READING, found.place(each.passage))
        )
        return True

    def _reading(self, question: str, attempt: "_Attempt") -> Iterator[Reading]:
        """Each call of the model, announced before it is made."""
        for look in self._looks(question, attempt):
            yield Reading(attempt.calls + 1, tuple(each.passage for each in look.passages))
            finding = self._read(question, look, attempt)
            doubtful = finding.doubtful if finding else None
            if not finding or not doubtful:
                continue
            if not attempt.contrasted and not self._contrast(question, attempt):
                return
            if attempt.stands_out(finding):
                attempt.findings[-1] = finding.checked(confirmed=True, by="a comparison with the other sentences")
            elif attempt.calls < self._max_calls and attempt.may_be_checked(finding):
                yield Reading(attempt.calls + 1, (doubtful.passage,))
                self._check(question, finding, doubtful, attempt)

    def _looks(self, question: str, attempt: "_Attempt") -> Iterator["_Look"]:
        """What to read next, until the answer is settled or the calls are spent.

        The likeliest sentence comes before the passages, alone: among others a small model may quote any of them. When
        nothing that was quoted stood anywhere, the most promising passage is read once more.
        """
        left = attempt.weighed
        while left and not attempt.over and self._affords(left[0], attempt):
            likeliest = attempt.take_likeliest()
            if likeliest is not None:
                yield likeliest
                continue
            needed = self._calls_for(left[0])
            last = attempt.calls + 2 * needed > self._max_calls
            group = left[: max(self._passages_per_call, _LAST_PASSAGES if last else 0)]
            count = self._reader.fitting(question, [each.passage for each in group])
            yield _Look(group[:count])
            left = left[count:]
        if not attempt.located and not attempt.over and self._affords(attempt.weighed[0], attempt):
            yield _Look(attempt.weighed[:1], again=True)

    def _affords(self, best: Weighed, attempt: "_Attempt") -> bool:
        """Whether reading can still lead to an answer."""
        return best.score >= WORTH_READING and attempt.calls + self._calls_for(best) <= self._max_calls

    def _calls_for(self, best: Weighed) -> int:
        """The calls that an answer takes: under the threshold a second one must confirm it."""
        return 1 if best.score >= THRESHOLD else 2

    def _read(self, question: str, look: "_Look", attempt: "_Attempt") -> Finding | None:
        attempt.calls += 1
        try:
            read = self._reader.read(question, look.shown, again=look.again)
        except LanguageModelOutputError as error:
            attempt.cannot_use(error)
            return None
        except BudgetExhaustedError as error:
            attempt.stop(error)
            return None
        finally:
            if not attempt.spent:
                attempt.read.extend(each.passage for each in look.passages if each.passage not in attempt.read)
        attempt.usage += read.usage
        finding = verify(question, read.reply, look.passages, attempt.weighed)
        attempt.findings.append(finding)
        return finding

    def _check(self, question: str, finding: Finding, source: Weighed, attempt: "_Attempt") -> None:
        """A second reading; of the sentence alone, where the model tells how likely it finds either verdict."""
        attempt.calls += 1
        if self._contrasts is not None:
            held = self._holds(self._contrasts, question, finding, source.passage, attempt)
            if held is not None:
                attempt.findings[-1] = finding.checked(held)
                return
        try:
            verdict = self._reader.confirms(question, finding.answer, source.passage)
        except LanguageModelOutputError as error:
            attempt.cannot_use(error)
            return
        except BudgetExhaustedError as error:
            attempt.stop(error)
            return
        attempt.usage += verdict.usage
        attempt.findings[-1] = finding.checked(verdict.confirmed)

    def _holds(
        self, contrasts: Contrasts, question: str, finding: Finding, passage: Passage, attempt: "_Attempt"
    ) -> bool | None:
        """Whether "right" is likely enough; None where the model does not tell, and False when it was cancelled."""
        excerpt = replace(passage, text=finding.excerpt(passage))
        try:
            margin, usage = contrasts.second_look(question, finding.answer, excerpt)
        except RunCancelledError:
            return False
        if margin is None:
            attempt.contrast = replace(attempt.contrast, usage=attempt.contrast.usage + usage)
            return None
        attempt.usage += usage
        likeliest = attempt.contrast.ahead is not None and attempt.rests_on_likeliest(finding)
        return margin >= (HELD_OF_LIKELIEST if likeliest else HELD)

    def _conclude(
        self, attempt: "_Attempt", decision: Decision, passages: Sequence[Passage]
    ) -> tuple[Answer, tuple[str, ...]]:
        if attempt.unreadable and not attempt.findings and not attempt.spent:
            raise attempt.unreadable[-1]
        scope = searched(passages, attempt.read)
        best = attempt.best
        composed = compose(best.claims) if best and best.decision.answerable else not_found(scope)
        if attempt.spent and not attempt.settled:
            composed = unfinished(composed, attempt.spent.detail)
        return Answer(
            status=composed.status,
            text=composed.text,
            claims=composed.claims,
            citations=composed.citations,
            strategy=self.name,
            model=self._model_name,
            searched=scope,
            reasons=best.decision.reasons if best else decision.reasons,
            usage=attempt.usage + attempt.contrast.usage,
            finished=composed.finished,
        ), composed.parts


@dataclass(frozen=True)
class _Look:
    """One call of the model: what it reads, of which it is shown the `sentence` alone where there is one; and whether
    it is told that what it quoted before stands nowhere."""

    passages: Sequence[Weighed]
    again: bool = False
    sentence: Candidate | None = None

    @property
    def shown(self) -> tuple[Passage, ...]:
        """The passages as the model sees them."""
        if self.sentence is not None:
            return (replace(self.sentence.passage, text=self.sentence.text),)
        return tuple(each.passage for each in self.passages)


@dataclass
class _Attempt:
    """What is known so far of one question; `weighed` is best first."""

    weighed: Sequence[Weighed]
    read: list[Passage] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    unreadable: list[LanguageModelOutputError] = field(default_factory=list)
    spent: BudgetExhaustedError | None = None
    calls: int = 0
    usage: Usage = field(default_factory=Usage)
    contrast: Contrast = field(default_factory=Contrast)
    contrasted: bool = False
    likeliest_was_read: bool = False

    def take_likeliest(self) -> "_Look | None":
        """The likeliest sentence as what to read, once; none where others are said what is asked, or where its passage
        is not worth reading."""
        if self.likeliest_was_read or not self.contrast.sentences or self.contrast.said_of_others:
            return None
        self.likeliest_was_read = True
        first = self.contrast.sentences[0]
        source = [each for each in self.weighed if each.passage == first.passage and each.score >= WORTH_READING]
        return _Look(source, sentence=first) if source else None

    def may_be_checked(self, finding: Finding) -> bool:
        """Whether a second look is worth its call: a sentence that has nothing of the question where its passage has
        must be the likeliest."""
        passage_only = finding.apart and finding.decision.score >= THRESHOLD
        return not passage_only or not self.contrast.sentences or self.rests_on_likeliest(finding)

    def rests_on_likeliest(self, finding: Finding) -> bool:
        """Whether a finding rests on the sentence that makes the question likelier than all others do."""
        return any(finding.rests_on(each.passage, each.start, each.end) for each in self.contrast.sentences[:1])

    def stands_out(self, finding: Finding) -> bool:
        """Whether it does so by far."""
        return self.contrast.clear and self.rests_on_likeliest(finding)

    def stop(self, error: BudgetExhaustedError) -> None:
        """A call was refused, and so not made."""
        self.calls -= 1
        self.spent = error

    def cannot_use(self, error: LanguageModelOutputError) -> None:
        """A call was made for nothing."""
        self.usage += Usage(1)
        self.unreadable.append(error)

    @property
    def settled(self) -> bool:
        """Whether a finding may be shown as it is, so that reading on is not worth its time."""
        return any(finding.decision.answerable and finding.supported for finding in self.findings)

    @property
    def over(self) -> bool:
        """Whether no more calls of the model are to be made."""
        return self.settled or self.spent is not None

    @property
    def located(self) -> bool:
        """Whether anything that was quoted stands somewhere."""
        return any(finding.claims for finding in self.findings)

    @property
    def best(self) -> Finding | None:
        """The finding to show: one that may be shown before one that may not, supported before not, then by score."""
        return max(self.findings, key=_worth, default=None)


def _worth(finding: Finding) -> tuple[bool, bool, float]:
    return finding.decision.answerable, finding.supported, finding.decision.score
