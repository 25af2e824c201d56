"""A streamed reply of a durable run: logged before its end is seen, and one piece when it comes out of the log."""

from collections.abc import Callable, Iterator, Sequence

import pytest

from rlm.errors import LanguageModelUnavailableError, not_cancelled
from rlm.llm.budgets import Budget, Limits, Usage
from rlm.llm.port import Finished, SubCall, SubFailure, SubReply, ignore_result
from rlm.runs.durable import DurableRun
from tests.fakes.memory_log import MemoryLog
from tests.fakes.runs import RUN

CALL = SubCall("", "What is it?", 10, purpose="answer")
REPLY = SubReply("It is.", Usage(1, 10, 2))
BROKEN = SubFailure(LanguageModelUnavailableError.code, "It broke off.", Usage(1, 10, 1))


class Streams:
    """Gives these items for each stream, and replies to what is not streamed."""

    def __init__(self, *items: str | SubReply | SubFailure) -> None:
        self.items = items
        self.asked = 0

    def run(
        self,
        calls: Sequence[SubCall],
        *,
        cancelled: Callable[[], bool] = not_cancelled,
        on_result: Finished = ignore_result,
    ) -> Sequence[SubReply | SubFailure]:
        return [REPLY for _ in calls]

    def stream(
        self, call: SubCall, *, cancelled: Callable[[], bool] = not_cancelled
    ) -> Iterator[str | SubReply | SubFailure]:
        self.asked += 1
        yield from self.items


def attempt(log: MemoryLog, inner: Streams) -> tuple[list[str | SubReply | SubFailure], Budget]:
    run, budget = DurableRun(RUN, log), Budget(Limits())
    try:
        return list(run.wrap_sub_calls(inner, budget, None).stream(CALL)), budget
    finally:
        run.close()


@pytest.mark.parametrize("reply", [REPLY, SubReply("It is a lo", Usage(1, 10, 3), cut_off=True)])
def test_what_was_logged_is_one_piece_and_asks_nobody(reply: SubReply) -> None:
    log, inner = MemoryLog(), Streams("It ", reply.text[3:], reply)
    assert attempt(log, inner)[0] == ["It ", reply.text[3:], reply]
    again, budget = attempt(log, inner)
    assert again == [reply.text, reply]
    assert (inner.asked, budget.spending.calls) == (1, 1)


def test_a_reply_is_logged_before_its_end_is_seen() -> None:
    log = MemoryLog()
    run = DurableRun(RUN, log)
    stream = run.wrap_sub_calls(Streams("It ", "is.", REPLY), Budget(Limits()), None).stream(CALL)
    assert [next(stream), next(stream)] == ["It ", "is."]
    assert log.entries == []
    assert next(stream) == REPLY
    assert [entry.body["text"] for entry in log.entries] == ["It is."]
    run.close()


def test_what_breaks_off_while_it_is_shown_is_asked_for_by_the_next_attempt() -> None:
    log, inner = MemoryLog(), Streams("It ", BROKEN)
    with pytest.raises(LanguageModelUnavailableError):
        attempt(log, inner)
    inner.items = ("It ", "is.", REPLY)
    assert attempt(log, inner)[0] == ["It ", "is.", REPLY]


def test_what_breaks_off_each_time_is_gone_on_without() -> None:
    log, inner = MemoryLog(), Streams("It ", BROKEN)
    for _ in range(2):
        with pytest.raises(LanguageModelUnavailableError):
            attempt(log, inner)
    first, _ = attempt(log, inner)
    assert first[0] == "It "
    assert isinstance(first[-1], SubFailure)
    again, _ = attempt(log, inner)
    assert isinstance(again[-1], SubFailure)
    assert inner.asked == 3


def test_what_ended_with_a_lasting_failure_ends_so_again() -> None:
    failure = SubFailure("context_too_long", "It does not fit.")
    log, inner = MemoryLog(), Streams(failure)
    assert attempt(log, inner)[0] == [failure]
    assert attempt(log, inner)[0] == [failure]
    assert inner.asked == 1
