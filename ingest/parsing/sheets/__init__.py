"""Workbooks: XLSX, XLSB, XLS and ODS. calamine reads the cells; what it does not tell is read from the XML beside it.

The function here loads its parser, and the library with it, when it is first called.
"""

from pathlib import Path

from ingest.parsing.types import ParsedDocument


def parse_workbook(path: Path) -> ParsedDocument:
    """Parse a workbook: each sheet a place, each table on it a record table."""
    from ingest.parsing.sheets.workbook import parse_workbook as parse

    return parse(path)
