"""The recursive strategy: a root model programs its way through the corpus, and code checks what it hands in."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from rlm.answers import Answer, AnswerStatus, Result, Searched, SearchedDocument
from rlm.cancelling import not_cancelled
from rlm.composing import Composed, compose
from rlm.events import Cell, Completed, Delta, Event, Working, complete
from rlm.loop.loop import RecursiveRun, Workspace
from rlm.loop.submitting import Submitted
from rlm.loop.trajectory import Told, untold
from rlm.requests import check_question
from rlm.strategy import StageClock

_KINDS: dict[type, str] = {bool: "label", int: "number", float: "number", str: "text", list: "list", dict: "table"}


class RecursiveStrategy:
    """Answers by a run of the loop; `told` hears of every turn, those of child runs too."""

    name = "recursive"

    def __init__(self, workspace: Workspace, *, reasons: tuple[str, ...] = (), told: Told = untold) -> None:
        self._workspace = workspace
        self._reasons = reasons
        self._told = told

    def answer(self, question: str) -> Answer:
        """The answer that `stream` ends with."""
        return complete(self.stream(question))

    def stream(self, question: str, *, cancelled: Callable[[], bool] = not_cancelled) -> Iterator[Event]:
        """Events as they happen. Raises `QuestionError` before the first, `SandboxUnavailableError`,
        `RunCancelledError`, and what the model's server refuses, if nothing was found before."""
        question = check_question(question)
        clock = StageClock()
        run = RecursiveRun(self._workspace, question, cancelled=cancelled, told=self._told)
        for turn in run.turns():
            yield Cell(turn)
            yield Working("cells", turn.number, self._workspace.max_turns)
        clock.lap("cells")
        composed = _composed(run)
        yield from map(Delta, composed.parts)
        answer = self._answer(run, composed)
        clock.lap("compose")
        yield Completed(replace(answer, timings_ms=clock.laps()))

    def _answer(self, run: RecursiveRun, composed: Composed) -> Answer:
        found = run.answer
        value = found.value if found is not None and not found.part else None
        coverage = run.opened.coverage()
        ended = (run.reason,) if run.reason and run.submissions.final is None else ()
        failed = () if run.opened.judged_all else (f"{run.opened.missing}.",)
        return Answer(
            status=composed.status,
            text=composed.text,
            claims=composed.claims,
            citations=composed.citations,
            strategy=self.name,
            model=self._workspace.profile.name,
            searched=self._searched(run),
            reasons=(
                *self._reasons,
                *ended,
                *failed,
                *(each.full for each in run.opened.remarks),
                f"{coverage.sentence()}.",
            ),
            usage=run.usage,
            coverage=coverage,
            result=None if value is None else Result(_KINDS.get(type(value), "list"), value),
            finished=composed.finished,
        )

    def _searched(self, run: RecursiveRun) -> Searched:
        spans = run.opened.latest(100_000)
        held: dict[str, int] = {}
        for span in spans:
            held[span.document_id] = held.get(span.document_id, 0) + 1
        titles = {each.handle.document_id: each.title for each in self._workspace.corpus.documents}
        documents = tuple(SearchedDocument(name, titles[name], count, count) for name, count in held.items())
        return Searched(len(spans), len(spans), documents)


def _composed(run: RecursiveRun) -> Composed:
    """The answer's text; without a submission it says why there is none, or that it is a draft."""
    found = run.answer
    finished = run.submissions.final is not None
    if found is None or found.value is None:
        return _without_answer(run, finished)
    composed = _claims(found)
    if found.computed and run.opened.remarks:
        composed = replace(composed, parts=(*composed.parts, *(f" ({each.short})" for each in run.opened.remarks)))
    if finished:
        return composed
    if found.part:
        composed = replace(composed, parts=(f"Of a part of the question, “{found.part.strip()}”: ", *composed.parts))
    note = f" (Not finished: {run.reason})" if run.reason else ""
    return replace(composed, status=AnswerStatus.PARTIAL, parts=(*composed.parts, note), finished=False)


def _claims(found: Submitted) -> Composed:
    composed = compose(found.claims)
    return replace(composed, parts=tuple(part.rstrip() if part.endswith(" ") else part for part in composed.parts))


def _without_answer(run: RecursiveRun, finished: bool) -> Composed:
    coverage = run.opened.coverage()
    if finished:
        parts = ("These documents do not answer the question. ", f"{coverage.sentence()}.")
        return Composed(AnswerStatus.NOT_FOUND, parts, (), ())
    parts = (f"No answer was found before the run ended. {run.reason} ".replace("  ", " "), f"{coverage.sentence()}.")
    return Composed(AnswerStatus.PARTIAL, parts, (), (), finished=False)
