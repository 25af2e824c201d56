"""Copies of blocks on the local disk: what is fetched, what remains, and what is deleted."""

import os
import random
import shutil
import threading
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ingest.storage.blobs import local_copies
from ingest.storage.blobs.local_copies import LocalCopies
from ingest.storage.errors import BlobNameError, BlobStoreUnavailableError

BLOCK = 16
KEY = "text/ab/abcd.txt"


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_copies, "COPY_BLOCK_BYTES", BLOCK)
    monkeypatch.setattr(local_copies, "_DISK_BLOCK_BYTES", 1)


class Stored:
    """A stored file, which records the ranges that were read."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.ranges: list[tuple[int, int | None]] = []

    def __call__(self, start: int, length: int | None) -> bytes:
        self.ranges.append((start, length))
        return self.content[start:] if length is None else self.content[start : start + length]


def trim_at_once(trim: Callable[[], None]) -> None:
    trim()


def list_blocks(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 3 * BLOCK + 5])
def test_any_range_is_that_of_the_file_with_and_without_copies(tmp_path: Path, size: int) -> None:
    stored = Stored(random.Random(size).randbytes(size))
    copies = LocalCopies(tmp_path, 10_000)
    ranges = [
        (start, length) for start in range(size + 3) for length in (1, BLOCK - 1, BLOCK, BLOCK + 1, size + 9, None)
    ]
    for start, length in random.Random(size).sample(ranges, len(ranges)):
        assert copies.read(KEY, start, length, stored) == stored(start, length), (start, length)


def test_a_block_is_fetched_once_and_all_missing_blocks_in_one_request(tmp_path: Path) -> None:
    stored = Stored(bytes(range(3 * BLOCK + 5)))
    copies = LocalCopies(tmp_path, 10_000)

    copies.read(KEY, 3, 4, stored)
    copies.read(KEY, 1, BLOCK + 4, stored)
    copies.read(KEY, 0, None, stored)
    copies.read(KEY, 0, None, stored)
    LocalCopies(tmp_path, 10_000).read(KEY, 2 * BLOCK, 99, stored)

    assert stored.ranges == [(0, BLOCK), (BLOCK, BLOCK), (2 * BLOCK, None)]


def test_discarded_copies_are_fetched_again_and_those_of_other_files_remain(tmp_path: Path) -> None:
    first, second = Stored(b"first"), Stored(b"second")
    copies = LocalCopies(tmp_path, 10_000)
    copies.read(KEY, 0, None, first)
    copies.read("text/ab/abcd.json", 0, None, second)
    first.content = b"changed"

    copies.discard(KEY)

    assert copies.read(KEY, 0, None, first) == b"changed"
    assert copies.read("text/ab/abcd.json", 0, None, second) == b"second"
    assert len(second.ranges) == 1


def test_copies_of_versions_that_are_gone_are_deleted(tmp_path: Path) -> None:
    copies = LocalCopies(tmp_path, 10_000)
    for key in (KEY, "tables/ab/abcd.0.parquet", "text/ef/efgh.txt"):
        copies.read(key, 0, None, Stored(b"content"))
    asked: list[list[str]] = []

    def select_gone(version_ids: Collection[str]) -> set[str]:
        asked.append(sorted(version_ids))
        return {"abcd"}

    assert copies.discard_versions(select_gone) == 1
    assert asked == [["abcd", "efgh"]]
    assert list_blocks(tmp_path) == ["efgh.txt.0"]


def test_the_blocks_that_were_not_used_for_longest_make_room(tmp_path: Path) -> None:
    copies = LocalCopies(tmp_path, 100, start=trim_at_once)
    for number in range(6):
        copies.read(f"text/ab/v{number}.txt", 0, None, Stored(bytes(BLOCK - 1)))
        path = tmp_path / f"text/ab/v{number}.txt.0"
        os.utime(path, (number, number))
    copies.read("text/ab/v0.txt", 0, None, Stored(b""))  # This use is recorded.

    copies.read("text/ab/v6.txt", 0, None, Stored(bytes(BLOCK - 1)))

    assert list_blocks(tmp_path) == [f"v{number}.txt.0" for number in (0, 2, 3, 4, 5, 6)]


def test_a_disk_that_takes_no_copy_does_not_keep_a_file_from_being_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    assert LocalCopies(tmp_path, 10_000).read(KEY, 0, None, Stored(b"content")) == b"content"
    assert list_blocks(tmp_path) == []
    monkeypatch.undo()
    monkeypatch.setattr(local_copies, "COPY_BLOCK_BYTES", BLOCK)
    reserved = LocalCopies(tmp_path, 10_000, min_free_bytes=1 << 60)
    assert reserved.read(KEY, 0, None, Stored(b"content")) == b"content"
    assert list_blocks(tmp_path) == []


def test_a_disk_that_fails_is_logged_once_until_it_takes_a_copy(tmp_path: Path) -> None:
    (tmp_path / "copies").write_bytes(b"A file in place of the folder fails each write and each deletion.")
    copies = LocalCopies(tmp_path / "copies", 10_000)

    def read_files(names: Iterable[int]) -> None:
        for name in names:
            assert copies.read(f"text/ab/v{name}.txt", 0, None, Stored(b"content")) == b"content"

    with capture_logs() as logs:
        read_files(range(10))
        assert [entry["log_level"] for entry in logs] == ["warning"]
        (tmp_path / "copies").unlink()
        read_files(range(10))
        shutil.rmtree(tmp_path / "copies")
        (tmp_path / "copies").write_bytes(b"")
        read_files(range(10))
    assert [entry["log_level"] for entry in logs] == ["warning", "warning"]


def test_copies_that_cannot_be_deleted_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    stored = Stored(b"before")
    copies = LocalCopies(tmp_path, 10_000)
    copies.read(KEY, 0, None, stored)
    stored.content = b"after"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", fail)
        copies.discard(KEY)

    assert copies.read(KEY, 0, None, stored) == b"after"
    copies.discard(KEY)
    assert copies.read(KEY, 0, None, stored) == b"after"
    assert list_blocks(tmp_path) == ["abcd.txt.0"]


def test_a_read_does_not_wait_for_a_trim_and_writes_stop_until_it_has_made_room(tmp_path: Path) -> None:
    due: list[Callable[[], None]] = []
    copies = LocalCopies(tmp_path, 40 * BLOCK, start=due.append)

    def read_files(names: Iterable[int]) -> None:
        for name in names:
            assert copies.read(f"text/ab/v{name}.txt", 0, None, Stored(bytes(BLOCK - 1))) == bytes(BLOCK - 1)

    read_files(range(10))
    assert len(due) == 1
    assert len(list_blocks(tmp_path)) == 1 + 3  # What started the trim, and then a 20th of the limit.

    due.pop()()
    read_files(range(10))

    assert len(list_blocks(tmp_path)) > 4


def test_short_files_count_with_the_space_that_they_occupy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_copies, "_DISK_BLOCK_BYTES", 4096)
    copies = LocalCopies(tmp_path, 10 * 4096, start=trim_at_once)
    for number in range(30):
        copies.read(f"text/ab/v{number}.txt", 0, None, Stored(b"short"))
    assert len(list_blocks(tmp_path)) <= 10


def test_processes_that_share_a_folder_hold_its_limit(tmp_path: Path) -> None:
    processes = [LocalCopies(tmp_path, 1000, start=trim_at_once) for _ in range(4)]
    for number in range(400):
        copies = processes[number % len(processes)]
        copies.read(f"text/ab/v{number}.txt", 0, None, Stored(bytes(BLOCK - 1)))
        assert sum(path.stat().st_size for path in tmp_path.rglob("*.0")) <= 1000 * (1 + 0.05 * len(processes))


def test_what_a_process_left_that_was_killed_while_it_wrote_is_not_read_and_goes_with_the_version(
    tmp_path: Path,
) -> None:
    unfinished = tmp_path / "text" / "ab" / "abcd.txt.0.0123456789abcdef.part"
    unfinished.parent.mkdir(parents=True)
    unfinished.write_bytes(b"con")
    copies = LocalCopies(tmp_path, 10_000)

    assert copies.read(KEY, 0, None, Stored(b"content")) == b"content"
    assert copies.discard_versions(set) == 1

    assert list_blocks(tmp_path) == []


def test_only_the_owner_reads_the_folder(tmp_path: Path) -> None:
    LocalCopies(tmp_path / "copies", 10_000).read(KEY, 0, None, Stored(b"content"))
    assert (tmp_path / "copies").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("key", ["text/../../x", "/text/ab/x", "text//x"])
def test_a_key_that_leads_out_of_the_folder_is_rejected(tmp_path: Path, key: str) -> None:
    with pytest.raises(BlobNameError):
        LocalCopies(tmp_path / "copies", 10_000).read(key, 0, None, Stored(b"content"))


def test_concurrent_readers_of_a_file_share_one_request(tmp_path: Path) -> None:
    stored, copies = Stored(bytes(range(2 * BLOCK))), LocalCopies(tmp_path, 10_000)
    together = threading.Barrier(4)

    def read(at: int) -> bytes:
        together.wait(60)
        return copies.read(KEY, at, 2, stored)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, [0, 4, 8, 12])) == [stored.content[at : at + 2] for at in (0, 4, 8, 12)]
    assert stored.ranges == [(0, BLOCK)]
    assert (copies.has_block(KEY, BLOCK - 1), copies.has_block(KEY, BLOCK)) == (True, False)


def test_after_an_error_the_next_reader_of_the_file_tries_again(tmp_path: Path) -> None:
    stored, copies = Stored(bytes(range(BLOCK))), LocalCopies(tmp_path, 10_000)

    def fail(start: int, length: int | None) -> bytes:
        raise BlobStoreUnavailableError("away")

    with pytest.raises(BlobStoreUnavailableError, match="away"):
        copies.read(KEY, 0, 2, fail)
    assert copies.read(KEY, 0, 2, stored) == stored.content[:2]
