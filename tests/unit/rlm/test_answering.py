"""The pipeline: condense, route, answer, check; what each stage costs, and what no stage may do."""

import json
import re
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal

import pytest

from rlm.answering import AnswerPipeline
from rlm.answers import Answer, AnswerStatus, Check
from rlm.build import HelperModels
from rlm.checking.checker import CheckMode
from rlm.direct import NOTHING_FOUND
from rlm.errors import BudgetExhaustedError, LanguageModelUnavailableError, RunTooLargeError
from rlm.events import Checking, Completed, Condensed, Delta, Event, Routed
from rlm.llm.budgets import Limits, Price
from rlm.requests import (
    DEFAULT_OPTIONS,
    AnswerOptions,
    AnswerRequest,
    AnswerScope,
    EarlierMessage,
    EmptyQuestionError,
    StrategyName,
)
from tests.fakes.callable_chat import CallableChat
from tests.fakes.loaded_model import LoadedModel
from tests.fakes.sandbox_here import SandboxHere
from tests.fakes.sql_here import sql_engine_here
from tests.support.answering import CAPABLE, by_stage, pipeline

DOCUMENTS = {
    "Harbour": "The keeper of the lighthouse was Ada Brandt. She lit the lamp in 1871.",
    "Wreck": "The Merle sank off the cape in a storm. Nobody drowned.",
}
ANSWER = 'Ada Brandt kept it [1].\n<support answered="yes">\n[1] "keeper of the lighthouse was Ada Brandt"\n</support>'
SMALL_REPLY = json.dumps({"passage": 1, "quote": "", "answer": "Ada Brandt kept it."})
SCOPE = AnswerScope("ann")


def verdict(support: str, reason: str = "") -> str:
    return json.dumps({"verdicts": [{"sentence": 1, "support": support, "reason": reason}]})


def asked(
    answering: AnswerPipeline,
    question: str = "Who kept the lighthouse?",
    *,
    history: tuple[EarlierMessage, ...] = (),
    wanted: AnswerOptions = DEFAULT_OPTIONS,
) -> tuple[list[Event], Answer]:
    events = list(answering.stream(AnswerRequest(question, SCOPE, history, wanted)))
    last = events[-1]
    assert isinstance(last, Completed)
    assert "".join(each.text for each in events if isinstance(each, Delta)) == last.answer.text
    return events, last.answer


def test_a_small_scope_is_read_whole_answered_in_one_call_and_judged_in_another() -> None:
    with pipeline(DOCUMENTS, by_stage(ANSWER, judge=verdict("supported"))) as (answering, chat):
        events, answer = asked(answering)
        assert chat is not None
        assert len(chat.prompts) == answer.usage.calls == 2
    assert isinstance(events[0], Routed)
    assert any(isinstance(each, Checking) for each in events)
    assert (answer.status, answer.strategy) == (AnswerStatus.ANSWERED, "direct")
    assert answer.text == "Ada Brandt kept it [1]."
    (sentence,) = answer.sentences
    assert (sentence.check, sentence.citations) == (Check.VERIFIED, (1,))
    assert answer.citations[0].quote == "keeper of the lighthouse was Ada Brandt"
    assert answer.citations[0].verified


def test_the_models_that_answer_and_judge_are_told_the_names_of_files() -> None:
    with pipeline(DOCUMENTS, by_stage(ANSWER, judge=verdict("supported"))) as (answering, chat):
        asked(answering)
        assert chat is not None
        assert [prompt.count("\nHarbour.md\n") for prompt in chat.prompts] == [1, 1]


@pytest.mark.parametrize("said", [verdict("not_supported", "It names nobody."), '{"verdicts": []}', "nonsense"])
def test_a_check_never_changes_an_answer_or_its_status(said: str) -> None:
    with pipeline(DOCUMENTS, by_stage(ANSWER, judge=said)) as (answering, _):
        _, answer = asked(answering)
    assert (answer.status, answer.text) == (AnswerStatus.ANSWERED, "Ada Brandt kept it [1].")
    assert answer.sentences[0].check in (Check.UNSUPPORTED, Check.QUOTED)
    assert answer.notes or answer.sentences[0].reason == "It names nobody."


def test_quotes_alone_ask_no_judge() -> None:
    with pipeline(DOCUMENTS, by_stage(ANSWER), check=CheckMode.QUOTES) as (answering, chat):
        _, answer = asked(answering)
        assert chat is not None
        assert len(chat.prompts) == 1
    assert answer.sentences[0].check is Check.QUOTED


def test_another_model_may_judge() -> None:
    judge = CallableChat(answer=by_stage(judge=verdict("partly", "Not the year.")))
    other = LoadedModel(judge, replace(CAPABLE, name="judge"))
    with pipeline(DOCUMENTS, by_stage(ANSWER), helpers=HelperModels(judge=other)) as (answering, chat):
        _, answer = asked(answering)
        assert chat is not None
        assert len(chat.prompts) == 1
        assert judge.prompts
    assert answer.sentences[0].check is Check.QUOTED
    assert "Not the year." in answer.sentences[0].reason


def test_another_model_may_choose_the_strategy_and_is_not_asked_while_it_is_away() -> None:
    large = {**DOCUMENTS, "Log": "The wind blew from the west and the crew mended sails. " * 2_000}
    choice = json.dumps({"why": "A passage says it.", "strategy": "direct", "queries": ["keeper"]})
    router = CallableChat(answer=by_stage(route=choice))
    other = LoadedModel(router, replace(CAPABLE, name="router"))
    with pipeline(large, by_stage(ANSWER, route=choice), helpers=HelperModels(router=other)) as (answering, chat):
        assert chat is not None
        asked(answering)
        assert (len(router.prompts), any("Strategies" in prompt for prompt in chat.prompts)) == (1, False)
        other.is_away = True
        asked(answering, "Who drowned?")
        assert (len(router.prompts), any("Strategies" in prompt for prompt in chat.prompts)) == (1, True)


def test_another_model_may_read_what_programs_send() -> None:
    reader = CallableChat(answer=by_stage("It says Ada Brandt."))
    other = LoadedModel(reader, replace(CAPABLE, name="reader", max_output_tokens=777))
    root = by_stage("```python\nsaid = llm_query('Who kept it?')\nsubmit(said, computed=True)\n```")
    helpers = HelperModels(sub_calls=other)
    with pipeline(DOCUMENTS, root, helpers=helpers, check=CheckMode.OFF, sandbox=SandboxHere()) as (answering, chat):
        _, answer = asked(answering, wanted=AnswerOptions(StrategyName.RECURSIVE))
        assert chat is not None
        assert reader.prompts == ["Who kept it?"]
        assert "its reply has 777 tokens at most" in chat.prompts[0]
    assert "Ada Brandt" in answer.text
    assert answer.usage.calls == len(chat.prompts) + 1


def test_what_an_answer_cost_is_not_known_if_a_helpers_price_is_not() -> None:
    judge = LoadedModel(CallableChat(answer=by_stage(judge=verdict("supported"))), replace(CAPABLE, name="judge"))
    priced = replace(CAPABLE, price=Price(Decimal(1), Decimal(2)))
    for helpers, is_known in ((HelperModels(), True), (HelperModels(judge=judge), False)):
        model = by_stage(ANSWER, judge=verdict("supported"))
        with pipeline(DOCUMENTS, model, profile=priced, helpers=helpers) as (answering, _):
            _, answer = asked(answering)
        assert (answer.dollars is not None) is is_known


def test_a_follow_up_is_answered_as_a_question_that_stands_alone() -> None:
    alone = "When did Ada Brandt light the lamp?"
    seen: list[str] = []

    def answer_(prompt: str) -> str:
        seen.append(prompt)
        return "In 1871 [1]."

    history = (EarlierMessage("user", "Who kept the lighthouse?"), EarlierMessage("assistant", "Ada Brandt [1]."))
    model = by_stage(answer_, condense=json.dumps({"question": alone}))
    with pipeline(DOCUMENTS, model) as (answering, _):
        events, answer = asked(answering, "When did she light it?", history=history)
    assert isinstance(events[0], Condensed)
    assert answer.question == alone
    assert alone in seen[0]


def test_a_large_scope_is_routed_by_the_model_which_gives_the_reason() -> None:
    large = {**DOCUMENTS, "Log": "The wind blew from the west and the crew mended sails. " * 2_000}
    choice = json.dumps({"why": "A passage says it.", "strategy": "direct", "queries": ["keeper"]})
    with pipeline(large, by_stage(ANSWER, route=choice)) as (answering, _):
        _, answer = asked(answering)
    assert answer.reasons[0] == "Direct: A passage says it."
    assert answer.searched.queries == ("keeper", "Who kept the lighthouse?")


def test_searches_that_come_with_the_choice_are_made_where_no_table_has_the_answer() -> None:
    large = {**DOCUMENTS, "Log": "The wind blew from the west and the crew mended sails. " * 2_000}
    choice = json.dumps({"why": "It counts.", "strategy": "table", "queries": ["keeper"]})
    plan = json.dumps(
        {"semantic_columns": [], "sql": "", "rows_sql": "", "language": "en", "answer": "No table has keepers."}
    )
    with pipeline(large, by_stage(ANSWER, route=choice, plan=plan)) as (answering, _):
        events, answer = asked(answering)
    assert [each.strategy for each in events if isinstance(each, Routed)] == ["table", "direct"]
    assert answer.reasons == ("Direct: the tables cannot answer this. No table has keepers.",)
    assert answer.searched.queries == ("keeper", "Who kept the lighthouse?")


COLUMN = {
    "table": "documents", "name": "keeper", "instruction": "Who kept it?", "type": "text", "labels": [], "where": "",
}  # fmt: skip
JUDGING = json.dumps(
    {
        "semantic_columns": [COLUMN],
        "sql": "SELECT title, keeper FROM documents",
        "rows_sql": "",
        "language": "en",
        "answer": "The keepers:",
    }
)
COSTLY = replace(CAPABLE, price=Price(Decimal(5_000), Decimal(5_000)))
PROGRAM = "```python\nsubmit('Nobody knows.')\n```"


def test_a_table_that_costs_too_much_is_handed_to_a_program_which_has_the_usual_limits() -> None:
    large = {**DOCUMENTS, "Log": "The wind blew from the west and the crew mended sails. " * 2_000}
    choice = json.dumps({"why": "Of each document.", "strategy": "table", "queries": []})
    model, sandbox, sql = by_stage(PROGRAM, route=choice, plan=JUDGING), SandboxHere(), sql_engine_here()
    with pipeline(large, model, profile=COSTLY, sandbox=sandbox, check=CheckMode.OFF, sql=sql) as (answering, chat):
        events = iter(answering.stream(AnswerRequest("Who kept each of them?", SCOPE)))
        first, second = (next(each for each in events if isinstance(each, Routed)) for _ in range(2))
        with suppress(BudgetExhaustedError):  # at this price, a program can hardly begin
            list(events)
        assert chat is not None
        assert not any("BEGIN records" in prompt for prompt in chat.prompts)
    assert (first.strategy, second.strategy) == ("table", "recursive")
    assert "3 records" in second.reason
    assert second.estimate == "At most 500 calls of the language model, 15 min, $1.00."


@pytest.mark.parametrize("strategy", [StrategyName.TABLE, StrategyName.AUTO])
def test_a_costly_table_is_refused_where_it_was_asked_for_or_no_program_can_run(strategy: StrategyName) -> None:
    large = {**DOCUMENTS, "Log": "The wind blew from the west and the crew mended sails. " * 2_000}
    choice = json.dumps({"why": "Of each document.", "strategy": "table", "queries": []})
    profile = replace(COSTLY, writes_code=strategy is StrategyName.TABLE)
    model = by_stage(PROGRAM, route=choice, plan=JUDGING)
    with (
        pipeline(large, model, profile=profile, sandbox=SandboxHere(), sql=sql_engine_here()) as (answering, _),
        pytest.raises(RunTooLargeError, match="3 records"),
    ):
        asked(answering, wanted=AnswerOptions(strategy))


def test_the_models_that_choose_plan_answer_and_judge_are_told_the_same_day() -> None:
    large = {**DOCUMENTS, "Log": "The wind blew from the west and the crew mended sails. " * 2_000}
    choice = json.dumps({"why": "It counts.", "strategy": "table", "queries": []})
    plan = json.dumps(
        {"semantic_columns": [], "sql": "", "rows_sql": "", "language": "en", "answer": "No table has keepers."}
    )
    for documents in (large, DOCUMENTS):  # routed and planned, answered and judged
        with pipeline(documents, by_stage(ANSWER, route=choice, plan=plan, judge=verdict("supported"))) as (own, chat):
            asked(own)
            assert chat is not None
            days = [re.findall(r"^(Today is .*)\nQuestion: Who", each, re.MULTILINE) for each in chat.prompts]
        assert len(days) == 2
        assert len(days[0]) == 1
        assert days[0] == days[1]


def test_a_forced_strategy_is_taken_without_asking() -> None:
    large = {**DOCUMENTS, "Log": "The wind blew from the west and the crew mended sails. " * 2_000}
    with pipeline(large, by_stage(ANSWER, judge=verdict("supported"))) as (answering, chat):
        events, _ = asked(answering, wanted=AnswerOptions(StrategyName.DIRECT))
        assert chat is not None
        assert not any("Strategies" in prompt for prompt in chat.prompts)
    assert isinstance(events[0], Routed)
    assert events[0].strategy == "direct"


def test_a_small_model_neither_routes_nor_judges_and_its_answers_have_no_note_for_administrators() -> None:
    small = replace(CAPABLE, small=True, routes=False, judges=False, writes_code=False)
    with pipeline(DOCUMENTS, by_stage(SMALL_REPLY), profile=small) as (answering, chat):
        _, answer = asked(answering)
        assert chat is not None
        assert len(chat.prompts) == 1
        assert "Today" not in chat.prompts[0]
    assert answer.notes == ()
    assert answer.sentences[0].check is Check.QUOTED


def test_what_the_judge_may_not_spend_leaves_a_note_and_the_answer() -> None:
    with pipeline(DOCUMENTS, by_stage(ANSWER, judge=verdict("supported"))) as (answering, _):
        _, answer = asked(answering, wanted=AnswerOptions(budget=Limits(calls=1)))
    assert (answer.text, answer.sentences[0].check) == ("Ada Brandt kept it [1].", Check.QUOTED)
    assert answer.notes


def test_a_budget_that_covers_no_answer_is_an_error() -> None:
    with pipeline(DOCUMENTS, by_stage(ANSWER)) as (answering, _), pytest.raises(BudgetExhaustedError):
        asked(answering, wanted=AnswerOptions(budget=Limits(calls=0)))


def test_the_same_question_again_costs_nothing() -> None:
    with pipeline(DOCUMENTS, by_stage(ANSWER, judge=verdict("supported"))) as (answering, chat):
        _, first = asked(answering)
        _, again = asked(answering)
        assert chat is not None
    assert again.text == first.text


def test_another_tenant_has_nothing_to_read() -> None:
    with pipeline(DOCUMENTS, by_stage(ANSWER)) as (answering, chat):
        events = list(answering.stream(AnswerRequest("Who kept it?", AnswerScope("bob"))))
        assert chat is not None
        assert chat.prompts == []
    last = events[-1]
    assert isinstance(last, Completed)
    assert last.answer.status is AnswerStatus.NOT_FOUND


@pytest.mark.parametrize("strategy", [StrategyName.AUTO, StrategyName.TABLE, StrategyName.RECURSIVE])
def test_without_a_searchable_document_no_model_is_asked(strategy: StrategyName) -> None:
    with pipeline({}, by_stage(ANSWER)) as (answering, chat):
        _, answer = asked(answering, wanted=AnswerOptions(strategy))
        assert chat is not None
        assert not chat.prompts
    assert (answer.status, answer.strategy, answer.text) == (AnswerStatus.NOT_FOUND, "direct", NOTHING_FOUND)


def test_without_a_model_answers_are_quotations() -> None:
    with pipeline(DOCUMENTS, None) as (answering, _):
        _, answer = asked(answering)
    assert (answer.strategy, answer.model) == ("extractive", None)


def test_what_can_be_refused_is_refused_at_once() -> None:
    class Loading(LoadedModel):
        def acquire(self) -> None:
            raise LanguageModelUnavailableError("It is loading.")

    with pipeline(DOCUMENTS, by_stage(ANSWER)) as (answering, _):
        with pytest.raises(EmptyQuestionError):
            answering.stream(AnswerRequest(" ?", SCOPE))
        answering._language_model = Loading(None)
        with pytest.raises(LanguageModelUnavailableError):
            answering.stream(AnswerRequest("Who?", SCOPE))
