"""The parser's port, its result, and its limits."""

from bisect import bisect_right
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from ingest.tables import ParsedTable


@dataclass(frozen=True)
class ParsedDocument:
    """A document's normalized text; every span of the product is a half-open span of code points in `text`.

    `pages[i]` is the code point at which page `i + 1` starts; empty where the format has no pages. `parser` is the name
    and version of what made it. `tables` are the record tables whose rows the text holds, in reading order.
    """

    text: str
    pages: tuple[int, ...]
    title: str | None
    parser: str
    tables: tuple[ParsedTable, ...] = ()

    def page_of(self, offset: int) -> int | None:
        """Return the page, from 1, that holds the code point at `offset`; None where the format has no pages."""
        return bisect_right(self.pages, offset) or None


class Parser(Protocol):
    """Turns an accepted file into text."""

    def parse(self, path: Path, media_type: str, *, name: str) -> ParsedDocument:
        """Parse a file; `name` is for messages only. Raises the `ParseError`s and `UnsupportedTypeError`."""


class Isolation(StrEnum):
    """How much a parser's process must be confined by the kernel: by all of it, or by what this machine has."""

    REQUIRE = "require"
    BEST = "best"


@dataclass(frozen=True)
class ParserLimits:
    """The limits for one document. Memory is address space; `text_bytes` bounds the UTF-8 text and any file written."""

    memory_bytes: int = 1_500_000_000
    cpu_seconds: int = 120
    wall_seconds: float = 180.0
    text_bytes: int = 200_000_000


DEFAULT_LIMITS = ParserLimits()
