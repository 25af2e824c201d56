"""The registry of formats. A parser loads its libraries on its first call, so importing this module is cheap."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ingest.parsing.archives import ZIP_PARSER, unpack_zip
from ingest.parsing.code import LANGUAGES, build_code_parser, get_code_fingerprint
from ingest.parsing.containers import DOCX, EPUB, MBOX, ODP, ODS, ODT, OFFICE_ENCRYPTED, PPTX, XLS, XLSB, XLSX, ZIP
from ingest.parsing.delimited import DELIMITED_PARSER, find_delimited_tables, parse_delimited
from ingest.parsing.epub import EPUB_PARSER, parse_epub
from ingest.parsing.errors import UnsupportedTypeError
from ingest.parsing.html import HTML_PARSER, parse_html
from ingest.parsing.json_documents import JSON_PARSER, parse_json
from ingest.parsing.mail import EML_PARSER, MBOX_PARSER, unpack_eml, unpack_mbox
from ingest.parsing.ocr import IMAGE_PARSER, IMAGE_TYPES, get_pdf_fingerprint, parse_image, parse_pdf_with_scans
from ingest.parsing.office import parse_docx, parse_encrypted_document, parse_odp, parse_odt, parse_pptx
from ingest.parsing.office.fingerprints import DOCX_PARSER, ENCRYPTED_OFFICE_PARSER, ODP_PARSER, ODT_PARSER, PPTX_PARSER
from ingest.parsing.outlook import MSG_PARSER, unpack_msg
from ingest.parsing.pipe_tables import find_pipe_tables
from ingest.parsing.rtf import RTF_PARSER, parse_rtf
from ingest.parsing.sheets import parse_workbook
from ingest.parsing.sheets.values import WORKBOOK_PARSER
from ingest.parsing.tables import FoundTable
from ingest.parsing.text import MARKDOWN_PARSER, TEXT_PARSER, parse_markdown, parse_text
from ingest.parsing.types import NO_ENTRIES, EntryLimits, ParsedDocument
from ingest.storage.tables.types import EML_MEDIA_TYPE, MSG_MEDIA_TYPE

ParserFunction = Callable[[Path], ParsedDocument]
# The parser of a container. The parser's arguments are the file, the folder for the entries, and the limits on the
# entries.
UnpackerFunction = Callable[[Path, Path, EntryLimits], ParsedDocument]
TableFinder = Callable[[str], Sequence[FoundTable]]


def _find_tables_in_text(text: str) -> list[FoundTable]:
    """Find tables in plain text whose content is unambiguously tabular."""
    return find_pipe_tables(text) or find_delimited_tables(text)


def _find_no_tables(text: str) -> list[FoundTable]:
    return []


@dataclass(frozen=True)
class Format:
    """The parser of a media type.

    `fingerprint` changes whenever the parser may produce different text or tables from the same bytes. If the parser
    does not return record tables itself, `find_tables` finds them in the normalized text. Containers have `unpack`
    instead of `parse`.
    """

    parse: ParserFunction | None
    fingerprint: str
    find_tables: TableFinder = _find_no_tables
    unpack: UnpackerFunction | None = None


FORMATS: dict[str, Format] = {
    "text/plain": Format(parse_text, TEXT_PARSER, _find_tables_in_text),
    "application/json": Format(parse_json, JSON_PARSER),
    "text/csv": Format(parse_delimited, DELIMITED_PARSER),
    "text/markdown": Format(parse_markdown, MARKDOWN_PARSER, find_pipe_tables),
    "text/html": Format(parse_html, HTML_PARSER, find_pipe_tables),
    DOCX: Format(parse_docx, DOCX_PARSER, find_pipe_tables),
    PPTX: Format(parse_pptx, PPTX_PARSER, find_pipe_tables),
    "application/rtf": Format(parse_rtf, RTF_PARSER, find_pipe_tables),
    EPUB: Format(parse_epub, EPUB_PARSER, find_pipe_tables),
    ODT: Format(parse_odt, ODT_PARSER, find_pipe_tables),
    ODP: Format(parse_odp, ODP_PARSER, find_pipe_tables),
    **dict.fromkeys((XLSX, XLSB, XLS, ODS), Format(parse_workbook, WORKBOOK_PARSER, find_pipe_tables)),
    OFFICE_ENCRYPTED: Format(parse_encrypted_document, ENCRYPTED_OFFICE_PARSER),
    "application/pdf": Format(parse_pdf_with_scans, get_pdf_fingerprint(), find_pipe_tables),
    **{kind: Format(parse_image, IMAGE_PARSER, find_pipe_tables) for kind in IMAGE_TYPES},
    **{kind: Format(build_code_parser(kind), get_code_fingerprint(kind)) for kind in LANGUAGES},
    ZIP: Format(None, ZIP_PARSER, unpack=unpack_zip),
    EML_MEDIA_TYPE: Format(None, EML_PARSER, find_pipe_tables, unpack_eml),
    MBOX: Format(None, MBOX_PARSER, unpack=unpack_mbox),
    MSG_MEDIA_TYPE: Format(None, MSG_PARSER, find_pipe_tables, unpack_msg),
}


def get_parser(media_type: str, entry_limits: EntryLimits = NO_ENTRIES) -> ParserFunction:
    """Return the parser of a media type. Raises `UnsupportedTypeError` if there is none.

    The parser of a container extracts entries into the current folder, within the limits in `entry_limits`.
    """
    found = FORMATS.get(media_type)
    if found is None:
        raise UnsupportedTypeError(f"Leadline has no parser for {media_type}.")
    unpack = found.unpack
    if unpack is not None:
        return lambda path: unpack(path, Path.cwd(), entry_limits)
    assert found.parse is not None
    return found.parse


def is_container(media_type: str) -> bool:
    """Return whether files of a media type contain other files."""
    return media_type in FORMATS and FORMATS[media_type].unpack is not None


def find_document_tables(document: ParsedDocument, media_type: str) -> Sequence[FoundTable]:
    """Return the record tables in a parsed document. Tables with a caption are named after it."""
    if document.found or media_type not in FORMATS:
        return document.found
    captions = {table.start: table.name for table in document.layout.tables}
    found = FORMATS[media_type].find_tables(document.text)
    return [replace(table, name=captions.get(table.start) or table.name) for table in found]
