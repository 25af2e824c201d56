"""`leadline eval answerability`: whether the documents can answer a question, and how well the score tells."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from api.cli.judged_collection import JudgedCollection, indexed
from api.services import DEFAULT_TENANT
from retrieval.errors import EvaluationDataError
from retrieval.evaluation.judged import JudgedFolder, open_judged
from retrieval.evaluation.removed import Removed
from rlm.evaluation.answerability import AskedTwice, Discrimination, ask_twice, discrimination
from rlm.retrieving import retriever
from rlm.scopes import AnswerScope
from rlm.strategies import Retriever


def answerability(
    folder: Annotated[Path, typer.Argument(help="A folder of judged questions, in BEIR's or SQuAD's format.")],
    index: Annotated[
        Path | None,
        typer.Option(help="Index the texts in this folder and keep it, so that the next run only searches."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the figures and each question's scores as JSON.")
    ] = False,
) -> None:
    """How well the score behind "not in these documents" tells: its ROC AUC with a 95 % bootstrap interval.

    Every question is asked twice, as for an answer: of all texts, and with those removed that answer it. No language
    model takes part. The thresholds are those that answering goes by.
    """
    console = Console(stderr=True)
    data = open_judged(folder)
    with indexed(data, index, console) as collection, console.status("Asking …") as status:
        asked: list[AskedTwice] = []
        answering = _answering(data, collection)
        for each in ask_twice(data.queries, answering, *_retrievers(collection)):
            asked.append(each)
            status.update(f"Question {len(asked):,} of {len(answering):,} …")
    if not asked:
        raise EvaluationDataError("No judged question has a text that answers it.", hint="Give it judged texts.")
    found = discrimination(asked)
    if as_json:
        print(json.dumps(_as_json(folder.name, asked, found)))
        return
    _print(folder.name, len(asked), found)


def _answering(data: JudgedFolder, collection: JudgedCollection) -> dict[str, set[str]]:
    """The documents that answer each judged question; texts without a word are none."""
    documents = {owner: document for document, owners in collection.owners.items() for owner in owners}
    found = {
        query: {documents[text] for text, grade in grades.items() if grade > 0 and text in documents}
        for query, grades in data.qrels.items()
    }
    return {query: answering for query, answering in found.items() if answering}


def _retrievers(collection: JudgedCollection) -> tuple[Retriever, Any]:
    services, scope = collection.services, AnswerScope(DEFAULT_TENANT)
    versions = collection.versions()

    def without(documents: Collection[str]) -> Retriever:
        removed = Removed(services.catalog, {document: versions[document] for document in documents})
        return retriever(services.searcher.uncached.through(removed), scope)

    return retriever(services.searcher.uncached, scope), without


def _as_json(name: str, asked: Sequence[AskedTwice], found: Discrimination) -> Mapping[str, Any]:
    return {
        "collection": name,
        "questions": len(asked),
        "roc_auc": asdict(found.auc),
        "operating_points": [asdict(point) for point in found.points],
        "scores": {each.question: [round(each.answerable, 4), round(each.unanswerable, 4)] for each in asked},
    }


def _print(name: str, questions: int, found: Discrimination) -> None:
    table = Table(
        "questions at or over it are",
        "score",
        "answerable under it",
        "unanswerable under it",
        title=f"{name}: {questions:,} questions, each with and without the texts that answer it",
    )
    for point in found.points:
        table.add_row(
            point.decides,
            f"{point.threshold:.2f}",
            f"{point.answerable_under:.1%}",
            f"{point.unanswerable_under:.1%}",
        )
    console = Console()
    console.print(table)
    auc = found.auc
    console.print(f"ROC AUC {auc.mean:.4f} (95 % of {auc.low:.4f} to {auc.high:.4f})", highlight=False)
