"""Extract the files of a container within limits, and record the outcome of each.

This runs in the confined process. Each file is written into the process's folder under a generated name, so that names
from an archive never become paths on disk. They are cleaned, and used only for display and references.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ingest.parsing.errors import ParserLimitError, UnsupportedTypeError
from ingest.parsing.sniff import sniff_file_type
from ingest.parsing.types import NO_ENTRIES, EntryLimits, FoundEntry, ParsedDocument
from ingest.parsing.writer import DocumentWriter
from ingest.storage.remarks import Remark
from ingest.storage.texts.layout import OmissionKind
from ingest.storage.texts.normalize import normalize

_MAX_PATH_CHARS = 500
_MAX_PART_CHARS = 200
_MAX_PATH_PARTS = 30
# Maximum number of entries listed by name. Further entries are only counted.
_MAX_LISTED = 20_000
_MAX_DETAILED = 100
_drive = re.compile(r"^[A-Za-z]:")


@dataclass(frozen=True)
class EntryOutcome:
    """The outcome for one entry of a container.

    `problem` explains why the entry did not become a document. It is empty if it did.
    """

    path: str
    size: int | None
    problem: str = ""
    is_limit: bool = False
    is_picture: bool = False  # True for a picture without text.

    @property
    def description(self) -> str:
        return self.problem or "a document of its own"


# The codes of the reasons within a sentence.
_REASONS = {"content_looks_like": "entry_looks_like", "content_looks_like_picture": "entry_looks_like_picture"}


class UnreadableEntryError(Exception):
    """An entry cannot be read completely. The message states the reason."""


class EntryFolder:
    """The extracted files of one container. `outcomes` has one item per entry, in the order of the entries."""

    def __init__(self, folder: Path, limits: EntryLimits = NO_ENTRIES) -> None:
        self.found: list[FoundEntry] = []
        self.outcomes: list[EntryOutcome] = []
        self._folder = folder
        self._room = limits
        self._bytes_left = limits.total_bytes
        # The highest number given to a duplicate of each path, so that the next search starts there.
        self._paths: dict[str, int] = {}

    def add_entry(
        self,
        path: str,
        blocks: Iterable[bytes],
        *,
        declared_type: str | None = None,
        packed_size: int | None = None,
        picture_filter: Callable[[Path, str], str] | None = None,
    ) -> str:
        """Write the file of an entry, and return the entry's path, cleaned and made unique.

        `packed_size` is the entry's compressed size, if known; `EntryLimits.ratio` then limits how far the entry may
        inflate. If the entry cannot be extracted, or `blocks` raises `UnreadableEntryError`, the problem is recorded as
        the outcome. `picture_filter` is called with the file and its media type. If the file is a picture without text,
        it returns the reason for not making it a document, otherwise an empty string.
        """
        path = self._make_path_unique(clean_path(path))
        problem = self._describe_exceeded_limit()
        if problem:
            return self._record_outcome(path, None, problem, is_limit=True)
        name = f"entry-{len(self.found)}"
        try:
            size = self._write_file(self._folder / name, blocks, packed_size)
            if not size:
                return self._record_outcome(path, 0, Remark("entry_empty"))
            with (self._folder / name).open("rb") as file:
                media_type = sniff_file_type(file, path, declared_type)
        except ParserLimitError as error:
            return self._record_outcome(path, None, error.detail, is_limit=True)
        except UnreadableEntryError as error:
            return self._record_outcome(path, None, error.args[0])
        except UnsupportedTypeError as error:
            return self._record_outcome(path, size, _format_reason(error.detail))
        reason = picture_filter(self._folder / name, media_type) if picture_filter else ""
        if reason:
            self._bytes_left += size
            self.outcomes.append(EntryOutcome(path, size, reason, is_picture=True))
            return path
        self.found.append(FoundEntry(path, name, media_type, size))
        return self._record_outcome(path, size)

    def record_skipped_entry(self, path: str, problem: str, size: int | None = None) -> None:
        """Record an entry that is not extracted."""
        self._record_outcome(self._make_path_unique(clean_path(path)), size, problem)

    def build_document(
        self,
        writer: DocumentWriter,
        parser: str,
        title: str | None = None,
        *,
        list_heading: str = "",
        properties: Mapping[str, str] | None = None,
    ) -> ParsedDocument:
        """Write the list of entries, record those that did not become documents as omissions, and return the document.

        If `list_heading` is given, all entries are listed below that line. Otherwise, only the entries that did not
        become documents are listed, because a search should find the others by their content and not by their names
        here.
        """
        listed = self.outcomes if list_heading else [each for each in self.outcomes if each.problem]
        if listed:
            writer.write_paragraph(list_heading or "Not taken:")
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
                OmissionKind.ENTRY,
                1,
                Remark("omitted_in_file", path=each.path, problem=each.problem) if number < _MAX_DETAILED else "",
            )
        document = writer.finish(parser, title, empty_message="It is empty.")
        return replace(document, entries=tuple(self.found), properties=properties or {})

    def _describe_exceeded_limit(self) -> str:
        # guard: container-depth
        if self._room.levels < 1:
            return Remark("entry_levels")
        if len(self.found) >= self._room.entries:
            return Remark("entry_count", entries=self._room.entries)
        if self._bytes_left <= 0:
            return Remark("entry_total", bytes=self._room.total_bytes)
        return ""

    def _write_file(self, path: Path, blocks: Iterable[bytes], packed_size: int | None) -> int:
        """Write the blocks and return their total size.

        If a limit is exceeded, the file is truncated to zero bytes and `ParserLimitError` is raised.
        """
        most = min(self._room.entry_bytes, self._bytes_left)
        inflated = None if packed_size is None else max(self._room.ratio_free_bytes, packed_size * self._room.ratio)
        size = 0
        with path.open("wb") as target:
            try:
                for block in blocks:
                    size += len(block)
                    if size > most:
                        raise ParserLimitError(Remark("entry_too_large", bytes=most))
                    # guard: entry-inflation-ratio
                    if inflated is not None and size > inflated:
                        raise ParserLimitError(Remark("entry_ratio", ratio=self._room.ratio))
                    target.write(block)
            except BaseException:
                target.truncate(0)
                raise
        self._bytes_left -= size
        return size

    def _record_outcome(self, path: str, size: int | None, problem: str = "", *, is_limit: bool = False) -> str:
        self.outcomes.append(EntryOutcome(path, size, problem, is_limit))
        return path

    def _make_path_unique(self, path: str) -> str:
        """Return the path, with a number if another entry already has the same path."""
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
    """Return a relative path without `..`, drive letters, or control and formatting characters. It is never empty.

    The result is a display name and is never used as a path on disk. It is cleaned because clients may use it as one.
    """
    text = "".join(each for each in normalize(path.replace("\\", "/")) if unicodedata.category(each)[0] != "C")
    parts = (_drive.sub("", part).strip() for part in text.split("/"))
    # guard: entry-path-cleaned
    kept = [part[:_MAX_PART_CHARS] for part in parts if part.strip(". ")][-_MAX_PATH_PARTS:]
    return "/".join(kept)[-_MAX_PATH_CHARS:].lstrip("/") or "unnamed"


def _format_reason(detail: str) -> str:
    if isinstance(detail, Remark) and detail.code in _REASONS:
        return Remark(_REASONS[detail.code], **detail.values)
    return detail[:1].lower() + detail[1:].rstrip(".")
