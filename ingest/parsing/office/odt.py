"""OpenDocument texts (ODT, OTT)."""

from pathlib import Path

from ingest.parsing.errors import DamagedDocumentError
from ingest.parsing.office.fingerprints import ODT_PARSER
from ingest.parsing.office.odf import OdfReader, meta_title, open_content
from ingest.parsing.office.odf_names import OFFICE
from ingest.parsing.office.package import open_package
from ingest.parsing.text import NO_TEXT_HINT, PICTURE_HINT
from ingest.parsing.types import ParsedDocument


def parse_odt(path: Path) -> ParsedDocument:
    """Parse a text. Raises `DamagedDocumentError`, `EncryptedDocumentError`, `ParserLimitError`, `NoTextError`."""
    with open_package(path) as package:
        content, styles = open_content(package)
        body = content.find(f"{OFFICE}body/{OFFICE}text")
        if body is None:
            raise DamagedDocumentError("The file is no sound OpenDocument text: it has no text body.")
        reader = OdfReader(package, content, styles)
        headers, footers = reader.edges("header"), reader.edges("footer")
        for text in headers:
            reader.writer.paragraph(text)
        reader.blocks(body)
        reader.end()
        for text in footers:
            reader.writer.paragraph(text)
        title = reader.title or meta_title(package) or reader.writer.first_heading
        return reader.writer.finish(
            ODT_PARSER, title, nothing="The document holds no text.", hint=NO_TEXT_HINT, picture_hint=PICTURE_HINT
        )
