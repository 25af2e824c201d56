r"""Run as `python -m ingest.parsing.isolation.child`: fork one confined process for each document.

The child loads the parsers and writes a response with the id 0, which lists the available confinement mechanisms. It
then reads requests from standard input, one per line. For each request it forks a process, which drops the privileges
that it does not need (`ingest.parsing.isolation.confinement`), writes the parsed document into the folder of the
request (`ingest.parsing.isolation.handover`) and exits, so that no data of the document remains for the next one. The
response is one line on standard output, with the exit status of the process and its message.

    {"id": 1, "path": "…", "media_type": "text/html", "folder": "…", "limits": {…}, "room": null,
     "isolation": "best"}
    {"id": 1, "status": 0, "said": "{}"}  or  {…, "said": "{\"code\": …}"}  or  {…, "status": -11, "said": ""}
"""

import errno
import gc
import json
import math
import mimetypes
import os
import resource
import select
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from ingest.parsing.errors import DamagedDocumentError, NoTextError, ParserLimitError
from ingest.parsing.isolation.confinement import ALL_CONFINEMENTS, confine_process, set_parent_death_signal
from ingest.parsing.isolation.handover import RECOGNITION_NEEDED, build_text_limit_error, write_document
from ingest.parsing.isolation.progress import ProgressFile, set_progress_file
from ingest.parsing.ocr.allowance import RecognitionNeededError, set_picture_allowance
from ingest.parsing.page_images import render_page_image
from ingest.parsing.page_limit import set_page_limit
from ingest.parsing.registry import ParserFunction, find_document_tables, get_parser
from ingest.parsing.table_files import write_tables
from ingest.parsing.tables import FoundTable, build_table_spans
from ingest.parsing.types import NO_ENTRIES, EntryLimits, Isolation, ParsedDocument, ParserLimits
from ingest.storage.errors import LeadlineError, StorageFullError
from ingest.storage.queue.records import Failure
from ingest.storage.remarks import Remark
from ingest.storage.texts.layout import OmissionKind, build_omission

# Modules that are loaded once in the child, instead of in the process of each document.
_PRELOADED_MODULES = (
    "charset_normalizer",
    "ingest.parsing.office.docx",
    "ingest.parsing.office.pptx",
    "ingest.parsing.pdf.pages",
)
_SAMPLES = {
    "text/html": "<title>a</title><h1>b</h1><p>c <b>d</b></p><ul><li>e</ul><table><tr><td>f</table>",
    "text/markdown": "# a\n\nä",
    "text/csv": "a,b\n1,2\n",
}
_NO_WORDS_HINT = Remark("hint_saved_completely")
# Media types whose parsed text is the source of the file. If the file is ASCII text in UTF-16, the file is twice as
# large as its text.
_SOURCE_TYPES = frozenset({"text/plain", "text/csv", "text/markdown", "application/json"})
_MAX_SHRINK_RATIO = 2
_MAX_OPEN_FILES = 64
_MAX_MESSAGE_CHARS = 1_000
_MAX_MESSAGE_BYTES = 16_384
_PARENT_CHECK_SECONDS = 1.0
_EXIT_POLL_SECONDS = 0.002


def main(find_parser: Callable[[str, EntryLimits], ParserFunction] = get_parser) -> None:
    """Serve requests until the parent closes the pipe or exits."""
    requests, answers = os.dup(0), os.dup(1)
    # Replace standard input and output, so that libraries cannot read requests or print into responses.
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    _ignore_system_media_types()
    _warm_up()
    parent = os.getppid()
    _send_response(answers, {"id": 0, **_probe_confinement(parent, (requests, answers))})
    for line in _iter_requests(requests, parent):
        request = json.loads(line)

        def parse(request: dict[str, Any] = request) -> str:
            return json.dumps(_run_confined_request(request, find_parser))

        status, message = _run_in_forked_process(parse, parent, (requests, answers))
        _send_response(answers, {"id": request["id"], "status": status, "said": message})


def _ignore_system_media_types() -> None:
    """Make `mimetypes` use only its built-in table.

    Otherwise, its first call opens `/etc/mime.types`, which a confined process may not open, and which may map the same
    file to different types on different machines.
    """
    mimetypes.knownfiles.clear()
    mimetypes.init()


def _warm_up() -> None:
    """Load and run the code that most documents need, so that forked processes inherit it."""
    for name in _PRELOADED_MODULES:
        import_module(name)
    sample = Path("sample")
    for media_type, content in _SAMPLES.items():
        sample.write_text(content)
        get_parser(media_type)(sample)
    sample.unlink()
    gc.freeze()


def _send_response(response_fd: int, response: dict[str, Any]) -> None:
    os.write(response_fd, f"{json.dumps(response)}\n".encode())


def _iter_requests(request_fd: int, parent_pid: int) -> Iterator[bytes]:
    held = b""
    while os.getppid() == parent_pid:
        if not select.select([request_fd], [], [], _PARENT_CHECK_SECONDS)[0]:
            continue
        block = os.read(request_fd, 65_536)
        if not block:
            return
        held += block
        while b"\n" in held:
            line, _, held = held.partition(b"\n")
            yield line


def _probe_confinement(parent_pid: int, inherited_fds: tuple[int, ...]) -> dict[str, Any]:
    """Test in a separate process which confinement mechanisms are available."""
    _, message = _run_in_forked_process(
        lambda: json.dumps(confine_process(None, Path.cwd())), parent_pid, inherited_fds
    )
    return {"confined": json.loads(message or "[]")}


def _run_in_forked_process(task: Callable[[], str], parent_pid: int, inherited_fds: tuple[int, ...]) -> tuple[int, str]:
    """Run `task` in a forked process. Return its exit status (negative for a signal) and the result of `task`."""
    reading, writing = os.pipe()
    own, pid = os.getpid(), os.fork()
    if pid == 0:
        try:
            set_parent_death_signal()
            if os.getppid() != own:  # The parent exited before the child asked for a signal at the parent's exit.
                os._exit(1)
            for descriptor in (reading, *inherited_fds):
                os.close(descriptor)
            os.write(writing, task().encode())
        finally:
            os._exit(0)
    os.close(writing)
    try:
        return _wait_for_exit(pid, reading, parent_pid)
    finally:
        os.close(reading)


def _wait_for_exit(pid: int, pipe_fd: int, parent_pid: int) -> tuple[int, str]:
    message, open_ = b"", True
    while True:
        wait = _PARENT_CHECK_SECONDS if open_ else _EXIT_POLL_SECONDS
        if select.select([pipe_fd] if open_ else [], [], [], wait)[0]:
            block = os.read(pipe_fd, _MAX_MESSAGE_BYTES)
            message, open_ = message + block if len(message) < _MAX_MESSAGE_BYTES else message, bool(block)
        found, status = os.waitpid(pid, os.WNOHANG)
        if found and not open_:
            return os.waitstatus_to_exitcode(status), message[:_MAX_MESSAGE_BYTES].decode("utf-8", "replace")
        if found:  # Read the output that the process wrote before it exited.
            message += _read_remaining_output(pipe_fd)
            return os.waitstatus_to_exitcode(status), message[:_MAX_MESSAGE_BYTES].decode("utf-8", "replace")
        if os.getppid() != parent_pid:
            os._exit(1)  # When the child exits, the kernel kills the document's process.


def _read_remaining_output(pipe_fd: int) -> bytes:
    os.set_blocking(pipe_fd, False)
    with suppress(BlockingIOError):
        return os.read(pipe_fd, _MAX_MESSAGE_BYTES)
    return b""


def _run_confined_request(
    request: dict[str, Any], find_parser: Callable[[str, EntryLimits], ParserFunction]
) -> dict[str, Any]:
    path, folder, limits = Path(request["path"]), Path(request["folder"]), ParserLimits(**request["limits"])
    os.chdir(folder)
    limit_resources(limits)
    done = confine_process(path, folder, allow_hardware=limits.threads)
    if request["isolation"] == Isolation.REQUIRE and done != ALL_CONFINEMENTS:
        raise RuntimeError("a confinement mechanism that was available at startup has failed")
    if "page" in request:
        drawing = partial(render_page_image, path, request["media_type"], request["page"], request["width"])
        return _run_and_describe_error(drawing, limits)
    room = EntryLimits(**request["room"]) if request.get("room") else NO_ENTRIES
    set_progress_file(ProgressFile(folder))
    return parse_into_folder(path, request["media_type"], folder, limits, lambda kind: find_parser(kind, room))


def parse_into_folder(
    path: Path, media_type: str, folder: Path, limits: ParserLimits, find_parser: Callable[[str], ParserFunction]
) -> dict[str, Any]:
    """Parse one document into its folder. Return the error's code, detail and hint, or an empty dict on success."""
    set_page_limit(limits.pages)
    if limits.threads:
        set_picture_allowance(limits.ocr_pages)
    too_late = _build_deadline_check(limits)

    def parse() -> None:
        # guard: oversized-source
        if media_type in _SOURCE_TYPES and path.stat().st_size > _MAX_SHRINK_RATIO * limits.text_bytes:
            raise build_text_limit_error(limits.text_bytes)
        document = find_parser(media_type)(path)
        # guard: text-without-words
        if not any(map(str.isalnum, document.text)):
            raise NoTextError(Remark("no_text_letters"), hint=_NO_WORDS_HINT)
        found = find_document_tables(document, media_type)
        lost = write_tables(found, folder, is_past_deadline=too_late)
        write_document(_add_tables(document, found, lost), folder, limits.text_bytes)

    return _run_and_describe_error(parse, limits)


def _run_and_describe_error(task: Callable[[], None], limits: ParserLimits) -> dict[str, Any]:
    """Run `task`. Return the code, detail and hint of the error that it raises, or an empty dict on success."""
    try:
        task()
    except RecognitionNeededError:
        return {"code": RECOGNITION_NEEDED}
    except LeadlineError as error:
        failure = error
    except MemoryError:
        failure = ParserLimitError(Remark("parser_memory", bytes=limits.memory_bytes))
    except OSError as error:
        failure = _convert_os_error(error, limits)
    except BaseException as error:  # noqa: BLE001 - the last boundary: libraries raise anything, and Rust's panic
        failure = DamagedDocumentError(Remark("parser_failed", error=type(error).__name__))
    else:
        return {}
    return {
        "code": failure.code,
        "detail": failure.detail[:_MAX_MESSAGE_CHARS],
        "hint": failure.hint[:_MAX_MESSAGE_CHARS],
        "remarks": Failure(failure.code, failure.detail, failure.hint).remarks,
    }


def _add_tables(document: ParsedDocument, found_tables: Sequence[FoundTable], omitted_count: int) -> ParsedDocument:
    """Add the found tables to the layout if it has none, and record the number of omitted tables."""
    layout = (
        document.layout if document.layout.tables else replace(document.layout, tables=build_table_spans(found_tables))
    )
    lost = build_omission(OmissionKind.TABLE, omitted_count, [Remark("omitted_tables")])
    omissions = (lost,) if omitted_count else ()
    return replace(document, layout=layout, omissions=(*document.omissions, *omissions))


def _build_deadline_check(limits: ParserLimits) -> Callable[[], bool]:
    """Return a function that checks whether half of the time limit has passed.

    After that, no more record tables are written, so that enough time remains for the text.
    """
    used, begun = time.process_time(), time.monotonic()

    def is_past_deadline() -> bool:
        over = time.process_time() - used > limits.cpu_seconds / 2
        return over or time.monotonic() - begun > limits.wall_seconds / 2

    return is_past_deadline


def limit_resources(limits: ParserLimits) -> None:
    """Limit the memory, remaining CPU time, open files and file size of this process."""
    _set_limit(resource.RLIMIT_CORE, 0)
    if not limits.threads:
        _set_limit(resource.RLIMIT_NPROC, 0)
    _set_limit(resource.RLIMIT_NOFILE, _MAX_OPEN_FILES)
    _set_limit(resource.RLIMIT_AS, limits.memory_bytes)
    _set_limit(resource.RLIMIT_FSIZE, limits.text_bytes)
    used = time.process_time()
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (_cap_limit(math.ceil(used) + limits.cpu_seconds, hard), hard))


def _set_limit(resource_id: int, value: int) -> None:
    _, hard = resource.getrlimit(resource_id)
    value = _cap_limit(value, hard)
    resource.setrlimit(resource_id, (value, value))


def _cap_limit(value: int, hard_limit: int) -> int:
    """Return the value, capped at the hard limit, which cannot be raised."""
    return value if hard_limit == resource.RLIM_INFINITY else min(value, hard_limit)


def _convert_os_error(error: OSError, limits: ParserLimits) -> LeadlineError:
    if error.errno == errno.EFBIG:
        return build_text_limit_error(limits.text_bytes)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StorageFullError("The disk for parsed text is full.")
    if error.errno == errno.ENOMEM:
        return ParserLimitError(Remark("parser_memory", bytes=limits.memory_bytes))
    return DamagedDocumentError(Remark("parser_failed", error=type(error).__name__))


if __name__ == "__main__":
    main()
