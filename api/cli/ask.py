"""`leadline ask`: ask a question and show the answer as it is written."""

import json
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from api.cli.answer_view import LiveAnswer, StatusLine, print_answer
from api.cli.client import iter_language_model_states, open_client
from api.cli.console import Console
from api.cli.environment import read_settings
from api.cli.filters import FilterOption, parse_attributes
from api.client import Client, ServiceError
from ingest.storage.answers.records import NEW_CONVERSATION
from rlm.requests import StrategyName, normalize_question

Collections = Annotated[
    list[str] | None, typer.Option("--collection", help="Search only this collection; may be repeated.")
]
Strategy = Annotated[
    StrategyName,
    typer.Option(
        help="How to answer: `direct` reads passages, `table` computes over records, `recursive` has the model write "
        "code that works through the documents; `auto` lets the model choose."
    ),
]


def ask(
    question: Annotated[str, typer.Argument(help="The question to answer.")],
    collection: Collections = None,
    filters: FilterOption = None,
    conversation: Annotated[
        str | None, typer.Option(help="Continue a saved conversation by its id, or start one with `new`.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON.")] = False,
    strategy: Strategy = StrategyName.AUTO,
    confirm: Annotated[bool, typer.Option("--confirm", help="Start even if the estimated cost is large.")] = False,
    every_record: Annotated[
        bool, typer.Option("--every-record", help="Have the model read every record instead of a sample; slower.")
    ] = False,
    budget_calls: Annotated[int | None, typer.Option(help="Maximum number of language model calls.")] = None,
    budget_tokens: Annotated[int | None, typer.Option(help="Maximum number of tokens the model reads.")] = None,
    budget_dollars: Annotated[float | None, typer.Option(help="Maximum cost in US dollars.")] = None,
    budget_seconds: Annotated[float | None, typer.Option(help="Maximum time in seconds.")] = None,
    background: Annotated[bool, typer.Option("--background", help="Start a run, print its id and return.")] = False,
    pause_on_budget: Annotated[
        bool,
        typer.Option(
            "--pause-on-budget",
            help="With --background: pause when the budget is used up, until `leadline runs continue` or `finish`.",
        ),
    ] = False,
) -> None:
    """Ask a question and see the source of each sentence in the answer.

    The answer is Markdown with citation markers such as [1], followed by the number of statements that are proven, and
    by the sources. On a terminal, a sign after each sentence shows how it was checked. Sentences that are not proven
    are listed with the reason.

    Expensive work starts only with --confirm or a budget; otherwise the command reports the estimated cost and stops.
    With `--strategy recursive` an answer is limited to 500 calls and 15 minutes and, unless --confirm is given, to one
    dollar if the model's price is known and not zero. A budget replaces all of these limits.
    """
    if pause_on_budget and not background:
        raise typer.BadParameter("Only background runs can pause. Add --background.", param_hint="--pause-on-budget")
    normalize_question(question)  # Validate the options first, because starting the service takes seconds.
    limits = {
        "calls": budget_calls,
        "prompt_tokens": budget_tokens,
        "dollars": budget_dollars,
        "seconds": budget_seconds,
    }
    budget = {name: value for name, value in limits.items() if value is not None}
    body: dict[str, Any] = {
        "question": question,
        "collections": collection or [],
        "filters": parse_attributes(filters),
        "strategy": strategy.value,
        "confirm": confirm,
        "every_record": every_record,
        "budget": budget or None,
        "conversation": conversation,
    }
    if background:
        _start_run({**body, "pause_on_budget": pause_on_budget}, as_json=as_json)
        return
    with open_client(read_settings()) as client, open_live_answer(text=not as_json) as live:
        wait_for_language_model(client, live)
        answer = fetch_answer(client, body, live)
    if as_json:
        print(json.dumps(answer, ensure_ascii=False))
        return
    print_answer(Console(), answer)
    if conversation == NEW_CONVERSATION and answer["conversation"]:
        Console(stderr=True).print(
            f"Continue with --conversation {answer['conversation']}", style="dim", highlight=False
        )


def open_live_answer(*, text: bool = True) -> LiveAnswer:
    """Open a live view on standard output if it is a terminal, otherwise a status line on standard error."""
    if text and sys.stdout.isatty():
        return LiveAnswer(Console(), text=True)
    return LiveAnswer(Console(stderr=True), text=False)


def wait_for_language_model(client: Client, status: StatusLine) -> None:
    """Wait until the language model has loaded, because the service rejects questions until then."""
    for state in iter_language_model_states(client):
        if state["state"] == "loading":
            status.update("The language model is loading …")


def fetch_answer(client: Client, body: Mapping[str, Any], live_answer: LiveAnswer) -> dict[str, Any]:
    """Stream an answer, show its progress, and return the complete answer. Raises `ServiceError` on failure."""
    # Exiting this block cancels the answer.
    with client.events("/v1/answers", {**body, "stream": True}) as events:
        for name, event in events:
            if name == "completed":
                answer: dict[str, Any] = event
                return answer
            live_answer.show_event(name, event)
    raise ServiceError("The stream ended before the answer was complete.", hint="Ask again.")


def _start_run(body: Mapping[str, Any], *, as_json: bool) -> None:
    with open_client(read_settings()) as client:
        run = client.post("/v1/answers", {**body, "background": True})
    if as_json:
        print(json.dumps(run, ensure_ascii=False))
        return
    Console().print(f"Run {run['id']} is {run['state']}.", highlight=False, soft_wrap=True)
    Console(stderr=True).print(
        f"Follow it with `leadline runs watch {run['id']}`. It continues while a service is running on the data folder "
        "and resumes when the service next starts.",
        highlight=False,
        soft_wrap=True,
    )
