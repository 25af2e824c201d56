"""Replacing a document through the tasks: what is encoded, what is kept, and what is left."""

from pathlib import Path

import numpy as np
import pytest

from ingest.intake import Replacement, UploadRequest
from ingest.storage.documents.records import VersionState
from ingest.storage.errors import IncompleteVersionError, PreconditionFailedError
from ingest.storage.queue.records import JobKind
from tests.support.books import book
from tests.support.worker_fixture import WorkerFixture, no
from workers.tasks.vectors import iter_chunk_texts


def texts_of(worker: WorkerFixture, version: str) -> list[str]:
    found = worker.catalog.load_version(version)
    return [str(text) for _, text in iter_chunk_texts(worker.texts, found, worker.texts.load_map(version).chunks)]


@pytest.mark.parametrize("chapters", [3, 60])
def test_replacing_one_paragraph_of_a_book_encodes_only_the_chunks_that_changed(
    worker: WorkerFixture, chapters: int
) -> None:
    text = book(1, chapters=chapters)
    document = worker.upload(text)
    worker.work_off()
    before = texts_of(worker, document.version.id)
    old_tokens = worker.catalog.load_version(document.version.id).tokens or 0
    worker.embedder.texts.clear()
    paragraphs = text.split("\n\n")
    paragraphs[len(paragraphs) // 2] = "A squall came up from the south. The lantern went out at once."
    new = worker.replace(document, "\n\n".join(paragraphs)).document.version.id
    worker.work_off()
    version = worker.catalog.load_document("ann", document.id).version
    after = texts_of(worker, new)
    changed = [text for text in after if text not in set(before)]
    assert (version.id, version.state) == (new, VersionState.READY)
    assert worker.embedder.texts == changed
    assert 1 <= len(changed) <= 4 < len(after)
    assert version.chunks_reused == len(after) - len(changed)
    assert version.tokens == pytest.approx(old_tokens, rel=0.05)


def test_a_kept_vector_is_the_one_that_encoding_would_give(worker: WorkerFixture) -> None:
    document = worker.upload(book(2))
    worker.work_off()
    version = worker.replace(document, book(2) + "\n\nOne more line.\n").document.version.id
    worker.work_off()
    found = worker.catalog.load_version(version)
    assert found.chunks_reused > 0
    for identifier, text in iter_chunk_texts(worker.texts, found, worker.texts.load_map(version).chunks):
        np.testing.assert_allclose(
            worker.index.embeddings[identifier], worker.embedder.embed_query(str(text)), rtol=1e-5
        )


def test_after_a_replacement_only_the_new_version_is_left(worker: WorkerFixture) -> None:
    document = worker.upload(book(3))
    worker.work_off()
    old = document.version
    new = worker.replace(document, book(4), "b.md").document.version
    worker.work_off()
    assert {chunk.version_id for chunk in worker.index.kept.values()} == {new.id}
    assert worker.catalog.list_hidden_versions("ann") == []
    with pytest.raises(KeyError):
        worker.texts.load_map(old.id)
    assert not worker.blobs.resolve_path(old.blob_key).exists()
    assert worker.blobs.resolve_path(new.blob_key).exists()


def test_what_the_index_lost_of_a_replacement_keeps_the_old_content(worker: WorkerFixture) -> None:
    document = worker.upload(book(5))
    worker.work_off()
    new = worker.replace(document, book(6)).document.version.id
    (job,) = worker.jobs.claim(JobKind.INGEST)
    worker.ingest.run(job, no)
    lost = next(chunk.id for chunk in worker.index.kept.values() if chunk.version_id == new)

    def lose_it(method: str) -> None:
        if method == "count":
            worker.index.embeddings.pop(lost, None)

    worker.index.fault = lose_it
    (embed,) = worker.jobs.claim(JobKind.EMBED)
    with pytest.raises(IncompleteVersionError):
        worker.embed.run([embed], no)
    assert worker.catalog.load_document("ann", document.id).active_version_id == document.version.id


def test_a_book_whose_recorded_vectors_were_lost_is_embedded_from_the_start(worker: WorkerFixture) -> None:
    document = worker.upload(book(7, chapters=60))
    (job,) = worker.jobs.claim(JobKind.INGEST)
    worker.ingest.run(job, no)
    (embed,) = worker.jobs.claim(JobKind.EMBED)
    worker.jobs.record_progress(embed, VersionState.EMBEDDING, chunks_embedded=256, tokens=9)
    worker.embed.run([embed], no)
    version = worker.catalog.load_document("ann", document.id).version
    assert worker.index.count_chunks("ann", version.id, embedded_only=True) == version.chunks
    assert version.tokens == sum(len(text.split()) for text in texts_of(worker, version.id))


def test_a_replacement_of_what_has_changed_leaves_no_bytes_behind(worker: WorkerFixture, tmp_path: Path) -> None:
    document = worker.upload(book(8))
    kept = sorted(path for path in tmp_path.glob("blobs/original/*/*"))
    request = UploadRequest("ann", "default", "a.md", replaces=Replacement(document.id, frozenset({"another"})))
    with worker.intake.receive_upload(request) as upload:
        upload.write(b"# New\n\nWords.")
        with pytest.raises(PreconditionFailedError):
            upload.accept()
    assert sorted(path for path in tmp_path.glob("blobs/original/*/*")) == kept
