"""A small file of each type that is not text."""

from ingest.parsing.containers import DOCX, PPTX
from tests.support.office_files import docx, paragraph, pptx, shape
from tests.support.pdf_files import pdf

SAMPLES = {
    "application/pdf": pdf([["Words."]]),
    DOCX: docx(paragraph("Words.")),
    PPTX: pptx([shape("Words.")]),
}
