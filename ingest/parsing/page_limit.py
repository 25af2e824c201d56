"""Limit the pages, slides or sheets of a document. They are counted before the first one is read.

A page may take only six bytes in a file, but takes milliseconds to read: without a limit, half a megabyte could keep a
parser busy until its time runs out.
"""

from ingest.parsing.errors import ParserLimitError
from ingest.parsing.types import DEFAULT_LIMITS

_most = DEFAULT_LIMITS.pages


def set_page_limit(most: int) -> None:
    """Set the limit for documents parsed by this process."""
    global _most
    _most = most


def require_pages_allowed(count: int, what: str = "pages") -> None:
    """Raise `ParserLimitError` if a document has too many pages; `what` is the word for them in its format."""
    if count > _most:
        raise ParserLimitError(
            f"The document has {count:,} {what}; at most {_most:,} are read.",
            hint="Split it into smaller files, or ask the operator to raise LEADLINE_MAX_PAGES.",
        )
