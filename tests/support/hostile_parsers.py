"""A parser child with the product's parsers and these besides; run as a program, it stands in for the product's child.

Each does harm for a bounded time and then returns its name, so a test of a limit fails where the limit is missing.
"""

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ingest.errors import ParserLimitError
from ingest.parsing import child
from ingest.parsing.registry import ParserFunction, parser_for
from ingest.parsing.types import ParsedDocument

SLEEPER = ("/bin/sleep", "20.0731")
COMMAND = (sys.executable, "-I", str(Path(__file__)))


def spin() -> None:
    until = time.process_time() + 20
    while time.process_time() < until:
        pass


def sleep() -> None:
    """The file in the working folder says that it has begun."""
    Path("asleep").touch()
    time.sleep(20)


def sleep_beside_a_child_of_its_own() -> None:
    subprocess.Popen(SLEEPER)
    sleep()


def eat_memory() -> None:
    blocks = [bytes(1_000_000) for _ in range(1_000)]
    del blocks


def write_a_large_file() -> None:
    with Path("large").open("wb") as file:
        for _ in range(20):
            file.write(bytes(1_000_000))


def end_quietly() -> None:
    os._exit(0)


def crash() -> None:
    ctypes.string_at(0)


def be_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def recurse() -> None:
    recurse()


def chatter() -> None:
    sys.stdout.write('{"id": 1}\n')
    sys.stdout.flush()
    os.write(1, b'{"id": 1, "code": "no_text"}\n')
    os.read(0, 1_000)


def take_over() -> None:
    """From now on the child claims to have written texts and writes none."""
    vars(child)["write_document"] = lambda *_: None


def complain_at_length() -> None:
    raise ParserLimitError("x" * 100_000)


HOSTILE: dict[str, Callable[[], None]] = {
    f"test/{act.__name__.replace('_', '-')}": act
    for act in (
        spin,
        sleep,
        sleep_beside_a_child_of_its_own,
        eat_memory,
        write_a_large_file,
        end_quietly,
        crash,
        be_killed,
        recurse,
        chatter,
        take_over,
        complain_at_length,
    )
}


def _long_text(path: Path) -> ParsedDocument:
    return ParsedDocument("x" * 5_000_000, (), None, "test")


def _environment(path: Path) -> ParsedDocument:
    return ParsedDocument("\n".join(f"{name}={value}" for name, value in os.environ.items()), (), None, "test")


def _limits(path: Path) -> ParsedDocument:
    kinds = ("RLIMIT_CORE", "RLIMIT_NOFILE", "RLIMIT_NPROC")
    limits = {kind: resource.getrlimit(getattr(resource, kind)) for kind in kinds}
    return ParsedDocument(json.dumps(limits), (), None, "test")


def _process(path: Path) -> ParsedDocument:
    return ParsedDocument(str(os.getpid()), (), None, "test")


def _busy(path: Path) -> ParsedDocument:
    """Works for one second, which is allowed."""
    until = time.process_time() + 1
    while time.process_time() < until:
        pass
    return _process(path)


def _keeper(path: Path) -> ParsedDocument:
    """Keeps the memory it took, as a library that leaks does."""
    _kept.append(bytes(150_000_000))
    return ParsedDocument("kept", (), None, "test")


_kept: list[bytes] = []
_DOCUMENTS: dict[str, ParserFunction] = {
    "test/long-text": _long_text,
    "test/environment": _environment,
    "test/limits": _limits,
    "test/process": _process,
    "test/busy": _busy,
    "test/keeper": _keeper,
}


def find_parser(media_type: str) -> ParserFunction:
    act = HOSTILE.get(media_type)
    if act is None:
        return _DOCUMENTS.get(media_type) or parser_for(media_type)

    def parse(path: Path) -> ParsedDocument:
        act()
        return ParsedDocument(f"{media_type} did as it pleased", (), None, "test")

    return parse


if __name__ == "__main__":
    child.main(find_parser)
