"""Answering a question within a caller's scope: which strategy, with which model, over which passages."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from langchain_core.language_models import BaseChatModel

from retrieval.search import Searches
from rlm.answers import Answer
from rlm.build import Library
from rlm.cancelling import not_cancelled
from rlm.corpus.corpus import Corpus
from rlm.corpus.search import found_in, scope_of
from rlm.direct import DirectStrategy
from rlm.errors import LanguageModelRefusedError
from rlm.estimates import UNASKED_DOLLARS, at_most
from rlm.events import Completed, Event, Routed
from rlm.extractive import ExtractiveStrategy
from rlm.llm.budgets import Budget, Limits
from rlm.llm.chat import SubCallsChat
from rlm.llm.port import SubCalls
from rlm.llm.prices import FREE, Price
from rlm.llm.profiles import ModelProfile
from rlm.llm.scheduler import SubCallScheduler
from rlm.loop.toolbox import Search
from rlm.requests import ANYHOW, AnswerScope, StrategyName, Wanted, check_question
from rlm.retrieving import retriever
from rlm.runs.port import ONCE, Durability
from rlm.strategy import Strategy

__all__ = ["AnswerScope", "Answering", "ChatModel", "LanguageModel"]

# What a recursive run may spend of which nobody has said how much; in money, what any may that nobody confirmed.
UNASKED = Limits(calls=500, seconds=900.0)
# The most that a search of such a run can show.
_SEARCHED = 50
# Passages whose sentences are looked at for one link of a chain.
_LOOKED_AT_FOR_LINKS = 200


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
        self, searcher: Searches, language_model: LanguageModel, library: Library, sub_calls: SubCallScheduler
    ) -> None:
        self._searcher = searcher
        self._language_model = language_model
        self._library = library
        self._sub_calls = sub_calls

    def state(self) -> Mapping[str, Any]:
        """The language model's state, for people."""
        return self._language_model.state()

    def check(self, question: str, scope: AnswerScope, wanted: Wanted) -> Limits:
        """What a run may spend without a budget. Raises what `stream` would raise at once, and begins nothing."""
        routed = next(self.stream(question, scope, wanted=wanted))
        model = self._language_model.acquire()
        recursive = isinstance(routed, Routed) and routed.strategy is StrategyName.RECURSIVE
        return _unasked(model.profile, wanted) if recursive and model is not None else Limits()

    def stream(
        self,
        question: str,
        scope: AnswerScope,
        *,
        wanted: Wanted = ANYHOW,
        cancelled: Callable[[], bool] = not_cancelled,
        durability: Durability = ONCE,
    ) -> Iterator[Event]:
        """Events of the answer as they happen: the choice of a strategy, and then as `Strategy.stream`.

        `durability` is what a run is resumed by.

        Raises at once, not at the first event, what an edge can still refuse for: `LanguageModelUnavailableError`,
        `QuestionError`, `RunTooLargeError`, `NotExhaustiveError`. Choosing may read the documents, so it takes a while.
        """
        question = check_question(question)
        model = self._language_model.acquire()
        chosen = route(
            question,
            wanted,
            lambda: self._library.corpus(scope, durability),
            can_judge=model is not None,
            can_program=model is not None and model.profile.writes_code,
            can_weigh=model is not None and self._library.weighs_verdicts(model.profile),
            cancelled=cancelled,
        )
        if chosen.strategy is StrategyName.RECURSIVE:
            routed, strategy = self._recursive(chosen, wanted, scope, model, cancelled, durability)
        elif chosen.strategy is StrategyName.CHAIN:
            strategy = self._chain(scope, model, wanted, cancelled, durability)
            routed = Routed(chosen.strategy, chosen.reason)
        elif chosen.strategy is StrategyName.EXHAUSTIVE:
            routed, strategy = self._exhaustive(chosen, wanted, scope, model, cancelled, durability)
        else:
            strategy = self._reading(scope, model, wanted, cancelled, durability)
            routed = Routed(strategy.name, chosen.reason)
        price = model.profile.price if model is not None else FREE
        return self._events(routed, strategy.stream(question, cancelled=cancelled), price)

    def _recursive(
        self,
        chosen: Route,
        wanted: Wanted,
        scope: AnswerScope,
        model: ChatModel | None,
        cancelled: Callable[[], bool],
        durability: Durability,
    ) -> tuple[Routed, Strategy]:
        if model is None:
            raise LanguageModelRefusedError("A recursive answer takes a language model.", hint="Set LEADLINE_LLM.")
        assert chosen.corpus is not None
        chat, profile, run = model.chat, model.profile, object()
        limits = wanted.limits or _unasked(profile, wanted)
        budget = durability.budget(limits.within(Limits(depth=profile.max_depth)), profile.price)
        whole = chosen.corpus

        def bind(part: Budget) -> SubCalls:
            bound = self._sub_calls.bind(chat, profile, tenant_id=scope.tenant_id, budget=part, run=run)
            return durability.sub_calls(bound, part, profile.price)

        def search(corpus: Corpus) -> Search:
            part = scope_of(corpus, whole, scope)
            retrieve = durability.retriever(retriever(self._searcher, part, top_k=_SEARCHED))
            return lambda query, top_k: found_in(corpus, retrieve(query))[:top_k]

        strategy = self._library.recursive(
            chosen.corpus,
            search,
            bind,
            budget,
            profile,
            cancelled,
            every_record=wanted.every_record,
            told=durability.turn,
            tells_time=durability is ONCE,
        )
        return Routed(chosen.strategy, chosen.reason, at_most(limits)), strategy

    def _chain(
        self,
        scope: AnswerScope,
        model: ChatModel | None,
        wanted: Wanted,
        cancelled: Callable[[], bool],
        durability: Durability,
    ) -> Strategy:
        if model is None:
            raise LanguageModelRefusedError("A chain of facts takes a language model.", hint="Set LEADLINE_LLM.")
        retrieve = durability.retriever(retriever(self._searcher, scope, top_k=_LOOKED_AT_FOR_LINKS))
        calls = self._calls(model, scope, wanted, durability)
        reading = self._reading_with(model, calls, scope, cancelled, durability, contrasted=False)
        return self._library.chain(retrieve, calls, model.profile, reading)

    def _exhaustive(
        self,
        chosen: Route,
        wanted: Wanted,
        scope: AnswerScope,
        model: ChatModel | None,
        cancelled: Callable[[], bool],
        durability: Durability,
    ) -> tuple[Routed, Strategy]:
        if model is None:
            return Routed(chosen.strategy, chosen.reason), self._library.exhaustive(chosen, None, None, cancelled)
        every_record = wanted.every_record
        estimate = self._library.estimate(chosen, model.profile, every_record=every_record, cancelled=cancelled)
        require_confirmation(estimate, wanted)
        calls = self._calls(model, scope, wanted, durability)
        strategy = self._library.exhaustive(chosen, calls, model.profile, cancelled, every_record=every_record)
        said = estimate.sentence() if estimate.calls and chosen.plan else ""
        return Routed(chosen.strategy, chosen.reason, said), strategy

    def _events(self, routed: Routed, events: Iterator[Event], price: Price | None) -> Iterator[Event]:
        yield routed
        for event in events:
            yield Completed(self._finished(event.answer, routed, price)) if isinstance(event, Completed) else event

    def _finished(self, answer: Answer, routed: Routed, price: Price | None) -> Answer:
        """With why its strategy was chosen and what it cost.

        Each citation has the page of its quotation, where it had that of its passage's beginning.
        """
        usage = answer.usage
        dollars = None if price is None else float(price.of(usage.prompt_tokens, usage.completion_tokens))
        citations = tuple(
            replace(each, page=each.page and self._searcher.page_of(each.version_id, each.start))
            for each in answer.citations
        )
        return replace(answer, citations=citations, reasons=(routed.reason, *answer.reasons), dollars=dollars)

    def _calls(self, model: ChatModel, scope: AnswerScope, wanted: Wanted, durability: Durability) -> SubCalls:
        budget = durability.budget(wanted.limits or Limits(), model.profile.price)
        bound = self._sub_calls.bind(model.chat, model.profile, tenant_id=scope.tenant_id, budget=budget)
        return durability.sub_calls(bound, budget, model.profile.price)

    def _reading(
        self,
        scope: AnswerScope,
        model: ChatModel | None,
        wanted: Wanted,
        cancelled: Callable[[], bool],
        durability: Durability,
    ) -> Strategy:
        if model is None:
            return ExtractiveStrategy(durability.retriever(retriever(self._searcher, scope)))
        return self._reading_with(model, self._calls(model, scope, wanted, durability), scope, cancelled, durability)

    def _reading_with(
        self,
        model: ChatModel,
        calls: SubCalls,
        scope: AnswerScope,
        cancelled: Callable[[], bool],
        durability: Durability,
        *,
        contrasted: bool = True,
    ) -> DirectStrategy:
        """`contrasted` where a sentence that stands out answers; of a chain, it may be one that only describes."""
        found = self._library.nearest(lambda count: retriever(self._searcher, scope, top_k=count))
        chat = SubCallsChat(run=calls.run, purpose="reading", cancelled=cancelled)
        contrasts = self._library.contrasts(calls, model.profile, cancelled) if contrasted else None
        return DirectStrategy(
            durability.retriever(found), chat, model.profile, contrasts=contrasts, nonce=durability.nonce
        )


def _unasked(profile: ModelProfile, wanted: Wanted) -> Limits:
    """Of a recursive run without a budget; its money is limited where it costs some and nobody has confirmed."""
    unlimited = wanted.confirm or profile.price in (None, FREE)
    return UNASKED if unlimited else replace(UNASKED, dollars=UNASKED_DOLLARS)
