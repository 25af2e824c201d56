"""What is encoded, and what is taken from chunks that say the same."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.documents import Document, JobKind, VersionState
from ingest.intake import UploadRequest
from tests.support.harbour import Harbour, no
from workers.vectors import chunk_texts, text_digest

SHARED = "# Notice\n\nThe harbour is closed while the ice lasts.\n"
OTHER = "\n# Tides\n\nHigh water is at noon.\n"


@pytest.fixture
def harbour(tmp_path: Path) -> Iterator[Harbour]:
    made = Harbour(tmp_path)
    made.catalog.ensure_tenant("bob")
    yield made
    made.engine.dispose()


def put(harbour: Harbour, text: str, *, tenant: str = "ann", collection: str = "default") -> Document:
    with harbour.intake.receive(UploadRequest(tenant, collection, "a.md")) as upload:
        upload.write(text.encode())
        return upload.accept().document


def ingest_all(harbour: Harbour) -> None:
    assert harbour.ingest.run_together(harbour.jobs.claim(JobKind.INGEST, limit=9), no) == []


def texts_of(harbour: Harbour, version: str) -> list[str]:
    found = harbour.catalog.version(version)
    return [text for _, text in chunk_texts(harbour.texts, found, harbour.texts.map(version).chunks)]


def encoded(harbour: Harbour) -> list[str]:
    """The last line of each text that was encoded since this was last asked."""
    texts = [text.splitlines()[-1] for text in harbour.embedder.texts]
    harbour.embedder.texts.clear()
    return texts


def test_a_text_that_several_documents_have_is_encoded_once(harbour: Harbour) -> None:
    first, second = put(harbour, SHARED), put(harbour, SHARED, collection="another")
    harbour.work_off()
    assert encoded(harbour) == ["The harbour is closed while the ice lasts."]
    third = put(harbour, SHARED + OTHER)
    harbour.work_off()
    assert encoded(harbour) == ["High water is at noon."]
    versions = [harbour.catalog.document("ann", document.id).version for document in (first, second, third)]
    assert {version.state for version in versions} == {VersionState.READY}
    assert [version.chunks_reused for version in versions] == [0, 1, 1]
    for version in versions:
        assert harbour.index.count("ann", version.id, embedded_only=True) == version.chunks
        assert version.tokens == sum(len(text.split()) for text in texts_of(harbour, version.id))


def test_texts_of_one_batch_are_encoded_once_for_each_tenant(harbour: Harbour) -> None:
    for collection in "abc":
        put(harbour, SHARED, collection=collection)
    put(harbour, SHARED, tenant="bob")
    ingest_all(harbour)
    harbour.embed.run(harbour.jobs.claim(JobKind.EMBED, limit=9), no)
    assert encoded(harbour) == ["The harbour is closed while the ice lasts."] * 2


def test_a_tenant_gets_nothing_from_what_another_one_has(harbour: Harbour) -> None:
    put(harbour, SHARED)
    harbour.work_off()
    encoded(harbour)
    theirs = put(harbour, SHARED, tenant="bob")
    harbour.work_off()
    assert encoded(harbour) == ["The harbour is closed while the ice lasts."]
    assert harbour.catalog.document("bob", theirs.id).version.chunks_reused == 0


def test_of_a_deleted_document_no_vector_is_left_to_be_taken(harbour: Harbour) -> None:
    document = put(harbour, SHARED)
    harbour.work_off()
    harbour.collector.delete("ann", document.id)
    encoded(harbour)
    put(harbour, SHARED)
    harbour.work_off()
    assert encoded(harbour) == ["The harbour is closed while the ice lasts."]


def test_what_was_written_and_not_counted_before_a_kill_is_counted_as_its_own(harbour: Harbour) -> None:
    document = put(harbour, SHARED)
    ingest_all(harbour)
    (job,) = harbour.jobs.claim(JobKind.EMBED)
    (chunk,) = harbour.index.kept.values()
    harbour.index.set_dense([chunk.id], harbour.embedder.documents(["left by a killed worker"]).vectors)
    harbour.embed.run([job], no)
    version = harbour.catalog.document("ann", document.id).version
    assert (version.state, version.chunks_reused) == (VersionState.READY, 0)
    assert version.tokens == sum(len(text.split()) for text in texts_of(harbour, version.id))


def test_a_digest_is_of_the_whole_text_with_its_context(harbour: Harbour) -> None:
    version = put(harbour, SHARED).version.id
    harbour.work_off()
    assert [chunk.digest for chunk in harbour.index.kept.values()] == list(map(text_digest, texts_of(harbour, version)))
