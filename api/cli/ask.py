"""`leadline ask`: asks one question, and shows its answer as it comes."""

import json
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console

from api.cli.answer_view import LiveAnswer, StatusLine, print_answer
from api.cli.client import connect, iter_language_model_states
from api.cli.environment import read_settings
from api.cli.filters import Filters, parse_attributes
from api.client import Client, ServiceError
from ingest.storage.answers.records import NEW_CONVERSATION
from rlm.requests import StrategyName, check_question

Collections = Annotated[list[str] | None, typer.Option("--collection", help="Only these collections.")]
Strategy = Annotated[
    StrategyName,
    typer.Option(
        help="How to answer: `direct` reads passages, `table` computes over records, `recursive` has the model write "
        "code that works through the documents; `auto` leaves it to the model."
    ),
]


def ask(
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    collection: Collections = None,
    filters: Filters = None,
    conversation: Annotated[
        str | None, typer.Option(help="Go on with a kept conversation, by its id; `new` begins one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON.")] = False,
    strategy: Strategy = StrategyName.AUTO,
    confirm: Annotated[bool, typer.Option("--confirm", help="Begin even when the estimate is large.")] = False,
    every_record: Annotated[
        bool, typer.Option("--every-record", help="Of many records, have the model judge all; it takes longer.")
    ] = False,
    budget_calls: Annotated[int | None, typer.Option(help="At most so many calls of the language model.")] = None,
    budget_tokens: Annotated[int | None, typer.Option(help="At most so many tokens for it to read.")] = None,
    budget_dollars: Annotated[float | None, typer.Option(help="At most so many US dollars.")] = None,
    budget_seconds: Annotated[float | None, typer.Option(help="At most so many seconds.")] = None,
    background: Annotated[bool, typer.Option("--background", help="Print a run's id at once, and go on.")] = False,
    pause_on_budget: Annotated[
        bool,
        typer.Option(
            "--pause-on-budget",
            help="With --background: wait for `leadline runs continue` or `finish` when the budget is met.",
        ),
    ] = False,
) -> None:
    """Ask a question, and see where each sentence of the answer comes from.

    The answer is Markdown with markers such as [1], and its sources follow it. A yellow question mark under it names a
    sentence that its source does not support, and why.

    Work that would cost much is begun only with --confirm or a budget; the refusal says what it would cost. An answer
    by code that the model writes (`--strategy recursive`) ends after 500 calls or 15 minutes and, where the model's
    price is known and not 0, without --confirm after a dollar. A budget takes the place of all of these.
    """
    if pause_on_budget and not background:
        raise typer.BadParameter(
            "only a run in the background can wait: add --background.", param_hint="--pause-on-budget"
        )
    check_question(question)  # before a service is started for it
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
    with connect(read_settings()) as client, open_live_answer(text=not as_json) as live:
        wait_for_language_model(client, live)
        answer = fetch_answer(client, body, live)
    if as_json:
        print(json.dumps(answer, ensure_ascii=False))
        return
    print_answer(Console(), answer)
    if conversation == NEW_CONVERSATION and answer["conversation"]:
        Console(stderr=True).print(f"Go on with --conversation {answer['conversation']}", style="dim", highlight=False)


def open_live_answer(*, text: bool = True) -> LiveAnswer:
    """Return the view of an answer in progress where people see it; a file or a pipe gets only the answer."""
    if text and sys.stdout.isatty():
        return LiveAnswer(Console(), text=True)
    return LiveAnswer(Console(stderr=True), text=False)


def wait_for_language_model(client: Client, status: StatusLine) -> None:
    """Wait until the model is loaded; the first answer would otherwise be refused."""
    for state in iter_language_model_states(client):
        if state["state"] == "loading":
            status.update("The language model is loading …")


def fetch_answer(client: Client, body: Mapping[str, Any], live: LiveAnswer) -> dict[str, Any]:
    """Return the whole answer; show the work in progress meanwhile. Raises `ServiceError`."""
    with client.events("/v1/answers", {**body, "stream": True}) as events:  # the service stops with it
        for name, event in events:
            if name == "completed":
                answer: dict[str, Any] = event
                return answer
            live.show(name, event)
    raise ServiceError("The answer ended before it was complete.", hint="Ask again.")


def _start_run(body: Mapping[str, Any], *, as_json: bool) -> None:
    with connect(read_settings()) as client:
        run = client.post("/v1/answers", {**body, "background": True})
    if as_json:
        print(json.dumps(run, ensure_ascii=False))
        return
    Console().print(f"Run {run['id']} is {run['state']}.", highlight=False, soft_wrap=True)
    Console(stderr=True).print(
        f"`leadline runs watch {run['id']}` follows it. It goes on while a service runs on the data folder, and at its "
        "next start.",
        highlight=False,
        soft_wrap=True,
    )
