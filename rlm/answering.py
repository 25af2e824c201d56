"""Answers a question within a caller's scope: condense → route → direct, table or recursive → check.

The pipeline is the same for every caller and every deployment. A strategy writes a draft, and checking marks its
sentences.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from langchain_core.language_models import BaseChatModel

from retrieval.search import Searches
from rlm.answers import Answer, Draft
from rlm.build import Answers, Making, spendable
from rlm.cancelling import not_cancelled
from rlm.checking.checker import CheckMode, judged, located
from rlm.checking.judging import Judge, is_judged
from rlm.conversation import condense
from rlm.corpus.corpus import Corpus
from rlm.events import Checking, Completed, Condensed, Drafted, Event, Routed
from rlm.extractive import ExtractiveStrategy
from rlm.llm.budgets import Budget
from rlm.llm.port import SubCalls
from rlm.llm.profiles import ModelProfile
from rlm.metrics import note_answer
from rlm.passages import WIDENED_CHARS, fits, noting, searching
from rlm.requests import AnswerRequest, StrategyName, check_question
from rlm.routing import Route, route
from rlm.runs.port import ONCE, Durability
from rlm.strategy import Context, StageClock
from rlm.usage import Usage

SMALL_MODEL = (
    "The built-in model is small: it misses and confuses things that a larger one gets right. Name a larger one in "
    "LEADLINE_LLM, as URL and model: `http://127.0.0.1:11434/v1 qwen3:8b` (Ollama), `http://gpu:8000/v1 Qwen/Qwen3-8B` "
    "(vLLM), or `https://api.openai.com/v1 gpt-5-mini` with LEADLINE_LLM_API_KEY (a hosted one)."
)


@dataclass(frozen=True)
class ChatModel:
    """A chat model that can be asked now, with its sizes and habits."""

    chat: BaseChatModel
    profile: ModelProfile


class LanguageModel(Protocol):
    """The language model of a deployment, which may still be loading or be switched off."""

    def state(self) -> Mapping[str, Any]:
        """`state` is `loading`, `ready`, `failed` or `none`, `model` its name; more members explain."""

    def acquire(self) -> ChatModel | None:
        """Return the model; None if switched off. Raises `LanguageModelUnavailableError` while it loads or is dead."""

    def close(self) -> None: ...


class Answering:
    """Answers for every tenant; passages come only through a search bound to the caller's scope."""

    def __init__(
        self,
        searcher: Searches,
        language_model: LanguageModel,
        answers: Answers,
        *,
        check: CheckMode = CheckMode.JUDGE,
        judge: LanguageModel | None = None,
    ) -> None:
        """`judge` is a separate model to judge with; without it, the answering model judges where it can."""
        self._searcher = searcher
        self._language_model = language_model
        self._answers = answers
        self._check = check
        self._judge = judge

    def state(self) -> Mapping[str, Any]:
        """Return the language model's state, for people."""
        return self._language_model.state()

    def stream(
        self,
        request: AnswerRequest,
        *,
        cancelled: Callable[[], bool] = not_cancelled,
        durability: Durability = ONCE,
    ) -> Iterator[Event]:
        """Yield the answer's events as they happen, `Completed` last. `durability` lets a run be resumed.

        Raises `QuestionError` and `LanguageModelUnavailableError` at once, not at the first event, if the request can
        be refused before any work. Later it raises what the strategies raise.
        """
        request = replace(request, question=check_question(request.question))
        model = self._language_model.acquire()
        if model is None:
            return self._extracts(request, durability)
        return _Asked(self, model, request, cancelled, durability).events()

    def _extracts(self, request: AnswerRequest, durability: Durability) -> Iterator[Event]:
        clock = StageClock()
        search = durability.search(noting(searching(self._searcher, request.scope), request.used))
        yield Routed("extractive", "Extractive: there is no language model.")
        for event in ExtractiveStrategy().stream(request.question, search):
            if not isinstance(event, Drafted):
                yield event
                continue
            sentences, citations = located(event.draft, self._searcher.locate)
            clock.lap("extractive")
            answer = replace(
                _answer(event.draft, request.question, "extractive", None),
                sentences=tuple(sentences),
                citations=tuple(citations),
                timings_ms=clock.laps(),
            )
            note_answer(answer)
            yield Completed(answer)


class _Asked:
    """One request on its way through the pipeline."""

    def __init__(
        self,
        answering: Answering,
        model: ChatModel,
        request: AnswerRequest,
        cancelled: Callable[[], bool],
        durability: Durability,
    ) -> None:
        self._answering = answering
        self._answers = answering._answers
        self._model = model
        self._request = request
        self._cancelled = cancelled
        self._durability = durability
        self._budget = self._answers.budget(request.wanted, model.profile, durability)
        self._calls = self._bound(model, self._budget)
        self._clock = StageClock()
        self._opened: Corpus | None = None

    def events(self) -> Iterator[Event]:
        """Run every stage, in order."""
        request, profile, nonce = self._request, self._model.profile, self._durability.nonce
        question = request.question
        if request.history:
            question = condense(question, request.history, self._calls, profile, nonce(), cancelled=self._cancelled)
            self._clock.lap("condense")
            yield Condensed(question)
        with request.used.routing():
            routed = self._route(question)
        self._clock.lap("route")
        if routed.strategy is not StrategyName.DIRECT and not self._corpus().documents:
            routed = Route(StrategyName.DIRECT, "Direct: there is no searchable document.")
        yield Routed(routed.strategy.value, routed.reason, spendable(routed.strategy, request.wanted, profile))
        context = Context(
            question=question,
            queries=routed.queries,
            scope=request.scope,
            wanted=request.wanted,
            profile=profile,
            calls=self._calls,
            search=self._durability.search(
                noting(
                    searching(
                        self._answering._searcher, request.scope, widened_chars=None if profile.small else WIDENED_CHARS
                    ),
                    request.used,
                )
            ),
            corpus=self._corpus,
            nonce=nonce,
            cancelled=self._cancelled,
        )
        making = Making(
            context,
            self._budget,
            lambda part: self._bound(self._model, part),
            self._durability,
            self._answering._searcher,
        )
        strategy = self._answers.strategy(routed.strategy, making)
        for event in strategy.stream(context):
            if isinstance(event, Drafted):
                self._clock.lap(routed.strategy.value)
                yield from self._checked(event.draft, question, routed)
                return
            if isinstance(event, Routed):  # a strategy that cannot answer hands over to another
                routed = Route(StrategyName(event.strategy), event.reason)
            yield event

    def _route(self, question: str) -> Route:
        wanted, profile = self._request.wanted, self._model.profile
        if wanted.strategy is not StrategyName.AUTO:
            return Route(wanted.strategy, f"{wanted.strategy.capitalize()}, as asked.")
        if not profile.routes:
            return Route(StrategyName.DIRECT, "Direct: the model is too small to choose.")
        corpus = self._corpus()
        tables = self._answers.tables(corpus)
        if not tables.has_records and fits(corpus, profile.reading_tokens):
            return Route(StrategyName.DIRECT, "Direct: all of these documents can be read at once.")
        choices = self._answers.strategies(profile)
        nonce = self._durability.nonce()
        return route(question, corpus, choices, tables.description(), self._calls, nonce, cancelled=self._cancelled)

    def _checked(self, draft: Draft, question: str, routed: Route) -> Iterator[Event]:
        """Check the draft and yield the answer with every sentence marked."""
        mode = self._answering._check
        sentences, citations = located(draft, self._answering._searcher.locate, mode)
        marked, notes = tuple(sentences), draft.notes
        cited = sum(map(is_judged, sentences))
        judge = self._judge_of() if mode is CheckMode.JUDGE and cited else None
        if judge is not None:
            yield Checking(cited)
            judgement = judge.judge(question, sentences, draft.evidence)
            marked = judged(sentences, judgement)
            notes = (*notes, judgement.note) if judgement.note else notes
        if self._model.profile.small:
            notes = (*notes, SMALL_MODEL)
        self._clock.lap("check")
        usage = self._usage()
        answer = replace(
            _answer(draft, question, routed.strategy.value, self._model.profile.name),
            sentences=marked,
            citations=tuple(citations),
            reasons=(routed.reason, *draft.reasons),
            notes=notes,
            usage=usage,
            dollars=None if self._model.profile.price is None else float(self._budget.spent.dollars),
            timings_ms=self._clock.laps(),
        )
        note_answer(answer)
        yield Completed(answer)

    def _judge_of(self) -> Judge | None:
        """Return the judge of this request, or None if its model cannot judge or is unavailable."""
        model = self._model
        if self._answering._judge is not None:
            other = self._answering._judge.acquire()
            model = other or model
        if not model.profile.judges:
            return None
        calls = self._calls if model is self._model else self._bound(model, self._budget)
        return Judge(calls, model.profile, self._durability.nonce(), cancelled=self._cancelled)

    def _bound(self, model: ChatModel, budget: Budget) -> SubCalls:
        return self._answers.bind(
            model.chat,
            model.profile,
            self._request.scope,
            budget,
            self._durability,
            run=self,
            used=self._request.used,
        )

    def _corpus(self) -> Corpus:
        """Return the documents in scope, opened once."""
        if self._opened is None:
            self._opened = self._answers.corpus(self._request.scope, self._durability, self._request.used)
        return self._opened

    def _usage(self) -> Usage:
        spent = self._budget.spent
        return Usage(spent.calls, spent.prompt_tokens, spent.completion_tokens)


def _answer(draft: Draft, question: str, strategy: str, model: str | None) -> Answer:
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
        finished=draft.finished,
        dollars=0.0 if model is None else None,
    )
