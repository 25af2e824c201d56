"""`python -m ingest.parsing.child`: the process that touches hostile bytes.

It says that it is ready with an answer to no request, number 0. Then it reads one request a line on its standard input
and answers each with a line on its standard output, until the input ends. `ingest.parsing.handover` puts the document
into the folder that the request names.

    {"id": 1, "path": "…", "media_type": "text/html", "folder": "…", "limits": {…}}
    {"id": 1}  or  {"id": 1, "code": "no_text", "detail": "…", "hint": "…"}
"""

import errno
import json
import math
import os
import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ingest.errors import DamagedDocumentError, LeadlineError, ParserLimitError, StorageFullError
from ingest.parsing.handover import too_much_text, write_document
from ingest.parsing.registry import ParserFunction, parser_for, table_finder_for
from ingest.parsing.table_files import write_tables
from ingest.parsing.types import ParserLimits

_OPEN_FILES = 64
_MESSAGE_CHARS = 1_000
_PARENT_CHECK_SECONDS = 1.0


def main(find_parser: Callable[[str], ParserFunction] = parser_for) -> None:
    """Serve until the parent closes the pipe or dies."""
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # A library that prints must not write into our answers, nor one that reads eat requests.
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    print(json.dumps({"id": 0}), file=answers, flush=True)  # ready
    for line in requests:
        request = json.loads(line)
        print(json.dumps({"id": request["id"], **answer(request, find_parser)}), file=answers, flush=True)


def answer(request: dict[str, Any], find_parser: Callable[[str], ParserFunction]) -> dict[str, str]:
    """Parse one document; returns nothing if it is in its folder, else the code, detail and hint of the error."""
    limits = ParserLimits(**request["limits"])
    restrict(limits)
    too_late = _lateness(limits)
    try:
        document = find_parser(request["media_type"])(Path(request["path"]))
        write_document(document, Path(request["folder"]), limits.text_bytes)
        found = table_finder_for(request["media_type"])(document.text)
        write_tables(found, Path(request["folder"]), too_late=too_late)
    except LeadlineError as error:
        failure = error
    except MemoryError:
        failure = ParserLimitError(f"Parsing needs more than {limits.memory_bytes:,} bytes of memory.")
    except OSError as error:
        failure = _of_os_error(error, limits)
    except Exception as error:  # noqa: BLE001 - the last boundary: hostile bytes make libraries raise anything
        failure = DamagedDocumentError(f"The parser failed on this file ({type(error).__name__}).")
    else:
        return {}
    return {"code": failure.code, "detail": failure.detail[:_MESSAGE_CHARS], "hint": failure.hint[:_MESSAGE_CHARS]}


def _lateness(limits: ParserLimits) -> Callable[[], bool]:
    """Says when half of a limit on time has gone: then record tables are given up, and the text is not."""
    used, begun = time.process_time(), time.monotonic()

    def too_late() -> bool:
        over = time.process_time() - used > limits.cpu_seconds / 2
        return over or time.monotonic() - begun > limits.wall_seconds / 2

    return too_late


def restrict(limits: ParserLimits) -> None:
    """Bound this process. CPU time counts from now, so a process that has served many documents is not short of it."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NPROC, 0)
    _limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _limit(resource.RLIMIT_AS, limits.memory_bytes)
    _limit(resource.RLIMIT_FSIZE, limits.text_bytes)
    used = time.process_time()
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (_lower(math.ceil(used) + limits.cpu_seconds, hard), hard))


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    value = _lower(value, hard)
    resource.setrlimit(kind, (value, value))


def _lower(value: int, hard: int) -> int:
    """Lower a limit; the machine may already allow less, and a limit cannot be raised again."""
    return value if hard == resource.RLIM_INFINITY else min(value, hard)


def _of_os_error(error: OSError, limits: ParserLimits) -> LeadlineError:
    if error.errno == errno.EFBIG:
        return too_much_text(limits.text_bytes)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StorageFullError("The disk that parsed text is written to is full.")
    if error.errno == errno.ENOMEM:
        return ParserLimitError(f"Parsing needs more than {limits.memory_bytes:,} bytes of memory.")
    return DamagedDocumentError(f"The parser failed on this file ({type(error).__name__}).")


def _end_with_parent(parent: int) -> None:
    """End this process with its parent. The end of the input is seen only between documents, which a hung parser never
    reaches."""
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
