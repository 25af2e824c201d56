"""The folder that all systems get: the user's own, or the first texts of it with the questions that they answer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from retrieval.errors import EvaluationDataError
from retrieval.evaluation.judged import BeirFolder, CorpusEntry


@dataclass(frozen=True)
class Request:
    """What a peer is asked: pairs of id and text."""

    texts: list[tuple[str, str]]
    queries: list[tuple[str, str]]


def request(data: BeirFolder) -> Request:
    """Title and text together, as BEIR has them; all judged queries."""
    texts = [(entry.id, f"{entry.title}\n\n{entry.text}" if entry.title else entry.text) for entry in data.corpus()]
    return Request(texts, [(query, data.queries[query]) for query in data.qrels])


def beginning(data: BeirFolder, documents: int, folder: Path) -> BeirFolder:
    """The first texts, written to an empty folder, with the judgements of them.

    Queries of which no relevant text is left are left out. Raises `EvaluationDataError` when that is all of them.
    """
    entries = list(islice(data.corpus(), documents))
    kept = {entry.id for entry in entries}
    qrels = {
        query: {document: grade for document, grade in grades.items() if document in kept}
        for query, grades in data.qrels.items()
    }
    qrels = {query: grades for query, grades in qrels.items() if any(grade > 0 for grade in grades.values())}
    if not qrels:
        raise EvaluationDataError(f"The first {documents:,} texts answer no query.", hint="Take more --documents.")
    _write(folder, entries, {query: data.queries[query] for query in qrels}, qrels)
    return BeirFolder(folder)


def _write(
    folder: Path, entries: list[CorpusEntry], queries: Mapping[str, str], qrels: Mapping[str, Mapping[str, int]]
) -> None:
    corpus = [json.dumps({"_id": entry.id, "title": entry.title, "text": entry.text}) for entry in entries]
    (folder / "corpus.jsonl").write_text("\n".join(corpus), "utf-8")
    asked = [json.dumps({"_id": query, "text": text}) for query, text in queries.items()]
    (folder / "queries.jsonl").write_text("\n".join(asked), "utf-8")
    judged = [f"{query}\t{document}\t{grade}" for query in qrels for document, grade in qrels[query].items()]
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *judged]), "utf-8")
