"""`leadline eval`: how good the answers and the searches are."""

import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from api.cli import evaluate_retrieval
from api.cli.ask import ask_once, wait_for_language_model
from api.cli.client import Client, ServiceError, connect
from api.cli.environment import read_settings

app = typer.Typer(help="Measure quality on judged questions.", no_args_is_help=True)
app.command()(evaluate_retrieval.retrieval)
app.command("compare")(evaluate_retrieval.compare_runs)


@app.callback()
def group() -> None:
    """Measure quality on judged questions."""


@app.command()
def answers(
    questions: Annotated[Path, typer.Argument(help='JSON lines: {"question": …, "answers": [accepted texts]}.')],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON line a question, and a last one of sums.")
    ] = False,
) -> None:
    """Ask questions whose answers are known, of the documents that are there, and check every citation again.

    An answer is right when it holds one of the accepted texts; a question with `"unanswerable": true` is right when
    the answer is that the documents do not say. Every quotation is compared with the document's text at its span.
    """
    cases = list(_cases(questions))
    console = Console(stderr=True)
    results: list[dict[str, Any]] = []
    with connect(read_settings()) as client, console.status("Asking …") as status:
        wait_for_language_model(client, status)
        for number, case in enumerate(cases, start=1):
            status.update(f"Question {number} of {len(cases)} …")
            answer = ask_once(client, case["question"])
            results.append(_judged(client, case, answer))
            if as_json:
                print(json.dumps(results[-1], ensure_ascii=False))
    sums = {
        "questions": len(results),
        "right": sum(result["right"] for result in results),
        "citations": sum(result["citations"] for result in results),
        "quotes_at_their_span": sum(result["quotes_at_their_span"] for result in results),
        "seconds_median": round(statistics.median(result["seconds"] for result in results), 1),
    }
    if as_json:
        print(json.dumps(sums))
        return
    table = Table("question", "answer", "source", "quotes found", "s", "right", show_lines=True)
    for result in results:
        table.add_row(
            escape(result["question"]),
            escape(result["answer"]),
            escape("; ".join(result["sources"])),
            f"{result['quotes_at_their_span']} of {result['citations']}",
            str(result["seconds"]),
            "yes" if result["right"] else f"[red]no[/red] ({escape(', '.join(result['expected']) or 'not there')})",
        )
    Console().print(table)
    Console().print(
        f"{sums['right']} of {sums['questions']} right; "
        f"{sums['quotes_at_their_span']} of {sums['citations']} quotations at their spans; "
        f"median {sums['seconds_median']} s.",
        highlight=False,
    )


def _cases(path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        try:
            case = json.loads(line)
            yield {"question": case["question"], "answers": case["answers"], "unanswerable": case.get("unanswerable")}
        except (ValueError, KeyError) as error:
            raise ServiceError(
                f"{path}, line {number}: not a question.",
                hint='Each line is like {"question": "Who wrote it?", "answers": ["Melville"]}.',
            ) from error


def _judged(client: Client, case: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    sentences = [each["text"] for each in answer["sentences"] if each["check"] != "unsupported"]
    said = " ".join(sentences) or answer["text"]
    if case["unanswerable"]:
        right = answer["status"] == "not_found"
    else:
        right = answer["status"] != "not_found" and any(text.casefold() in said.casefold() for text in case["answers"])
    return {
        "question": case["question"],
        "expected": case["answers"],
        "answer": answer["text"],
        "status": answer["status"],
        "sources": [f"[{citation['number']}] {citation['title']}" for citation in answer["citations"]],
        "citations": len(answer["citations"]),
        "quotes_at_their_span": sum(_stands_there(client, citation) for citation in answer["citations"]),
        "seconds": round(answer["timings_ms"]["total"] / 1000, 1),
        "right": right,
    }


def _stands_there(client: Client, citation: dict[str, Any]) -> bool:
    span = {"start": citation["start"], "end": citation["end"]}
    text = client.http.get(f"/v1/documents/{citation['document_id']}/content", params=span).text
    return bool(text == citation["quote"])
