"""A small file of each type that is not text."""

from ingest.parsing.containers import DOCX, EPUB, ODP, ODS, ODT, PPTX, XLS, XLSB, XLSX
from ingest.storage.tables.types import MSG_MEDIA_TYPE
from tests.support.containers import mailbox_of, message, zip_of
from tests.support.office_files import docx, epub, odf, paragraph, pptx, shape
from tests.support.outlook_files import outlook_message
from tests.support.pdf_files import pdf
from tests.support.workbooks import ods, xls, xlsx

SAMPLES = {
    "application/zip": zip_of({"a.txt": "Words."}),
    "application/mbox": mailbox_of(message()),
    MSG_MEDIA_TYPE: outlook_message("Tides", "Words."),
    "application/pdf": pdf([["Words."]]),
    "application/rtf": rb"{\rtf1 Words.}",
    DOCX: docx(paragraph("Words.")),
    PPTX: pptx([shape("Words.")]),
    EPUB: epub({"one.xhtml": "<p>Words.</p>"}),
    XLSX: xlsx({"Words": [["Words."]]}),
    XLSB: xlsx({"Words": [["Words."]]}),  # nothing here writes the binary kind, which is told by its content too
    XLS: xls({"Words": [["Words."]]}),
    ODS: ods({"Words": [["Words."]]}),
    ODT: odf("text", "<text:p>Words.</text:p>"),
    ODP: odf("presentation", "<draw:page><draw:rect><text:p>Words.</text:p></draw:rect></draw:page>"),
}
