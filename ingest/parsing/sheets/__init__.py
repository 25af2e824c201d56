"""Parse workbooks: XLSX, XLSB, XLS and ODS. calamine reads the cells; other metadata is read from the XML.

The function here imports its parser, and the library with it, on the first call.
"""

from pathlib import Path

from ingest.parsing.types import ParsedDocument


def parse_workbook(path: Path) -> ParsedDocument:
    """Parse a workbook. Each sheet is a `Place`, and each table on a sheet is a record table."""
    from ingest.parsing.sheets.workbook import parse_workbook as parse

    return parse(path)
