import json
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.chunking import chunk_text
from ingest.storage.blobs.local_copies import LocalCopies
from ingest.storage.blobs.store import DirectoryBlobs
from ingest.storage.texts.chunks import Chunk
from ingest.storage.texts.layout import Layout, build_pages
from ingest.storage.texts.texts import Texts, VersionText, compute_byte_spans
from tests.fakes.memory_blobs import MemoryBlobs

TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50).flatmap(
    lambda text: st.integers(1, 200).map(lambda times: text * times)
)


@given(TEXTS, st.data())
def test_any_span_reads_as_the_same_slice_of_the_text(text: str, data: st.DataObject) -> None:
    texts = Texts(MemoryBlobs())
    texts.save("v1", text, title=None, chunks=())
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(0, len(text) + 5))
    assert texts.read("v1", start, end) == text[start:end]
    assert texts.read("v1") == text


@given(TEXTS)
def test_byte_spans_of_chunks_read_as_their_code_point_spans(text: str) -> None:
    texts = Texts(MemoryBlobs())
    chunks = chunk_text(text, Layout(), max_chars=50)
    texts.save("v1", text, title=None, chunks=chunks)
    for chunk, (byte_start, byte_end) in zip(chunks, compute_byte_spans(text, chunks), strict=True):
        assert texts.read_bytes("v1", byte_start, byte_end) == text[chunk.start : chunk.end]


def test_a_short_span_of_a_long_text_costs_a_short_read() -> None:
    blobs = MemoryBlobs()
    texts = Texts(blobs)
    texts.save("v1", "é" * 1_000_000, title=None, chunks=())
    texts.load_map("v1")
    blobs.bytes_read = 0
    assert texts.read("v1", 500_000, 500_010) == "é" * 10
    assert blobs.bytes_read < 10_000


def test_the_map_keeps_title_pages_and_chunks(tmp_path: Path) -> None:
    chunks = [Chunk(0, 0, 3, ("A", "B"), 1), Chunk(1, 4, 7, ("A", "B"), 2)]
    layout = Layout(places=build_pages((0, 4)))
    Texts(DirectoryBlobs(tmp_path)).save("v1", "one two", title="T", layout=layout, chunks=chunks)
    found = Texts(DirectoryBlobs(tmp_path)).load_map("v1")
    assert (found.title, found.layout, list(found.chunks), found.characters) == ("T", layout, chunks, 7)


def test_the_map_keeps_properties_and_one_of_an_earlier_release_has_none(tmp_path: Path) -> None:
    texts, blobs = Texts(DirectoryBlobs(tmp_path)), DirectoryBlobs(tmp_path)
    texts.save_all([VersionText("v1", "one", None, (), properties={"mail_sender": "Ann"})])
    assert texts.load_map("v1").properties == {"mail_sender": "Ann"}
    (key,) = (key for key in blobs.iter_keys("text") if key.endswith(".json"))
    earlier = json.loads(blobs.read(key))
    del earlier["properties"]
    blobs.delete(key)
    blobs.put_all({key: json.dumps(earlier).encode()})
    assert Texts(blobs).load_map("v1").properties == {}


def test_a_deleted_text_is_gone_also_from_memory(tmp_path: Path) -> None:
    texts = Texts(DirectoryBlobs(tmp_path))
    texts.save("v1", "text", title=None, chunks=())
    texts.load_map("v1")
    assert texts.delete("v1") > 0
    with pytest.raises(KeyError):
        texts.read("v1")
    assert texts.delete("v1") == 0


class WaitingBlobs(DirectoryBlobs):
    """Blobs whose reads wait until two of them are in progress."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.together = threading.Barrier(2)

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        self.together.wait(60)
        return super().read(key, start, length)


def test_concurrent_reads_overlap_and_their_results_have_the_order_of_the_items(tmp_path: Path) -> None:
    Texts(DirectoryBlobs(tmp_path)).save_all(
        [VersionText(f"version-{number}", f"text {number}", None, ()) for number in range(4)]
    )
    texts = Texts(WaitingBlobs(tmp_path), concurrent_reads=2)

    found = texts.read_concurrently(
        lambda number: texts.read_bytes(f"version-{number}", 0, 6), [3, 1, 2, 0], ["version-0"]
    )

    assert found == ["text 3", "text 1", "text 2", "text 0"]


@pytest.mark.parametrize("concurrent_reads", [1, 4])
def test_the_error_of_the_first_item_is_raised(tmp_path: Path, concurrent_reads: int) -> None:
    texts = Texts(DirectoryBlobs(tmp_path), concurrent_reads=concurrent_reads)
    texts.save("version-1", "text", title=None, chunks=())

    with pytest.raises(KeyError, match="version-2"):
        texts.read_concurrently(lambda number: texts.read_bytes(f"version-{number}", 0, 4), [1, 2, 3], [])
    texts.start_loading_maps(["version-1", "version-2"])


class CopyingBlobs(DirectoryBlobs):
    """Keeps copies of what is read, and records what was read from the store itself and in which thread."""

    def __init__(self, home: Path) -> None:
        super().__init__(home / "stored")
        self.copies = LocalCopies(home / "copies", 1 << 20)
        self.fetched: list[str] = []

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        def fetch(start: int, length: int | None) -> bytes:
            self.fetched.append(key)
            return super(CopyingBlobs, self).read(key, start, length)

        assert self.copies is not None
        return self.copies.read(key, start, length, fetch)


def copying_texts(home: Path) -> tuple[CopyingBlobs, Texts]:
    blobs = CopyingBlobs(home)
    texts = Texts(blobs, concurrent_reads=4, copies=blobs.copies)
    texts.save_all([VersionText(f"version-{number}", f"täxt {number}", None, ()) for number in range(4)])
    return blobs, texts


def threads_used(texts: Texts, numbers: Sequence[int]) -> set[int]:
    def read(number: int) -> int:
        texts.read_bytes(f"version-{number}", 0, 6)
        return threading.get_ident()

    return set(texts.read_concurrently(read, numbers, [f"version-{number}" for number in numbers]))


def test_threads_read_only_texts_of_which_one_has_no_copy(tmp_path: Path) -> None:
    _, texts = copying_texts(tmp_path)
    assert threading.get_ident() not in threads_used(texts, [0, 1, 2])
    assert threads_used(texts, [0, 1, 2]) == {threading.get_ident()}
    assert threading.get_ident() not in threads_used(texts, [0, 3])


@pytest.mark.parametrize("start", [0, 2])
def test_what_was_copied_ahead_is_fetched_once_and_read_from_its_copy(tmp_path: Path, start: int) -> None:
    blobs, texts = copying_texts(tmp_path)
    for _ in range(2):
        for number in range(4):
            texts.start_copying(f"version-{number}", start, 6)
    assert [texts.read(f"version-{number}", start, 6) for number in range(4)] == [
        f"täxt {number}"[start:] for number in range(4)
    ]
    assert sorted(blobs.fetched) == sorted(
        f"text/ve/version-{number}.{kind}" for number in range(4) for kind in ("json", "txt")
    )


def test_what_cannot_be_copied_ahead_is_an_error_only_when_it_is_read(tmp_path: Path) -> None:
    _, texts = copying_texts(tmp_path)
    texts.start_copying("version-9", 0, 6)
    with pytest.raises(KeyError, match="version-9"):
        texts.read("version-9", 0, 6)


def test_a_folder_is_not_read_ahead(tmp_path: Path) -> None:
    texts = Texts(WaitingBlobs(tmp_path))  # A read would wait for another one, and fail.
    texts.start_copying("version-1", 0, 6)
    texts.start_loading_maps(["version-1"])
