"""A small file of each type that is not text."""

from ingest.parsing.containers import DOCX
from tests.support.office_files import docx, paragraph
from tests.support.pdf_files import pdf

SAMPLES = {
    "application/pdf": pdf([["Words."]]),
    DOCX: docx(paragraph("Words.")),
}
