"""Where generations of the index are kept: folders of this machine and collections of a server, behind one suite."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval import build
from retrieval.generations import IndexStore, Size
from tests.support.index_chunks import indexed_chunk, put_words
from tests.support.vector_servers import vector_server


@pytest.fixture(params=["folder", "server"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[IndexStore]:
    if request.param == "folder":
        yield build.embedded_indexes(tmp_path)
        return
    with vector_server(tmp_path / "qdrant") as double:
        yield build.server_indexes(double.url)


def test_generations_have_nothing_in_common(store: IndexStore) -> None:
    one, two = store.open(1, 8), store.open(2, 16)
    put_words(one, {indexed_chunk("a"): "whales swim"})
    put_words(two, {indexed_chunk("b"): "ships sail", indexed_chunk("c"): "masts"})
    assert (one.count("ann", "v1"), two.count("ann", "v1")) == (1, 2)
    one.close()
    two.close()


def test_a_generation_is_there_when_it_is_opened_again(store: IndexStore) -> None:
    index = store.open(3, 8)
    put_words(index, {indexed_chunk("a"): "whales swim"})
    index.close()
    again = store.open(3, 8)
    again.require_ready()
    assert again.count("ann", "v1") == 1
    again.close()


def test_what_is_removed_is_gone_and_leaves_the_others(store: IndexStore) -> None:
    one, two = store.open(1, 8), store.open(2, 8)
    put_words(one, {indexed_chunk("a"): "whales swim"})
    put_words(two, {indexed_chunk("a"): "whales swim"})
    two.close()
    store.remove(2)
    store.remove(2)
    assert store.size(2) is None
    empty = store.open(2, 8)
    assert (one.count("ann", "v1"), empty.count("ann", "v1")) == (1, 0)
    one.close()
    empty.close()


def test_a_generation_that_is_there_says_what_it_takes(store: IndexStore) -> None:
    assert store.size(1) is None
    index = store.open(1, 8)
    put_words(index, {indexed_chunk("a"): "whales swim"})
    index.flush()
    size = store.size(1)
    assert size is not None
    assert size == Size(points=1) or (size.disk_bytes or 0) > 0
    index.close()
