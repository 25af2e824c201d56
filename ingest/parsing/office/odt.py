"""Parse OpenDocument text documents (ODT, OTT)."""

from pathlib import Path

from ingest.parsing.errors import DamagedDocumentError
from ingest.parsing.office.fingerprints import ODT_PARSER
from ingest.parsing.office.odf import OdfReader, load_content_and_styles, read_metadata_title
from ingest.parsing.office.odf_names import OFFICE
from ingest.parsing.office.package import open_package
from ingest.parsing.text import NO_TEXT_HINT, PICTURE_HINT
from ingest.parsing.types import ParsedDocument
from ingest.storage.remarks import Remark


def parse_odt(path: Path) -> ParsedDocument:
    """Parse a text document.

    Raises `DamagedDocumentError`, `EncryptedDocumentError`, `ParserLimitError` and `NoTextError`.
    """
    with open_package(path) as package:
        content, styles = load_content_and_styles(package)
        body = content.find(f"{OFFICE}body/{OFFICE}text")
        if body is None:
            raise DamagedDocumentError(Remark("odt_no_body"))
        reader = OdfReader(package, content, styles)
        headers, footers = reader.list_header_footer_texts("header"), reader.list_header_footer_texts("footer")
        for text in headers:
            reader.writer.write_paragraph(text)
        reader.write_blocks(body)
        reader.write_endnotes()
        for text in footers:
            reader.writer.write_paragraph(text)
        title = reader.title or read_metadata_title(package) or reader.writer.first_heading
        return reader.writer.finish(
            ODT_PARSER,
            title,
            empty_message=Remark("no_text_document"),
            hint=NO_TEXT_HINT,
            picture_hint=PICTURE_HINT,
        )
