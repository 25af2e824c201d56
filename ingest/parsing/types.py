"""The parser's port, its result, and its limits."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from ingest.layout import NO_LAYOUT, Layout, Omission
from ingest.parsing.tables import FoundTable
from ingest.positions import Positions
from ingest.tables import ParsedTable


@dataclass(frozen=True)
class ParsedDocument:
    """A document's normalized text; every span of the product is a half-open span of code points in `text`.

    `parser` is the name and version of what made it. `tables` are the record tables whose rows the text holds, in
    reading order. `positions` say where each piece of the text stands in its file, as far as its format knows, and
    `omissions` what of the file is not in the text. `found` are the tables as a parser left them that knows where their
    rows are; they are typed and become `tables` before the document leaves the parser's process.
    """

    text: str
    title: str | None
    parser: str
    tables: tuple[ParsedTable, ...] = ()
    layout: Layout = NO_LAYOUT
    positions: Positions = field(default_factory=Positions)
    omissions: tuple[Omission, ...] = ()
    found: Sequence[FoundTable] = field(default=(), repr=False)


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
