"""Extract the files of a container within limits, and record the outcome of each.

This runs in the confined process. Each file is written into the process's folder under a generated name, so that no
name from an archive ever becomes a path on the disk. The entry's own name is cleaned and used only for display and
references.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ingest.parsing.errors import ParserLimitError, UnsupportedTypeError
from ingest.parsing.sniff import sniff_file
from ingest.parsing.types import NO_ROOM, EntryRoom, FoundEntry, ParsedDocument
from ingest.parsing.writer import DocumentWriter
from ingest.storage.texts.layout import OmissionKind
from ingest.storage.texts.normalize import normalize

_MAX_PATH_CHARS = 500
_MAX_PART_CHARS = 200
_MAX_PATH_PARTS = 30
# At most this many entries are listed by name. Further entries are only counted.
_MAX_LISTED = 20_000
_MAX_DETAILED = 100
_drive = re.compile(r"^[A-Za-z]:")


@dataclass(frozen=True)
class EntryOutcome:
    """The outcome for one entry of a container.

    `problem` explains why the entry is not a document, and is empty if it is one.
    """

    path: str
    size: int | None
    problem: str = ""
    is_limit: bool = False
    is_picture: bool = False  # a picture without text

    @property
    def description(self) -> str:
        return self.problem or "a document of its own"


class UnreadableEntryError(Exception):
    """An entry cannot be read completely. The message gives the reason."""


class EntryFolder:
    """The files of one container. `outcomes` has one item for each entry, in the same order."""

    def __init__(self, folder: Path, room: EntryRoom = NO_ROOM) -> None:
        self.found: list[FoundEntry] = []
        self.outcomes: list[EntryOutcome] = []
        self._folder = folder
        self._room = room
        self._bytes_left = room.total_bytes
        # Counts the entries with each path, so that the search for a duplicate's number need not start from 1.
        self._paths: dict[str, int] = {}

    def add(
        self,
        path: str,
        blocks: Iterable[bytes],
        *,
        declared: str | None = None,
        packed: int | None = None,
        unwanted: Callable[[Path, str], str] | None = None,
    ) -> str:
        """Write the file of an entry. Return the entry's path, cleaned and made unique.

        `packed` is the entry's size in the container, if known. `EntryRoom.ratio` then limits the size to which the
        entry may inflate. An entry that cannot be extracted, or whose `blocks` raise `UnreadableEntryError`, is
        recorded as an outcome with a problem. `unwanted` is called with the file and its media type. If the file is a
        picture without text, `unwanted` returns the reason for not making it a document.
        """
        path = self._number_path(clean_path(path))
        problem = self._explain_refusal()
        if problem:
            return self._record_outcome(path, None, problem, is_limit=True)
        name = f"entry-{len(self.found)}"
        try:
            size = self._write_file(self._folder / name, blocks, packed)
            if not size:
                return self._record_outcome(path, 0, "empty")
            with (self._folder / name).open("rb") as file:
                media_type = sniff_file(file, path, declared)
        except ParserLimitError as error:
            return self._record_outcome(path, None, error.detail, is_limit=True)
        except UnreadableEntryError as error:
            return self._record_outcome(path, None, str(error))
        except UnsupportedTypeError as error:
            return self._record_outcome(path, size, _format_reason(error.detail))
        reason = unwanted(self._folder / name, media_type) if unwanted else ""
        if reason:
            self._bytes_left += size
            self.outcomes.append(EntryOutcome(path, size, reason, is_picture=True))
            return path
        self.found.append(FoundEntry(path, name, media_type, size))
        return self._record_outcome(path, size)

    def skip(self, path: str, problem: str, size: int | None = None) -> None:
        """Record an entry that is not extracted."""
        self._record_outcome(self._number_path(clean_path(path)), size, problem)

    def finish(
        self,
        writer: DocumentWriter,
        parser: str,
        title: str | None = None,
        *,
        listed_as: str = "",
        properties: Mapping[str, str] | None = None,
    ) -> ParsedDocument:
        """Write the list of entries, count those that are not documents as omissions, and return the document.

        With `listed_as`, all entries are listed below that line. Otherwise, only entries that are not documents are
        listed: searches should find the other entries by their own content, not by their names in this list.
        """
        listed = self.outcomes if listed_as else [each for each in self.outcomes if each.problem]
        if listed:
            writer.write_paragraph(listed_as or "Not taken:")
        for each in listed[:_MAX_LISTED]:
            size = "" if each.size is None else f" ({each.size:,} bytes)"
            writer.write_item(f"{each.path}{size}: {each.description}")
        if len(listed) > _MAX_LISTED:
            writer.write_paragraph(f"And {len(listed) - _MAX_LISTED:,} more.")
        failed = [each for each in self.outcomes if each.problem and not each.is_picture]
        pictures = sum(each.is_picture for each in self.outcomes)
        if pictures:
            writer.record_omission(OmissionKind.IMAGE, pictures)
        for number, each in enumerate(failed):
            writer.record_omission(
                OmissionKind.ENTRY, 1, f"{each.path}: {each.problem}" if number < _MAX_DETAILED else ""
            )
        document = writer.finish(parser, title, nothing="It is empty.")
        return replace(document, entries=tuple(self.found), properties=properties or {})

    def _explain_refusal(self) -> str:
        # guard: container-depth
        if self._room.levels < 1:
            return "not opened: containers in containers are opened a few levels deep"
        if len(self.found) >= self._room.entries:
            return f"not taken: {self._room.entries:,} entries are taken at most"
        if self._bytes_left <= 0:
            return f"not taken: entries of {self._room.total_bytes:,} bytes together are taken at most"
        return ""

    def _write_file(self, file: Path, blocks: Iterable[bytes], packed: int | None) -> int:
        """Write blocks as long as the limits allow.

        If a limit is exceeded, truncate the file to zero bytes and raise `ParserLimitError`.
        """
        most = min(self._room.entry_bytes, self._bytes_left)
        inflated = None if packed is None else max(self._room.ratio_free_bytes, packed * self._room.ratio)
        size = 0
        with file.open("wb") as target:
            try:
                for block in blocks:
                    size += len(block)
                    if size > most:
                        raise ParserLimitError(f"not taken: it is larger than {most:,} bytes")
                    # guard: entry-inflation-ratio
                    if inflated is not None and size > inflated:
                        raise ParserLimitError(f"not taken: it inflates to more than {self._room.ratio} times its size")
                    target.write(block)
            except BaseException:
                target.truncate(0)
                raise
        self._bytes_left -= size
        return size

    def _record_outcome(self, path: str, size: int | None, problem: str = "", *, is_limit: bool = False) -> str:
        self.outcomes.append(EntryOutcome(path, size, problem, is_limit))
        return path

    def _number_path(self, path: str) -> str:
        """Add a number to a path if another entry already has that path."""
        stem, dot, suffix = path.rpartition(".")
        number = self._paths.get(path.casefold(), 0)
        unique = path
        while number:
            number += 1
            unique = f"{stem} ({number}){dot}{suffix}" if stem and "/" not in suffix else f"{path} ({number})"
            if unique.casefold() not in self._paths:
                break
        self._paths[path.casefold()] = max(1, number)
        self._paths.setdefault(unique.casefold(), 1)
        return unique


def clean_path(path: str) -> str:
    """Return a relative path without `..`, drives, control characters or direction characters. It is never empty.

    The path is only a display name and is never used as a path on disk. It is cleaned because users and programs may
    reuse such names as paths.
    """
    text = "".join(each for each in normalize(path.replace("\\", "/")) if unicodedata.category(each)[0] != "C")
    parts = (_drive.sub("", part).strip() for part in text.split("/"))
    # guard: entry-path-cleaned
    kept = [part[:_MAX_PART_CHARS] for part in parts if part.strip(". ")][-_MAX_PATH_PARTS:]
    return "/".join(kept)[-_MAX_PATH_CHARS:].lstrip("/") or "unnamed"


def _format_reason(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:].rstrip(".")
