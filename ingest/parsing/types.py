"""The parser interface, its result and its limits."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Protocol

from ingest.parsing.tables import FoundTable
from ingest.storage.tables.types import ParsedTable
from ingest.storage.texts.layout import NO_LAYOUT, Layout, Omission
from ingest.storage.texts.positions import Positions


@dataclass(frozen=True)
class FoundEntry:
    """An extracted file: its path in the container, and its file name in the parser's folder."""

    path: str
    file: str
    media_type: str
    size: int


@dataclass(frozen=True)
class ParsedDocument:
    """The normalized text of a document. All spans in the product are half-open spans of code points in `text`.

    `parser` is the name and version of the parser. `tables` are the record tables whose rows are in the text, in
    reading order. `positions` map parts of the text to locations in the file, if the format has locations. `omissions`
    describe content that is not in the text. `found` are the tables that the parser found itself; the parser's process
    detects their column types and turns them into `tables`. `entries` are the files in a container. `properties` are
    metadata stated in the file, keyed by the names in `ingest.storage.tables.types`.
    """

    text: str
    title: str | None
    parser: str
    tables: tuple[ParsedTable, ...] = ()
    layout: Layout = NO_LAYOUT
    positions: Positions = field(default_factory=Positions)
    omissions: tuple[Omission, ...] = ()
    entries: tuple[FoundEntry, ...] = ()
    found: Sequence[FoundTable] = field(default=(), repr=False)
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class EntryLimits:
    """Limits on the entries extracted from a container.

    `levels` is the number of nested container levels that may still be opened, including this one. An entry that is
    larger than `ratio_free_bytes` may inflate to at most `ratio` times its compressed size. Typical text inflates about
    10 times, and deflate's maximum is 1,032.
    """

    entries: int = 10_000
    total_bytes: int = 2 * 1024**3
    entry_bytes: int = 200_000_000
    levels: int = 3
    ratio: int = 200
    ratio_free_bytes: int = 16 * 1024**2


DEFAULT_ENTRY_LIMITS = EntryLimits()
NO_ENTRIES = EntryLimits(entries=0, total_bytes=0, entry_bytes=0, levels=0)


@dataclass(frozen=True)
class EntryReceiver:
    """Limits for the entries of a container, and the function `take`, which receives each entry and its open file."""

    room: EntryLimits
    take: Callable[[FoundEntry, BinaryIO], None]


def ignore_progress(count: int, total: int | None) -> None:
    """Do nothing. This is the default for callers that need no progress reports."""


def never_cancel() -> None:
    """Do nothing. This is the default for callers that never cancel the parser."""


class Parser(Protocol):
    """Converts files to normalized text."""

    def parse(
        self,
        path: Path,
        media_type: str,
        *,
        name: str,
        entry_receiver: EntryReceiver | None = None,
        progress: Callable[[int, int | None], None] = ignore_progress,
        check_cancelled: Callable[[], None] = never_cancel,
    ) -> ParsedDocument:
        """Parse a file. Raises a `ParseError` or `UnsupportedTypeError`.

        `name` is used only in messages. Without `entry_receiver`, the entries of a container are only listed. A few
        times a second, `progress` is called with the number of pages, slides or sheets parsed so far, and the total if
        known. `check_cancelled` is called equally often. It may raise an error, which stops the parser and is
        re-raised.
        """


class Isolation(StrEnum):
    """The confinement required for parsers: all mechanisms, or those that the machine supports."""

    REQUIRE = "require"
    BEST = "best"


_OCR_MEMORY_BYTES = 4_000_000_000
_OCR_PAGE_SECONDS = 30


@dataclass(frozen=True)
class ParserLimits:
    """The limits for parsing one document.

    `memory_bytes` limits the address space. `text_bytes` limits the UTF-8 text and each written file. `folder_bytes`
    limits all files written for a document except a container's entries: its text, the rows of its tables (which repeat
    the text), and the positions of its words (about as large as both together).

    A document with more than `pages` pages or slides is rejected before any page is read. `ocr_pages` limits the number
    of pictures in which text is recognized; each adds to the time limits. `threads` may be true only for OCR.
    """

    memory_bytes: int = 1_500_000_000
    cpu_seconds: int = 120
    wall_seconds: float = 180.0
    text_bytes: int = 200_000_000
    folder_bytes: int = 1_000_000_000
    pages: int = 20_000
    ocr_pages: int = 200
    threads: bool = False

    def with_recognition(self) -> "ParserLimits":
        """Return the limits for a document that needs OCR. The models take 2 GB, and each page several seconds."""
        return replace(
            self,
            memory_bytes=max(self.memory_bytes, _OCR_MEMORY_BYTES),
            cpu_seconds=self.cpu_seconds + _OCR_PAGE_SECONDS * self.ocr_pages,
            wall_seconds=self.wall_seconds + 2 * _OCR_PAGE_SECONDS * self.ocr_pages,
            threads=True,
        )


DEFAULT_LIMITS = ParserLimits()
