"""Read the documents that Word merges into a file when it opens the file: `w:altChunk` (ECMA-376 part 1, 17.17.2).

Programs that assemble documents write such chunks. A chunk is a part of the package in a format that Word imports:
HTML, MHTML, RTF, plain text, or a Word document, which may have chunks of its own.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from ingest.parsing.charsets import HEAD_BYTES, decode_text
from ingest.parsing.containers import DOCX, ZIP
from ingest.parsing.errors import ParseError, ParserLimitError, UnsupportedTypeError
from ingest.parsing.html_blocks import write_html
from ingest.parsing.html_tree import decode_html
from ingest.parsing.mail import write_web_archive
from ingest.parsing.office.package import Package, Relation
from ingest.parsing.rtf import write_rtf
from ingest.parsing.sniff import HTML, RTF, sniff_file_type
from ingest.parsing.writer import DocumentWriter
from ingest.storage.remarks import Remark
from ingest.storage.tables.types import EML_MEDIA_TYPE
from ingest.storage.texts.layout import OmissionKind

_MAX_CHUNKS = 1_000
_MAX_BYTES = 200_000_000  # Maximum total size of merged documents, as for an archive entry (`EntryLimits.entry_bytes`).
_MAX_LEVELS = 3  # Maximum nesting depth, as for nested archives (`EntryLimits.levels`).
_DECLARED_TYPES = {"application/xhtml+xml": HTML, "text/rtf": RTF, "multipart/related": EML_MEDIA_TYPE}


@dataclass
class ChunkBudget:
    """The remaining budget for the merged documents in one uploaded file, at all nesting depths."""

    chunks: int = _MAX_CHUNKS
    total_bytes: int = _MAX_BYTES

    def reserve_chunk(self, size: int, level: int) -> None:
        """Reserve budget for a chunk of `size` bytes at nesting depth `level`.

        Raises `ParserLimitError` if the budget is used up.
        """
        # guard: docx-chunk-depth
        if level > _MAX_LEVELS:
            raise ParserLimitError(Remark("merged_deep", levels=_MAX_LEVELS))
        # guard: docx-chunk-room
        if self.chunks < 1 or self.total_bytes < size:
            raise ParserLimitError(Remark("merged_too_many", documents=_MAX_CHUNKS, bytes=_MAX_BYTES))
        self.chunks -= 1
        self.total_bytes -= size


@dataclass(frozen=True)
class ChunkWriter:
    """Writes the chunks of one package.

    `level` is their nesting depth, which is 1 in the uploaded file. `write_docx` writes chunks that are Word documents.
    """

    package: Package
    room: ChunkBudget
    level: int
    write_docx: Callable[[DocumentWriter, BinaryIO], None]

    def write_chunk(self, writer: DocumentWriter, relation: Relation | None) -> None:
        """Write the chunk that a relation refers to. If it cannot be read, record the reason as an omission."""
        try:
            if relation is None or relation.is_external or relation.target not in self.package.names:
                raise UnsupportedTypeError(Remark("merged_missing"))
            self.room.reserve_chunk(self.package.get_part_size(relation.target), self.level)
            self._write_part(writer, relation.target)
        except (ParseError, UnsupportedTypeError) as error:
            writer.record_omission(OmissionKind.EMBEDDED_OBJECT, detail=Remark("omitted_merged", problem=error.detail))

    def _write_part(self, writer: DocumentWriter, name: str) -> None:
        content, declared = self.package.read_part(name), self.package.get_media_type(name)
        kind = sniff_file_type(io.BytesIO(content), name, _DECLARED_TYPES.get(declared, declared))
        if kind == DOCX or (kind == ZIP and declared.startswith(DOCX)):  # A truncated document looks like any ZIP.
            self.write_docx(writer, io.BytesIO(content))
        elif kind == HTML:
            write_html(writer, decode_html(content), keep_boilerplate=True)
        elif kind == EML_MEDIA_TYPE:
            write_web_archive(writer, content)
        elif kind == RTF:
            write_rtf(writer, content)
        elif kind.startswith("text/") and not _is_markup(content):
            writer.write_paragraph(decode_text(content))
        else:
            raise UnsupportedTypeError(Remark("merged_type", kind=kind))
        writer.end_list()


def _is_markup(content: bytes) -> bool:
    """Return whether a chunk is XML, such as a Word document in a single XML file."""
    return decode_text(content[:HEAD_BYTES]).lstrip().startswith("<?xml")
