"""What is logged of a run, and how a run ends."""

import pytest

from ingest.storage.answers.run_records import RunState
from rlm.answers import Answer, AnswerStatus, SearchSummary
from rlm.events import Routed, Turn, Working
from rlm.llm.budgets import Usage
from rlm.llm.port import SubCall, SubReply
from rlm.runs.bodies import build_call_entry, build_cell_body, build_event_entry, get_run_state, parse_call_result


@pytest.mark.parametrize("status", list(AnswerStatus))
@pytest.mark.parametrize(("finished", "state"), [(True, RunState.COMPLETED), (False, RunState.PARTIAL)])
def test_a_run_ends_as_partial_when_a_limit_ended_its_work(
    status: AnswerStatus, finished: bool, state: RunState
) -> None:
    answer = Answer(status, "", (), (), "direct", None, SearchSummary(0, 0, ()), finished=finished)
    assert get_run_state(answer) is state


def test_a_long_cell_is_logged_by_its_head_and_tail_with_a_mark_of_what_was_left_out() -> None:
    long = "begin " + "x" * 20_000 + " end"
    body = build_cell_body(Turn(1, 0, long, long, long, long, 1.0, 0))
    assert body["code"] == long  # Readers see the whole code.
    for name in ("note", "output", "error"):
        assert body[name].startswith("begin xxx")
        assert body[name].endswith("xxx end")
        assert "12,010 of 20,010 characters left out" in body[name]
        assert len(body[name]) < 8_100


def test_a_short_cell_is_logged_as_it_is() -> None:
    body = build_cell_body(Turn(1, 2, None, "no code", "3\n", None, 1.0, 0, "1.2"))
    assert body["part"] == "1.2"
    assert (body["code"], body["note"], body["output"], body["error"]) == (None, "no code", "3\n", None)


def test_of_a_sub_call_it_is_logged_how_its_prompt_begins_and_ends() -> None:
    call = SubCall("system", "Which of these? " + "x" * 5_000 + " the last one", 10)
    body = build_call_entry("call", call, SubReply("yes", Usage(1, 2, 3))).body
    assert body["prompt"].startswith("Which of these? xxx")
    assert body["prompt"].endswith("xxx the last one")
    assert len(body["prompt"]) < 700
    assert parse_call_result(body) == SubReply("yes", Usage(1, 2, 3))


def test_a_run_that_is_handed_over_logs_both_of_its_strategies() -> None:
    chosen = enumerate(("table", "recursive"), start=1)
    entries = [build_event_entry(Routed(strategy, "why"), occurrence) for occurrence, strategy in chosen]
    logged = [(each.key, each.body["strategy"]) for each in entries if each is not None]
    assert logged == [("routed", "table"), ("routed:2", "recursive")]


def test_progress_of_two_readings_of_one_column_is_logged_though_they_are_as_far() -> None:
    first, second = (build_event_entry(Working("Judging the rows", 10, total), 1) for total in (20, 15))
    assert first is not None
    assert second is not None
    assert first.key != second.key
