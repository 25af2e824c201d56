"""A small file of each type that is not text."""

from ingest.parsing.containers import DOCX, EPUB, ODP, ODT, PPTX
from tests.support.office_files import docx, epub, odf, paragraph, pptx, shape
from tests.support.pdf_files import pdf

SAMPLES = {
    "application/pdf": pdf([["Words."]]),
    "application/rtf": rb"{\rtf1 Words.}",
    DOCX: docx(paragraph("Words.")),
    PPTX: pptx([shape("Words.")]),
    EPUB: epub({"one.xhtml": "<p>Words.</p>"}),
    ODT: odf("text", "<text:p>Words.</text:p>"),
    ODP: odf("presentation", "<draw:page><draw:rect><text:p>Words.</text:p></draw:rect></draw:page>"),
}
