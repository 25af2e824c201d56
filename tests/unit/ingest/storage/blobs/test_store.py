import errno
import hashlib
import os
from functools import partial
from pathlib import Path

import pytest

from ingest.storage.blobs.store import DirectoryBlobs, translate_disk_errors
from ingest.storage.errors import (
    BlobNameError,
    EmptyUploadError,
    StorageFullError,
    StorageReadOnlyError,
    UploadTooLargeError,
)
from tests.support.catalogs import at_once


def test_an_upload_is_hashed_and_kept_under_its_key(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path)
    with blobs.receive_upload(max_bytes=100) as incoming:
        incoming.write(b"hello ")
        incoming.write(b"world")
        assert incoming.finish() == hashlib.sha256(b"hello world").hexdigest()
        blobs.commit_upload(incoming, "original/aa/x")
    assert blobs.read("original/aa/x") == b"hello world"
    assert blobs.read("original/aa/x", 6, 3) == b"wor"
    assert blobs.discard_unfinished_uploads() == 0


def test_an_upload_that_ends_early_leaves_nothing(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path)
    with blobs.receive_upload(max_bytes=100) as incoming:
        incoming.write(b"half")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_a_killed_process_left_is_discarded(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path)
    (tmp_path / "incoming" / "left").write_bytes(b"half")
    assert blobs.discard_unfinished_uploads() == 1
    assert list((tmp_path / "incoming").iterdir()) == []


def test_too_large_is_refused_at_the_limit_and_empty_at_the_end(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path)
    with blobs.receive_upload(max_bytes=10) as incoming:
        incoming.write(b"0123456789")
        with pytest.raises(UploadTooLargeError):
            incoming.write(b"!")
    with blobs.receive_upload(max_bytes=10) as incoming, pytest.raises(EmptyUploadError):
        incoming.finish()


def test_uploads_are_refused_below_the_free_space_watermark(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path, min_free_bytes=10**15)
    with pytest.raises(StorageFullError), blobs.receive_upload(max_bytes=10):
        pass


def test_a_read_only_file_system_is_named_as_such() -> None:
    with pytest.raises(StorageReadOnlyError, match="Mount the file system as writable"), translate_disk_errors():
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def test_deleting_returns_the_bytes_freed_and_then_none(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path)
    blobs.put("text/ab/x", b"12345")
    assert blobs.delete("text/ab/x") == 5
    assert blobs.delete("text/ab/x") == 0
    with pytest.raises(KeyError):
        blobs.read("text/ab/x")


def test_a_folder_outlives_its_last_file_because_a_put_may_be_about_to_use_it(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path)
    blobs.put("text/ab/x", b"kept")
    blobs.delete("text/ab/x")
    assert blobs.resolve_path("text/ab/x").parent.is_dir()


def test_a_put_is_kept_while_the_last_other_key_of_its_folder_is_deleted(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path)

    def put_and_delete(name: str) -> None:
        for number in range(300):
            blobs.put(f"text/ab/{name}{number}", b"kept")
            assert blobs.read(f"text/ab/{name}{number}") == b"kept"
            blobs.delete(f"text/ab/{name}{number}")

    assert at_once(*(partial(put_and_delete, name) for name in "wxyz")) == [None] * 4


def test_many_blobs_at_once_are_there_as_each_one_would_be(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path)
    contents = {f"text/{n % 7}/{n}.txt": str(n).encode() for n in range(50)}
    blobs.put_all(contents)
    assert {key: blobs.read(key) for key in contents} == contents
    assert list((tmp_path / "incoming").iterdir()) == []


def test_reads_that_come_in_pieces_are_put_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = DirectoryBlobs(tmp_path)
    blobs.put("text/a.txt", b"0123456789")
    whole = os.pread
    monkeypatch.setattr(os, "pread", lambda descriptor, length, offset: whole(descriptor, min(3, length), offset))
    assert blobs.read("text/a.txt") == b"0123456789"
    assert blobs.read("text/a.txt", 2, 5) == b"23456"
    assert blobs.read("text/a.txt", 8, 5) == b"89"
    assert blobs.read("text/a.txt", 12) == b""


@pytest.mark.parametrize(
    "key",
    [
        "../x",
        "text/../../x",
        "text/..",
        "/etc/passwd",
        "text//x",
        "text/ab/",
        "",
        ".",
        "text/a b",
        "text/x\n",
        "text/x\0",
        "text/é",
    ],
)
def test_a_key_that_could_lead_out_of_the_folder_is_refused(tmp_path: Path, key: str) -> None:
    root = tmp_path / "blobs"
    blobs = DirectoryBlobs(root)
    (tmp_path / "x").write_text("of somebody else")
    blobs.put("text/ab/y", b"ours")
    for use in (
        partial(blobs.read, key),
        partial(blobs.put, key, b"planted"),
        partial(blobs.delete, key),
        partial(blobs.find_size, key),
        partial(blobs.get_local_path, key),
        partial(blobs.move, "text/ab/y", key),
        partial(blobs.copy, key, "text/ab/z"),
        partial(blobs.put_if_absent, key, b"planted"),
    ):
        with pytest.raises(BlobNameError):
            use()
    assert (tmp_path / "x").read_text() == "of somebody else"
    assert list(blobs.iter_keys("text")) == ["text/ab/y"]


def test_files_with_names_that_are_no_keys_are_not_listed(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path)
    blobs.put("text/ab/x", b"ours")
    (tmp_path / "text" / "ab" / "a name of somebody").write_text("theirs")
    assert list(blobs.iter_keys("text")) == ["text/ab/x"]
