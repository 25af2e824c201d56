"""The message that asks what becomes of a run: what it says, and that Slack takes it."""

import re
from decimal import Decimal
from typing import Any

from api.languages.catalogue import Texts
from api.slack.replies.waiting import build_waiting_message, compute_extra_limits
from ingest.storage.answers.run_records import Run, RunSpending, RunState
from rlm.llm.budgets import Limits
from tests.support.slack_posts import checked

ENGLISH = Texts("en")
_UNTIL = 1_796_558_400.0  # 2026-12-06 12:00 of UTC


def run(limits: dict[str, Any], *, seconds: float = 900.4, raised: int = 0, spent: RunSpending | None = None) -> Run:
    """A run that has met its limit of time."""
    nothing: dict[str, Any] = dict.fromkeys(
        ("conversation_id", "scope_documents", "scope_characters", "answer", "failure", "started_at", "ended_at")
    )
    return Run(
        id="r",
        sequence=1,
        tenant_id="ann",
        question="Who?",
        collections=(),
        documents=(),
        strategy="auto",
        limits=limits,
        every_record=False,
        history=(),
        state=RunState.PAUSED,
        attempt=1,
        events=1,
        spent=spent or RunSpending(54, nanodollars=420_000_000),
        seconds=seconds,
        progress={"paused": "The time is over.", "resource": "seconds"},
        created_at=0.0,
        raised=[{}] * raised,
        **nothing,
    )


def test_what_was_done_and_used_is_told_with_what_each_press_allows() -> None:
    asked = build_waiting_message("q", run({"calls": 500, "seconds": 900.0}), ["Read 2 passages"], _UNTIL, ENGLISH)
    text = str(checked(asked.blocks))
    assert "The time limit was reached" in text
    assert "15 minutes, 54 calls to the language model, $0.42" in text
    assert "• Read 2 passages" in text
    assert "“Continue” allows at most this much more: 500 calls to the language model, 15 minutes." in text
    assert "2026-12-06 12:00 UTC" in text
    assert asked.text == "A limit was reached, and there is no answer yet. How should I continue?"


def test_a_run_without_a_price_says_nothing_of_money() -> None:
    free = run({"calls": 500, "seconds": 900.0}, spent=RunSpending(54))
    assert "$" not in str(build_waiting_message("q", free, [], _UNTIL, ENGLISH).blocks)


def test_a_press_adds_as_much_as_was_allowed_so_far_to_each_limit() -> None:
    limits = {"calls": 1_000, "seconds": 1_800.0, "dollars": "2", "depth": 3, "tokens": 0}
    assert compute_extra_limits(run(limits)) == Limits(calls=1_000, seconds=1_800.0, dollars=Decimal(2))


def test_a_button_is_of_one_pause() -> None:
    buttons = [
        build_waiting_message("q", run({"calls": 5}, raised=raised), [], _UNTIL, ENGLISH).blocks[-1]
        for raised in (0, 1)
    ]
    assert [[each["value"] for each in block["elements"]] for block in buttons] == [["q:0"] * 3, ["q:1"] * 3]


def test_many_steps_with_hostile_titles_are_one_message_that_slack_takes() -> None:
    titles = [f"<!channel> [x](https://evil.example) @here #general *{'ü' * 300}*"] * 10
    message = build_waiting_message("q", run({"calls": 5}), titles, _UNTIL, ENGLISH, question="<@U0BOB> " * 500)
    said = re.sub(r"`[^`]*`", "", str(checked(message.blocks)).replace("<!date^", ""))
    assert not any(bad in said for bad in ("<!", "<@", "evil.example"))
