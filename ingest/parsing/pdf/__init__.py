"""Parse PDFs: words, columns, tables and headings are derived from what the pages draw."""

from ingest.parsing.pdf.parse import PDF_PARSER, parse_pdf

__all__ = ["PDF_PARSER", "parse_pdf"]
