"""What every store of files does: a folder, a bucket, and either of them sealed."""

import hashlib
import io
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.storage.blobs.keyring import KeyRing, generate_key
from ingest.storage.blobs.opening import open_blobs
from ingest.storage.blobs.quarantine import Quarantine
from ingest.storage.blobs.sealed import SealedBlobs
from ingest.storage.blobs.sealed_format import FRAME_BYTES
from ingest.storage.blobs.store import BLOCK_BYTES, BlobSettings, BlobStore, DirectoryBlobs
from ingest.storage.errors import EmptyUploadError, StorageFullError, UploadTooLargeError
from ingest.storage.sealing import InMemorySealRecord
from tests.support.s3_server import bucket_settings, s3_server

LARGE = secrets.token_bytes(2 * BLOCK_BYTES + 12_345)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture(
    params=[
        *("folder", "bucket", "bucket with copies", "sealed folder", "sealed bucket", "sealed bucket with copies"),
        "folder sealed as by the release before",
    ]
)
def blobs(request: pytest.FixtureRequest, server: str, tmp_path: Path) -> BlobStore:
    if "before" in request.param:
        return SealedBlobs(DirectoryBlobs(tmp_path / "blobs"), KeyRing.parse(generate_key()), InMemorySealRecord())
    keys = {"blob_keys": generate_key()} if "sealed" in request.param else {}
    if "bucket" in request.param:
        settings = bucket_settings(server, secrets.token_hex(8), **keys)
        return open_blobs(settings, tmp_path, InMemorySealRecord(), is_serving="copies" in request.param)
    return open_blobs(BlobSettings.model_validate(keys), tmp_path, InMemorySealRecord())


def received(blobs: BlobStore, key: str, content: bytes) -> str:
    with blobs.receive_upload(max_bytes=10**9) as incoming:
        for at in range(0, len(content), 1 << 20):
            incoming.write(content[at : at + (1 << 20)])
        digest = incoming.finish()
        blobs.commit_upload(incoming, key)
        assert incoming.kept
    return digest


def test_an_upload_is_hashed_kept_under_its_key_and_read_as_it_was(blobs: BlobStore) -> None:
    assert received(blobs, "original/aa/x", LARGE) == hashlib.sha256(LARGE).hexdigest()
    assert blobs.find_size("original/aa/x") == len(LARGE)
    assert b"".join(blobs.iter_blocks("original/aa/x")) == LARGE
    assert blobs.read("original/aa/x") == LARGE
    assert max(map(len, blobs.iter_blocks("original/aa/x"))) <= BLOCK_BYTES
    assert blobs.discard_unfinished_uploads() == 0


@pytest.mark.parametrize("size", [0, 1, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 1, 3 * FRAME_BYTES])
def test_any_range_is_that_of_the_content(blobs: BlobStore, size: int) -> None:
    content = LARGE[:size]
    blobs.put("text/ab/x", content)
    assert (blobs.read("text/ab/x"), blobs.find_size("text/ab/x")) == (content, size)
    edges = sorted({0, 1, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 1, max(0, size - 1), size, size + 5})
    for start in edges:
        assert blobs.read("text/ab/x", start) == content[start:]
        for length in (0, 1, 7, FRAME_BYTES, FRAME_BYTES + 2):
            assert blobs.read("text/ab/x", start, length) == content[start : start + length]
        assert b"".join(blobs.iter_blocks("text/ab/x", start, start + 9)) == content[start : start + 9]


def test_a_put_replaces_what_was_there_and_files_are_put_from_where_they_stand(blobs: BlobStore) -> None:
    blobs.put("text/ab/x", b"first")
    assert blobs.read("text/ab/x") == b"first"
    blobs.put("text/ab/x", b"second, and longer")
    assert blobs.read("text/ab/x", 8) == b"and longer"
    file = io.BytesIO(b"skipped" + LARGE)
    file.seek(7)
    blobs.put_file("text/ab/x", file)
    assert blobs.read("text/ab/x", len(LARGE) - 5) == LARGE[-5:]
    contents = {f"text/{n % 7}/{n}.txt": str(n).encode() for n in range(50)}
    blobs.put_all(contents)
    assert {key: blobs.read(key) for key in contents} == contents
    assert set(blobs.iter_keys("text")) == {*contents, "text/ab/x"}


def test_what_is_not_there_is_said_to_be(blobs: BlobStore) -> None:
    for read in (
        lambda: blobs.read("text/no/thing"),
        lambda: blobs.read("text/no/thing", 3, 4),
        lambda: next(blobs.iter_blocks("text/no/thing")),
        lambda: blobs.copy("text/no/thing", "text/ab/y"),
        lambda: blobs.provide_local_file("text/no/thing").__enter__(),
        lambda: blobs.resume_upload("uploads/no/thing", 0, hashlib.sha256(), max_bytes=1).__enter__(),
    ):
        with pytest.raises(KeyError):
            read()
    assert (blobs.find_size("text/no/thing"), blobs.get_age_seconds("text/no/thing")) == (None, 0.0)
    assert blobs.delete("text/no/thing") == 0
    assert blobs.move("text/no/thing", "text/ab/y") is False
    assert list(blobs.iter_keys("nothing")) == []


def test_a_copy_replaces_what_was_there_before(blobs: BlobStore) -> None:
    blobs.put("text/ab/x", b"first")
    blobs.put("text/ab/y", b"second")
    assert (blobs.read("text/ab/x"), blobs.read("text/ab/y")) == (b"first", b"second")
    blobs.copy("text/ab/x", "text/ab/y")
    assert blobs.read("text/ab/y") == b"first"


def test_content_is_copied_moved_deleted_and_opened_as_a_file(blobs: BlobStore) -> None:
    blobs.put("original/ab/x", LARGE)
    blobs.copy("original/ab/x", "original/ab/y")
    assert blobs.move("original/ab/x", "original/ab/z")
    assert (blobs.find_size("original/ab/x"), blobs.read("original/ab/z", 5, 5)) == (None, LARGE[5:10])
    with blobs.provide_local_file("original/ab/y") as path:
        assert path.read_bytes() == LARGE
    assert blobs.delete("original/ab/y") > 0
    assert list(blobs.iter_keys("original")) == ["original/ab/z"]
    assert 0 <= blobs.get_age_seconds("original/ab/z") < 60


def test_a_note_is_made_once_and_can_be_replaced(blobs: BlobStore) -> None:
    assert blobs.put_if_absent("MARK", b"ours") == b"ours"
    assert blobs.put_if_absent("MARK", b"theirs") == b"ours" == blobs.read("MARK")
    blobs.put("MARK", b"theirs")
    assert blobs.read("MARK") == b"theirs"


def test_an_upload_that_ends_early_leaves_nothing(blobs: BlobStore) -> None:
    before = _files(blobs)
    with blobs.receive_upload(max_bytes=100) as incoming:
        incoming.write(b"half")
    assert _files(blobs) == before


def _files(blobs: BlobStore) -> list[str]:
    return sorted(str(path) for path in blobs.local_folder.rglob("*") if path.is_file())


def test_too_large_is_refused_at_the_limit_and_empty_at_the_end(blobs: BlobStore) -> None:
    with blobs.receive_upload(max_bytes=10) as incoming:
        incoming.write(b"0123456789")
        with pytest.raises(UploadTooLargeError):
            incoming.write(b"!")
    with blobs.receive_upload(max_bytes=10) as incoming, pytest.raises(EmptyUploadError):
        incoming.finish()
    with pytest.raises(StorageFullError):
        blobs.require_free_space(10**18)


def test_an_upload_goes_on_in_pieces_also_in_another_process(blobs: BlobStore) -> None:
    key, digest, done = "uploads/ab/one", hashlib.sha256(), 0
    blobs.put(key, b"")
    for size in (3, 400_000, 1, 5_000_000):
        with blobs.resume_upload(key, done, digest, max_bytes=len(LARGE)) as incoming:
            incoming.write(LARGE[done : done + size])
            done = incoming.pause()
            incoming.write(b"lost with the connection")
            incoming.truncate(done)
            digest = hashlib.sha256(LARGE[:done])
        assert b"".join(blobs.iter_upload_blocks(key)) == LARGE[:done]
    with blobs.resume_upload(key, done - 100, hashlib.sha256(LARGE[: done - 100]), max_bytes=len(LARGE)) as incoming:
        incoming.write(LARGE[done - 100 :])
        with incoming.open_reader() as file:
            assert file.read() == LARGE
        assert incoming.finish() == hashlib.sha256(LARGE).hexdigest()
        blobs.commit_upload(incoming, "original/ab/whole")
    assert b"".join(blobs.iter_blocks("original/ab/whole")) == LARGE
    assert blobs.find_size(key) is None
    assert blobs.discard_unfinished_uploads() == 0
    assert list(blobs.iter_keys("parts")) == []


def test_an_upload_that_is_given_up_leaves_nothing(blobs: BlobStore) -> None:
    blobs.put("uploads/ab/one", b"")
    with blobs.resume_upload("uploads/ab/one", 0, hashlib.sha256(), max_bytes=100) as incoming:
        incoming.write(b"some")
        incoming.pause()
    assert b"".join(blobs.iter_upload_blocks("uploads/ab/one")) == b"some"
    blobs.delete("uploads/ab/one")
    assert (list(blobs.iter_keys("uploads")), list(blobs.iter_keys("parts"))) == ([], [])


def test_files_are_put_aside_and_back_and_expire(blobs: BlobStore) -> None:
    aside = Quarantine(blobs)
    blobs.put_all({f"original/ab/{name}": name.encode() for name in "xyz"})
    assert aside.quarantine_files(["original/ab/x", "original/ab/y", "original/ab/gone"]) == 2
    assert set(aside.load_quarantine_dates()) == {"original/ab/x", "original/ab/y"}
    assert list(blobs.iter_keys("original")) == ["original/ab/z"]
    assert aside.restore_files(["original/ab/x"]) == 1
    assert blobs.read("original/ab/x") == b"x"
    assert aside.delete_expired_files(min_age_days=1) == 0
    assert aside.delete_expired_files(min_age_days=0) == 1
    assert aside.load_quarantine_dates() == {}
