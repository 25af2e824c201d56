"""`leadline ask` and `leadline search`."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from api.cli.client import Client, ServiceError, connect
from api.cli.environment import read_settings
from api.cli.lines import cell_line
from retrieval.requests import Mode, Rewrite
from rlm.requests import StrategyName

_SNIPPET_CHARS = 300


def ask(
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    collection: Annotated[list[str] | None, typer.Option(help="Only these collections.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON.")] = False,
    strategy: Annotated[StrategyName, typer.Option(help="How to answer; `auto` chooses.")] = StrategyName.AUTO,
    confirm: Annotated[bool, typer.Option("--confirm", help="Begin even when the estimate is large.")] = False,
    every_record: Annotated[
        bool, typer.Option("--every-record", help="Of many records, have the model read all; it takes longer.")
    ] = False,
    budget_calls: Annotated[int | None, typer.Option(help="At most so many calls of the language model.")] = None,
    budget_tokens: Annotated[int | None, typer.Option(help="At most so many tokens for it to read.")] = None,
    budget_dollars: Annotated[float | None, typer.Option(help="At most so many US dollars.")] = None,
    budget_seconds: Annotated[float | None, typer.Option(help="At most so many seconds.")] = None,
    background: Annotated[bool, typer.Option("--background", help="Print a run's id at once, and go on.")] = False,
) -> None:
    """Ask a question; the answer's citations are checked against the documents.

    Questions about many records (how many, which most, which pairs) are answered by judging every record. Over a large
    body of documents that is begun only with --confirm or a budget; the refusal says what it would cost. A model that
    answers by code that it writes (`--strategy recursive`) ends after 500 calls or 15 minutes and, where its price is
    known and not 0, without --confirm after a dollar. A budget takes the place of all of these.
    """
    console = Console(stderr=True)
    limits = {
        "calls": budget_calls,
        "prompt_tokens": budget_tokens,
        "dollars": budget_dollars,
        "seconds": budget_seconds,
    }
    budget = {name: value for name, value in limits.items() if value is not None}
    how: dict[str, Any] = {"strategy": strategy.value, "confirm": confirm, "every_record": every_record}
    if budget:
        how["budget"] = budget
    if background:
        _begin(question, collection or [], how, as_json=as_json)
        return
    with connect(read_settings()) as client, console.status("Asking …") as status:
        wait_for_language_model(client, status)
        answer = ask_once(client, question, collections=collection or [], status=status, how=how)
    if as_json:
        print(json.dumps(answer, ensure_ascii=False))
    else:
        print_answer(Console(), answer)


def search(
    query: Annotated[str, typer.Argument(help="Words to look for.")],
    top_k: Annotated[int, typer.Option(help="How many passages.", min=1, max=200)] = 5,
    mode: Annotated[Mode, typer.Option(help="Which retrievers take part.")] = Mode.HYBRID,
    collection: Annotated[list[str] | None, typer.Option(help="Only these collections.")] = None,
    rerank: Annotated[
        bool | None,
        typer.Option("--rerank/--no-rerank", help="Insist on the reranker, or leave it out.", show_default=False),
    ] = None,
    rerank_depth: Annotated[int | None, typer.Option(help="How many passages it reads.", min=1, max=200)] = None,
    rewrite: Annotated[
        Rewrite | None, typer.Option(help="Have the language model make further queries, and search for all of them.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Find passages; without --rewrite no language model is asked."""
    body = {
        "query": query,
        "top_k": top_k,
        "mode": mode.value,
        "collections": collection or [],
        "rerank": rerank,
        "rerank_depth": rerank_depth,
    }
    with connect(read_settings()) as client:
        if rewrite is not None:
            with Console(stderr=True).status("Rewriting …") as status:
                wait_for_language_model(client, status)
                result = client.post("/v1/search", {**body, "rewrite": rewrite.value})
        else:
            result = client.post("/v1/search", body)
    if as_json:
        print(json.dumps(result, ensure_ascii=False))
        return
    console = Console()
    if (reranked := result["reranked"]) and reranked["state"] == "failed":
        console.print(f"[yellow]Not reranked:[/yellow] {escape(reranked['detail'])}", highlight=False)
    _print_rewrite(Console(stderr=True), result)
    for hit in result["hits"]:
        found = ", ".join(f"{name} #{why['rank']}" for name, why in hit["why"].items())
        console.print(f"\n[bold]{hit['rank']}. {escape(_place(hit))}[/bold]  ({found})", highlight=False)
        text = " ".join(hit["text"].split())
        console.print(escape(text[:_SNIPPET_CHARS] + ("…" if len(text) > _SNIPPET_CHARS else "")), highlight=False)
    if not result["hits"]:
        console.print("Nothing found.")


def _print_rewrite(console: Console, result: Mapping[str, Any]) -> None:
    """The queries that were searched for besides the one given, by the numbers that hits name them by."""
    if result["rewrite"] is None:
        return
    if result["rewrite"]["failure"]:
        said = f"Searched as asked, without a rewrite: {result['rewrite']['failure']}"
        console.print(f"[yellow]{escape(said)}[/yellow]", highlight=False, soft_wrap=True)
    for number, query in enumerate(result["queries"][1:], start=1):
        console.print(f"query_{number}: {escape(query)}", style="dim", highlight=False, soft_wrap=True)


def _begin(question: str, collections: list[str], how: Mapping[str, Any], *, as_json: bool) -> None:
    body = {"question": question, "collections": collections, "background": True, **how}
    with connect(read_settings()) as client:
        run = client.post("/v1/answers", body)
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


def wait_for_language_model(client: Client, status: Status) -> None:
    """Until it is loaded; the first answer would otherwise be refused."""
    for state in client.wait_for_language_model():
        if state["state"] == "loading":
            status.update("The language model is loading …")


def ask_once(
    client: Client,
    question: str,
    *,
    collections: Sequence[str] = (),
    status: Status | None = None,
    how: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The whole answer; what is being done is shown while it is made. `how` is more of the request's body.

    Raises `ServiceError`.
    """
    body = {"question": question, "collections": list(collections), "stream": True, **(how or {})}
    for name, data in client.events("/v1/answers", body):
        if name == "error":
            raise ServiceError(data["detail"], hint=data.get("hint", ""))
        if name == "completed":
            answer: dict[str, Any] = data
            return answer
        if status:
            status.update(_doing(name, data) or status.status)
    raise ServiceError("The answer ended before it was complete.", hint="Ask again.")


def _doing(name: str, data: dict[str, Any]) -> str:
    """What an event says is being done; empty for one that says nothing of it."""
    match name:
        case "routed":
            return escape(" ".join(filter(None, (data["reason"], data["estimate"]))))
        case "reading":
            return f"Reading {escape(', '.join(dict.fromkeys(data['titles'])))} …"
        case "working":
            return f"{data['step']}: {data['done']:,} of {data['total']:,} …"
        case "cell":
            return escape(cell_line(data))
    return ""


def print_answer(console: Console, answer: dict[str, Any]) -> None:
    """The answer, then each source with the quote that was found at its span."""
    console.print(f"\n{escape(answer['text'])}\n", highlight=False)
    for claim in answer["claims"]:
        if not claim["supported"]:
            console.print(f"[yellow]Not supported by its source:[/yellow] {escape(claim['text'])}", highlight=False)
            console.print(f"  {escape(claim['reason'])}", highlight=False)
    if answer["citations"]:
        table = Table("", "source", "quote", "checked", show_lines=True)
        for citation in answer["citations"]:
            quote = " ".join(citation["quote"].split())
            table.add_row(
                f"[{citation['number']}]".replace("[", r"\["),
                escape(_place(citation)),
                escape(quote),
                "found" if citation["verified"] else "[red]not found[/red]",
            )
        console.print(table)
    for reason in answer["reasons"] if answer["coverage"] else ():
        console.print(f"· {escape(reason)}", style="dim", highlight=False)
    seconds = answer["timings_ms"]["total"] / 1000
    model = answer["model"] or "no language model"
    cost = f" · ${answer['dollars']:.4f}" if answer.get("dollars") else ""
    console.print(f"{answer['status']} · {answer['strategy']} · {model} · {seconds:.1f} s{cost}", style="dim")


def _place(entry: dict[str, Any]) -> str:
    page = f", page {entry['page']}" if entry.get("page") else ""
    headings = " > ".join(entry.get("heading_path", [])[-1:])
    return f"{entry['title']}{page}" + (f" ({headings})" if headings else "")
