"""Parse PDFs. Words, columns, tables and headings are derived from the drawing operations of the pages."""

from ingest.parsing.pdf.parse import PDF_PARSER, parse_pdf

__all__ = ["PDF_PARSER", "parse_pdf"]
