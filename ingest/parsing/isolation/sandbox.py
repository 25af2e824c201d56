"""The `Parser` that the product uses: parsing in processes that are bounded and confined."""

import signal
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ingest.parsing.errors import (
    DamagedDocumentError,
    EncryptedDocumentError,
    NoTextError,
    ParseError,
    ParserLimitError,
    UnsupportedTypeError,
)
from ingest.parsing.isolation.confinement import ALL_CONFINEMENTS
from ingest.parsing.isolation.folder_limit import compute_folder_allowance, require_folder_within
from ingest.parsing.isolation.handover import RECOGNITION_NEEDED, HandoverError, read_document
from ingest.parsing.isolation.plain_files import NotPlainError, open_plain_file, read_plain_file
from ingest.parsing.isolation.process import CHILD_COMMAND, BadAnswerError, ChildEndedError, ParserProcess, do_nothing
from ingest.parsing.isolation.progress import read_progress
from ingest.parsing.page_images import PAGE_IMAGE_FILE
from ingest.parsing.types import (
    DEFAULT_LIMITS,
    FoundEntry,
    Isolation,
    ParsedDocument,
    ParserLimits,
    Unpacking,
    ignore_progress,
    never_cancel,
)
from ingest.storage.errors import IngestError, LeadlineError, PageNotFoundError, StorageFullError
from ingest.storage.texts.normalize import normalize_title

_MAX_MESSAGE_CHARS = 1_000
_MAX_PAGE_IMAGE_BYTES = 64_000_000
_ERROR_CLASSES: dict[str, type[LeadlineError]] = {
    kind.code: kind
    for kind in (
        DamagedDocumentError,
        EncryptedDocumentError,
        NoTextError,
        PageNotFoundError,
        ParseError,
        ParserLimitError,
        StorageFullError,
        UnsupportedTypeError,
    )
}


class ParserSandbox:
    """A parser child and its folder. For one thread at a time; threads that parse side by side have one each.

    The child is started when it is first needed, gets nothing of our environment, and ends with this process. Each
    document has a process and a folder of its own, and nothing of it is left for the next.
    """

    def __init__(
        self,
        limits: ParserLimits = DEFAULT_LIMITS,
        *,
        command: Sequence[str] = CHILD_COMMAND,
        scratch: Path | None = None,
        isolation: Isolation = Isolation.BEST,
    ) -> None:
        """Parse in processes that `command` starts; they speak as `ingest.parsing.isolation.child` does.

        Texts are handed over in `scratch`.
        """
        self._limits = limits
        self._command = command
        self._isolation = isolation
        self._folder = tempfile.TemporaryDirectory(prefix="leadline-parser-", dir=scratch)
        self._child: ParserProcess | None = None

    def get_confinements(self) -> tuple[str, ...]:
        """Return what confines a document's process on this machine. Raises `IngestError` as `parse`."""
        return self._ensure_child().confined_by

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
        """Parse a file in a process of its own; its entries are handed over before this returns.

        Raises the `ParseError`s, `UnsupportedTypeError`, `StorageFullError`, `FileNotFoundError`, `IngestError` when
        the child cannot be started, or its processes cannot be confined as is required, and what `look` raises.
        """
        path.stat()
        parsed = partial(self._parse_within, path, media_type, name, unpacking, progress, look)
        document = parsed(self._limits)
        if document is None:  # it has pictures to read
            document = parsed(self._limits.with_recognition())
        if document is None:
            raise DamagedDocumentError(f"The parser gave no usable answer on {_format_name(name)}.")
        return document

    def _parse_within(
        self,
        path: Path,
        media_type: str,
        name: str,
        unpacking: Unpacking | None,
        progress: Callable[[int, int | None], None],
        look: Callable[[], None],
        limits: ParserLimits,
    ) -> ParsedDocument | None:
        """Parse a file within limits; None if they do not do, because text is to be recognized in pictures."""
        # guard: parser-folder
        with tempfile.TemporaryDirectory(dir=self._folder.name) as folder:
            room = {"room": asdict(unpacking.room)} if unpacking else {}
            allowance = compute_folder_allowance(limits.folder_bytes, unpacking.room if unpacking else None)
            require_room = partial(require_folder_within, Path(folder), allowance, name)
            watch = _build_watch(Path(folder), progress, look, require_room)
            said = self._run_request(folder, path, media_type, name, limits, waiting=watch, **room)
            # guard: parser-folder-bytes-handed-over
            require_room()  # it may have written more since the last look
            if said.get("code") == RECOGNITION_NEEDED:
                return None
            _require_success(said)
            try:
                document = read_document(Path(folder), limits.text_bytes)
                if unpacking is not None:
                    hand_over_entries(document.entries, Path(folder), unpacking, look)
            except (HandoverError, NotPlainError) as error:
                raise DamagedDocumentError(f"The parser gave no usable answer on {_format_name(name)}.") from error
            return document

    def render_page(self, path: Path, media_type: str, page: int, width: int, *, name: str) -> bytes:
        """Return a page, counted from 1, as a PNG of that width. Raises as `parse`, and `PageNotFoundError`."""
        path.stat()
        with tempfile.TemporaryDirectory(dir=self._folder.name) as folder:
            watch = partial(require_folder_within, Path(folder), self._limits.folder_bytes, name)
            said = self._run_request(
                folder, path, media_type, name, self._limits, waiting=watch, page=page, width=width
            )
            _require_success(said)
            try:
                return read_plain_file(Path(folder, PAGE_IMAGE_FILE), _MAX_PAGE_IMAGE_BYTES)
            except (OSError, NotPlainError) as error:
                raise DamagedDocumentError(f"The parser gave no picture of {_format_name(name)}.") from error

    def _run_request(
        self,
        folder: str,
        path: Path,
        media_type: str,
        name: str,
        limits: ParserLimits,
        *,
        waiting: Callable[[], None] = do_nothing,
        **more: object,
    ) -> dict[str, Any]:
        """Have a process work on a document within limits; returns what it said, which may be an error."""
        child = self._ensure_child()
        request = {
            "path": str(path.absolute()),
            "media_type": media_type,
            "folder": folder,
            "limits": asdict(limits),
            "isolation": self._isolation.value,
            **more,
        }
        try:
            outcome = child.send_request(request, limits.wall_seconds, waiting)
        except BaseException as error:
            self.kill_child()
            if isinstance(error, TimeoutError):
                raise _build_timeout_error(name, f"{limits.wall_seconds:g} s") from error
            if isinstance(error, ChildEndedError | BadAnswerError):
                raise DamagedDocumentError(f"The parser ended on {_format_name(name)} without an answer.") from error
            raise
        if outcome.message is None or outcome.status != 0:
            raise _build_exit_error(outcome.status, name, limits)
        return outcome.message

    def close(self) -> None:
        """End the child and remove the folder."""
        self.kill_child()
        self._folder.cleanup()

    def kill_child(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ensure_child(self) -> ParserProcess:
        if self._child is not None and not self._child.is_alive():
            self.kill_child()
        if self._child is None:
            self._child = ParserProcess(self._command, Path(self._folder.name))
        missing = [each for each in ALL_CONFINEMENTS if each not in self._child.confined_by]
        # guard: required-isolation
        if missing and self._isolation is Isolation.REQUIRE:
            self.kill_child()
            raise IngestError(
                f"Parsers cannot be isolated here: this machine lacks {' and '.join(missing)}.",
                hint="Use Linux 5.13 or later on x86_64 or aarch64, or set LEADLINE_PARSER_ISOLATION=best.",
            )
        return self._child


def _build_exit_error(status: int, name: str, limits: ParserLimits) -> LeadlineError:
    if status == -signal.SIGXCPU:
        return _build_timeout_error(name, f"{limits.cpu_seconds} s of processor time")
    if status == -signal.SIGKILL:
        return ParserLimitError(f"Parsing {_format_name(name)} was killed by the system, most likely for its memory.")
    if status < 0:
        return _build_crash_error(name, -status, limits.memory_bytes)
    return DamagedDocumentError(f"The parser ended on {_format_name(name)} without an answer.")


def hand_over_entries(
    entries: Sequence[FoundEntry], folder: Path, unpacking: Unpacking, look: Callable[[], None] = never_cancel
) -> None:
    """Hand over the entries' files, no more and none larger than there is room for. Raises `HandoverError`."""
    room = unpacking.room
    # guard: handover-room
    if len(entries) > room.entries or sum(entry.size for entry in entries) > room.total_bytes:
        raise HandoverError("There are more entries than there is room for.")
    for entry in entries:
        look()
        with ExitStack() as stack:
            try:
                file = stack.enter_context(open_plain_file(folder / entry.file, entry.size))
            except (NotPlainError, OSError) as error:
                raise HandoverError("An entry has no plain file of its size.") from error
            unpacking.take(entry, file)


def _build_watch(
    folder: Path,
    progress: Callable[[int, int | None], None],
    look: Callable[[], None],
    require_room: Callable[[], None],
) -> Callable[[], None]:
    """Return what calls `look` and `require_room`, and tells `progress` what the parser has left since last time."""
    last: tuple[int, int | None] | None = None

    def watch() -> None:
        nonlocal last
        look()
        # guard: parser-folder-bytes
        require_room()
        found = read_progress(folder)
        if found is not None and found != last:
            last = found
            progress(*found)

    return watch


def _build_timeout_error(name: str, allowance: str) -> ParserLimitError:
    return ParserLimitError(f"Parsing {_format_name(name)} took more than {allowance} and was stopped.")


def _build_crash_error(name: str, number: int, memory_bytes: int) -> DamagedDocumentError:
    """Word a crash. C libraries crash on damage, many also when memory runs out; from outside the two look the same."""
    reason = signal.strsignal(number) or f"signal {number}"
    return DamagedDocumentError(
        f"The parser crashed on {_format_name(name)} ({reason}): it is damaged, or needs more than "
        f"{memory_bytes:,} bytes of memory.",
        hint="Export it again from its own program, or split it into smaller files.",
    )


def _require_success(said: Mapping[str, Any]) -> None:
    """Raise the error that a document's process told."""
    if "code" in said:
        raise _build_error(said)


def _build_error(answer: Mapping[str, Any]) -> LeadlineError:
    kind = _ERROR_CLASSES.get(str(answer["code"]), DamagedDocumentError)
    return kind(
        str(answer.get("detail", ""))[:_MAX_MESSAGE_CHARS], hint=str(answer.get("hint", ""))[:_MAX_MESSAGE_CHARS]
    )


def _format_name(name: str) -> str:
    return normalize_title(name) or "the document"
