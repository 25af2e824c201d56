"""What is read of texts and tables is compared with digests, block by block."""

import hashlib
import secrets
from pathlib import Path

import pytest

from ingest.storage.blobs.checked import CachedDigests, CheckedBlobs
from ingest.storage.blobs.store import DirectoryBlobs
from ingest.storage.digests import BLOCK_BYTES, Digest, build_file_key, parse_file_name, parse_version_id
from ingest.storage.errors import ContentChangedError, TextLostError
from tests.fakes.digest_records import DigestRecordsHere

KEY = "text/ab/abcd.txt"


class Reading(DirectoryBlobs):
    """Remembers which ranges were read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.ranges: list[tuple[int, int | None]] = []

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        self.ranges.append((start, length))
        return super().read(key, start, length)


class Store:
    def __init__(self, folder: Path) -> None:
        self.inner, self.records, self.now = Reading(folder), DigestRecordsHere(), 0.0
        self.blobs = CheckedBlobs(self.inner, self.records, clock=lambda: self.now)

    def put(self, key: str, content: bytes) -> None:
        self.inner.put(key, content)
        self.records.record(key, content)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES + 7])
def test_a_digest_does_not_depend_on_the_pieces_that_a_file_comes_in(size: int) -> None:
    content = secrets.token_bytes(size)
    found = Digest.from_content(content)
    assert (found.size, found.sha256) == (size, hashlib.sha256(content).digest())
    assert len(found.blocks) == 32 * -(-size // BLOCK_BYTES)
    for step in (1_000, BLOCK_BYTES, 2 * BLOCK_BYTES + 5):
        assert Digest.from_blocks(content[at : at + step] for at in range(0, size, step)) == found


def test_keys_and_names_of_files_belong_together() -> None:
    for key in (KEY, "text/ab/abcd.positions", "tables/ab/abcd.json", "tables/ab/abcd.12.parquet"):
        assert build_file_key(parse_version_id(key), parse_file_name(key)) == key


def test_any_range_is_that_of_the_content_and_reads_the_blocks_that_it_touches(store: Store) -> None:
    content = secrets.token_bytes(3 * BLOCK_BYTES + 100)
    store.put(KEY, content)
    edges = (0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES, len(content), len(content) + 5)
    for start in edges:
        assert store.blobs.read(KEY, start) == content[start:]
        for length in (0, 1, BLOCK_BYTES + 2):
            assert store.blobs.read(KEY, start, length) == content[start : start + length]
    store.inner.ranges.clear()
    store.blobs.read(KEY, BLOCK_BYTES + 5, 10)
    store.blobs.read(KEY, 3 * BLOCK_BYTES + 50, 10)
    assert store.inner.ranges == [(BLOCK_BYTES, BLOCK_BYTES), (3 * BLOCK_BYTES, 100)]


def test_a_block_that_was_changed_is_an_error_and_the_others_are_read(store: Store) -> None:
    content = secrets.token_bytes(3 * BLOCK_BYTES)
    store.put(KEY, content)
    other = bytes([content[BLOCK_BYTES + 9] ^ 1])
    store.inner.put(KEY, content[: BLOCK_BYTES + 9] + other + content[BLOCK_BYTES + 10 :])
    for start, length in ((BLOCK_BYTES, 1), (0, None), (BLOCK_BYTES - 1, 2)):
        with pytest.raises(ContentChangedError, match="text of document the-document was changed"):
            store.blobs.read(KEY, start, length)
    assert store.blobs.read(KEY, 0, BLOCK_BYTES) == content[:BLOCK_BYTES]
    assert store.blobs.read(KEY, 2 * BLOCK_BYTES) == content[2 * BLOCK_BYTES :]
    assert set(store.records.changed) == {KEY}


@pytest.mark.parametrize("length", [0, 5, BLOCK_BYTES + 5])
def test_a_file_that_was_cut_short_is_an_error(store: Store, length: int) -> None:
    content = secrets.token_bytes(BLOCK_BYTES + 20)
    store.put(KEY, content)
    store.inner.put(KEY, content[:length])
    with pytest.raises(ContentChangedError):
        store.blobs.read(KEY)
    with pytest.raises(ContentChangedError):
        store.blobs.read(KEY, BLOCK_BYTES + 2, 2)


def test_a_file_with_a_digest_that_is_missing_is_lost(store: Store) -> None:
    store.put(KEY, b"words")
    store.inner.delete(KEY)
    with pytest.raises(TextLostError, match="missing"):
        store.blobs.read(KEY)


def test_a_file_that_somebody_put_beside_those_of_a_version_is_not_there(store: Store) -> None:
    store.put(KEY, b"words")
    store.inner.put("text/ab/abcd.positions", b"planted")
    with pytest.raises(KeyError):
        store.blobs.read("text/ab/abcd.positions")


def test_a_version_of_an_earlier_release_is_read_as_it_is_until_it_has_digests(store: Store) -> None:
    store.inner.put(KEY, b"words")
    assert store.blobs.read(KEY) == b"words"
    store.records.record(KEY, b"words")
    store.inner.put(KEY, b"other words")
    store.now += 31.0
    with pytest.raises(ContentChangedError):
        store.blobs.read(KEY)


def test_a_version_that_was_made_again_or_removed_meanwhile_is_no_error(store: Store) -> None:
    store.put(KEY, b"words")
    assert store.blobs.read(KEY) == b"words"
    store.put(KEY, b"the words of another parser")
    assert store.blobs.read(KEY) == b"the words of another parser"
    store.records.digests.clear()
    store.inner.delete(KEY)
    with pytest.raises(KeyError):
        store.blobs.read(KEY)
    assert store.records.changed == []


def test_the_catalog_is_asked_once_for_many_versions_and_not_again_for_known_ones(store: Store) -> None:
    keys = [f"text/{n:02}/{n:02}xx.txt" for n in range(10)]
    for key in keys:
        store.put(key, key.encode())
    store.blobs.preload_digests([parse_version_id(key) for key in keys])
    assert [store.blobs.read(key) for key in keys] == [key.encode() for key in keys]
    store.blobs.preload_digests([parse_version_id(key) for key in keys])
    assert len(store.records.asked) == 1
    store.now += 301.0
    store.blobs.read(keys[0])
    assert len(store.records.asked) == 2


def test_after_preloading_files_that_a_version_does_not_have_are_missing_without_asking_the_catalog(
    store: Store,
) -> None:
    positions = "text/ab/abcd.positions"
    store.put(KEY, b"words")
    store.blobs.preload_digests(["abcd"])
    for _ in range(3):
        with pytest.raises(KeyError):
            store.blobs.read(positions)
    assert store.records.asked == [["abcd"]]
    store.put(positions, b"added")
    store.now += 31.0
    assert store.blobs.read(positions) == b"added"


def test_a_file_that_is_added_to_a_version_that_was_not_preloaded_is_found_at_once(store: Store) -> None:
    positions = "text/ab/abcd.positions"
    store.put(KEY, b"words")
    assert store.blobs.read(KEY) == b"words"
    store.put(positions, b"added")
    assert store.blobs.read(positions) == b"added"


def test_preloading_again_asks_for_versions_whose_files_may_have_changed_since(store: Store) -> None:
    store.put(KEY, b"words")
    for seconds in (0.0, 29.0, 2.0, 1.0):
        store.now += seconds
        store.blobs.preload_digests(["abcd"])
    assert store.records.asked == [["abcd"], ["abcd"]]


def test_readers_that_share_a_cache_ask_once(store: Store) -> None:
    table = "tables/ab/abcd.json"
    shared = CachedDigests(store.records, lambda: store.now)
    texts, tables = (CheckedBlobs(store.inner, shared) for _ in range(2))
    store.put(KEY, b"words")
    store.put(table, b"[]")
    texts.preload_digests(["abcd"])
    assert (texts.read(KEY), tables.read(table)) == (b"words", b"[]")
    assert store.records.asked == [["abcd"]]
    store.inner.put(table, b"[1]")
    with pytest.raises(ContentChangedError):
        tables.read(table)
    assert store.records.changed == [table]
