"""`leadline eval chunks`: measure how well chunks of different sizes match excerpts that answer questions."""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from api.cli.console import Console
from api.cli.environment import read_settings
from api.cli.fetching import fetch_missing_model_files
from ingest.chunking import chunk_text
from ingest.storage.operations.installation import Installation
from ingest.storage.texts.chunks import DEFAULT_MAX_CHARS
from ingest.storage.texts.layout import NO_LAYOUT, build_markdown_layout
from ingest.storage.texts.normalize import normalize
from retrieval.build import build_embedded_store, build_sparse_encoder, open_embedded_encoder
from retrieval.evaluation.chunks import TextSplitter, index_chunks, judge_chunks, search_chunks
from retrieval.evaluation.passages import QuestionPart, open_located_questions
from retrieval.evaluation.runs import EvaluationRun
from retrieval.models.store import ModelStore

_READ_CHARS = 5_000


def measure_chunks(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE", help="Questions with excerpts: a folder in Chroma format, or a JSON Lines file."
        ),
    ],
    documents: Annotated[
        Path | None, typer.Option(help="The folder with the documents that a JSON Lines file refers to.")
    ] = None,
    sizes: Annotated[
        list[int] | None,
        typer.Option("--size", help="Maximum chunk size in characters; may be repeated.", min=16),
    ] = None,
    characters: Annotated[
        int, typer.Option(help="Characters to read per question, filled with the best chunks.", min=1)
    ] = _READ_CHARS,
    part: Annotated[
        QuestionPart | None, typer.Option(help="Use one half of the questions: for tuning, or held out.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Measure chunk sizes by recall, precision and IoU, with 95 % bootstrap confidence intervals.

    The texts are chunked like documents, indexed, and searched with the built-in encoder. For every size, each
    question's best chunks are read up to the same number of characters. The `best` measures use the chunks that contain
    the excerpts instead of those found by a search.
    """
    settings = read_settings(llm="none")
    fetch_missing_model_files(settings)
    placed = open_located_questions(source, documents)
    texts = {name: normalize(path.read_text("utf-8")) for name, path in placed.documents.items()}
    located = placed.locate_answers(texts)
    queries = {each.id: each.text for each in placed.questions if part in (None, each.part)}
    encoder, sparse = open_embedded_encoder(ModelStore(settings.models)), build_sparse_encoder()
    runs: dict[int, tuple[int, EvaluationRun]] = {}
    for size in sizes or (DEFAULT_MAX_CHARS // 2, DEFAULT_MAX_CHARS, 2 * DEFAULT_MAX_CHARS):
        with tempfile.TemporaryDirectory(prefix="leadline-eval-") as home:
            index = build_embedded_store(Path(home), Installation("", lambda _: True)).open_index(1, encoder.dimension)
            places = index_chunks(texts, _build_text_splitter(size), index, encoder, sparse)
            found = search_chunks(queries, places, index, encoder, sparse, max_chars=characters)
            index.close()
        runs[size] = len(places), judge_chunks(found, {i: located[i] for i in queries}, places.values())
    if as_json:
        figures = {
            size: {"chunks": count, **{name: asdict(value) for name, value in run.summarize().items()}}
            for size, (count, run) in runs.items()
        }
        print(
            json.dumps({"source": source.name, "questions": len(queries), "characters": characters, "sizes": figures})
        )
        return
    _print_chunk_measures(f"{source.name}: {len(queries):,} questions, {characters:,} characters read", runs)


def _build_text_splitter(size: int) -> TextSplitter:
    def split_text(name: str, text: str) -> list[tuple[int, int]]:
        layout = build_markdown_layout(text) if name.endswith(".md") or "." not in name else NO_LAYOUT
        return [(chunk.start, chunk.end) for chunk in chunk_text(text, layout, max_chars=size)]

    return split_text


def _print_chunk_measures(title: str, runs: dict[int, tuple[int, EvaluationRun]]) -> None:
    first = next(iter(runs.values()))[1]
    table = Table("size", "chunks", *first.figures, title=title)
    for size, (count, run) in runs.items():
        summary = run.summarize().values()
        figures = (f"{figure.mean:.3f} [dim]{figure.low:.3f}–{figure.high:.3f}[/dim]" for figure in summary)
        table.add_row(f"{size:,}", f"{count:,}", *figures)
    Console().print(table)
