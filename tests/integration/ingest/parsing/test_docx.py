"""Word files read by the confined process."""

from pathlib import Path

import pytest

from ingest.parsing.errors import EncryptedDocumentError
from ingest.parsing.isolation.sandbox import ParserSandbox
from tests.support.office_files import cell, docx, paragraph, table
from tests.support.parsing import parse
from tests.support.zip_files import ole


def test_an_office_file_with_a_password_fails_as_encrypted(tmp_path: Path) -> None:
    with pytest.raises(EncryptedDocumentError) as raised, ParserSandbox() as sandbox:
        parse(sandbox, tmp_path, "secret.docx", ole("EncryptionInfo", "EncryptedPackage"))
    assert "password" in raised.value.hint


def test_a_document_passes_through_the_confined_process(tmp_path: Path) -> None:
    body = paragraph("Ships", "Heading1") + table(cell("Ship") + cell("Tons"), cell("Essex") + cell("87"))
    with ParserSandbox() as sandbox:
        document = parse(sandbox, tmp_path, "ships.txt", docx(body))
    assert document.text.startswith("# Ships")
    assert [(each.name, each.rows) for each in document.tables] == [("Ships", 1)]
