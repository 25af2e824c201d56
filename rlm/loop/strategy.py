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
    found, finished, log = run.answer, run.submissions.final is not None, run.log
    coverage, notes, reasons = log.coverage(), list[str](), [] if finished or not run.reason else [run.reason]
    if found is None:
        found = Submission(f"No answer was found before the run ended. {run.reason}".strip())
    elif not finished and found.part:
        notes.append(f"The run ended before its answer was ready. This answers a part of it: “{found.part.strip()}”")
    elif not finished:
        notes.append("The run ended before its answer was submitted; this is the draft that it had kept.")
    reasons += [*log.failures, *log.remarks, *found.remarks]
    if found.computed:
        gone_through = f"{log.documents_searched:,} of {coverage.units:,} documents"
        how = f": {found.how.rstrip('.')}" if found.how else ""
        reasons.append(f"Computed by code that went through {gone_through}{how}.")
    status = AnswerStatus.ANSWERED if found.found else AnswerStatus.NOT_FOUND
    named = {number: each for number, each in enumerate(found.cited, start=1) if f"[{number}]" in found.text}
    return Draft(
        status=AnswerStatus.PARTIAL if not finished or (found.computed and log.failures) else status,
        text=found.text,
        evidence={number: each.passage for number, each in named.items()},
        searched=log.sought(),
        quotes=tuple(OfferedQuote(number, each.quote) for number, each in named.items() if each.quote),
        computed=found.computed,
        finished=finished,
        reasons=(*reasons, f"{coverage.sentence()}."),
        notes=tuple(notes),
        coverage=coverage,
        result=found.result,
    )
