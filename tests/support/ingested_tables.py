"""Files as ingest leaves them, parsed by the real parsers: a corpus, and its record tables."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ingest.chunking import chunk_text
from ingest.parsing.sniff import sniff_file_type
from ingest.parsing.types import Parser
from ingest.storage.blobs.store import DirectoryBlobs
from ingest.storage.tables.store import RecordTables
from ingest.storage.tables.types import assign_table_names
from ingest.storage.texts.texts import Texts, VersionText
from rlm.corpus.corpus import Corpus, CorpusDocument, estimate_tokens_from_length
from rlm.corpus.handles import Handle
from tests.support.parsing import ParserHere


def ingested(
    folder: Path,
    files: Mapping[str, str | bytes],
    attributes: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    parser: Parser = ParserHere(),  # noqa: B008 - it has no state
) -> tuple[Corpus, RecordTables]:
    """A document for each file, `doc-1` and so on; `attributes` are documents' metadata by the file's name."""
    (folder / "uploads").mkdir()
    blobs = DirectoryBlobs(folder / "blobs")
    texts, tables, documents = Texts(blobs), RecordTables(blobs), []
    for number, (name, content) in enumerate(files.items(), start=1):
        version, raw = f"version{number}", content.encode() if isinstance(content, str) else content
        path = folder / "uploads" / f"{number}"
        path.write_bytes(raw)
        with path.open("rb") as file:
            media_type = sniff_file_type(file, name, None)
        parsed = parser.parse(path, media_type, name=name)
        chunks = chunk_text(parsed.text, parsed.layout, parsed.positions)
        stored = VersionText(
            version, parsed.text, parsed.title, tuple(chunks), parsed.layout, properties=parsed.properties
        )
        texts.save_all([stored])
        tables.save(version, assign_table_names(parsed.tables, name))
        size = len(parsed.text)
        documents.append(
            CorpusDocument(
                Handle(f"doc-{number}", version, 0, size),
                parsed.title or name,
                name,
                "default",
                estimate_tokens_from_length(size),
                (attributes or {}).get(name, {}),
                media_type,
            )
        )
    return Corpus(documents, texts), tables
