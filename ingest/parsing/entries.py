"""Takes the files out of a container, within bounds, and remembers what became of each.

This runs in the confined process. It writes each file into the process's folder under a name of ours, so that no name
in an archive is ever one on the disk; what an entry is called is cleaned, and is for people and for references alone.
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
# Said of each entry by name up to so many, and by their number beyond.
_MAX_LISTED = 20_000
_MAX_DETAILED = 100
_drive = re.compile(r"^[A-Za-z]:")


@dataclass(frozen=True)
class EntryOutcome:
    """An entry as its container lists it; `problem` says why it is no document, and is empty for one."""

    path: str
    size: int | None
    problem: str = ""
    is_limit: bool = False
    is_picture: bool = False  # one without anything to read, as the problem says

    @property
    def description(self) -> str:
        return self.problem or "a document of its own"


class UnreadableEntryError(Exception):
    """An entry cannot be read to its end; the text says why."""


class EntryFolder:
    """The files of one container. `outcomes` has a row for each entry, in their order."""

    def __init__(self, folder: Path, room: EntryRoom = NO_ROOM) -> None:
        self.found: list[FoundEntry] = []
        self.outcomes: list[EntryOutcome] = []
        self._folder = folder
        self._room = room
        self._bytes_left = room.total_bytes
        # How often each path came, so that the next of the same name need not count from the first.
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
        """Write an entry's file and return its path, cleaned and unique.

        `packed` is its size in the container, if it is known: then `EntryRoom.ratio` bounds what it may inflate to. An
        entry that cannot be taken, or whose `blocks` raise `UnreadableEntryError`, is an outcome with a problem.
        `unwanted` says of a file and its media type why it is a picture with nothing to read, if it is one.
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
        said = unwanted(self._folder / name, media_type) if unwanted else ""
        if said:
            self._bytes_left += size
            self.outcomes.append(EntryOutcome(path, size, said, is_picture=True))
            return path
        self.found.append(FoundEntry(path, name, media_type, size))
        return self._record_outcome(path, size)

    def skip(self, path: str, problem: str, size: int | None = None) -> None:
        """Note an entry that is not taken."""
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
        """Write the entries, count those that are no documents as omissions, and return the document.

        All are listed below the words `listed_as`. Without such words only those are that are no documents: the others
        are found as what they are, and their names here would be found in their place.
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
        document = writer.finish(parser, title, nothing="It holds nothing.")
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
        """Write blocks as far as the room goes. Raises `ParserLimitError` beyond, with nothing left of the file."""
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
        """Number a path that another entry has."""
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
    """Return a relative path without `..`, drives, control or direction characters; never empty.

    It names an entry to people, and is never a path on a disk; it is cleaned all the same, because people and programs
    take such names over.
    """
    text = "".join(each for each in normalize(path.replace("\\", "/")) if unicodedata.category(each)[0] != "C")
    parts = (_drive.sub("", part).strip() for part in text.split("/"))
    # guard: entry-path-cleaned
    kept = [part[:_MAX_PART_CHARS] for part in parts if part.strip(". ")][-_MAX_PATH_PARTS:]
    return "/".join(kept)[-_MAX_PATH_CHARS:].lstrip("/") or "unnamed"


def _format_reason(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:].rstrip(".")
