"""Direct answers that begin while the strategy is chosen: when they begin, and what a kept or dropped one leaves."""

import asyncio
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal

import pytest
from prometheus_client import REGISTRY

from rlm.answers import Answer
from rlm.checking.checker import CheckMode
from rlm.errors import LanguageModelOutputError, LanguageModelUnavailableError, RunCancelledError
from rlm.events import Completed, Delta, Event, Reading, Routed
from rlm.llm.budgets import FREE, Budget, Limits, Price
from rlm.requests import DEFAULT_OPTIONS, AnswerOptions, AnswerRequest, AnswerScope, StrategyName
from rlm.runs.port import Durability
from tests.fakes.callable_chat import Answer as ChatAnswer
from tests.fakes.sql_here import sql_engine_here
from tests.support.answering import CAPABLE, pipeline

# More documents than a prompt about tables shows, so that what only a direct answer uses can be told apart.
DOCUMENTS = {f"Log {number}": f"On day {number}, the crew mended sails." for number in range(60)}
TABLES = {"Stock": "product,price\nlamp,4\nrope,7\n"}
VERSIONS = {f"v{number}" for number in range(1, 62)}
ANSWER = 'A rope costs 7 [61].\n<support answered="yes">\n[61] "7"\n</support>'
PLAN = json.dumps(
    {
        "semantic_columns": [],
        "sql": "SELECT sum(price) AS total FROM stock",
        "rows_sql": "SELECT * FROM stock",
        "language": "en",
        "answer": "Together they cost:",
    }
)
PATIENCE_SECONDS = 60
_NONCE = re.compile(r"\b[0-9a-f]{16}\b")


async def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < until, "nothing happened"
        await asyncio.sleep(0.002)


class Model:
    """A model that records the stages it is asked for, and replies when the test has it reply."""

    def __init__(self, strategy: str = "direct") -> None:
        self.asked: list[str] = []
        self.prompts: dict[str, str] = {}
        self.ended: list[str] = []
        self.answer: str | Exception = ANSWER
        self.choice: str | Exception = json.dumps({"why": "It is best.", "strategy": strategy, "queries": []})
        self.when: dict[str, Callable[[], bool]] = {}

    async def __call__(self, prompt: str) -> ChatAnswer:
        stage, reply = self._recognize(prompt)
        self.asked.append(stage)
        self.prompts[stage] = _NONCE.sub("nonce", prompt)
        await wait_until(self.when.get(stage, lambda: True))
        self.ended.append(stage)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def _recognize(self, prompt: str) -> tuple[str, str | Exception]:
        if "Strategies available here" in prompt:
            return "route", self.choice
        return ("plan", PLAN) if "Reply with the plan" in prompt else ("answer", self.answer)


class Asked:
    """One question, and what came of it."""

    def __init__(self, model: Model, **others: object) -> None:
        self.model = model
        self.others = others
        self.request = AnswerRequest("What does a rope cost?", AnswerScope("ann"))
        self.events: list[Event] = []
        self.gone = threading.Event()
        self.given_up = 0

    def run(
        self,
        take: Callable[[Iterator[Event]], object] | None = None,
        *,
        wanted: AnswerOptions = DEFAULT_OPTIONS,
        durability: Durability | None = None,
    ) -> None:
        """Ask, and let `take` iterate the events. By default, all are taken."""
        self.request = replace(self.request, wanted=wanted)
        options = {"tables": TABLES, "check": CheckMode.OFF, "sql": sql_engine_here()} | self.others
        documents = options.pop("documents", DOCUMENTS)
        with pipeline(documents, self.model, **options) as (answering, chat):  # type: ignore[arg-type]
            events = answering.stream(self.request, cancelled=self.gone.is_set, durability=durability or Durability())
            try:
                (take or self.take_all)(events)
            finally:
                assert chat is not None
                # Whoever iterates the events waits for the thread, also if an error ends them.
                assert not any(each.name == "early-answer" for each in threading.enumerate())
                self.given_up = chat.given_up

    def take_all(self, events: Iterator[Event]) -> None:
        for event in events:
            self.events.append(event)

    @property
    def result(self) -> Answer:
        last = self.events[-1]
        assert isinstance(last, Completed)
        return last.answer

    @property
    def used(self) -> frozenset[str]:
        return self.request.used.work.versions


class Outcomes:
    """Counts the early answers since it was created."""

    def __init__(self) -> None:
        self._before = (0.0, 0.0)
        self._before = self.kept_and_dropped

    @property
    def kept_and_dropped(self) -> tuple[float, float]:
        kept, dropped = (
            (REGISTRY.get_sample_value("leadline_early_answers_total", {"outcome": outcome}) or 0.0) - before
            for outcome, before in zip(("kept", "dropped"), self._before, strict=True)
        )
        return kept, dropped


def test_an_answer_that_ended_before_the_direct_strategy_was_chosen_is_kept() -> None:
    outcomes = Outcomes()
    model = Model()
    model.when["route"] = lambda: "answer" in model.ended
    asked = Asked(model)
    asked.run()
    assert [type(each) for each in asked.events[:3]] == [Routed, Reading, Delta]
    assert asked.result.text == "A rope costs 7 [1]."
    assert asked.result.strategy == "direct"
    assert "".join(each.text for each in asked.events if isinstance(each, Delta)) == asked.result.text
    assert sorted(model.asked) == ["answer", "route"]
    assert (asked.result.usage.calls, asked.result.usage.prompt_tokens) == (2, 40)
    assert asked.used == VERSIONS
    assert outcomes.kept_and_dropped == (1, 0)


@pytest.mark.parametrize("choice", ["direct", "not_here"])
def test_the_events_of_a_kept_answer_are_those_without_an_early_start(choice: str) -> None:
    early, late = Asked(Model(choice)), Asked(Model(choice), answers_early=False)
    early.model.when["route"] = lambda: "answer" in early.model.asked
    for each in (early, late):
        each.run()
    assert [_without_times(event) for event in early.events] == [_without_times(event) for event in late.events]
    assert early.request.used.work.seen == late.request.used.work.seen
    assert early.used == late.used
    assert early.model.prompts == late.model.prompts


def _without_times(event: Event) -> Event:
    return Completed(replace(event.answer, timings_ms={})) if isinstance(event, Completed) else event


def test_what_an_event_was_made_of_is_recorded_before_the_event_is_taken() -> None:
    model = Model()
    model.when["route"] = lambda: "answer" in model.asked
    asked = Asked(model)
    recorded: list[tuple[type[Event], frozenset[str]]] = []

    def take(events: Iterator[Event]) -> None:
        recorded.extend((type(event), asked.used) for event in events)

    asked.run(take)
    # While the strategy is chosen, and until the early answer is shown, nothing counts as used for the answer.
    assert recorded[0] == (Routed, frozenset())
    assert all(used == VERSIONS for _, used in recorded[1:])


def test_an_answer_for_which_another_strategy_is_chosen_leaves_its_tokens_and_no_versions() -> None:
    outcomes = Outcomes()
    early, late = Asked(Model("table")), Asked(Model("table"), answers_early=False)
    early.model.when = {"route": lambda: "answer" in early.model.asked, "answer": lambda: False}
    for each in (early, late):
        each.run()
    assert early.result.strategy == late.result.strategy == "table"
    assert early.result.text == late.result.text
    assert sorted(early.model.asked) == sorted([*late.model.asked, "answer"])
    assert early.given_up == 1
    assert early.result.usage.calls == late.result.usage.calls + 1
    assert early.request.used.work.versions == late.request.used.work.versions < VERSIONS
    assert early.request.used.work.seen == late.request.used.work.seen
    assert outcomes.kept_and_dropped == (0, 1)


def test_a_dropped_answer_that_had_ended_counts_in_full() -> None:
    model = Model("table")
    model.when["route"] = lambda: "answer" in model.ended
    asked = Asked(model)
    asked.run()
    assert asked.result.strategy == "table"
    assert (asked.result.usage.calls, asked.result.usage.prompt_tokens) == (3, 60)
    assert asked.used < VERSIONS


def test_an_error_of_a_kept_answer_is_raised_after_the_choice() -> None:
    model = Model()
    model.when["route"] = lambda: "answer" in model.ended
    model.answer = ""
    asked = Asked(model)
    with pytest.raises(LanguageModelOutputError):
        asked.run()
    assert [type(each) for each in asked.events] == [Routed, Reading]


def test_an_error_of_a_dropped_answer_is_ignored() -> None:
    model = Model("table")
    model.when["route"] = lambda: "answer" in model.ended
    model.answer = LanguageModelOutputError("Nothing was said.")
    asked = Asked(model)
    asked.run()
    assert asked.result.strategy == "table"


def test_if_the_model_that_chooses_fails_the_answer_is_dropped() -> None:
    outcomes = Outcomes()
    model = Model()
    model.choice = LanguageModelUnavailableError("It is away.", sent=False, retry_after_seconds=1e6)
    model.when = {"route": lambda: "answer" in model.asked, "answer": lambda: False}
    asked = Asked(model)
    with pytest.raises(LanguageModelUnavailableError):
        asked.run()
    assert asked.given_up == 1
    assert asked.used == frozenset()
    assert outcomes.kept_and_dropped == (0, 1)


@pytest.mark.parametrize("held", ["route", "answer"])
def test_cancelling_ends_the_early_answer_whether_or_not_it_is_chosen_yet(held: str) -> None:
    model = Model()
    asked = Asked(model)

    def choose() -> bool:
        if held == "route" and "answer" in model.asked:
            asked.gone.set()
            return False
        return "answer" in model.asked

    model.when = {"route": choose, "answer": lambda: False}

    def take(events: Iterator[Event]) -> None:
        for event in events:
            asked.events.append(event)
            asked.gone.set()

    with pytest.raises(RunCancelledError):
        asked.run(take)
    assert [type(each) for each in asked.events] == ([] if held == "route" else [Routed, Reading])
    assert asked.given_up == (2 if held == "route" else 1)


@pytest.mark.parametrize(("strategy", "last"), [("direct", Routed), ("direct", Reading), ("table", Routed)])
def test_a_client_that_leaves_ends_the_early_answer(strategy: str, last: type[Event]) -> None:
    model = Model(strategy)
    model.when = {"route": lambda: "answer" in model.asked, "answer": lambda: False}
    asked = Asked(model)

    def leave(events: Iterator[Event]) -> None:
        next(each for each in events if isinstance(each, last))
        events.close()  # type: ignore[attr-defined]

    asked.run(leave)
    assert asked.given_up == 1
    assert asked.used == (VERSIONS if last is Reading else frozenset())


PRICE = Price(Decimal(1), Decimal(1))
PRICED = replace(CAPABLE, price=PRICE)


class _InBackground(Durability):
    background = True


class _WithQuota(Durability):
    def build_budget(self, limits: Limits, price: Price | None) -> Budget:
        return super().build_budget(limits.narrow_to(Limits(tokens=90_000)), price)


def large() -> dict[str, str]:
    return {**DOCUMENTS, "Wind": "The wind blew from the west and the crew mended sails. " * 2_000}


@pytest.mark.parametrize(
    ("others", "wanted", "durability"),
    [
        pytest.param({}, DEFAULT_OPTIONS, _InBackground(), id="nobody waits"),
        pytest.param({}, DEFAULT_OPTIONS, _WithQuota(), id="a quota limits tokens"),
        pytest.param({}, AnswerOptions(budget=Limits(calls=9)), None, id="calls are limited"),
        pytest.param({}, AnswerOptions(budget=Limits(tokens=90_000)), None, id="tokens are limited"),
        pytest.param({}, AnswerOptions(budget=Limits(prompt_tokens=90_000)), None, id="tokens to read are limited"),
        pytest.param({}, AnswerOptions(budget=Limits(completion_tokens=90_000)), None, id="tokens to write are"),
        pytest.param(
            {"profile": PRICED}, AnswerOptions(budget=Limits(dollars=Decimal(1))), None, id="dollars are limited"
        ),
        pytest.param({"profile": replace(CAPABLE, parallel_calls=1)}, DEFAULT_OPTIONS, None, id="no free slot"),
        pytest.param({"documents": large()}, DEFAULT_OPTIONS, None, id="searches are needed"),
        pytest.param({"answers_early": False}, DEFAULT_OPTIONS, None, id="switched off"),
        pytest.param({"profile": PRICED}, DEFAULT_OPTIONS, None, id="a dropped answer costs money"),
    ],
)
def test_an_answer_begins_early_only_if_it_may(
    others: dict[str, object], wanted: AnswerOptions, durability: Durability | None
) -> None:
    outcomes = Outcomes()
    model = Model()
    asked = Asked(model, **others)
    asked.run(wanted=wanted, durability=durability)
    assert model.asked[0] == "route"
    assert outcomes.kept_and_dropped == (0, 0)


@pytest.mark.parametrize(
    ("price", "answers_early"),
    [pytest.param(FREE, None, id="the price is zero"), pytest.param(PRICE, True, id="switched on")],
)
def test_an_answer_begins_early_if_it_costs_nothing_or_is_switched_on(price: Price, answers_early: bool | None) -> None:
    outcomes = Outcomes()
    model = Model("table")
    model.when["route"] = lambda: "answer" in model.ended
    asked = Asked(model, profile=replace(CAPABLE, price=price), answers_early=answers_early)
    asked.run()
    assert outcomes.kept_and_dropped == (0, 1)
    usage = asked.result.usage
    # The dropped answer counts as one of three calls, and at the model's price.
    assert (usage.calls, usage.prompt_tokens) == (3, 60)
    assert asked.result.dollars == pytest.approx(float(price.compute_cost(60, usage.completion_tokens)))


def test_where_no_model_has_to_choose_nothing_begins_early() -> None:
    outcomes = Outcomes()
    without_tables, forced = Model(), Model()
    Asked(without_tables, tables={}).run()
    Asked(forced).run(wanted=AnswerOptions(StrategyName.DIRECT))
    assert without_tables.asked == forced.asked == ["answer"]
    assert outcomes.kept_and_dropped == (0, 0)
