"""Answering a question within a caller's scope: which strategy, with which model, over which passages."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from langchain_core.language_models import BaseChatModel

from retrieval.passages import Passage
from retrieval.search import MAX_QUERY_CHARS, Searcher, SearchRequest
from rlm.answers import Answer
from rlm.budgets import Budget, Limits
from rlm.direct import DirectStrategy
from rlm.extractive import ExtractiveStrategy
from rlm.library import Library
from rlm.profiles import ModelProfile
from rlm.questions import check_question
from rlm.routing import ANYHOW, Route, StrategyName, Wanted, require_confirmation, route
from rlm.scopes import AnswerScope
from rlm.strategies import Completed, Event, Routed, Strategy, never
from rlm.subcalls.scheduler import SubCallScheduler

__all__ = ["AnswerScope", "Answering", "ChatModel", "LanguageModel"]

# Passages looked at for one question: recall grows little past ten, and each one costs a reader time.
_PASSAGES = 10


@dataclass(frozen=True)
class ChatModel:
    """A chat model that can be asked now, with its sizes."""

    chat: BaseChatModel
    profile: ModelProfile


class LanguageModel(Protocol):
    """The language model of a deployment, which may still be loading or be switched off."""

    def state(self) -> Mapping[str, Any]:
        """`state` is `loading`, `ready`, `failed` or `none`, `model` its name; more members explain."""

    def acquire(self) -> ChatModel | None:
        """None when there is none by choice. Raises `LanguageModelUnavailableError` while it loads or after it died."""

    def close(self) -> None: ...


class Answering:
    """Answers for every tenant; passages come only through a search bound to the caller's scope."""

    def __init__(
        self, searcher: Searcher, language_model: LanguageModel, library: Library, sub_calls: SubCallScheduler
    ) -> None:
        self._searcher = searcher
        self._language_model = language_model
        self._library = library
        self._sub_calls = sub_calls

    def state(self) -> Mapping[str, Any]:
        """The language model's state, for people."""
        return self._language_model.state()

    def stream(
        self,
        question: str,
        scope: AnswerScope,
        *,
        wanted: Wanted = ANYHOW,
        cancelled: Callable[[], bool] = never,
    ) -> Iterator[Event]:
        """Events of the answer as they happen: the choice of a strategy, and then as `Strategy.stream`.

        Raises at once, not at the first event, what an edge can still refuse for: `LanguageModelUnavailableError`,
        `QuestionError`, `RunTooLargeError`, `NotExhaustiveError`. Choosing may read the documents, so it takes a while.
        """
        question = check_question(question)
        model = self._language_model.acquire()
        chosen = route(question, wanted, lambda: self._library.corpus(scope), can_judge=model is not None)
        if chosen.strategy is not StrategyName.EXHAUSTIVE:
            strategy = self._reading(scope, model)
            return self._events(Routed(strategy.name, chosen.reason), strategy.stream(question, cancelled=cancelled))
        routed, strategy = self._exhaustive(chosen, wanted, scope, model, cancelled)
        return self._events(routed, strategy.stream(question, cancelled=cancelled))

    def _exhaustive(
        self,
        chosen: Route,
        wanted: Wanted,
        scope: AnswerScope,
        model: ChatModel | None,
        cancelled: Callable[[], bool],
    ) -> tuple[Routed, Strategy]:
        if model is None:
            return Routed(chosen.strategy, chosen.reason), self._library.exhaustive(chosen, None, None, cancelled)
        estimate = self._library.estimate(chosen, model.profile)
        require_confirmation(estimate, wanted)
        budget = Budget(wanted.budget or Limits())
        calls = self._sub_calls.bind(model.chat, model.profile, tenant_id=scope.tenant_id, budget=budget)
        strategy = self._library.exhaustive(chosen, calls, model.profile, cancelled)
        return Routed(chosen.strategy, chosen.reason, estimate.sentence() if estimate.calls else ""), strategy

    def _events(self, routed: Routed, events: Iterator[Event]) -> Iterator[Event]:
        yield routed
        for event in events:
            yield Completed(self._finished(event.answer, routed)) if isinstance(event, Completed) else event

    def _finished(self, answer: Answer, routed: Routed) -> Answer:
        """With why the strategy was chosen, and each citation with the page of its quotation, where it had that of its
        passage's beginning."""
        citations = tuple(
            replace(each, page=each.page and self._searcher.page_of(each.version_id, each.start))
            for each in answer.citations
        )
        return replace(answer, citations=citations, reasons=(routed.reason, *answer.reasons))

    def _reading(self, scope: AnswerScope, model: ChatModel | None) -> Strategy:
        def retrieve(question: str) -> Sequence[Passage]:
            request = SearchRequest(
                scope.tenant_id,
                question[:MAX_QUERY_CHARS],
                top_k=_PASSAGES,
                collections=scope.collections,
                documents=scope.documents,
            )
            return [hit.passage for hit in self._searcher.search(request).hits]

        if model is None:
            return ExtractiveStrategy(retrieve)
        return DirectStrategy(retrieve, model.chat, model.profile)
