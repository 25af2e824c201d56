"""`leadline search`: search for passages without writing an answer."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.markup import escape

from api.cli.answer_view import format_location, shorten_text
from api.cli.ask import wait_for_language_model
from api.cli.client import open_client
from api.cli.console import Console
from api.cli.environment import read_settings
from api.cli.filters import FilterOption, parse_attributes
from retrieval.search.requests import Mode, Rewrite, SearchRequest, check_request

_SNIPPET_CHARS = 300


def search(
    query: Annotated[str, typer.Argument(help="The search query.")],
    top_k: Annotated[int, typer.Option(help="Number of passages to return.", min=1, max=200)] = 5,
    mode: Annotated[Mode, typer.Option(help="The retrievers to use.")] = Mode.HYBRID,
    collection: Annotated[list[str] | None, typer.Option(help="Search only this collection; may be repeated.")] = None,
    filters: FilterOption = None,
    rerank: Annotated[
        bool | None,
        typer.Option("--rerank/--no-rerank", help="Require the reranker, or skip it.", show_default=False),
    ] = None,
    rerank_depth: Annotated[int | None, typer.Option(help="Number of passages to rerank.", min=1, max=200)] = None,
    rewrite: Annotated[
        Rewrite | None, typer.Option(help="Let the language model write additional queries to search for.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole result as JSON.")] = False,
) -> None:
    """Search for passages without writing an answer.

    Uses a language model only with `--rewrite`.
    """
    body = {
        "query": query,
        "top_k": top_k,
        "mode": mode.value,
        "collections": collection or [],
        "filters": parse_attributes(filters),
        "rerank": rerank,
        "rerank_depth": rerank_depth,
    }
    check_request(SearchRequest("", query))  # Validate the options first, because starting the service takes seconds.
    with open_client(read_settings()) as client:
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
    _print_rewritten_queries(Console(stderr=True), result)
    for hit in result["hits"]:
        found = ", ".join(f"{name} #{why['rank']}" for name, why in hit["why"].items())
        console.print(f"\n[bold]{hit['rank']}. {escape(format_location(hit))}[/bold]  ({found})", highlight=False)
        console.print(escape(shorten_text(hit["text"], _SNIPPET_CHARS)), highlight=False)
    if not result["hits"]:
        console.print("No passages found.")
    for each in result["unreadable"]:
        text = f"Omitted {each['title']}: its stored text is corrupt or missing."
        console.print(f"[yellow]{escape(text)}[/yellow]", highlight=False)


def _print_rewritten_queries(console: Console, result: Mapping[str, Any]) -> None:
    """Print the rewritten queries, with the names by which hits refer to them."""
    if result["rewrite"] is None:
        return
    if result["rewrite"]["failure"]:
        text = f"Searched without rewriting the query: {result['rewrite']['failure']}"
        console.print(f"[yellow]{escape(text)}[/yellow]", highlight=False, soft_wrap=True)
    for number, query in enumerate(result["queries"][1:], start=1):
        console.print(f"query_{number}: {escape(query)}", style="dim", highlight=False, soft_wrap=True)
