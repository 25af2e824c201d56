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


def shown(*events: dict[str, Any], with_code: bool = False) -> list[str]:
    console = Console(width=200, no_color=True)
    with console.capture() as capture:
        console.print(build_step_tree(RUN, events, with_code=with_code))
    return [line.lstrip("├└│─ ").rstrip() for line in capture.get().splitlines()]


def test_sub_calls_of_one_purpose_that_follow_one_another_are_one_line() -> None:
    lines = shown(call("classify"), call("classify", cached=True), call("judge", code="context_too_long"))
    assert lines[1:] == [
        "Sorts records by label: 2 model calls, 100 tokens read, 1 from the cache",
        "Checks sentences against their sources: 1 model call, 100 tokens read, 1 failed",
    ]


def test_what_documents_and_questions_say_is_no_markup() -> None:
    lines = shown(event("retrieved", passages=2, titles=["[red]Log[/red]"]))
    assert lines == ["How many [ships]?  (completed, attempt 2)", "Found 2 passages in [red]Log[/red]"]


def test_of_progress_the_latest_is_shown_and_the_program_by_its_titles() -> None:
    lines = shown(
        event("working", step="classify", done=10, total=300),
        event("working", step="classify", done=300, total=300),
        event("cell", code="1 / 0", title="I divide.", seconds=1.5, error="Traceback\nZeroDivisionError"),
        event("working", step="cells", done=1, total=30),
        event("cell", code="x", title="", part="1.2", seconds=80.0, sub_calls=2, error=None),
        event("new", code="1 + 1"),
        event("end", state="failed", detail="It refused."),
    )
    assert lines[1:] == [
        "classify: 300 of 300",
        "I divide. (1.5 s) ZeroDivisionError",
        "Runs code (part 1.2) (2 model calls, 80.0 s)",
        "failed: It refused.",
    ]


def test_a_step_that_is_withheld_says_so() -> None:
    lines = shown(event("retrieved", withheld=True), event("call", withheld=True), event("working", withheld=True))
    assert [line.split(": ")[1][:6] for line in lines[1:]] == ["hidden"] * 3


def test_the_code_of_a_step_is_printed_in_full_on_request() -> None:
    code = "\n".join(f"line_{number} = 'x' * {number}" for number in range(300))
    step = event("cell", code=code, title="I look.", seconds=1.0, output="[done]", error=None)
    assert "line_299" not in "\n".join(shown(step))
    lines = shown(step, with_code=True)
    assert [line.lstrip() for line in lines[2:302]] == code.splitlines()
    assert lines[302].lstrip() == "[done]"
    query = event("planned", steps=["Run the query over the tables."], sql="SELECT 1")
    assert [line.lstrip() for line in shown(query, with_code=True)[1:]] == [
        "Run the query over the tables.", "SELECT 1",
    ]  # fmt: skip
