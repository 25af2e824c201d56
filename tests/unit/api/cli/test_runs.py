"""How a run is shown: what was done in order, with like things together."""

from typing import Any

from api.cli.console import Console
from api.cli.runs import build_step_tree

RUN = {"question": "How many [ships]?", "state": "completed", "attempt": 2}


def call(purpose: str, *, tokens: int = 100, **more: object) -> dict[str, Any]:
    return event("call", purpose=purpose, usage={"calls": 1, "prompt_tokens": tokens}, **more)


def event(kind: str, **body: object) -> dict[str, Any]:
    event.number += 1  # type: ignore[attr-defined]
    return {"kind": kind, "sequence": event.number, "body": body}  # type: ignore[attr-defined]


event.number = 0  # type: ignore[attr-defined]


def shown(*events: dict[str, Any]) -> list[str]:
    console = Console(width=200, no_color=True)
    with console.capture() as capture:
        console.print(build_step_tree(RUN, events))
    return [line.lstrip("├└│─ ") for line in capture.get().splitlines()]


def test_sub_calls_of_one_purpose_that_follow_one_another_are_one_line() -> None:
    lines = shown(call("classify"), call("classify", cached=True), call("judge", code="context_too_long"))
    assert lines[1:] == [
        "classify: 2 sub-calls, 100 tokens read, 1 from the cache",
        "judge: 1 sub-call, 100 tokens read, 1 failed",
    ]


def test_what_documents_and_questions_say_is_no_markup() -> None:
    lines = shown(event("retrieved", passages=2, titles=["[red]Log[/red]"]))
    assert lines == ["How many [ships]?  (completed, attempt 2)", "found 2 passages in [red]Log[/red]"]


def test_of_progress_the_latest_is_shown_and_an_unknown_kind_is_shown_as_it_is() -> None:
    lines = shown(
        event("working", step="classify", done=10, total=300),
        event("working", step="classify", done=300, total=300),
        event("cell", number=1, code="1 / 0", note="", output="", error="Traceback\nZeroDivisionError"),
        event("new", code="1 + 1"),
        event("end", state="failed", detail="It refused."),
    )
    assert lines[1:] == [
        "classify: 300 of 300",
        "cell 1: 1 / 0 → ZeroDivisionError",
        'new {"code": "1 + 1"}',
        "failed: It refused.",
    ]


def test_a_step_that_is_withheld_says_so() -> None:
    lines = shown(event("retrieved", withheld=True), event("call", withheld=True), event("working", withheld=True))
    assert [line.split(": ")[1][:6] for line in lines[1:]] == ["hidden"] * 3
