"""Answers a question within the caller's scope.

The stages are: condense → route → direct, table or recursive strategy → check. The pipeline is the same for every
caller and every deployment. A strategy writes a draft; checking then marks the draft's sentences.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

from ingest.storage.remarks import Remark, name_problem
from retrieval.search.search import SearchPort
from rlm.answers import Answer, AnswerStatus, Draft, Output, Sentence
from rlm.build import HelperModels, OpenRequest, PipelineComponents
from rlm.checking.checker import CheckMode, apply_judgement, locate_citations
from rlm.checking.judging import Judge, needs_judging
from rlm.checking.reading import measure_reading
from rlm.conversation import condense_question
from rlm.early_answer import EarlyAnswer
from rlm.errors import not_cancelled
from rlm.events import Checking, Completed, Condensed, Drafted, Event, Routed
from rlm.extractive import ExtractiveStrategy
from rlm.form_schemas import require_possible_form
from rlm.formatting import format_output
from rlm.llm.port import LanguageModel
from rlm.metrics import record_answer
from rlm.passages import build_search, can_fit_corpus
from rlm.requests import AnswerRequest, StrategyName, normalize_question
from rlm.routing import Route, choose_route, name_strategy
from rlm.runs.port import NOT_DURABLE, Durability
from rlm.strategy import StageClock


class AnswerPipeline:
    """Answers questions for every tenant. Passages come only from a search bound to the caller's scope."""

    def __init__(
        self,
        searcher: SearchPort,
        language_model: LanguageModel,
        components: PipelineComponents,
        *,
        check_mode: CheckMode = CheckMode.JUDGE,
        helpers: HelperModels | None = None,
        answers_early: bool | None = None,
    ) -> None:
        """Create the pipeline.

        `helpers` are models for individual tasks. The answering model does every task that has no helper.
        `answers_early` says whether a direct answer may begin before the strategy is chosen. If it is None, it may
        unless the model has a price, because a dropped answer costs its prompt.
        """
        self._searcher = searcher
        self._language_model = language_model
        self._parts = components
        self._check = check_mode
        self._helpers = helpers or HelperModels()
        self._answers_early = answers_early

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

        If the request can be rejected without doing any work, `QuestionError`, `OutputFormError` or
        `LanguageModelUnavailableError` is raised immediately, before the first event is requested. A strategy's errors
        are raised during iteration.
        """
        request = replace(request, question=normalize_question(request.question))
        model = self._language_model.acquire()
        if request.form is not None:
            require_possible_form(request.form, None if model is None else model.profile)
        if model is None:
            return self._stream_extractive_answer(request, durability)
        return self._run_stages(
            OpenRequest(self._parts, self._searcher, model, request, durability, cancelled, self._helpers)
        )

    def _run_stages(self, open_request: OpenRequest) -> Iterator[Event]:
        """Run the answer's stages in order and yield their events."""
        request, question, clock = open_request.request, open_request.request.question, StageClock()
        if request.history:
            question = condense_question(
                question,
                request.history,
                open_request.router.calls,
                open_request.router.profile,
                open_request.nonce(),
                cancelled=open_request.cancelled,
            )
            clock.record_lap("condense")
            yield Condensed(question)
        with closing(EarlyAnswer(open_request, question)) as early:
            with request.used.record_routing():
                routed = self._choose_route(open_request, question, early)
            clock.record_lap("route")
            if routed.strategy is not StrategyName.DIRECT and not open_request.corpus.documents:
                routed = Route(StrategyName.DIRECT, Remark("route_nothing_searchable"))
            yield Routed(routed.strategy.value, routed.reason, open_request.format_spending_limits(routed.strategy))
            for event in _start_strategy(open_request, question, routed, early):
                if isinstance(event, Drafted):
                    clock.record_lap(routed.strategy.value)
                    early.close()  # The usage in the answer contains the tokens of a dropped early answer.
                    yield from self._check_draft(open_request, event.draft, question, routed, clock)
                    return
                # If a strategy cannot answer, it passes the question to another strategy.
                if isinstance(event, Routed):
                    routed = Route(StrategyName(event.strategy), event.reason)
                yield event

    def _choose_route(self, open_request: OpenRequest, question: str, early: EarlyAnswer) -> Route:
        """Choose the strategy, and begin the `early` answer if a model has to choose."""
        wanted, profile, router = open_request.request.wanted, open_request.profile, open_request.router
        if wanted.strategy is not StrategyName.AUTO:
            return Route(wanted.strategy, Remark("route_requested", strategy=name_strategy(wanted.strategy)))
        if not router.profile.routes:
            return Route(StrategyName.DIRECT, Remark("route_small_model"))
        corpus, tables = open_request.corpus, open_request.load_tables(question)
        reads_all = can_fit_corpus(corpus, profile.reading_tokens)
        if reads_all and not tables.has_records:
            return Route(StrategyName.DIRECT, Remark("route_reads_all"))
        if reads_all and (self._answers_early or (self._answers_early is None and not open_request.model_costs)):
            early.begin_if_affordable()
        choices, nonce = open_request.list_strategy_names(), open_request.nonce()
        return choose_route(
            question,
            open_request.today,
            corpus,
            choices,
            tables.render_outline(),
            router.calls,
            nonce,
            cancelled=open_request.cancelled,
        )

    def _check_draft(
        self, open_request: OpenRequest, draft: Draft, question: str, route: Route, clock: StageClock
    ) -> Iterator[Event]:
        """Check each sentence of the draft and yield the completed answer."""
        profile, budget = open_request.profile, open_request.budget
        sentences, citations = locate_citations(draft, self._searcher.locate, self._check)
        marked, notes = tuple(sentences), draft.notes
        cited = sum(map(needs_judging, sentences))
        judge = self._create_judge(open_request) if self._check is CheckMode.JUDGE and cited else None
        if judge is not None:
            yield Checking(cited)
            read = measure_reading(draft, open_request.corpus.documents)
            judgement = judge.judge_sentences(
                question,
                draft.text,
                sentences,
                draft.evidence,
                offered=draft.quotes,
                read=read.sentence,
                shows_whole=draft.status is AnswerStatus.NOT_FOUND,
                all_read=draft.read,
            )
            marked = apply_judgement(sentences, judgement, read)
            notes = notes if judgement.note is None else (*notes, judgement.note)
        notes = (*notes, *_iter_search_notes(open_request.request))
        clock.record_lap("check")
        output = _format_draft(open_request, draft, question, marked)
        if output is not None:
            clock.record_lap("format")
        answer = replace(
            _build_answer(draft, question, route.strategy.value, profile.name),
            sentences=marked,
            citations=tuple(citations),
            reasons=(route.reason, *draft.reasons),
            notes=notes,
            usage=budget.spending.usage,
            dollars=float(budget.spending.dollars) if open_request.prices_known else None,
            timings_ms=clock.get_stage_times(),
            output=output,
        )
        record_answer(answer)
        yield Completed(answer)

    def _create_judge(self, open_request: OpenRequest) -> Judge | None:
        """Return the judge for a request, or None if its model cannot judge."""
        model = open_request.select_helper_model(self._helpers.judge)
        if not model.profile.judges:
            return None
        calls = (
            open_request.calls
            if model is open_request.model
            else open_request.bind_sub_calls(open_request.budget, model)
        )
        return Judge(
            calls,
            model.profile,
            open_request.nonce(),
            open_request.today,
            find_file_name=open_request.corpus.find_file_name,
            cancelled=open_request.cancelled,
        )

    def _stream_extractive_answer(self, request: AnswerRequest, durability: Durability) -> Iterator[Event]:
        clock = StageClock()
        search = durability.wrap_search(build_search(self._searcher, request.scope, request.used))
        yield Routed("extractive", Remark("route_no_model"))
        for event in ExtractiveStrategy(self._parts.phrase).stream(request.question, search):
            if not isinstance(event, Drafted):
                yield event
                continue
            sentences, citations = locate_citations(event.draft, self._searcher.locate)
            clock.record_lap("extractive")
            answer = replace(
                _build_answer(event.draft, request.question, "extractive", None),
                sentences=tuple(sentences),
                citations=tuple(citations),
                notes=(*event.draft.notes, *_iter_search_notes(request)),
                timings_ms=clock.get_stage_times(),
            )
            record_answer(answer)
            yield Completed(answer)


def _start_strategy(open_request: OpenRequest, question: str, routed: Route, early: EarlyAnswer) -> Iterator[Event]:
    """Return the events of the chosen strategy, which are those of the early answer if it is the chosen one."""
    if early.has_begun and routed.strategy is StrategyName.DIRECT:
        return early.iter_events()
    early.drop()
    context = open_request.build_context(question, routed.queries, may_be_absent=routed.may_be_absent)
    return open_request.build_strategy(routed.strategy).stream(context)


def _format_draft(
    open_request: OpenRequest, draft: Draft, question: str, sentences: Sequence[Sentence]
) -> Output | None:
    """Return the answer in the form that the request asks for, or None if it stays text."""
    form = open_request.request.form
    if form is None:
        return None
    return format_output(
        form,
        question,
        draft,
        sentences,
        open_request.calls,
        open_request.profile,
        open_request.nonce(),
        cancelled=open_request.cancelled,
    )


def _iter_search_notes(request: AnswerRequest) -> Iterator[Remark]:
    """Yield a note for each document whose stored text could not be read, and for each failure of the reranker."""
    for identifier, title in request.used.unreadable_titles.items():
        yield Remark("document_unreadable", title=title, document=identifier)
    for code, detail in request.used.rerank_failures.items():
        yield Remark("rerank_failed", problem=name_problem(code, detail))


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
