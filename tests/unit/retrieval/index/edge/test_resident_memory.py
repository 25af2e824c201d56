"""Pages of mapped files are let go of and keep their contents."""

import mmap
from pathlib import Path

from retrieval.index.edge.resident_memory import get_mapped_size, unmap_pages

SIZE = 64 * 1024 * 1024


def test_pages_under_the_folder_are_let_go_and_read_the_same_again(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "inside").mkdir()
    maps = []
    for folder in ("in", "inside"):
        path = tmp_path / folder / "a file"
        path.write_bytes(bytes(SIZE))
        with path.open("r+b") as file:
            maps.append(mmap.mmap(file.fileno(), SIZE))
        maps[-1][:] = b"x" * SIZE
    before = get_mapped_size()
    unmap_pages(tmp_path / "in")
    assert before - SIZE * 1.1 < get_mapped_size() < before - SIZE * 0.9
    assert all(held[:] == b"x" * SIZE for held in maps)
