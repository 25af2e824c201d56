"""Replies that are shown as they are written, over real HTTP."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from rlm.errors import RunCancelledError
from rlm.llm.budgets import Budget, Limits, Usage
from rlm.llm.chat_models import OpenAIChatModel, build_remote_chat_model
from rlm.llm.port import SubCall, SubCalls, SubFailure, SubReply
from rlm.llm.profiles import ModelProfile, Thinking
from rlm.llm.scheduler import SubCallScheduler
from tests.fakes.memory_reply_cache import MemoryReplyCache
from tests.support import misbehaving_openai as bad
from tests.support.misbehaving_openai import MisbehavingOpenAI, Request, misbehaving_openai

PROFILE = ModelProfile("m", 8_000, 500)
CALL = SubCall("Be brief.", "What is it?", 50, purpose="answer")


@pytest.fixture
def server() -> Iterator[MisbehavingOpenAI]:
    with misbehaving_openai() as made:
        yield made


@pytest.fixture
def scheduler() -> Iterator[SubCallScheduler]:
    made = SubCallScheduler(MemoryReplyCache(), jitter=lambda: 0.0)
    yield made
    made.close()


@pytest.fixture
def chat(server: MisbehavingOpenAI) -> OpenAIChatModel:
    return build_remote_chat_model(server.url, PROFILE)


@pytest.fixture
def calls(scheduler: SubCallScheduler, chat: OpenAIChatModel) -> SubCalls:
    return scheduler.bind_sub_calls(chat, PROFILE, tenant_id="ann", budget=Budget(Limits()))


def test_pieces_come_while_the_model_still_writes(server: MisbehavingOpenAI, calls: SubCalls) -> None:
    seen = threading.Event()

    def behave(request: Request) -> None:
        request.begin()
        request.piece("It ")
        assert seen.wait(120)
        request.piece("is.", "stop")
        request.usage(20, 5)

    server.behaviours = [behave]
    stream = calls.stream(CALL)
    assert next(stream) == "It "
    seen.set()
    assert list(stream) == ["is.", SubReply("It is.", Usage(1, 20, 5))]


def test_a_reply_that_is_kept_is_one_piece_and_asks_nobody(server: MisbehavingOpenAI, calls: SubCalls) -> None:
    server.behaviours = [bad.replies("It is.")]
    list(calls.stream(CALL))
    assert list(calls.stream(CALL)) == ["It is.", SubReply("It is.", Usage(1, 20, 5), cached=True)]
    assert calls.run([CALL])[0] == SubReply("It is.", Usage(1, 20, 5), cached=True)
    assert len(server.requests) == 1


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
@pytest.mark.parametrize("thinking", ["tags", "open-ended"])
def test_thoughts_are_no_pieces_however_they_are_sent(
    server: MisbehavingOpenAI, scheduler: SubCallScheduler, chat: OpenAIChatModel, field: str, thinking: Thinking
) -> None:
    def apart(request: Request) -> None:
        request.begin()
        request.piece("", **{field: "Hm, is it?"})
        for piece in ("It ", "is."):
            request.piece(piece)
        request.piece("", "stop")

    profile = replace(PROFILE, thinking=thinking)
    bound = scheduler.bind_sub_calls(chat, profile, tenant_id="ann", budget=Budget(Limits()))
    server.behaviours = [apart, bad.replies("<think>Hm, is it?</think>It is.")]
    *pieces, reply = bound.stream(replace(CALL, prompt="apart"))
    assert pieces == ["It ", "is."]
    *pieces, reply = bound.stream(replace(CALL, prompt="between tags"))
    assert "".join(map(str, pieces)) == "It is."
    assert isinstance(reply, SubReply)
    assert reply.text == "It is."


def test_a_lone_closing_tag_is_understood_from_the_second_time_on_at_the_latest(
    server: MisbehavingOpenAI, calls: SubCalls
) -> None:
    server.behaviours = [bad.replies("Hm, is it?</think>It is.")]
    (reply,) = calls.run([replace(CALL, prompt="first")])
    assert isinstance(reply, SubReply)
    assert reply.text == "It is."
    assert next(iter(calls.stream(CALL))) == "It is."


def test_a_stream_that_breaks_off_ends_with_its_failure(server: MisbehavingOpenAI, calls: SubCalls) -> None:
    server.behaviours = [bad.cuts]
    *pieces, failure = calls.stream(CALL)
    assert pieces == ["It "]
    assert isinstance(failure, SubFailure)
    assert failure.code == "language_model_unavailable"
    assert len(server.requests) == 1


def test_what_was_cut_off_is_kept_as_far_as_it_goes(server: MisbehavingOpenAI, calls: SubCalls) -> None:
    server.behaviours = [bad.replies("It is a lo", finish="length")]
    *pieces, reply = calls.stream(CALL)
    assert "".join(map(str, pieces)) == "It is a lo"
    assert isinstance(reply, SubReply)
    assert reply.cut_off


def test_closing_the_stream_gives_the_request_up(server: MisbehavingOpenAI, calls: SubCalls) -> None:
    server.behaviours = [bad.hangs_after_a_word]
    stream = calls.stream(CALL)
    assert next(stream) == "It "
    stream.close()  # type: ignore[attr-defined]
    assert server.wait_until(lambda now: now.hung_up == 1 and now.under_way == 0)


def test_cancelling_gives_the_request_up(server: MisbehavingOpenAI, calls: SubCalls) -> None:
    server.behaviours = [bad.hangs_after_a_word]
    gone = threading.Event()
    stream = calls.stream(CALL, cancelled=gone.is_set)
    assert next(stream) == "It "
    gone.set()
    with pytest.raises(RunCancelledError):
        next(stream)
    assert server.wait_until(lambda now: now.hung_up == 1 and now.under_way == 0)


def test_what_the_budget_does_not_cover_is_not_sent(
    server: MisbehavingOpenAI, scheduler: SubCallScheduler, chat: OpenAIChatModel
) -> None:
    bound = scheduler.bind_sub_calls(chat, PROFILE, tenant_id="ann", budget=Budget(Limits(calls=0)))
    (failure,) = bound.stream(CALL)
    assert isinstance(failure, SubFailure)
    assert failure.code == "budget_exhausted"
    assert server.requests == []
