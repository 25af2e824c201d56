"""An index that was lost behind the back of the processes that have it open, in a folder and on a server."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from qdrant_client import QdrantClient

from retrieval.errors import IndexLostError
from retrieval.index.generations import IndexPresence, IndexStore
from retrieval.index.stores import ServerStore
from tests.support.generations_fixture import SHIPS, WHALE, GenerationsFixture


@pytest.fixture
def lose(store: IndexStore, tmp_path: Path) -> Callable[[], None]:
    """Removes the first generation's index, as the loss of a disk or a volume does."""

    def remove() -> None:
        if isinstance(store, ServerStore):
            client = QdrantClient(url=store._url, check_compatibility=False)
            client.delete_collection("leadline")
            client.close()
        else:
            shutil.rmtree(tmp_path / "index")

    return remove


def test_every_process_refuses_until_the_index_is_made_again_and_none_is_restarted(
    at: GenerationsFixture, store: IndexStore, lose: Callable[[], None], tmp_path: Path
) -> None:
    whale, ships = at.ready(WHALE), at.ready(SHIPS, "ships.md")
    at.checks.check_index()
    if not isinstance(store, ServerStore):
        at.open.close()  # a folder is one process's
    lose()
    other = GenerationsFixture(tmp_path, store)
    other.open.open_active_generation()  # as a restarted process does, of either release: it makes an empty index
    assert store.check_presence(1) is IndexPresence.UNMARKED
    other.checks.check_opened_index()
    for process in (at, other):
        with pytest.raises(IndexLostError, match=r"2 of 2 documents.*leadline index rebuild"):
            process.found("whale")
        with pytest.raises(IndexLostError):
            process.open.require_ready()
    other.switcher.rebuild_index(other.encoders.choices[0], other.sparse.fingerprint)
    other.checks.check_unchecked_generation()
    assert (store.check_presence(2), other.verify().is_consistent) == (IndexPresence.MARKED, True)
    assert set(other.found("whale")) == {whale.id, ships.id}
    if isinstance(store, ServerStore):
        assert set(at.found("whale")) == {whale.id, ships.id}
        at.open.require_ready()
    other.open.remove_discarded_indexes()
    assert store.check_presence(1) is IndexPresence.ABSENT
    other.close()


def test_a_collection_that_is_gone_is_a_loss_before_anybody_has_checked(
    at: GenerationsFixture, store: IndexStore, lose: Callable[[], None]
) -> None:
    if not isinstance(store, ServerStore):
        pytest.skip("the files of a folder stay readable for the process that has them open")
    at.ready(WHALE)
    at.checks.check_index()
    assert at.found("whale")
    lose()
    with pytest.raises(IndexLostError, match="does not have the index's collection"):
        at.found("whale")
    found = at.checks.check_index()
    assert "1 of 1 documents" in found.lost
    assert store.check_presence(1) is IndexPresence.ABSENT  # a check makes nothing


def test_an_index_of_the_release_before_is_adopted_once_it_agrees(
    at: GenerationsFixture, store: IndexStore, tmp_path: Path
) -> None:
    at.ready(WHALE)
    assert (
        store.check_presence(1) is IndexPresence.UNMARKED
    )  # nobody has checked it yet, as the release before never does
    at.checks.check_opened_index()
    assert store.check_presence(1) is IndexPresence.MARKED
    assert at.found("whale")


def test_marking_leaves_the_rest_of_what_an_index_says_about_itself(at: GenerationsFixture, store: IndexStore) -> None:
    at.ready(WHALE)
    before = store.find_owner(1)
    at.checks.check_index()
    assert store.find_owner(1) == before is not None
    store.take_ownership(1)
    assert store.check_presence(1) is IndexPresence.MARKED
