"""Limit the number of pages, slides or sheets in a document, which are counted before the first one is read.

A page may be only six bytes of the file but takes milliseconds to read. Without a limit, a file of half a megabyte
could keep a parser busy until its timeout.
"""

from typing import Literal

from ingest.parsing.errors import ParserLimitError
from ingest.parsing.types import DEFAULT_LIMITS
from ingest.storage.remarks import Remark

_most = DEFAULT_LIMITS.pages


def set_page_limit(max_pages: int) -> None:
    """Set the maximum number of pages for each document parsed by this process."""
    global _most
    _most = max_pages


def check_page_limit(count: int, unit: Literal["pages", "slides"] = "pages") -> None:
    """Raise `ParserLimitError` if a document has too many pages. `unit` is its format's word for pages."""
    if count > _most:
        raise ParserLimitError(
            Remark(f"{unit}_too_many", count=count, limit=_most),
            hint="Split the document into smaller files, or ask the operator to raise LEADLINE_MAX_PAGES.",
        )
