"""An index that another installation has taken over is left alone."""

import os
import time
from pathlib import Path

import pytest

from ingest.storage.blobs.quarantine import UpkeepLimits
from ingest.storage.errors import InstallationMismatchError
from ingest.storage.operations.installation import Installation
from ingest.storage.operations.leftovers import UnusedContent
from retrieval.index.generations import IndexStore
from retrieval.index.stores import FolderStore, ServerStore
from tests.support.generations_fixture import WHALE, GenerationsFixture
from workers.upkeep.leftovers import FORGOTTEN_SECONDS, CleanupResult, UnusedContentCleaner

THEIRS = Installation("another", lambda _: True)


def taken_over(store: IndexStore, tmp_path: Path) -> IndexStore:
    """The same place, as another installation opens it."""
    if isinstance(store, ServerStore):
        return ServerStore(store._url, THEIRS, api_key=None, settings=store._settings)
    return FolderStore(tmp_path, THEIRS)


def test_upkeep_touches_nothing_once_an_index_belongs_to_another_installation(
    at: GenerationsFixture, store: IndexStore, tmp_path: Path
) -> None:
    at.ready(WHALE)
    at.blobs.put("original/ab/forgotten", b"bytes")
    long_ago = time.time() - FORGOTTEN_SECONDS - 60
    os.utime(at.blobs.resolve_path("original/ab/forgotten"), (long_ago, long_ago))
    rounds = UnusedContentCleaner(at.record, UnusedContent(at.engine), at.open, at.blobs, at.texts, UpkeepLimits())
    taken_over(store, tmp_path).take_ownership(1)
    assert "belongs to installation another" in rounds.clean_up().stopped
    assert at.blobs.read("original/ab/forgotten") == b"bytes"
    store.take_ownership(1)
    assert rounds.clean_up() == CleanupResult(put_aside=1)
    assert at.record.load_notices() == {}


def test_a_discarded_generation_that_another_installation_has_is_not_removed(
    at: GenerationsFixture, store: IndexStore, tmp_path: Path
) -> None:
    at.ready(WHALE)
    at.switcher.build_generation(at.choice("hashing-32"), at.sparse.fingerprint)
    at.switcher.switch()
    at.records.discard_inactive_generation(allow_unfinished=False)
    theirs = taken_over(store, tmp_path)
    theirs.take_ownership(1)
    at.open.remove_discarded_indexes()
    assert store.find_size(1) is not None
    with pytest.raises(InstallationMismatchError):
        store.remove_index(1)
    theirs.remove_index(1)
