"""The recursive strategy: a root model programs its way through the corpus and hands in an answer."""

from collections.abc import Iterator

from rlm.answers import AnswerStatus, Draft, OfferedQuote
from rlm.events import Cell, Delta, Drafted, Event, Working
from rlm.loop.environment import Environment
from rlm.loop.loop import RecursiveRun
from rlm.loop.submit import Submission
from rlm.strategy import Context


class RecursiveStrategy:
    """Answers by a run of the loop in an environment that was made for the request."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def stream(self, context: Context) -> Iterator[Event]:
        """Yield cells as they end, then the draft.

        Raises `SandboxUnavailableError`, `RunCancelledError`, and refusals of the model's server, if nothing was
        found before.
        """
        run = RecursiveRun(self._environment, context.question)
        for turn in run.turns():
            yield Cell(turn)
            yield Working("cells", turn.number, self._environment.max_cells)
        draft = _draft(run)
        yield Delta(draft.text)
        yield Drafted(draft)


def _draft(run: RecursiveRun) -> Draft:
    """Return the submitted answer, the best draft, or a sentence that says why there is none."""
    found, finished = run.answer, run.submissions.final is not None
    coverage = run.log.coverage()
    if found is None:
        found = Submission(f"No answer was found before the run ended. {run.reason}".strip())
    ended = () if finished else (run.reason,)
    named = {number: each for number, each in enumerate(found.cited, start=1) if f"[{number}]" in found.text}
    return Draft(
        status=_status(run, found, finished=finished),
        text=found.text,
        evidence={number: each.passage for number, each in named.items()},
        searched=run.log.sought(),
        quotes=tuple(OfferedQuote(number, each.quote) for number, each in named.items() if each.quote),
        computed=found.computed,
        finished=finished,
        reasons=(
            *(each for each in ended if each),
            *run.log.failures,
            *run.log.remarks,
            *found.remarks,
            *([_computed(run, found)] if found.computed else []),
            f"{coverage.sentence()}.",
        ),
        notes=_notes(run, finished=finished),
        coverage=coverage,
        result=found.result,
    )


def _status(run: RecursiveRun, found: Submission, *, finished: bool) -> AnswerStatus:
    if not finished or (found.computed and run.log.failures):
        return AnswerStatus.PARTIAL
    return AnswerStatus.ANSWERED if found.found else AnswerStatus.NOT_FOUND


def _computed(run: RecursiveRun, found: Submission) -> str:
    """Describe the source of a computed value."""
    log = run.log
    said = f"Computed by code that went through {log.documents_searched:,} of {log.coverage().units:,} documents"
    return f"{said}: {found.how.rstrip('.')}." if found.how else f"{said}."


def _notes(run: RecursiveRun, *, finished: bool) -> tuple[str, ...]:
    """Return notes for people: that the answer is a draft, or answers only a part of the question."""
    draft = run.answer
    if finished or draft is None:
        return ()
    if draft.part:
        return (f"The run ended before its answer was ready. This answers a part of it: “{draft.part.strip()}”",)
    return ("The run ended before its answer was submitted; this is the draft that it had kept.",)
