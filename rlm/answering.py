"""Answering a question within a caller's scope: which strategy, with which model, over which passages."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from langchain_core.language_models import BaseChatModel

from retrieval.passages import Passage
from retrieval.search import MAX_QUERY_CHARS, Searcher, SearchRequest
from rlm.answers import Answer
from rlm.direct import DirectStrategy
from rlm.extractive import ExtractiveStrategy
from rlm.profiles import ModelProfile
from rlm.scopes import AnswerScope
from rlm.strategies import Completed, Event, Strategy, never

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

    def __init__(self, searcher: Searcher, language_model: LanguageModel) -> None:
        self._searcher = searcher
        self._language_model = language_model

    def state(self) -> Mapping[str, Any]:
        """The language model's state, for people."""
        return self._language_model.state()

    def stream(self, question: str, scope: AnswerScope, *, cancelled: Callable[[], bool] = never) -> Iterator[Event]:
        """Events of the answer as they happen, as `Strategy.stream`.

        Raises `LanguageModelUnavailableError` at once, not at the first event, so that an edge can still refuse.
        """
        return self._events(self._strategy(scope).stream(question, cancelled=cancelled))

    def _events(self, events: Iterator[Event]) -> Iterator[Event]:
        for event in events:
            yield Completed(self._with_pages(event.answer)) if isinstance(event, Completed) else event

    def _with_pages(self, answer: Answer) -> Answer:
        """Each citation with the page of its quotation, where it had that of its passage's beginning."""
        citations = tuple(
            replace(each, page=each.page and self._searcher.page_of(each.version_id, each.start))
            for each in answer.citations
        )
        return replace(answer, citations=citations)

    def _strategy(self, scope: AnswerScope) -> Strategy:
        def retrieve(question: str) -> Sequence[Passage]:
            request = SearchRequest(
                scope.tenant_id,
                question[:MAX_QUERY_CHARS],
                top_k=_PASSAGES,
                collections=scope.collections,
                documents=scope.documents,
            )
            return [hit.passage for hit in self._searcher.search(request).hits]

        model = self._language_model.acquire()
        if model is None:
            return ExtractiveStrategy(retrieve)
        return DirectStrategy(retrieve, model.chat, model.profile)
