"""Answers a question within the caller's scope.

The stages are: condense → route → direct, table or recursive strategy → check. The pipeline is the same for every
caller and every deployment. A strategy writes a draft; checking then marks the draft's sentences.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from retrieval.search.search import SearchPort
from rlm.answers import Answer, AnswerStatus, Draft
from rlm.build import Helpers, OpenRequest, PipelineParts
from rlm.checking.checker import CheckMode, apply_judgement, locate_citations
from rlm.checking.judging import Judge, is_judged
from rlm.checking.reading import measure_reading
from rlm.conversation import condense
from rlm.errors import not_cancelled
from rlm.events import Checking, Completed, Condensed, Drafted, Event, Routed
from rlm.extractive import ExtractiveStrategy
from rlm.llm.port import LanguageModel
from rlm.metrics import record_answer
from rlm.passages import build_search, can_fit
from rlm.requests import AnswerRequest, StrategyName, check_question
from rlm.routing import Route, choose_route
from rlm.runs.port import NOT_DURABLE, Durability
from rlm.strategy import StageClock

SMALL_MODEL = (
    "The built-in model is small and makes mistakes that a larger model avoids. To use a larger one, set LEADLINE_LLM "
    "to its URL and name: `http://127.0.0.1:11434/v1 qwen3:8b` (Ollama), `http://gpu:8000/v1 Qwen/Qwen3-8B` (vLLM), or "
    "`https://api.openai.com/v1 gpt-5-mini` with LEADLINE_LLM_API_KEY (a hosted one)."
)


class AnswerPipeline:
    """Answers questions for every tenant. Passages come only from a search bound to the caller's scope."""

    def __init__(
        self,
        searcher: SearchPort,
        language_model: LanguageModel,
        parts: PipelineParts,
        *,
        check: CheckMode = CheckMode.JUDGE,
        helpers: Helpers | None = None,
    ) -> None:
        """Create the pipeline.

        `helpers` are models for individual tasks. The answering model does every task that has no helper.
        """
        self._searcher = searcher
        self._language_model = language_model
        self._parts = parts
        self._check = check
        self._helpers = helpers or Helpers()

    def get_state(self) -> Mapping[str, Any]:
        """Return the state of the language model, for display to users."""
        return self._language_model.get_state()

    def stream(
        self,
        request: AnswerRequest,
        *,
        cancelled: Callable[[], bool] = not_cancelled,
        durability: Durability = NOT_DURABLE,
    ) -> Iterator[Event]:
        """Stream the answer's events, ending with `Completed`. `durability` makes the run resumable.

        If the request can be rejected without doing any work, `QuestionError` or `LanguageModelUnavailableError` is
        raised immediately, before the first event is requested. A strategy's errors are raised during iteration.
        """
        request = replace(request, question=check_question(request.question))
        model = self._language_model.acquire()
        if model is None:
            return self._answer_extractively(request, durability)
        return self._run_stages(
            OpenRequest(self._parts, self._searcher, model, request, durability, cancelled, self._helpers)
        )

    def _run_stages(self, opened: OpenRequest) -> Iterator[Event]:
        """Run the answer's stages in order and yield their events."""
        request, question, clock = opened.request, opened.request.question, StageClock()
        if request.history:
            question = condense(
                question,
                request.history,
                opened.router.calls,
                opened.router.profile,
                opened.nonce(),
                cancelled=opened.cancelled,
            )
            clock.lap("condense")
            yield Condensed(question)
        with request.used.routing():
            routed = _choose_route(opened, question)
        clock.lap("route")
        if routed.strategy is not StrategyName.DIRECT and not opened.corpus.documents:
            routed = Route(StrategyName.DIRECT, "Direct: no documents are searchable.")
        yield Routed(routed.strategy.value, routed.reason, opened.format_spending_limits(routed.strategy))
        context = opened.build_context(question, routed.queries)
        for event in opened.build_strategy(routed.strategy).stream(context):
            if isinstance(event, Drafted):
                clock.lap(routed.strategy.value)
                yield from self._check_draft(opened, event.draft, question, routed, clock)
                return
            if isinstance(event, Routed):  # A strategy that cannot answer passes the question to another one.
                routed = Route(StrategyName(event.strategy), event.reason)
            yield event

    def _check_draft(
        self, opened: OpenRequest, draft: Draft, question: str, routed: Route, clock: StageClock
    ) -> Iterator[Event]:
        """Check each sentence of the draft and yield the completed answer."""
        profile, budget = opened.profile, opened.budget
        sentences, citations = locate_citations(draft, self._searcher.locate, self._check)
        marked, notes = tuple(sentences), draft.notes
        cited = sum(map(is_judged, sentences))
        judge = self._find_judge(opened) if self._check is CheckMode.JUDGE and cited else None
        if judge is not None:
            yield Checking(cited)
            read = measure_reading(draft, opened.corpus.documents)
            judgement = judge.judge(
                question,
                draft.text,
                sentences,
                draft.evidence,
                offered=draft.quotes,
                read=read.sentence,
                shows_whole=draft.status is AnswerStatus.NOT_FOUND,
            )
            marked = apply_judgement(sentences, judgement, read)
            notes = (*notes, judgement.note) if judgement.note else notes
        notes = (*notes, *_iter_unread_notes(opened.request))
        if profile.small:
            notes = (*notes, SMALL_MODEL)
        clock.lap("check")
        answer = replace(
            _build_answer(draft, question, routed.strategy.value, profile.name),
            sentences=marked,
            citations=tuple(citations),
            reasons=(routed.reason, *draft.reasons),
            notes=notes,
            usage=budget.spent.usage,
            dollars=float(budget.spent.dollars) if opened.prices_known else None,
            timings_ms=clock.get_laps(),
        )
        record_answer(answer)
        yield Completed(answer)

    def _find_judge(self, opened: OpenRequest) -> Judge | None:
        """Return the judge for a request, or None if its model cannot judge."""
        model = opened.select_helper_model(self._helpers.judge)
        if not model.profile.judges:
            return None
        calls = opened.calls if model is opened.model else opened.bind(opened.budget, model)
        return Judge(
            calls,
            model.profile,
            opened.nonce(),
            opened.today,
            find_file_name=opened.corpus.find_file_name,
            cancelled=opened.cancelled,
        )

    def _answer_extractively(self, request: AnswerRequest, durability: Durability) -> Iterator[Event]:
        clock = StageClock()
        search = durability.wrap_search(build_search(self._searcher, request.scope, request.used))
        yield Routed("extractive", "Extractive: no language model is configured.")
        for event in ExtractiveStrategy().stream(request.question, search):
            if not isinstance(event, Drafted):
                yield event
                continue
            sentences, citations = locate_citations(event.draft, self._searcher.locate)
            clock.lap("extractive")
            answer = replace(
                _build_answer(event.draft, request.question, "extractive", None),
                sentences=tuple(sentences),
                citations=tuple(citations),
                notes=(*event.draft.notes, *_iter_unread_notes(request)),
                timings_ms=clock.get_laps(),
            )
            record_answer(answer)
            yield Completed(answer)


def _choose_route(opened: OpenRequest, question: str) -> Route:
    wanted, profile, router = opened.request.wanted, opened.profile, opened.router
    if wanted.strategy is not StrategyName.AUTO:
        return Route(wanted.strategy, f"{wanted.strategy.capitalize()}, as requested.")
    if not router.profile.routes:
        return Route(StrategyName.DIRECT, "Direct: the model is too small to choose a strategy.")
    corpus, tables = opened.corpus, opened.load_tables(question)
    if not tables.has_records and can_fit(corpus, profile.reading_tokens):
        return Route(StrategyName.DIRECT, "Direct: all of these documents can be read at once.")
    choices, nonce = opened.list_strategies(), opened.nonce()
    # Only the tables most relevant to the question are described, because the description costs tokens with every
    # question.
    described = tables.render_description()
    return choose_route(
        question, opened.today, corpus, choices, described, router.calls, nonce, cancelled=opened.cancelled
    )


def _iter_unread_notes(request: AnswerRequest) -> Iterator[str]:
    """Yield a note for each document whose stored text could not be read."""
    for identifier, title in request.used.unreadable.items():
        yield (
            f"The stored text of “{title}” (document {identifier}) was changed or is missing, so this answer does not "
            "use it. The operator of the service can run `leadline verify` for details."
        )


def _build_answer(draft: Draft, question: str, strategy: str, model: str | None) -> Answer:
    return Answer(
        status=draft.status,
        text=draft.text,
        sentences=(),
        citations=(),
        strategy=strategy,
        model=model,
        searched=draft.searched,
        question=question,
        reasons=draft.reasons,
        notes=draft.notes,
        coverage=draft.coverage,
        result=draft.result,
        table=draft.table,
        rows_behind=draft.rows_behind,
        cells_behind=draft.cells_behind,
        finished=draft.finished,
        dollars=0.0 if model is None else None,
    )
