"""Parse documents in confined processes with limits. `ParserSandbox` is the `Parser` that the product uses."""

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
from ingest.parsing.isolation.folder_limit import compute_max_folder_bytes, require_folder_size_at_most
from ingest.parsing.isolation.handover import RECOGNITION_NEEDED, HandoverError, read_document
from ingest.parsing.isolation.plain_files import NotRegularFileError, open_regular_file, read_regular_file
from ingest.parsing.isolation.process import (
    CHILD_COMMAND,
    ChildExitedError,
    InvalidResponseError,
    ParserProcess,
    do_nothing,
)
from ingest.parsing.isolation.progress import read_progress
from ingest.parsing.page_images import PAGE_IMAGE_FILE
from ingest.parsing.types import (
    DEFAULT_LIMITS,
    EntryReceiver,
    FoundEntry,
    Isolation,
    ParsedDocument,
    ParserLimits,
    ignore_progress,
    never_cancel,
)
from ingest.storage.errors import IngestError, LeadlineError, PageNotFoundError, StorageFullError
from ingest.storage.queue.records import Failure
from ingest.storage.remarks import Remark
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
    """A parser child and its folder. Not thread-safe: each thread that parses needs its own instance.

    The child is started on first use, inherits no environment variables, and exits with this process. Each document is
    parsed in its own process and folder, so that no data remains for the next document.

        with ParserSandbox() as parser:
            document = parser.parse(path, "application/pdf", name="tides.pdf")
    """

    def __init__(
        self,
        limits: ParserLimits = DEFAULT_LIMITS,
        *,
        command: Sequence[str] = CHILD_COMMAND,
        scratch_folder: Path | None = None,
        isolation: Isolation = Isolation.BEST,
    ) -> None:
        """Create a sandbox. `command` must implement the protocol of `ingest.parsing.isolation.child`.

        Parsed documents are passed in folders below `scratch_folder`.
        """
        self._limits = limits
        self._command = command
        self._isolation = isolation
        self._folder = tempfile.TemporaryDirectory(prefix="leadline-parser-", dir=scratch_folder)
        self._child: ParserProcess | None = None

    def list_confinements(self) -> tuple[str, ...]:
        """Return the mechanisms that confine parsers on this machine. Raises `IngestError` like `parse`."""
        return self._ensure_child().confined_by

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
        """Parse a file in a separate process, and pass its entries to `entry_receiver`.

        Raises a `ParseError`, `UnsupportedTypeError`, `StorageFullError`, `FileNotFoundError`, any error raised by
        `check_cancelled`, and `IngestError` if the child cannot be started or the required confinement is unavailable.
        """
        path.stat()
        parsed = partial(self._parse_with_limits, path, media_type, name, entry_receiver, progress, check_cancelled)
        document = parsed(self._limits)
        if document is None:  # The document's pictures need OCR.
            document = parsed(self._limits.with_recognition())
        if document is None:
            raise DamagedDocumentError(Remark("parser_unusable", name=_format_name(name)))
        return document

    def _parse_with_limits(
        self,
        path: Path,
        media_type: str,
        name: str,
        entry_receiver: EntryReceiver | None,
        progress: Callable[[int, int | None], None],
        check_cancelled: Callable[[], None],
        limits: ParserLimits,
    ) -> ParsedDocument | None:
        """Parse a file within limits. Returns None if it needs OCR, which `limits` do not allow."""
        # guard: parser-folder
        with tempfile.TemporaryDirectory(dir=self._folder.name) as folder:
            room = {"room": asdict(entry_receiver.room)} if entry_receiver else {}
            allowance = compute_max_folder_bytes(limits.folder_bytes, entry_receiver.room if entry_receiver else None)
            require_room = partial(require_folder_size_at_most, Path(folder), allowance, name)
            watch = _build_wait_callback(Path(folder), progress, check_cancelled, require_room)
            reply = self._run_request(folder, path, media_type, name, limits, wait_callback=watch, **room)
            # guard: parser-folder-bytes-handed-over
            require_room()  # The process may have written more since the last check.
            if reply.get("code") == RECOGNITION_NEEDED:
                return None
            _require_success(reply)
            try:
                document = read_document(Path(folder), limits.text_bytes)
                if entry_receiver is not None:
                    pass_entries(document.entries, Path(folder), entry_receiver, check_cancelled)
            except (HandoverError, NotRegularFileError) as error:
                raise DamagedDocumentError(Remark("parser_unusable", name=_format_name(name))) from error
            return document

    def render_page(self, path: Path, media_type: str, page: int, width: int, *, name: str) -> bytes:
        """Render a page, counted from 1, as a PNG that is `width` pixels wide.

        Raises the same errors as `parse`, and `PageNotFoundError`.
        """
        path.stat()
        with tempfile.TemporaryDirectory(dir=self._folder.name) as folder:
            watch = partial(require_folder_size_at_most, Path(folder), self._limits.folder_bytes, name)
            reply = self._run_request(
                folder, path, media_type, name, self._limits, wait_callback=watch, page=page, width=width
            )
            _require_success(reply)
            try:
                return read_regular_file(Path(folder, PAGE_IMAGE_FILE), _MAX_PAGE_IMAGE_BYTES)
            except (OSError, NotRegularFileError) as error:
                raise DamagedDocumentError(Remark("parser_unusable", name=_format_name(name))) from error

    def _run_request(
        self,
        folder: str,
        path: Path,
        media_type: str,
        name: str,
        limits: ParserLimits,
        *,
        wait_callback: Callable[[], None] = do_nothing,
        **fields: object,
    ) -> dict[str, Any]:
        """Run a request within limits. Return the message of the document's process, which may describe an error."""
        child = self._ensure_child()
        request = {
            "path": str(path.absolute()),
            "media_type": media_type,
            "folder": folder,
            "limits": asdict(limits),
            "isolation": self._isolation.value,
            **fields,
        }
        try:
            outcome = child.send_request(request, limits.wall_seconds, wait_callback)
        except BaseException as error:
            self.kill_child()
            if isinstance(error, TimeoutError):
                time_limit = Remark("parser_wall_time", seconds=f"{limits.wall_seconds:g}")
                raise _build_timeout_error(name, time_limit) from error
            if isinstance(error, ChildExitedError | InvalidResponseError):
                raise DamagedDocumentError(Remark("parser_ended", name=_format_name(name))) from error
            raise
        if outcome.message is None or outcome.status != 0:
            raise _build_exit_error(outcome.status, name, limits)
        return outcome.message

    def close(self) -> None:
        """Kill the child and remove the folder."""
        self.kill_child()
        self._folder.cleanup()

    def kill_child(self) -> None:
        """Kill the child. The next request starts a new one."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None
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
        return _build_timeout_error(name, Remark("parser_cpu_time", seconds=str(limits.cpu_seconds)))
    if status == -signal.SIGKILL:
        return ParserLimitError(Remark("parser_killed", name=_format_name(name)))
    if status < 0:
        return _build_crash_error(name, -status, limits.memory_bytes)
    return DamagedDocumentError(Remark("parser_ended", name=_format_name(name)))


def pass_entries(
    entries: Sequence[FoundEntry],
    folder: Path,
    receiver: EntryReceiver,
    check_cancelled: Callable[[], None] = never_cancel,
) -> None:
    """Pass the files of the entries to `receiver`, within its limits on number and size.

    Raises `HandoverError` if an entry is invalid or a limit is exceeded.
    """
    room = receiver.room
    # guard: handover-room
    if len(entries) > room.entries or sum(entry.size for entry in entries) > room.total_bytes:
        raise HandoverError("The entries are too many or too large.")
    for entry in entries:
        check_cancelled()
        with ExitStack() as stack:
            try:
                file = stack.enter_context(open_regular_file(folder / entry.file, entry.size))
            except (NotRegularFileError, OSError) as error:
                raise HandoverError(
                    "The file of an entry is missing, is not a regular file, or is too large."
                ) from error
            receiver.take(entry, file)


def _build_wait_callback(
    folder: Path,
    progress: Callable[[int, int | None], None],
    check_cancelled: Callable[[], None],
    check_folder_size: Callable[[], None],
) -> Callable[[], None]:
    """Return a function that checks for cancellation and the folder's size, and reports new progress."""
    last: tuple[int, int | None] | None = None

    def watch() -> None:
        nonlocal last
        check_cancelled()
        # guard: parser-folder-bytes
        check_folder_size()
        found = read_progress(folder)
        if found is not None and found != last:
            last = found
            progress(*found)

    return watch


def _build_timeout_error(name: str, time_limit: str) -> ParserLimitError:
    return ParserLimitError(Remark("parser_time", name=_format_name(name), limit=time_limit))


def _build_crash_error(name: str, signal_number: int, memory_bytes: int) -> DamagedDocumentError:
    """Build the error for a crash of the document's process.

    C libraries crash on damaged files and when memory runs out, and the parent cannot tell the two cases apart.
    """
    reason = signal.strsignal(signal_number) or f"signal {signal_number}"
    return DamagedDocumentError(
        Remark("parser_crashed", name=_format_name(name), reason=reason, bytes=memory_bytes),
        hint=Remark("hint_export_or_split"),
    )


def _require_success(response: Mapping[str, Any]) -> None:
    """Raise the error that the document's process reported, if any."""
    if "code" in response:
        raise _build_error(response)


def _build_error(response: Mapping[str, Any]) -> LeadlineError:
    kind = _ERROR_CLASSES.get(str(response["code"]), DamagedDocumentError)
    detail, hint = (str(response.get(name, ""))[:_MAX_MESSAGE_CHARS] for name in ("detail", "hint"))
    remarks = response.get("remarks")
    failure = Failure.from_columns(kind.code, detail, hint, remarks if isinstance(remarks, dict) else None)
    return kind(failure.detail, hint=failure.hint)


def _format_name(name: str) -> str:
    return normalize_title(name) or Remark("the_document")
