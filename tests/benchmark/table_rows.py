"""Whether the rows of tables are found by their labels: `python -m tests.benchmark.table_rows FOLDER`.

Documents are parsed, cut and indexed as they are by the workers, for BM25. A query is the label of a row with figures,
its first cell, and is searched for in the row's document. Found is a chunk that has the row's label and first figure in
one line: tables often say the same twice. Nothing is tuned to these queries, so they can be made of any documents.
"""

import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ingest.chunking import chunk_text
from ingest.parsing.registry import FORMATS, find_document_tables
from ingest.parsing.sniff import sniff_file_type
from ingest.parsing.tables import build_table_spans
from ingest.parsing.types import ParsedDocument
from ingest.storage.documents.records import derive_chunk_id
from ingest.storage.errors import LeadlineError
from ingest.storage.operations.installation import Installation
from retrieval.build import build_embedded_store, build_sparse_encoder
from retrieval.evaluation.metrics import compute_bootstrap_interval, compute_mean
from retrieval.index.bm25 import SparseEncoder
from retrieval.index.languages import detect_language
from retrieval.index.port import Index, IndexedChunk, SearchScope
from tests.benchmark.figures import AsJson, print_figures
from workers.tasks.vectors import build_indexed_text, compute_word_weights

_TENANT = "rows"
_DEPTH = 10
_LEAST_WORDS = 2
_figure = re.compile(r"\d{1,3}(?:,\d{3})+|\d{3,}|\d+\.\d+")
_words = re.compile(r"[^\W\d_]{2,}")


@dataclass(frozen=True)
class LabelledRow:
    """A row's label, and its first figure."""

    document: str
    label: str
    figure: str

    def stands_in(self, text: str) -> bool:
        lines = (line for line in text.splitlines() if self.label in line)
        return any(self.figure in _figure.findall(line) for line in lines)


def rows(
    folder: Annotated[Path, typer.Argument(help="A folder of documents with tables.", exists=True, file_okay=False)],
    per_document: Annotated[int, typer.Option(help="The most rows of a document.", min=1)] = 60,
    as_json: AsJson = False,
) -> None:
    """Search for rows of a folder's tables by their labels, and print how many are found, with 95 % intervals."""
    encoder, asked, texts = build_sparse_encoder(), list[LabelledRow](), dict[str, str]()
    with tempfile.TemporaryDirectory(prefix="leadline-rows-") as home:
        index = build_embedded_store(Path(home), Installation("", lambda _: True)).open_index(1, 1)
        for name, document in _parsed(folder):
            texts |= _index(name, document, index, encoder)
            asked += _labelled_rows(name, document, per_document)
        if not asked:
            raise typer.BadParameter("The folder holds no table with figures.")
        ranks = [_rank(row, index, encoder, texts) for row in asked]
        index.close()
    measures = {
        **{f"found@{k}": [float(rank is not None and rank <= k) for rank in ranks] for k in (1, 5, 10)},
        "mrr@10": [1 / rank if rank else 0.0 for rank in ranks],
    }
    figures = {name: _in_words(values) for name, values in measures.items()}
    print_figures({"documents": len({row.document for row in asked}), "rows": len(asked), **figures}, as_json)


def _parsed(folder: Path) -> Iterator[tuple[str, ParsedDocument]]:
    for path in sorted(folder.rglob("*")):
        try:
            with path.open("rb") as file:
                media_type = sniff_file_type(file, path.name, None)
            parse = FORMATS[media_type].parse
            if parse is not None:
                document = parse(path)
                tables = document.layout.tables or build_table_spans(find_document_tables(document, media_type))
                yield str(path.relative_to(folder)), replace(document, layout=replace(document.layout, tables=tables))
        except (IsADirectoryError, LeadlineError):
            continue


def _index(name: str, document: ParsedDocument, index: Index, encoder: SparseEncoder) -> dict[str, str]:
    """Put a document's chunks into the index; returns their texts by id."""
    text, layout, language = document.text, document.layout, detect_language(document.text)
    records, weights = [], []
    for chunk in chunk_text(text, layout, document.positions):
        identifier = derive_chunk_id(name, chunk.start, chunk.end)
        records.append(
            IndexedChunk(identifier, _TENANT, "", name, name, chunk.ordinal, chunk.start, chunk.end, 0, 0, None, ())
        )
        indexed = build_indexed_text(document.title or name, chunk, text, layout)
        weights.append(compute_word_weights(encoder, indexed, name=name, language=language))
    index.upsert_chunks(records, weights)
    return {record.id: text[record.start : record.end] for record in records}


def _labelled_rows(name: str, document: ParsedDocument, most: int) -> list[LabelledRow]:
    """Return some of the rows whose label stands once in its table, the same ones in every run."""
    found: dict[str, LabelledRow] = {}
    for table in document.layout.tables:
        for line in document.text[table.header_end : table.end].splitlines():
            label, _, cells = line.strip("| ").partition(" |")
            figures = _figure.findall(cells)
            if figures and len(_words.findall(label)) >= _LEAST_WORDS:
                found.setdefault(label, LabelledRow(name, label, figures[0]))
    every = list(found.values())
    chosen = np.random.default_rng(0).permutation(len(every))[:most]
    return [every[at] for at in sorted(chosen.tolist())]


def _rank(row: LabelledRow, index: Index, encoder: SparseEncoder, texts: dict[str, str]) -> int | None:
    scope = SearchScope(_TENANT, documents=(row.document,))
    hits, _ = index.search(scope, sparse_vector=encoder.encode_query(row.label), dense_vector=None, limit=_DEPTH)
    return next((rank for rank, hit in enumerate(hits, start=1) if row.stands_in(texts[hit.id])), None)


def _in_words(values: Sequence[float]) -> str:
    low, high = compute_bootstrap_interval(values, resamples=2_000)
    return f"{compute_mean(values):.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    typer.run(rows)
