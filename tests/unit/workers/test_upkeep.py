"""Upkeep removes what no document uses, and nothing else."""

import os
import time

import pytest

from ingest.catalog.leftovers import Leftovers
from ingest.documents import JobKind, VersionState
from ingest.tables import RecordTables
from tests.support.books import book
from tests.support.harbour import Harbour, no
from tests.support.record_tables import parsed_from
from workers.upkeep import FORGOTTEN_SECONDS, Removed, upkeep


def tidy(harbour: Harbour) -> Removed:
    return upkeep(Leftovers(harbour.engine), harbour.generations, harbour.blobs, harbour.texts)


def ready(harbour: Harbour, text: str, name: str) -> str:
    document = harbour.upload(text, name)
    harbour.ingest.run(harbour.jobs.claim(JobKind.INGEST)[0], no)
    harbour.embed.run(harbour.jobs.claim(JobKind.EMBED), no)
    assert harbour.state(document) is VersionState.READY
    return document.id


def test_chunks_written_after_their_document_was_deleted_and_collected_are_found(harbour: Harbour) -> None:
    gone, kept = ready(harbour, book(1), "gone.md"), ready(harbour, book(2), "kept.md")
    version = harbour.catalog.document("ann", gone).version
    late = {i: c for i, c in harbour.index.kept.items() if c.version_id == version.id}
    harbour.catalog.delete("ann", gone)
    harbour.index.delete_version("ann", version.id)
    harbour.index.upsert(list(late.values()), [harbour.shop.sparse.document("late")] * len(late))
    assert tidy(harbour).orphan_chunks == len(late) > 0
    assert {version for _, version in harbour.index.versions()} == {harbour.catalog.document("ann", kept).version.id}
    assert tidy(harbour) == Removed(0, 0)


def test_a_version_that_the_catalog_never_knew_is_an_orphan(harbour: Harbour) -> None:
    ready(harbour, book(1), "a.md")
    chunk = next(iter(harbour.index.kept.values()))
    stray = type(chunk)(**{**vars(chunk), "id": "stray", "version_id": "unknown"})
    harbour.index.upsert([stray], [harbour.shop.sparse.document("stray")])
    RecordTables(harbour.blobs).save("unknown", parsed_from("id,name\n1,Ann\n2,Bob", "text/csv"))
    assert tidy(harbour).orphan_chunks == 1
    assert list(harbour.blobs.keys("tables")) == []
    assert chunk.id in harbour.index.kept


def test_files_that_nobody_recorded_go_when_they_are_old(harbour: Harbour) -> None:
    document = ready(harbour, book(1), "a.md")
    harbour.blobs.put("original/ab/forgotten", b"bytes")
    harbour.blobs.put("original/ab/arriving", b"bytes")
    old = time.time() - FORGOTTEN_SECONDS - 60
    kept = harbour.catalog.document("ann", document).version.blob_key
    for key in ("original/ab/forgotten", kept):
        os.utime(harbour.blobs.path(key), (old, old))
    assert tidy(harbour).files == 1
    assert harbour.blobs.read("original/ab/arriving") == b"bytes"
    assert harbour.blobs.read(kept)
    with pytest.raises(KeyError):
        harbour.blobs.read("original/ab/forgotten")
