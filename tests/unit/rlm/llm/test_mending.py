"""Replies that are not what was asked for: asked for once more, with room where they were cut off."""

import json
from dataclasses import replace

import pytest

from rlm.llm.budgets import Budget, Limits, Usage
from rlm.llm.port import SubFailure, SubReply
from rlm.llm.scheduler import SubCallScheduler
from rlm.llm.structured_output import canonicalize_schema
from tests.support.scheduling import PROFILE, SCHEMA, call, chat, echo, run, scripted, texts


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ('{"n": "one"}', "properties/n/type is violated"),
        ("{}", "it lacks n."),
        ("Certainly! Here it comes:", "it is not JSON"),
        ("", "empty"),
    ],
)
def test_a_reply_that_is_not_the_schemas_is_asked_for_once_more(
    scheduler: SubCallScheduler, first: str, again: str
) -> None:
    model = scripted(first, '{"n": 1}')
    (reply,) = run(scheduler, model, [call("q", schema=SCHEMA)])
    assert reply == SubReply('{"n": 1}', Usage(2, 40, 10))
    assert model.prompts[1].startswith("q\n\n")
    assert again in model.prompts[1]
    assert canonicalize_schema(SCHEMA) in model.prompts[1], "a server that ignores schemas never showed it to the model"


def test_a_second_reply_of_the_wrong_shape_is_a_failure_with_its_cost(scheduler: SubCallScheduler) -> None:
    model = scripted("no JSON")
    (failure,) = run(scheduler, model, [call("q", schema=SCHEMA)])
    assert isinstance(failure, SubFailure)
    assert (failure.code, failure.usage) == ("language_model_output", Usage(2, 40, 10))
    assert "no JSON" not in failure.detail.replace("it is not JSON", "")


def test_json_cut_off_is_asked_for_with_twice_the_room(scheduler: SubCallScheduler) -> None:
    model = scripted(('{"n": ', "length"), '{"n": 1}')
    (reply,) = run(scheduler, model, [call("q", max_tokens=100, schema=SCHEMA)])
    assert isinstance(reply, SubReply)
    assert [options["max_tokens"] for options in model.options] == [100, 200]


def test_words_cut_off_are_used_as_far_as_they_go(scheduler: SubCallScheduler) -> None:
    model = scripted(("It is a lo", "length"))
    for _ in range(2):  # a cache would not know that it was cut off
        (reply,) = run(scheduler, model, [call("q", max_tokens=100)])
        assert reply == SubReply("It is a lo", Usage(1, 20, 5), cut_off=True)


def test_thoughts_that_leave_no_room_for_a_reply_get_room_of_their_own_from_then_on(
    scheduler: SubCallScheduler,
) -> None:
    model = scripted(("<think>Hm", "length"), "<think>Hm.</think>Two.")
    assert texts(run(scheduler, model, [call("q", max_tokens=100)])) == ["Two."]
    run(scheduler, model, [call("q2", max_tokens=100)])
    assert [options["max_tokens"] for options in model.options] == [100, 500, 500]


def test_json_cut_off_at_the_models_own_limit_is_a_failure(scheduler: SubCallScheduler) -> None:
    model = scripted(('{"n": ', "length"))
    (failure,) = run(scheduler, model, [call("q", max_tokens=400, schema=SCHEMA)])
    assert isinstance(failure, SubFailure)
    assert "cut off at its limit of 400 tokens" in failure.detail
    assert len(model.prompts) == 1


def test_mending_that_the_budget_does_not_cover_leaves_the_first_failure(scheduler: SubCallScheduler) -> None:
    (failure,) = run(scheduler, scripted("prose"), [call("q", schema=SCHEMA)], limits=Limits(calls=1))
    assert isinstance(failure, SubFailure)
    assert failure.code == "language_model_output"


def test_a_schema_that_is_none_is_refused_unsent(scheduler: SubCallScheduler) -> None:
    model = chat(echo)
    assert texts(run(scheduler, model, [call("q", schema={"type": "sausage"})])) == ["language_model_refused"]
    assert model.prompts == []


def test_thoughts_get_room_of_their_own_and_are_no_part_of_the_reply(scheduler: SubCallScheduler) -> None:
    model = scripted("<think>Hm, 2?</think>\n\nTwo.")
    profile = replace(PROFILE, thinking_tokens=300)
    budget = Budget(Limits(completion_tokens=350))
    (reply,) = scheduler.bind_sub_calls(model, profile, tenant_id="ann", budget=budget).run([call("q")])
    assert texts([reply]) == ["Two."]
    assert model.options[0]["max_tokens"] == 350


def test_json_around_which_a_model_talks_is_found(scheduler: SubCallScheduler) -> None:
    model = scripted('Sure:\n```json\n{"n": 4}\n```\nAnything else?')
    (reply,) = run(scheduler, model, [call("q", schema=SCHEMA)])
    assert json.loads(texts([reply])[0]) == {"n": 4}
