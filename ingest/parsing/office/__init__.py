"""Parse Office documents: XML parts in a ZIP file, read with lxml.

The functions here import their parsers, and lxml, on the first call.
"""

from pathlib import Path

from ingest.parsing.errors import EncryptedDocumentError
from ingest.parsing.types import ParsedDocument
from ingest.storage.remarks import Remark


def parse_docx(path: Path) -> ParsedDocument:
    """Parse a Word document: DOCX, DOCM, DOTX."""
    from ingest.parsing.office.docx import parse_docx as parse

    return parse(path)


def parse_pptx(path: Path) -> ParsedDocument:
    """Parse a presentation: PPTX, PPSX, PPTM, POTX."""
    from ingest.parsing.office.pptx import parse_pptx as parse

    return parse(path)


def parse_odt(path: Path) -> ParsedDocument:
    """Parse an OpenDocument text document."""
    from ingest.parsing.office.odt import parse_odt as parse

    return parse(path)


def parse_odp(path: Path) -> ParsedDocument:
    """Parse an OpenDocument presentation."""
    from ingest.parsing.office.odp import parse_odp as parse

    return parse(path)


def parse_encrypted_document(path: Path) -> ParsedDocument:
    """Raise `EncryptedDocumentError`: a password-protected Office file cannot be read."""
    raise EncryptedDocumentError(Remark("office_encrypted"))
