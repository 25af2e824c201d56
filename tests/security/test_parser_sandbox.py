"""Parsers that run wild in the real child process, with limits small enough to be met."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ingest.parsing.errors import DamagedDocumentError, ParseError, ParserLimitError, UnsupportedTypeError
from ingest.parsing.isolation.handover import ENTRIES_FILE, HandoverError, read_document, write_document
from ingest.parsing.isolation.sandbox import ParserSandbox, pass_entries
from ingest.parsing.types import EntryLimits, EntryReceiver, FoundEntry, ParsedDocument, ParserLimits
from ingest.storage.errors import IngestError, LeadlineError
from tests.support.hostile_parsers import COMMAND, SLEEPER
from tests.support.parsing import assert_still_parses, parse_as

LIMITS = ParserLimits(memory_bytes=400_000_000, cpu_seconds=60, wall_seconds=300, text_bytes=2_000_000)


@pytest.fixture
def bounded(tmp_path: Path) -> Iterator[ParserSandbox]:
    """With small limits and hostile parsers."""
    with ParserSandbox(LIMITS, command=COMMAND, scratch_folder=tmp_path) as sandbox:
        yield sandbox


@pytest.mark.parametrize(
    ("media_type", "error", "says"),
    [
        ("test/eat-memory", ParserLimitError, "400,000,000 bytes of memory"),
        ("test/write-a-large-file", ParserLimitError, "2,000,000 bytes of text"),
        ("test/long-text", ParserLimitError, "2,000,000 bytes of text"),
        ("test/end-quietly", DamagedDocumentError, "without a result"),
        ("test/crash", DamagedDocumentError, "Segmentation fault"),
        ("test/be-killed", ParserLimitError, "killed by the system"),
        ("test/recurse", DamagedDocumentError, "RecursionError"),
        ("test/complain-at-length", ParserLimitError, "x"),
        ("test/unknown", UnsupportedTypeError, "no parser for test/unknown"),
    ],
)
def test_a_parser_that_runs_wild_is_stopped_and_replaced(
    bounded: ParserSandbox, tmp_path: Path, media_type: str, error: type[LeadlineError], says: str
) -> None:
    with pytest.raises(error, match=says):
        parse_as(bounded, tmp_path, media_type)
    assert_still_parses(bounded, tmp_path)


def test_a_parser_that_computes_for_ever_is_stopped_and_replaced(tmp_path: Path) -> None:
    with ParserSandbox(replace(LIMITS, cpu_seconds=2), command=COMMAND, scratch_folder=tmp_path) as sandbox:
        with pytest.raises(ParserLimitError, match="2 s of CPU time"):
            parse_as(sandbox, tmp_path, "test/spin")
        assert_still_parses(sandbox, tmp_path)


@pytest.mark.parametrize("media_type", ["test/write-many-files", "test/make-many-files"])
def test_all_files_of_a_document_together_are_bounded(tmp_path: Path, media_type: str) -> None:
    """40 MB in 40 files; and 8,000 empty ones, each of which takes a block."""
    with ParserSandbox(replace(LIMITS, folder_bytes=30_000_000), command=COMMAND, scratch_folder=tmp_path) as sandbox:
        with pytest.raises(ParserLimitError, match="wrote more than 30,000,000 bytes"):
            parse_as(sandbox, tmp_path, media_type)
        assert_still_parses(sandbox, tmp_path)


def test_a_parser_that_has_filled_its_folder_is_stopped_while_it_goes_on(tmp_path: Path) -> None:
    limits = replace(LIMITS, folder_bytes=30_000_000, wall_seconds=10)
    with ParserSandbox(limits, command=COMMAND, scratch_folder=tmp_path) as sandbox:
        with pytest.raises(ParserLimitError, match="wrote more than 30,000,000 bytes"):
            parse_as(sandbox, tmp_path, "test/write-many-files-and-sleep")
        assert_still_parses(sandbox, tmp_path)


def test_entries_of_a_container_add_to_what_its_parser_may_write(tmp_path: Path) -> None:
    limits = replace(LIMITS, folder_bytes=30_000_000)
    unpacking = EntryReceiver(EntryLimits(total_bytes=20_000_000), lambda entry, file: None)
    (tmp_path / "file").write_bytes(b"any")
    with ParserSandbox(limits, command=COMMAND, scratch_folder=tmp_path) as sandbox:
        sandbox.parse(tmp_path / "file", "test/write-many-files", name="file", entry_receiver=unpacking)


@pytest.mark.parametrize("media_type", ["test/sleep", "test/sleep-beside-a-child-of-its-own"])
def test_a_parser_that_hangs_is_killed_with_all_it_started(tmp_path: Path, media_type: str) -> None:
    limits = replace(LIMITS, wall_seconds=5)
    with ParserSandbox(limits, command=COMMAND, scratch_folder=tmp_path) as sandbox:
        with pytest.raises((ParserLimitError, DamagedDocumentError)):
            parse_as(sandbox, tmp_path, media_type)
        _wait_until(lambda: _running(SLEEPER) == [])
        assert_still_parses(sandbox, tmp_path)


def _running(command: Sequence[str]) -> list[int]:
    """The live processes with this command line, whoever their parent is."""
    wanted = "".join(f"{word}\0" for word in command).encode()
    pids = [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    return [pid for pid in pids if _command_line(pid) == wanted and _is_alive(pid)]


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def test_what_a_parser_prints_is_not_taken_for_an_answer(bounded: ParserSandbox, tmp_path: Path) -> None:
    assert parse_as(bounded, tmp_path, "test/chatter").text == "test/chatter did as it pleased"
    assert_still_parses(bounded, tmp_path)


def test_a_child_that_was_taken_over_cannot_pass_off_the_last_text_as_the_next(
    bounded: ParserSandbox, tmp_path: Path
) -> None:
    assert_still_parses(bounded, tmp_path)
    with pytest.raises(DamagedDocumentError, match="no usable result"):
        parse_as(bounded, tmp_path, "test/take-over")
    assert_still_parses(bounded, tmp_path)


def test_a_parser_sees_nothing_of_our_environment(
    bounded: ParserSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADLINE_SECRET", "sesame")
    names = {line.partition("=")[0] for line in parse_as(bounded, tmp_path, "test/environment").text.splitlines()}
    assert names - {"LC_CTYPE"} <= {"LANG", "TMPDIR", "MALLOC_ARENA_MAX", "LD_LIBRARY_PATH"}


def test_a_parser_writes_no_core_starts_nothing_and_opens_few_files(bounded: ParserSandbox, tmp_path: Path) -> None:
    limits = json.loads(parse_as(bounded, tmp_path, "test/limits").text)
    assert limits == {"RLIMIT_CORE": [0, 0], "RLIMIT_NOFILE": [64, 64], "RLIMIT_NPROC": [0, 0]}


def test_each_document_has_a_process_of_its_own(bounded: ParserSandbox, tmp_path: Path) -> None:
    served = [parse_as(bounded, tmp_path, "test/process").text.split() for _ in range(4)]
    assert len({own for own, _ in served}) == 4
    assert len({child for _, child in served}) == 1


def test_a_document_is_not_blamed_for_the_memory_that_others_left_taken(bounded: ParserSandbox, tmp_path: Path) -> None:
    assert [parse_as(bounded, tmp_path, "test/keeper").text for _ in range(5)] == ["kept"] * 5


def test_what_a_parser_tells_of_its_progress_is_passed_on_while_it_goes_on(
    bounded: ParserSandbox, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("any")
    told: list[tuple[int, int | None]] = []
    progress = lambda done, total: told.append((done, total))  # noqa: E731
    bounded.parse(tmp_path / "file", "test/slow", name="file", progress=progress)
    assert told == [(3, 10)]


@pytest.mark.parametrize(
    "forged",
    [
        [["../up.txt", "entry-0", "text/plain", 3]],
        [["a.txt", "../../../../etc/passwd", "text/plain", 3]],
        [["a.txt", "text", "text/plain", 6]],
        [["a.txt", "entry-0", "text/nothing", 3]],
        [["a.txt", "entry-0", "text/plain", "3"]],
        [["a.txt", "entry-0", "text/plain", 3], ["a.txt", "entry-1", "text/plain", 3]],
        [["a\ud800.txt", "entry-0", "text/plain", 3]],
        [["a.txt", "entry-1", "text/plain", 2]],
        [["a.txt", "entry-2", "text/plain", 3]],
        [["a.txt", "entry-9", "text/plain", 3]],
        [[f"{n}.txt", "entry-0", "text/plain", 3] for n in range(5)],
        [["a.txt", "entry-0", "text/plain", 10**12]],
        {"a": 1},
        [[]],
    ],
)
def test_entries_that_no_parser_of_ours_leaves_are_not_taken(tmp_path: Path, forged: object) -> None:
    write_document(ParsedDocument("Words.", None, "test"), tmp_path, 1_000)
    (tmp_path / "entry-0").write_bytes(b"one")
    (tmp_path / "entry-1").write_bytes(b"longer than it says")
    (tmp_path / "entry-2").symlink_to("/etc/hostname")
    (tmp_path / ENTRIES_FILE).write_text(json.dumps(forged))
    taken: list[FoundEntry] = []
    unpacking = EntryReceiver(EntryLimits(entries=4, total_bytes=1_000), lambda entry, _: taken.append(entry))
    with pytest.raises(HandoverError):
        pass_entries(read_document(tmp_path, 1_000).entries, tmp_path, unpacking)
    assert taken == []


def test_a_file_that_is_gone_is_not_the_parsers_fault(bounded: ParserSandbox, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        bounded.parse(tmp_path / "gone", "text/plain", name="gone")


def test_a_child_that_cannot_start_is_not_the_documents_fault(tmp_path: Path) -> None:
    broken = (sys.executable, "-c", "raise SystemExit(1)")
    with ParserSandbox(command=broken, scratch_folder=tmp_path) as sandbox, pytest.raises(IngestError) as raised:
        parse_as(sandbox, tmp_path, "text/plain")
    assert not isinstance(raised.value, ParseError | UnsupportedTypeError)
    assert "could not be started" in raised.value.detail


def test_a_child_that_died_while_idle_is_replaced_without_a_failure(bounded: ParserSandbox, tmp_path: Path) -> None:
    child = int(parse_as(bounded, tmp_path, "test/process").text.split()[1])
    os.kill(child, signal.SIGKILL)
    _wait_until(lambda: not _is_alive(child))
    assert_still_parses(bounded, tmp_path)


def test_closing_ends_the_child_and_leaves_no_file(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    sandbox = ParserSandbox(LIMITS, command=COMMAND, scratch_folder=scratch)
    child = int(parse_as(sandbox, tmp_path, "test/process").text.split()[1])
    sandbox.close()
    assert not _is_alive(child)
    assert list(scratch.iterdir()) == []


_PARENT = """
import sys
from pathlib import Path
from ingest.parsing.isolation.sandbox import ParserSandbox
from tests.support.hostile_parsers import COMMAND, SLEEPER
sandbox = ParserSandbox(command=COMMAND, scratch_folder=Path(sys.argv[1]))
print(sandbox.parse(Path(sys.argv[1]) / "file", "test/process", name="file").text, flush=True)
sandbox.parse(Path(sys.argv[1]) / "file", "test/sleep", name="file")
"""


def test_a_child_in_the_middle_of_a_document_ends_with_its_parent(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("any")
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", _PARENT, tmp_path], stdout=subprocess.PIPE, cwd=root) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline().split()[1])
        _wait_until(lambda: any(tmp_path.glob("*/*/asleep")))
        (asleep,) = _children(child)
        parent.send_signal(signal.SIGKILL)
    # The parser would sleep for 20 seconds.
    _wait_until(lambda: not _is_alive(child) and not _is_alive(asleep))


def _children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _is_alive(pid: int) -> bool:
    """False too for a process that has ended and is not yet buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
