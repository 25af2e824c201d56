"""Where generations of the index are kept: folders of this machine and collections of a server, behind one suite."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from qdrant_client import QdrantClient

from ingest.storage.errors import InstallationMismatchError
from ingest.storage.operations.installation import MARK_FILE, Installation
from retrieval import build
from retrieval.index.generations import IndexPresence, IndexSize, IndexStore
from retrieval.index.stores import ServerStore
from tests.support.index_chunks import indexed_chunk, put_words
from tests.support.installations import OURS
from tests.support.vector_servers import vector_server

THEIRS = Installation("another", lambda _: True)
KNOWS_NOTHING = Installation("new", lambda _: False)

OpenStore = Callable[[Installation], IndexStore]


@pytest.fixture(params=["folder", "server"])
def store_of(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    if request.param == "folder":
        yield partial(build.build_embedded_store, tmp_path)
        return
    with vector_server(tmp_path / "qdrant") as double:
        yield partial(build.build_server_store, double.url)


@pytest.fixture
def store(store_of: OpenStore) -> IndexStore:
    return store_of(OURS)


def test_generations_have_nothing_in_common(store: IndexStore) -> None:
    one, two = store.open_index(1, 8), store.open_index(2, 16)
    put_words(one, {indexed_chunk("a"): "whales swim"})
    put_words(two, {indexed_chunk("b"): "ships sail", indexed_chunk("c"): "masts"})
    assert (one.count_chunks("ann", "v1"), two.count_chunks("ann", "v1")) == (1, 2)
    one.close()
    two.close()


def test_a_generation_is_there_when_it_is_opened_again(store: IndexStore) -> None:
    index = store.open_index(3, 8)
    put_words(index, {indexed_chunk("a"): "whales swim"})
    index.close()
    again = store.open_index(3, 8)
    again.require_ready()
    assert again.count_chunks("ann", "v1") == 1
    again.close()


def test_what_is_removed_is_gone_and_leaves_the_others(store: IndexStore) -> None:
    one, two = store.open_index(1, 8), store.open_index(2, 8)
    put_words(one, {indexed_chunk("a"): "whales swim"})
    put_words(two, {indexed_chunk("a"): "whales swim"})
    two.close()
    store.remove_index(2)
    store.remove_index(2)
    assert store.find_size(2) is None
    empty = store.open_index(2, 8)
    assert (one.count_chunks("ann", "v1"), empty.count_chunks("ann", "v1")) == (1, 0)
    one.close()
    empty.close()


def test_a_generation_that_is_there_says_what_it_takes(store: IndexStore) -> None:
    assert store.find_size(1) is None
    index = store.open_index(1, 8)
    put_words(index, {indexed_chunk("a"): "whales swim"})
    index.flush()
    size = store.find_size(1)
    assert size is not None
    assert size == IndexSize(points=1) or (size.disk_bytes or 0) > 0
    index.close()


def test_a_mark_tells_an_index_from_one_that_is_made_in_its_place(store: IndexStore) -> None:
    assert store.check_presence(1) is IndexPresence.ABSENT
    store.open_index(1, 8).close()
    assert store.check_presence(1) is IndexPresence.UNMARKED
    store.mark_complete(1)
    store.mark_complete(1)
    assert (store.check_presence(1), store.find_owner(1)) == (IndexPresence.MARKED, OURS.id)
    store.open_index(1, 8).close()
    assert store.check_presence(1) is IndexPresence.MARKED
    store.remove_index(1)
    assert store.check_presence(1) is IndexPresence.ABSENT
    store.open_index(1, 8).close()
    assert store.check_presence(1) is IndexPresence.UNMARKED


def test_an_index_belongs_to_the_installation_that_made_it(store_of: OpenStore) -> None:
    ours, theirs = store_of(OURS), store_of(THEIRS)
    assert ours.find_owner(1) is None
    index = ours.open_index(1, 8)
    put_words(index, {indexed_chunk("a"): "whales swim"})
    index.close()
    assert ours.find_owner(1) == theirs.find_owner(1) == OURS.id
    with pytest.raises(InstallationMismatchError, match=f"belongs to installation {OURS.id}"):
        theirs.open_index(1, 8)
    with pytest.raises(InstallationMismatchError):
        theirs.remove_index(1)
    again = ours.open_index(1, 8)
    assert again.count_chunks("ann", "v1") == 1
    again.close()


def test_an_index_that_is_adopted_changes_hands(store_of: OpenStore) -> None:
    ours, theirs = store_of(OURS), store_of(THEIRS)
    ours.take_ownership(1)
    assert ours.find_size(1) is None
    ours.open_index(1, 8).close()
    theirs.take_ownership(1)
    theirs.open_index(1, 8).close()
    with pytest.raises(InstallationMismatchError):
        ours.open_index(1, 8)


def test_an_index_without_an_id_is_taken_only_if_the_catalog_knows_something_of_it(
    store_of: OpenStore, tmp_path: Path
) -> None:
    store = store_of(OURS)
    index = store.open_index(1, 8)
    put_words(index, {indexed_chunk("a"): "whales swim"})
    index.close()
    _forget_owner(store, tmp_path)
    with pytest.raises(InstallationMismatchError, match="none of which is in the catalog"):
        store_of(KNOWS_NOTHING).open_index(1, 8)
    assert store.find_owner(1) is None
    store.open_index(1, 8).close()
    assert store.find_owner(1) == OURS.id


def _forget_owner(store: IndexStore, tmp_path: Path) -> None:
    """Leave the index as a release without ids would have."""
    if isinstance(store, ServerStore):
        client = QdrantClient(url=store._url, check_compatibility=False)
        client.update_collection("leadline", metadata={"leadline_installation": None})
        client.close()
    else:
        (tmp_path / "index" / MARK_FILE).unlink()
