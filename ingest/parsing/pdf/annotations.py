"""Read form field values and free text from annotations, which PDFium does not include in a page's text.

Comments are only counted.
"""

import ctypes

import numpy as np
import pypdfium2.raw as raw
from pypdfium2 import PdfDocument, PdfPage

from ingest.parsing.pdf.characters import get_page_frame
from ingest.parsing.pdf.constants import ANNOTATION_HIDDEN_FLAGS, MAX_PAGE_ANNOTATIONS
from ingest.parsing.pdf.content import PageContent, Word, place_words_in_box

_TEXT_FIELDS = frozenset({raw.FPDF_FORMFIELD_TEXTFIELD, raw.FPDF_FORMFIELD_COMBOBOX, raw.FPDF_FORMFIELD_LISTBOX})
_CHECK_FIELDS = frozenset({raw.FPDF_FORMFIELD_CHECKBOX, raw.FPDF_FORMFIELD_RADIOBUTTON})
_COMMENT_KINDS = frozenset(
    {
        raw.FPDF_ANNOT_TEXT,
        raw.FPDF_ANNOT_HIGHLIGHT,
        raw.FPDF_ANNOT_UNDERLINE,
        raw.FPDF_ANNOT_SQUIGGLY,
        raw.FPDF_ANNOT_STRIKEOUT,
        raw.FPDF_ANNOT_STAMP,
        raw.FPDF_ANNOT_INK,
    }
)
_CHECKED_BOX = "☒"


def read_annotations(document: PdfDocument, page: PdfPage, content: PageContent) -> None:
    """Add the words of form fields and free text to a page's content, and count its comments."""
    for number in range(min(raw.FPDFPage_GetAnnotCount(page), MAX_PAGE_ANNOTATIONS)):
        annotation = raw.FPDFPage_GetAnnot(page, number)
        if annotation:
            try:
                _read_annotation(document, page, content, annotation)
            finally:
                raw.FPDFPage_CloseAnnot(annotation)


def _read_annotation(document: PdfDocument, page: PdfPage, content: PageContent, annotation: object) -> None:
    kind = raw.FPDFAnnot_GetSubtype(annotation)
    if kind == raw.FPDF_ANNOT_WIDGET and document.formenv:
        text = _read_field_value(document.formenv, annotation)
    elif kind in (raw.FPDF_ANNOT_FREETEXT, *_COMMENT_KINDS):
        text = _read_annotation_string(raw.FPDFAnnot_GetStringValue, annotation, b"Contents")
    else:
        return
    if not text.strip():
        return
    if raw.FPDFAnnot_GetFlags(annotation) & ANNOTATION_HIDDEN_FLAGS:
        content.hidden += len(text)
    elif kind in _COMMENT_KINDS:
        content.comments += 1
    else:
        content.words += _build_annotation_words(page, content, annotation, text)


def _read_field_value(form: object, annotation: object) -> str:
    kind = raw.FPDFAnnot_GetFormFieldType(form, annotation)
    if kind in _TEXT_FIELDS:
        return _read_annotation_string(raw.FPDFAnnot_GetFormFieldValue, form, annotation)
    if kind in _CHECK_FIELDS and raw.FPDFAnnot_IsChecked(form, annotation):
        return _CHECKED_BOX
    return ""


def _read_annotation_string(function: "ctypes._FuncPointer", *arguments: object) -> str:
    length = function(*arguments, None, 0)
    if length <= 2:
        return ""
    buffer = ctypes.create_string_buffer(length)
    function(*arguments, ctypes.cast(buffer, ctypes.POINTER(ctypes.c_ushort)), length)
    return buffer.raw[: length - 2].decode("utf-16-le", "replace")


def _build_annotation_words(page: PdfPage, content: PageContent, annotation: object, text: str) -> list[Word]:
    rectangle = raw.FS_RECTF()
    if not raw.FPDFAnnot_GetRect(annotation, rectangle):
        return []
    box = np.array([[rectangle.left, rectangle.top, rectangle.right, rectangle.bottom]], np.float32)
    left, top, right, bottom = get_page_frame(page).map_boxes(box)[0].tolist()
    return place_words_in_box(content, text, left, top, right, bottom)
