"""The exhaustive strategy: a plan over every record in scope, judged by a model, computed in code.

What the answer says is computed; its citations are records that it rests on, quoted whole where they stand. How much
was read, by what, and what failed is part of every answer.
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace

from rlm.answers import Answer, AnswerStatus, CitationList, Claim, Searched, SearchedDocument, Usage
from rlm.corpus.corpus import Corpus
from rlm.corpus.handles import Handle
from rlm.errors import BudgetExhaustedError, LanguageModelOutputError, NotExhaustiveError
from rlm.operators.operators import Operators
from rlm.operators.packing import Progress
from rlm.plan.computing import Computed, compute
from rlm.plan.executor import Executed, execute, require_few_pairs
from rlm.plan.explain import account, explain
from rlm.plan.filling import fill_plan
from rlm.plan.layout import Layout, look
from rlm.plan.plan import Plan
from rlm.plan.rules import plan_by_rules
from rlm.plan.wording import in_form, take_apart
from rlm.questions import check_question
from rlm.strategies import Completed, Delta, Event, Planned, StageClock, Working, complete, never
from rlm.subcalls.chat import raised
from rlm.subcalls.port import SubCalls

_QUOTED_CHARS = 400
_FEW_PAIRS = 1_000


@dataclass(frozen=True)
class Planning:
    """The plan of a question over a corpus whose layout was looked at, and what making it cost."""

    layout: Layout
    plan: Plan
    usage: Usage


def plan_question(
    question: str,
    corpus: Corpus,
    layout: Layout,
    subcalls: SubCalls | None,
    model: str,
    *,
    cancelled: Callable[[], bool] = never,
) -> Planning:
    """By rules where the question has a known shape, else filled in by the model.

    Raises `NotExhaustiveError` with the reason where neither leads to a plan, and `RunCancelledError`.
    """
    plan = plan_by_rules(question, layout)
    if plan is not None:
        return Planning(layout, plan, Usage())
    if subcalls is None:
        raise NotExhaustiveError("The question has no shape that can be planned without a language model.")
    if not len(layout.records):
        raise NotExhaustiveError("There is nothing to read in these documents.")
    examples = list(corpus.read_all(layout.records.handles[:3]))
    filled = fill_plan(question, layout, examples, subcalls, model, cancelled=cancelled)
    if filled.plan is None:
        raise NotExhaustiveError(filled.reason)
    # What was estimated, and perhaps confirmed, is one question about every record.
    most = max(_FEW_PAIRS, len(layout.records))
    require_few_pairs(filled.plan, corpus, layout.records, cancelled, most=most)
    return Planning(layout, filled.plan, filled.usage)


class ExhaustiveStrategy:
    """Answers by judging every record of a corpus; `operators` and `subcalls` are bound to the same run."""

    name = "exhaustive"

    def __init__(
        self,
        corpus: Corpus,
        operators: Operators | None,
        subcalls: SubCalls | None,
        model_name: str,
        *,
        layout: Layout | None = None,
    ) -> None:
        """`layout` is the corpus's, if somebody looked already. Without operators only plans that judge nothing run."""
        self._corpus = corpus
        self._operators = operators
        self._subcalls = subcalls
        self._model_name = model_name
        self._layout = layout

    def answer(self, question: str) -> Answer:
        """The answer that `stream` ends with."""
        return complete(self.stream(question))

    def stream(self, question: str, *, cancelled: Callable[[], bool] = never) -> Iterator[Event]:
        """Events as they happen. Raises `QuestionError` and `NotExhaustiveError` before the first.

        Raises a `LanguageModelError` where the model could not judge one record: that none was found says nothing then.
        """
        question = check_question(question)
        clock = StageClock()
        layout = self._layout or look(self._corpus, cancelled=cancelled)
        clock.lap("look")
        planning = plan_question(question, self._corpus, layout, self._subcalls, self._model_name, cancelled=cancelled)
        clock.lap("plan")
        yield Planned(explain(planning.plan), planning.plan.by)
        records = layout.records
        work = execute(planning.plan, self._corpus, self._operators, records=records, cancelled=cancelled)
        done = yield from _working(work)
        clock.lap("read")
        if cancelled():
            return
        _require_judged(planning.plan, done)
        computed = compute(planning.plan, done)
        answer, parts = self._compose(question, planning, done, computed)
        clock.lap("compute")
        yield from map(Delta, parts)
        yield Completed(replace(answer, timings_ms=clock.laps()))

    def _compose(
        self, question: str, planning: Planning, done: Executed, computed: Computed
    ) -> tuple[Answer, tuple[str, ...]]:
        citations = CitationList()
        numbers = tuple(self._cite(handle, citations) for handle in computed.examples)
        markers = "".join(f"[{number}]" for number in numbers)
        said = in_form(take_apart(question).form, computed.said) if computed.said is not None else ""
        sentence = f"{computed.sentence} {markers}".rstrip()
        covered = f"{done.coverage.sentence()}." if planning.plan.steps else "Computed from what the records say."
        parts = (*(f"{part}\n" for part in (said, sentence) if part), covered)
        missing = _missing(done) if planning.plan.steps else ""
        status = AnswerStatus.NOT_FOUND if computed.said is None else AnswerStatus.ANSWERED
        if missing:
            status = AnswerStatus.PARTIAL
        claims = (Claim(said or computed.sentence, numbers, not missing, missing),) if computed.said is not None else ()
        return Answer(
            status=status,
            text="".join(parts),
            claims=claims,
            citations=citations.citations,
            strategy=self.name,
            model=self._model_name if planning.plan.steps or planning.usage.calls else None,
            searched=self._searched(done),
            reasons=account(planning.plan, done),
            usage=planning.usage + done.usage,
            coverage=done.coverage,
            result=computed.result,
            finished=BudgetExhaustedError.code not in done.refused,
        ), parts

    def _cite(self, handle: Handle, citations: CitationList) -> int:
        """The number of a record's quotation; a long one is quoted to its first `_QUOTED_CHARS`."""
        passage = self._corpus.passage(handle[:_QUOTED_CHARS])
        return citations.cite(passage, 0, len(passage.text))

    def _searched(self, done: Executed) -> Searched:
        """Documents by the records they hold."""
        held: dict[str, int] = {}
        for row in done.rows:
            held[row.handle.document_id] = held.get(row.handle.document_id, 0) + 1
        titles = {each.handle.document_id: each.title for each in self._corpus.documents}
        documents = tuple(SearchedDocument(name, titles[name], count, count) for name, count in held.items())
        return Searched(len(done.rows), done.coverage.slices_read, documents)


def _require_judged(plan: Plan, done: Executed) -> None:
    """Raises what kept every record from being judged; of a budget that is spent the answer tells."""
    if not plan.steps or not done.coverage.slices or done.verdicts or BudgetExhaustedError.code in done.refused:
        return
    if done.failure is not None:
        raise raised(done.failure)
    raise LanguageModelOutputError("The language model said nothing usable about any of the records.")


def _missing(done: Executed) -> str:
    """What keeps an answer from resting on every record in full; empty where nothing does."""
    if not done.coverage.complete:
        return f"Not every record has a result: {done.coverage.sentence()}."
    return f"Not every record was read to its end: {done.coverage.sentence()}." if done.cut else ""


def _working(work: Generator[Progress, None, Executed]) -> Generator[Event, None, Executed]:
    """Progress as events."""
    while True:
        try:
            progress = next(work)
        except StopIteration as ended:
            result: Executed = ended.value
            return result
        yield Working(progress.step, progress.done, progress.total)
