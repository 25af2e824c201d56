import os
from pathlib import Path

import pytest

from ingest.storage.ballast import NEEDED_BYTES
from ingest.storage.errors import StorageFullError
from retrieval.index.edge.qdrant_edge_index import QdrantEdgeIndex
from retrieval.index.edge.shard_room import AllocatedDiskSpace
from retrieval.index.port import SearchScope
from tests.support.index_chunks import indexed_chunk, put_words

DIMENSION = 8
PLENTY = 2**40


class Disk:
    """How much is free, as far as the room is told."""

    def __init__(self, free: int = PLENTY) -> None:
        self.free = free

    def free_bytes(self, _: Path) -> int:
        return self.free


def room_on(folder: Path, disk: Disk, *, min_free_bytes: int = 0) -> AllocatedDiskSpace:
    return AllocatedDiskSpace(folder, min_free_bytes=min_free_bytes, get_free_bytes=disk.free_bytes)


def holes(folder: Path) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path.name for path in files if path.stat().st_blocks * 512 < path.stat().st_size]


def test_every_file_that_the_engine_maps_is_allocated_when_a_shard_is_made(tmp_path: Path) -> None:
    index = QdrantEdgeIndex(tmp_path / "index", dimension=DIMENSION, disk_space=room_on(tmp_path, Disk()))
    assert holes(tmp_path / "index") == []
    index.close()
    index = QdrantEdgeIndex(tmp_path / "other", dimension=DIMENSION)
    assert "page_0.dat" in holes(tmp_path / "other")
    index.close()


def test_on_a_nearly_full_disk_nothing_is_added_and_searches_and_deletions_go_on(tmp_path: Path) -> None:
    disk = Disk()
    index = QdrantEdgeIndex(tmp_path / "index", dimension=DIMENSION, disk_space=room_on(tmp_path, disk))
    put_words(index, {indexed_chunk("a"): "rigging", indexed_chunk("b", version="v2"): "ballast"})
    disk.free = NEEDED_BYTES - 1
    with pytest.raises(StorageFullError):
        put_words(index, {indexed_chunk("c"): "keel"})
    assert index.count_chunks("ann", "v1") == 1
    assert index.delete_version("ann", "v2") == 1
    assert index.load_chunks(SearchScope("ann"), [indexed_chunk("a").id]) != {}
    index.close()


def test_a_nearly_full_disk_is_not_filled_by_allocating_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrieval.index.edge.shard_room.needs_space_to_read", lambda _: False)
    folder = tmp_path / "shard"
    folder.mkdir()
    os.truncate(_new_file(folder / "open-1"), 2 * NEEDED_BYTES)
    room_on(tmp_path, Disk(NEEDED_BYTES * 3 - 1), min_free_bytes=NEEDED_BYTES).allocate_files(folder)
    assert holes(folder) == ["open-1"]
    room_on(tmp_path, Disk(NEEDED_BYTES * 3), min_free_bytes=NEEDED_BYTES).allocate_files(folder)
    assert holes(folder) == []


@pytest.mark.parametrize(("everywhere", "left"), [(False, ["page_0.dat"]), (True, [])])
def test_files_of_sealed_segments_that_are_written_once_are_allocated_only_where_reading_takes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, everywhere: bool, left: list[str]
) -> None:
    monkeypatch.setattr("retrieval.index.edge.shard_room.needs_space_to_read", lambda _: everywhere)
    for segment in ("sealed", "writable"):
        for name in ("page_0.dat", "flags_a.dat"):
            os.truncate(_new_file(tmp_path / "segments" / segment / "payload_storage" / name), 8192)
    _new_file(tmp_path / "segments" / "sealed" / "vector_index-bm25" / "inverted_index.dat")
    room_on(tmp_path, Disk()).allocate_files(tmp_path)
    assert holes(tmp_path) == left


@pytest.mark.parametrize(("everywhere", "allocated"), [(False, 0), (True, 1)])
def test_a_file_without_holes_is_allocated_too_where_the_kernel_may_free_the_pages_that_were_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, everywhere: bool, allocated: int
) -> None:
    monkeypatch.setattr("retrieval.index.edge.shard_room.needs_space_to_read", lambda _: everywhere)
    _new_file(tmp_path / "flags_a.dat").write_bytes(bytes(8192))
    _new_file(tmp_path / "empty.dat")
    asked = []

    def allocate(file: int, start: int, size: int) -> None:
        asked.append((start, size))

    monkeypatch.setattr(os, "posix_fallocate", allocate)
    room_on(tmp_path, Disk(0)).allocate_files(tmp_path)
    assert asked == [(0, 8192)] * allocated


def _new_file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_a_shard_that_could_end_the_process_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    QdrantEdgeIndex(tmp_path / "index", dimension=DIMENSION).close()
    monkeypatch.setattr("retrieval.index.edge.shard_room.needs_space_to_read", lambda _: True)
    with pytest.raises(StorageFullError, match=r"requires .* bytes, but only"):
        QdrantEdgeIndex(tmp_path / "index", dimension=DIMENSION, disk_space=room_on(tmp_path, Disk(NEEDED_BYTES)))
    QdrantEdgeIndex(tmp_path / "index", dimension=DIMENSION, disk_space=room_on(tmp_path, Disk())).close()
    assert holes(tmp_path / "index") == []
