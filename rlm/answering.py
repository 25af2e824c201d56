"""Answering a question within a caller's scope: which strategy, with which model, over which passages."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from langchain_core.language_models import BaseChatModel

from retrieval.passages import Passage
from retrieval.search import MAX_QUERY_CHARS, Searcher, SearchRequest
from rlm.direct import DirectStrategy
from rlm.extractive import ExtractiveStrategy
from rlm.profiles import ModelProfile
from rlm.strategies import Event, Strategy, never

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


@dataclass(frozen=True)
class AnswerScope:
    """Whose documents a question is about; an answer can cite nothing else."""

    tenant_id: str
    collections: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()


class Answering:
    """Answers for every tenant; passages come only through a search bound to the caller's scope."""

    def __init__(self, searcher: Searcher, language_model: LanguageModel) -> None:
        self._searcher = searcher
        self._language_model = language_model

    def state(self) -> Mapping[str, Any]:
        """The language model's state, for people."""
        return self._language_model.state()

    def stream(self, question: str, scope: AnswerScope, *, cancelled: Callable[[], bool] = never) -> Iterator[Event]:
        """Events of the answer as they happen, as `Strategy.stream`."""
        return self._strategy(scope).stream(question, cancelled=cancelled)

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
