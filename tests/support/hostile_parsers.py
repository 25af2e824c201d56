"""A parser child with the product's parsers and these besides; run as a program, it stands in for the product's child.

Each does harm for a bounded time and then returns its name, so a test of a limit fails where the limit is missing.
"""

import ctypes
import errno
import fcntl
import json
import os
import platform
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ingest.parsing.errors import ParserLimitError
from ingest.parsing.isolation import child
from ingest.parsing.isolation.progress import report_progress
from ingest.parsing.registry import ParserFunction, get_parser
from ingest.parsing.types import EntryLimits, ParsedDocument

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


def write_many_files() -> None:
    for number in range(40):
        Path(f"file-{number}").write_bytes(bytes(1_000_000))


def write_many_files_and_sleep() -> None:
    write_many_files()
    time.sleep(20)


def make_many_files() -> None:
    for number in range(8_000):
        Path(f"file-{number}").touch()


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
        write_many_files,
        write_many_files_and_sleep,
        make_many_files,
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
    return ParsedDocument("x" * 5_000_000, None, "test")


def _environment(path: Path) -> ParsedDocument:
    return ParsedDocument("\n".join(f"{name}={value}" for name, value in os.environ.items()), None, "test")


def _limits(path: Path) -> ParsedDocument:
    kinds = ("RLIMIT_CORE", "RLIMIT_NOFILE", "RLIMIT_NPROC")
    limits = {kind: resource.getrlimit(getattr(resource, kind)) for kind in kinds}
    return ParsedDocument(json.dumps(limits), None, "test")


def _process(path: Path) -> ParsedDocument:
    """Its own number, and that of the child that started it."""
    return ParsedDocument(f"{os.getpid()} {os.getppid()}", None, "test")


def _reach(path: Path) -> ParsedDocument:
    """Tries to do what the document asks of it by name, and tells what came of each."""
    asked = json.loads(path.read_text())
    service, secret, port = int(asked["service"]), Path(asked["secret"]), int(asked["port"])
    acts: dict[str, Callable[[], object]] = {
        "environment of the service": lambda: Path(f"/proc/{service}/environ").read_bytes(),
        "own environment": lambda: Path("/proc/self/environ").read_bytes(),
        "memory of the service": lambda: os.open(f"/proc/{service}/mem", os.O_RDONLY),
        "another file": secret.read_text,
        "passwords": lambda: Path("/etc/passwd").read_text(),
        "listing": lambda: list(Path("/").iterdir()),
        "writing to another file": lambda: secret.write_text("gone"),
        "a new file elsewhere": lambda: secret.with_name("new").write_text("x"),
        "removing": secret.unlink,
        "renaming": lambda: secret.rename(secret.with_name("renamed")),
        "cutting": lambda: os.truncate(secret, 0),
        "changing a mode": lambda: secret.chmod(0),
        "writing to the document": lambda: path.write_text("other"),
        "a link out of the folder": lambda: Path("out").symlink_to(secret),
        "a pipe": lambda: os.mkfifo("pipe"),
        "TCP": lambda: socket.create_connection(("127.0.0.1", port), 1),
        "UDP": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        "a local socket": lambda: socket.socket(socket.AF_UNIX),
        "a server": lambda: socket.create_server(("127.0.0.1", 0)),
        "a program": lambda: subprocess.run(["/bin/true"], check=True),
        "a process": _forked,
        "a signal to the service": lambda: os.kill(service, 0),
        "a session of its own": os.setsid,
        "namespaces": lambda: _required(ctypes.CDLL(None, use_errno=True).unshare(0x10000000)),
        "outliving its parent": lambda: _required(ctypes.CDLL(None, use_errno=True).prctl(1, 0, 0, 0, 0)),
        "io_uring": lambda: _required(ctypes.CDLL(None, use_errno=True).syscall(425, 1, bytes(120))),
        "tracing": lambda: _required(ctypes.CDLL(None, use_errno=True).ptrace(16, service, 0, 0)),
        "a file in memory": lambda: os.memfd_create("memory"),
        "a secret file in memory": lambda: _call(447, 447, 0),
        "segments": lambda: _call(154, None, 0, bytes(16), 16),
        "pages into a pipe": lambda: _call(278, 75, 1, bytes(16), 1, 0),
        "a file into a pipe": lambda: _call(275, 76, 0, None, 1, None, 16, 0),
        "page faults": lambda: _call(323, 282, 1),
        "notices about files": lambda: _call(294, 26, 0),
        "processors of the service": lambda: os.sched_setaffinity(service, {0}),
        "priority of the service": lambda: _call(144, 119, service, 0, bytes(4)),
        "memory of the parent": lambda: _call(256, 238, os.getppid(), 1, bytes(8), bytes(8)),
        "signals by a file": lambda: fcntl.fcntl(0, fcntl.F_SETOWN, service),
        "a file without a name": lambda: os.open(".", os.O_TMPFILE | os.O_WRONLY),
        "a folder": lambda: Path("folder").mkdir(),
        "being traced": lambda: _required(ctypes.CDLL(None, use_errno=True).prctl(0x59616D61, service, 0, 0, 0)),
        "a call that no kernel has": lambda: _call(1_000, 1_000),
    }
    done: dict[str, str] = {}
    for name, act in acts.items():
        try:
            done[name] = f"done: {str(act())[:80]}"
        except OSError as error:
            done[name] = error.strerror or type(error).__name__
    return ParsedDocument(json.dumps(done), None, "test")


def _call(x86_64: int, aarch64: int | None, *arguments: object) -> int:
    number = {"x86_64": x86_64, "aarch64": aarch64}[platform.machine()]
    if number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    return _required(int(ctypes.CDLL(None, use_errno=True).syscall(number, *arguments)))


def _required(result: int) -> int:
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _forked() -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    return pid


def _hoard(path: Path) -> ParsedDocument:
    """Leaves files and a variable behind, and tells what it finds of those of earlier documents."""
    left = Path("left behind")
    found = [*([left.name] if left.exists() else []), *_kept_names]
    left.write_text(path.read_text())
    _kept_names.append("in memory")
    return ParsedDocument(f"found {json.dumps(found)}", None, "test")


_kept_names: list[str] = []


def _keeper(path: Path) -> ParsedDocument:
    """Keeps the memory it took, as a library that leaks does."""
    _kept.append(bytes(150_000_000))
    return ParsedDocument("kept", None, "test")


def _slow(path: Path) -> ParsedDocument:
    """Takes its time, and tells of it."""
    report_progress(3, 10)
    time.sleep(1.5)
    return ParsedDocument("slow", None, "test")


_kept: list[bytes] = []
_DOCUMENTS: dict[str, ParserFunction] = {
    "test/long-text": _long_text,
    "test/environment": _environment,
    "test/limits": _limits,
    "test/process": _process,
    "test/reach": _reach,
    "test/hoard": _hoard,
    "test/keeper": _keeper,
    "test/slow": _slow,
}


def find_parser(media_type: str, room: EntryLimits) -> ParserFunction:
    act = HOSTILE.get(media_type)
    if act is None:
        return _DOCUMENTS.get(media_type) or get_parser(media_type, room)

    def parse(path: Path) -> ParsedDocument:
        act()
        return ParsedDocument(f"{media_type} did as it pleased", None, "test")

    return parse


if __name__ == "__main__":
    child.main(find_parser)
