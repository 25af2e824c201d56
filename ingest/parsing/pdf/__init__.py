"""PDF: words, columns, tables and headings from what the pages draw."""

from ingest.parsing.pdf.parse import PDF_PARSER, parse_pdf

__all__ = ["PDF_PARSER", "parse_pdf"]
