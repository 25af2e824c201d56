"""Parse workbooks: XLSX, XLSB, XLS and ODS. Cells are read by calamine, and other metadata from the XML.

The function here imports its parser, and calamine, on the first call.
"""

from pathlib import Path

from ingest.parsing.types import ParsedDocument


def parse_workbook(path: Path) -> ParsedDocument:
    """Parse a workbook. Each sheet becomes a `Place`, and each table on a sheet becomes a record table."""
    from ingest.parsing.sheets.workbook import parse_workbook as parse

    return parse(path)
