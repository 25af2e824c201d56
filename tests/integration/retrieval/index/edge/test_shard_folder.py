"""Generations on disk: which is current, what is shared between two, and what is left of a killed process."""

import hashlib
import shutil
from pathlib import Path

import pytest

from retrieval.errors import IndexLostError, IndexUnavailableError
from retrieval.index.edge.edge_shard import _convert_opening_error
from retrieval.index.edge.qdrant_edge_index import QdrantEdgeIndex
from retrieval.index.edge.shard_folder import ShardFolder, clone_shard
from tests.support.compacted_index import BY_HAND, DIMENSION, put, stored_points, version, write_first, write_more


def opened(folder: Path) -> QdrantEdgeIndex:
    return QdrantEdgeIndex(folder, dimension=DIMENSION, policy=BY_HAND)


def sums(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def compacted(folder: Path) -> Path:
    """A closed index, all sealed; returns its generation."""
    index = opened(folder)
    write_first(index)
    assert index.compact()
    index.close()
    return next(folder.glob("gen-*"))


def test_a_clone_has_the_same_bytes_and_shares_the_large_files(tmp_path: Path) -> None:
    shard = compacted(tmp_path / "i")
    clone_shard(shard, tmp_path / "clone")
    assert sums(tmp_path / "clone") == sums(shard)
    shared = {path.name for path in (tmp_path / "clone").rglob("*") if path.is_file() and path.stat().st_nlink > 1}
    assert {"matrix.dat", "quantized.data", "inverted_index.dat", "page_0.dat", "point_to_values.bin"} <= shared


def test_holes_stay_holes(tmp_path: Path) -> None:
    shard = compacted(tmp_path / "i")
    clone_shard(shard, tmp_path / "clone")
    blocks = [sum(path.stat().st_blocks for path in folder.rglob("*")) for folder in (shard, tmp_path / "clone")]
    assert blocks[1] <= blocks[0] * 1.1


def test_no_write_and_no_compaction_changes_a_shared_file(tmp_path: Path) -> None:
    """What sharing rests on: the engine writes these files once."""
    shard = compacted(tmp_path / "i")
    clone_shard(shard, tmp_path / "witness")
    before = sums(tmp_path / "witness")
    shared = [path for path in (tmp_path / "witness").rglob("*") if path.is_file() and path.stat().st_nlink > 1]
    index = opened(tmp_path / "i")
    write_more(index)
    index.flush()
    put(index, version("another"))
    index.delete_version("ann", "kept")
    index.close()
    index = opened(tmp_path / "i")
    assert index.compact()
    index.close()
    assert shared
    assert sums(tmp_path / "witness") == before


def test_an_index_of_an_earlier_release_is_taken_over_and_moved_by_its_first_compaction(tmp_path: Path) -> None:
    index = opened(tmp_path / "new")
    write_first(index)
    index.close()
    expected = stored_points(tmp_path / "new")
    shutil.copytree(next((tmp_path / "new").glob("gen-*")), tmp_path / "old")

    index = opened(tmp_path / "old")
    assert index.count_chunks("ann", "kept") == 60
    index.close()
    assert stored_points(tmp_path / "old") == expected
    index = opened(tmp_path / "old")
    assert index.compact()
    index.close()
    assert stored_points(tmp_path / "old") == expected
    assert sorted(path.name for path in (tmp_path / "old").iterdir()) == ["CURRENT", "gen-000001", "lock"]


def test_leftovers_are_removed_at_the_next_opening(tmp_path: Path) -> None:
    current = compacted(tmp_path / "i")
    shutil.copytree(current, tmp_path / "i" / "gen-000009")
    (tmp_path / "i" / "segments").mkdir()
    folder = ShardFolder(tmp_path / "i")
    assert folder.current == current
    assert sorted(path.name for path in (tmp_path / "i").iterdir()) == ["CURRENT", current.name, "lock"]
    folder.close()


def test_a_folder_is_opened_once(tmp_path: Path) -> None:
    folder = ShardFolder(tmp_path)
    with pytest.raises(IndexUnavailableError, match="Another process"):
        ShardFolder(tmp_path)
    folder.close()
    ShardFolder(tmp_path).close()


def test_a_generation_that_is_gone_is_an_error_and_not_an_empty_index(tmp_path: Path) -> None:
    shutil.rmtree(compacted(tmp_path / "i"))
    with pytest.raises(IndexLostError, match=r"gen-000002, which does not exist\..*leadline index rebuild"):
        opened(tmp_path / "i")


def test_damaged_files_are_a_lost_index_and_never_advice_to_remove_it(tmp_path: Path) -> None:
    current = compacted(tmp_path / "i")
    for state in current.glob("segments/*/segment.json"):
        state.unlink()
    with pytest.raises(IndexLostError, match=r"damaged.*leadline index rebuild") as raised:
        opened(tmp_path / "i")
    assert "remove" not in str(raised.value)


@pytest.mark.parametrize("number", [28, 13, 24, 30])
def test_a_machine_that_is_short_of_something_is_no_damage(number: int) -> None:
    error = _convert_opening_error(RuntimeError(f"Service error: failed to write (os error {number})"))
    assert not isinstance(error, IndexLostError)
