"""Parse PDFs. Words, columns, tables and headings are derived from the pages' drawing operations."""

from ingest.parsing.pdf.parse import PDF_PARSER, parse_pdf

__all__ = ["PDF_PARSER", "parse_pdf"]
