"""How many pages, slides or sheets a document may have. They are counted before the first of them is read.

A page costs a file as little as a reference of six bytes, and its reader milliseconds: without a limit, half a megabyte
keeps a parser busy until its time is over.
"""

from ingest.parsing.errors import ParserLimitError
from ingest.parsing.types import DEFAULT_LIMITS

_most = DEFAULT_LIMITS.pages


def set_page_limit(most: int) -> None:
    """Set the limit for the documents that this process parses."""
    global _most
    _most = most


def require_pages_allowed(count: int, what: str = "pages") -> None:
    """Raise `ParserLimitError` for a document of too many pages; `what` is their name in its format."""
    if count > _most:
        raise ParserLimitError(
            f"The document has {count:,} {what}; at most {_most:,} are read.",
            hint="Split it into smaller files, or have the operator raise LEADLINE_MAX_PAGES.",
        )
