"""`leadline eval`: retrieval quality on a folder of BEIR-format data, through the whole service."""

import json
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from api.cli.ask import ask_once, wait_for_language_model
from api.cli.client import Client, ServiceError, connect, private
from api.cli.fetching import fetch_needed
from api.cli.ingest import run
from api.cli.up import read_settings
from api.embedded import open_embedded
from api.settings import Settings
from retrieval.evaluation.beir import BeirFolder
from retrieval.evaluation.metrics import mean, ndcg_at_k, recall_at_k, reciprocal_rank
from retrieval.search import Mode

app = typer.Typer(help="Measure quality on judged questions.", no_args_is_help=True)

_DEPTH = 100
_UPLOADS_AT_ONCE = 4


@app.callback()
def group() -> None:
    """Measure quality on judged questions."""


@app.command()
def retrieval(
    folder: Annotated[Path, typer.Argument(help="A folder of BEIR-format data: corpus, queries, qrels/test.tsv.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """nDCG@10, recall@100 and MRR@10 of BM25, dense and hybrid search.

    A service is started on a data folder of its own; every text of the corpus is uploaded, chunked and embedded as
    any document, and every query is sent as any search.
    """
    console = Console(stderr=True)
    data = BeirFolder(folder)
    with temporary_service(console) as client:
        owners = _upload(client, data, console)
        figures = {mode.value: _figures(client, data, mode, owners) for mode in (Mode.BM25, Mode.DENSE, Mode.HYBRID)}
    if as_json:
        print(json.dumps(figures))
        return
    names = list(next(iter(figures.values())))
    table = Table("search", *names, title=f"{folder.name}: {len(data.qrels)} queries")
    for mode, values in figures.items():
        table.add_row(mode, *(f"{values[name]:.4f}" for name in names))
    Console().print(table)


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


@contextmanager
def temporary_service(console: Console) -> Iterator[Client]:
    """A service without a language model on an empty data folder that is gone afterwards."""
    settings = read_settings(llm="none")
    fetch_needed(settings)
    with tempfile.TemporaryDirectory(prefix="leadline-eval-") as home:
        own = Settings(**{**settings.model_dump(), "home": Path(home)})
        with open_embedded(own) as services, private(services) as client:
            yield client


def _upload(client: Client, data: BeirFolder, console: Console) -> dict[str, list[str]]:
    """Corpus ids by document id; texts that are the same to the byte are one document with several ids."""
    owners: dict[str, list[str]] = {}
    empty = 0
    with tempfile.TemporaryDirectory() as scratch, console.status("Uploading …") as status:
        files: dict[str, Path] = {}
        for number, entry in enumerate(data.corpus()):
            text = f"# {entry.title}\n\n{entry.text}\n" if entry.title else f"{entry.text}\n"
            if not text.strip("# \n"):
                empty += 1
                continue
            files[entry.id] = Path(scratch) / f"{number}.md"
            files[entry.id].write_text(text)
        with ThreadPoolExecutor(_UPLOADS_AT_ONCE) as pool:
            sent = pool.map(lambda item: (item[0], _send(client, *item)), files.items())
            for identifier, document in sent:
                owners.setdefault(document, []).append(identifier)
        status.update("Indexing …")
        run(
            client,
            [],
            collection="default",
            wait="ready",
            watch=lambda stage, done, total: status.update(f"Until {stage}: {done:,} of {total:,}"),
        )
    console.print(f"{len(owners):,} documents, {empty} texts without a word left out.", highlight=False)
    return owners


def _send(client: Client, identifier: str, path: Path) -> str:
    uploaded: dict[str, Any] = client.upload(path, name=f"{path.name}", collection="default")
    if "id" not in uploaded:
        raise ServiceError(f"Text {identifier} was not accepted.")
    return str(uploaded["id"])


def _figures(client: Client, data: BeirFolder, mode: Mode, owners: Mapping[str, Sequence[str]]) -> dict[str, float]:
    found = {query: _ranking(client, data.queries[query], mode, owners) for query in data.qrels}
    return {
        "ndcg@10": mean([ndcg_at_k(found[query], grades, 10) for query, grades in data.qrels.items()]),
        "recall@100": mean([recall_at_k(found[query], grades, 100) for query, grades in data.qrels.items()]),
        "mrr@10": mean([reciprocal_rank(found[query], grades, 10) for query, grades in data.qrels.items()]),
    }


def _ranking(client: Client, query: str, mode: Mode, owners: Mapping[str, Sequence[str]]) -> list[str]:
    body = {"query": query, "mode": mode.value, "top_k": _DEPTH, "per_document": 1}
    hits = client.post("/v1/search", body)["hits"]
    return [identifier for hit in hits for identifier in owners[hit["document"]]]


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
    said = " ".join(claim["text"] for claim in answer["claims"] if claim["supported"]) or answer["text"]
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
    return bool(citation["verified"]) and text == citation["quote"]
