"""Chunks of other libraries beside ours: `python -m tests.peers.chunks FOLDER`, with questions in Chroma's format.

Every splitter's chunks are indexed and searched by our own index and encoder, so that what differs is the chunks. Needs
`pip install langchain-text-splitters chonkie`.
"""

import sys
import tempfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from api.settings.settings import Settings
from ingest.chunking import chunk_text
from ingest.storage.operations.installation import Installation
from ingest.storage.texts.layout import build_markdown_layout
from ingest.storage.texts.normalize import normalize
from retrieval.build import build_embedded_store, build_sparse_encoder, open_embedded_encoder
from retrieval.evaluation.chunks import TextSplitter, index_chunks, judge_chunks, search_chunks
from retrieval.evaluation.passages import open_located_questions
from retrieval.models.store import ModelStore

# What a reader gets for a question, and the splitters' sizes, in characters.
_READ = 5_000
_SIZES = (400, 800, 1000, 1600)


def main() -> None:
    placed = open_located_questions(Path(sys.argv[1]), None)
    texts = {name: normalize(path.read_text("utf-8")) for name, path in placed.documents.items()}
    located, asked = placed.locate_answers(texts), {each.id: each.text for each in placed.questions}
    encoder, sparse = open_embedded_encoder(ModelStore(Settings().models)), build_sparse_encoder()
    table: Table | None = None
    for name, cut in _splitters().items():
        with tempfile.TemporaryDirectory() as home:
            index = build_embedded_store(Path(home), Installation("", lambda _: True)).open_index(1, encoder.dimension)
            places = index_chunks(texts, cut, index, encoder, sparse)
            found = search_chunks(asked, places, index, encoder, sparse, max_chars=_READ)
            index.close()
        run = judge_chunks(found, located, places.values())
        table = table or Table("splitter", "chunks", *run.figures)
        table.add_row(name, f"{len(places):,}", *(f"{figure.mean:.3f}" for figure in run.summarize().values()))
        print(name, {measure: round(figure.mean, 4) for measure, figure in run.summarize().items()}, file=sys.stderr)
    Console().print(table)


def _splitters() -> Mapping[str, TextSplitter]:
    recursive: Any = import_module("langchain_text_splitters").RecursiveCharacterTextSplitter
    chonkie: Any = import_module("chonkie")

    def ours(size: int) -> TextSplitter:
        return lambda _, text: [(c.start, c.end) for c in chunk_text(text, build_markdown_layout(text), max_chars=size)]

    def langchain(size: int, overlap: int) -> TextSplitter:
        splitter = recursive(chunk_size=size, chunk_overlap=overlap, add_start_index=True)

        def cut(_: str, text: str) -> list[tuple[int, int]]:
            starts = [(d.metadata["start_index"], d.page_content) for d in splitter.create_documents([text])]
            return [(start, start + len(content)) for start, content in starts]

        return cut

    def chonkies(size: int) -> TextSplitter:
        chunker = chonkie.RecursiveChunker(tokenizer="character", chunk_size=size)
        return lambda _, text: [(c.start_index, c.end_index) for c in chunker.chunk(text)]

    return {
        **{f"ours {size}": ours(size) for size in _SIZES},
        **{f"RecursiveCharacterTextSplitter {size}": langchain(size, 0) for size in _SIZES},
        "RecursiveCharacterTextSplitter 1000, overlap 200": langchain(1000, 200),
        **{f"chonkie RecursiveChunker {size}": chonkies(size) for size in _SIZES},
    }


if __name__ == "__main__":
    main()
