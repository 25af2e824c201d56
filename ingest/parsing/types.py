"""The parser's port, its result, and its limits."""

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
    """A file that a container's parser took out of it: its path there, its file's name in the parser's folder."""

    path: str
    file: str
    media_type: str
    size: int


@dataclass(frozen=True)
class ParsedDocument:
    """A document's normalized text; every span of the product is a half-open span of code points in `text`.

    `parser` is the name and version of what made it. `tables` are the record tables whose rows the text holds, in
    reading order. `positions` say where each piece of the text stands in its file, as far as its format knows, and
    `omissions` what of the file is not in the text. `found` are the tables as a parser left them that knows where their
    rows are; they are typed and become `tables` before the document leaves the parser's process. `entries` are the
    files in a container. `properties` are what the file says of itself, by the names in `ingest.storage.tables.types`.
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
class EntryRoom:
    """How much may be taken out of a container.

    `levels` counts the containers in containers that are still opened, this one included. An entry of more than
    `ratio_free_bytes` may be `ratio` times its packed size: deflate makes at most 1,032 of 1, and text about 10.
    """

    entries: int = 10_000
    total_bytes: int = 2 * 1024**3
    entry_bytes: int = 200_000_000
    levels: int = 3
    ratio: int = 200
    ratio_free_bytes: int = 16 * 1024**2


DEFAULT_ROOM = EntryRoom()
NO_ROOM = EntryRoom(entries=0, total_bytes=0, entry_bytes=0, levels=0)


@dataclass(frozen=True)
class Unpacking:
    """What a container's entries are taken for: `take` is called with each and its open file, while there is room."""

    room: EntryRoom
    take: Callable[[FoundEntry, BinaryIO], None]


def ignore_progress(done: int, total: int | None) -> None:
    """Tells nobody how far a parser is."""


def never_cancel() -> None:
    """Lets a parser go on."""


class Parser(Protocol):
    """Turns an accepted file into text."""

    def parse(
        self,
        path: Path,
        media_type: str,
        *,
        name: str,
        unpacking: Unpacking | None = None,
        progress: Callable[[int, int | None], None] = ignore_progress,
        look: Callable[[], None] = never_cancel,
    ) -> ParsedDocument:
        """Parse a file; `name` is for messages only. Raises the `ParseError`s and `UnsupportedTypeError`.

        Entries of a container are only listed without `unpacking`. `progress` is told the pages, slides or sheets that
        are done, and of how many if that is known, a few times in a second. `look` is called as often; an error that
        it raises ends the parser at once, and is raised here.
        """


class Isolation(StrEnum):
    """How much a parser's process must be confined by the kernel: by all of it, or by what this machine has."""

    REQUIRE = "require"
    BEST = "best"


_OCR_MEMORY_BYTES = 4_000_000_000
_OCR_PAGE_SECONDS = 30


@dataclass(frozen=True)
class ParserLimits:
    """The limits for one document. Memory is address space; `text_bytes` bounds the UTF-8 text and any file written.

    `folder_bytes` bounds all files that are written for a document, besides a container's entries: its text, the
    rows of its tables, which repeat the text, and where the words are, which takes about as much as both.

    A document of more than `pages` pages or slides is refused before any of them is read. `ocr_pages` bounds the
    pictures in which text is recognized, each of which adds to the limits on time. Only a process that does so has
    `threads`.
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
        """Return the limits for a document with pictures to read: the models need 2 GB, and a page takes seconds."""
        return replace(
            self,
            memory_bytes=max(self.memory_bytes, _OCR_MEMORY_BYTES),
            cpu_seconds=self.cpu_seconds + _OCR_PAGE_SECONDS * self.ocr_pages,
            wall_seconds=self.wall_seconds + 2 * _OCR_PAGE_SECONDS * self.ocr_pages,
            threads=True,
        )


DEFAULT_LIMITS = ParserLimits()
