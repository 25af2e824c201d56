"""Documents that Word merges into a file when it opens it: `w:altChunk` (ECMA-376 part 1, 17.17.2).

Programs that assemble documents leave the merging to Word. A chunk is a part of the package, of any kind that Word
imports: HTML, MHTML, RTF, plain text, or a Word document, which may have chunks itself.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from ingest.parsing.charsets import HEAD_BYTES, decode
from ingest.parsing.containers import DOCX, ZIP
from ingest.parsing.errors import ParseError, ParserLimitError, UnsupportedTypeError
from ingest.parsing.html_blocks import write_html
from ingest.parsing.html_tree import decode_html
from ingest.parsing.mail import write_web_archive
from ingest.parsing.office.package import Package, Relation
from ingest.parsing.rtf import write_rtf
from ingest.parsing.sniff import HTML, RTF, sniff_file
from ingest.parsing.writer import DocumentWriter
from ingest.storage.tables.types import EML_MEDIA_TYPE
from ingest.storage.texts.layout import OmissionKind

_MAX_CHUNKS = 1_000
_MAX_BYTES = 200_000_000  # as one entry of an archive may have (`EntryRoom.entry_bytes`)
_MAX_LEVELS = 3  # as archives in archives (`EntryRoom.levels`)
_DECLARED_TYPES = {"application/xhtml+xml": HTML, "text/rtf": RTF, "multipart/related": EML_MEDIA_TYPE}


@dataclass
class ChunkRoom:
    """How much more may be merged into one document, with all that is merged into its chunks. Counts down."""

    chunks: int = _MAX_CHUNKS
    total_bytes: int = _MAX_BYTES

    def reserve(self, size: int, level: int) -> None:
        """Take room for a chunk of `size` bytes, `level` documents deep. Raises `ParserLimitError` if none is left."""
        # guard: docx-chunk-depth
        if level > _MAX_LEVELS:
            raise ParserLimitError(f"Documents merged into one another are read {_MAX_LEVELS} levels deep.")
        # guard: docx-chunk-room
        if self.chunks < 1 or self.total_bytes < size:
            raise ParserLimitError(
                f"A file is read with up to {_MAX_CHUNKS:,} merged documents of {_MAX_BYTES:,} bytes together."
            )
        self.chunks -= 1
        self.total_bytes -= size


@dataclass(frozen=True)
class ChunkWriter:
    """Writes the chunks of one package. `level` is 1 for those of the uploaded file, and `write_docx` writes a Word
    document that is one."""

    package: Package
    room: ChunkRoom
    level: int
    write_docx: Callable[[DocumentWriter, BinaryIO], None]

    def write(self, writer: DocumentWriter, relation: Relation | None) -> None:
        """Write the chunk of a relation. One that cannot be read is counted, with the reason."""
        try:
            if relation is None or relation.is_external or relation.target not in self.package.names:
                raise UnsupportedTypeError("A merged document is not in the file.")
            self.room.reserve(self.package.get_size(relation.target), self.level)
            self._write_part(writer, relation.target)
        except (ParseError, UnsupportedTypeError) as error:
            writer.record_omission(OmissionKind.EMBEDDED_OBJECT, detail=f"merged documents: {error.detail}")

    def _write_part(self, writer: DocumentWriter, name: str) -> None:
        content, declared = self.package.read_part(name), self.package.get_media_type(name)
        kind = sniff_file(io.BytesIO(content), name, _DECLARED_TYPES.get(declared, declared))
        if kind == DOCX or (kind == ZIP and declared.startswith(DOCX)):  # one that is cut off is any archive
            self.write_docx(writer, io.BytesIO(content))
        elif kind == HTML:
            write_html(writer, decode_html(content), whole=True)
        elif kind == EML_MEDIA_TYPE:
            write_web_archive(writer, content)
        elif kind == RTF:
            write_rtf(writer, content)
        elif kind.startswith("text/") and not _is_markup(content):
            writer.write_paragraph(decode(content))
        else:
            raise UnsupportedTypeError(f"One is of a kind that Word documents are not merged from ({kind}).")
        writer.end_list()


def _is_markup(content: bytes) -> bool:
    """True for XML, as of a Word document that is one XML file, whose tags are no text."""
    return decode(content[:HEAD_BYTES]).lstrip().startswith("<?xml")
