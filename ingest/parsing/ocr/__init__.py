"""Recognize text in images and scanned PDF pages. Requires the `ocr` extra.

The models are part of rapidocr's wheel (PP-OCRv6, Apache-2.0), so nothing is downloaded. They run on OpenVINO, in one
thread of the confined process of a document.
"""

from ingest.parsing.ocr.images import IMAGE_PARSER, IMAGE_TYPES, parse_image
from ingest.parsing.ocr.recognizer import INSTALL_HINT, is_ocr_installed
from ingest.parsing.ocr.scans import get_pdf_fingerprint, parse_pdf_with_scans

__all__ = [
    "IMAGE_PARSER",
    "IMAGE_TYPES",
    "INSTALL_HINT",
    "get_pdf_fingerprint",
    "is_ocr_installed",
    "parse_image",
    "parse_pdf_with_scans",
]
