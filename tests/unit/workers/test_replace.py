"""Replacing a document through the tasks: what is encoded, what is kept, and what is left."""

from pathlib import Path

import numpy as np
import pytest

from ingest.documents import JobKind, VersionState
from ingest.errors import IncompleteVersionError, PreconditionFailedError
from ingest.intake import Replaces, UploadRequest
from tests.support.books import book
from tests.support.harbour import Harbour, no
from workers.vectors import chunk_texts


def texts_of(harbour: Harbour, version: str) -> list[str]:
    found = harbour.catalog.version(version)
    return [text for _, text in chunk_texts(harbour.texts, found, harbour.texts.map(version).chunks)]


@pytest.mark.parametrize("chapters", [3, 60])
def test_replacing_one_paragraph_of_a_book_encodes_only_the_chunks_that_changed(
    harbour: Harbour, chapters: int
) -> None:
    text = book(1, chapters=chapters)
    document = harbour.upload(text)
    harbour.work_off()
    before = texts_of(harbour, document.version.id)
    old_tokens = harbour.catalog.version(document.version.id).tokens or 0
    harbour.embedder.texts.clear()
    paragraphs = text.split("\n\n")
    paragraphs[len(paragraphs) // 2] = "A squall came up from the south. The lantern went out at once."
    new = harbour.replace(document, "\n\n".join(paragraphs)).document.version.id
    harbour.work_off()
    version = harbour.catalog.document("ann", document.id).version
    after = texts_of(harbour, new)
    changed = [text for text in after if text not in set(before)]
    assert (version.id, version.state) == (new, VersionState.READY)
    assert harbour.embedder.texts == changed
    assert 1 <= len(changed) <= 4 < len(after)
    assert version.chunks_reused == len(after) - len(changed)
    assert version.tokens == pytest.approx(old_tokens, rel=0.05)


def test_a_kept_vector_is_the_one_that_encoding_would_give(harbour: Harbour) -> None:
    document = harbour.upload(book(2))
    harbour.work_off()
    version = harbour.replace(document, book(2) + "\n\nOne more line.\n").document.version.id
    harbour.work_off()
    found = harbour.catalog.version(version)
    assert found.chunks_reused > 0
    for identifier, text in chunk_texts(harbour.texts, found, harbour.texts.map(version).chunks):
        np.testing.assert_allclose(harbour.index.embeddings[identifier], harbour.embedder.query(text), rtol=1e-5)


def test_after_a_replacement_only_the_new_version_is_left(harbour: Harbour) -> None:
    document = harbour.upload(book(3))
    harbour.work_off()
    old = document.version
    new = harbour.replace(document, book(4), "b.md").document.version
    harbour.work_off()
    assert {chunk.version_id for chunk in harbour.index.kept.values()} == {new.id}
    assert harbour.catalog.hidden_versions("ann") == []
    with pytest.raises(KeyError):
        harbour.texts.map(old.id)
    assert not harbour.blobs.path(old.blob_key).exists()
    assert harbour.blobs.path(new.blob_key).exists()


def test_what_the_index_lost_of_a_replacement_keeps_the_old_content(harbour: Harbour) -> None:
    document = harbour.upload(book(5))
    harbour.work_off()
    new = harbour.replace(document, book(6)).document.version.id
    (job,) = harbour.jobs.claim(JobKind.INGEST)
    harbour.ingest.run(job, no)
    lost = next(chunk.id for chunk in harbour.index.kept.values() if chunk.version_id == new)

    def lose_it(method: str) -> None:
        if method == "count":
            harbour.index.embeddings.pop(lost, None)

    harbour.index.fault = lose_it
    (embed,) = harbour.jobs.claim(JobKind.EMBED)
    with pytest.raises(IncompleteVersionError):
        harbour.embed.run([embed], no)
    assert harbour.catalog.document("ann", document.id).active_version_id == document.version.id


def test_a_book_whose_recorded_vectors_were_lost_is_embedded_from_the_start(harbour: Harbour) -> None:
    document = harbour.upload(book(7, chapters=60))
    (job,) = harbour.jobs.claim(JobKind.INGEST)
    harbour.ingest.run(job, no)
    (embed,) = harbour.jobs.claim(JobKind.EMBED)
    harbour.jobs.progress(embed, VersionState.EMBEDDING, chunks_embedded=256, tokens=9)
    harbour.embed.run([embed], no)
    version = harbour.catalog.document("ann", document.id).version
    assert harbour.index.count("ann", version.id, embedded_only=True) == version.chunks
    assert version.tokens == sum(len(text.split()) for text in texts_of(harbour, version.id))


def test_a_replacement_of_what_has_changed_leaves_no_bytes_behind(harbour: Harbour, tmp_path: Path) -> None:
    document = harbour.upload(book(8))
    kept = sorted(path for path in tmp_path.glob("blobs/original/*/*"))
    request = UploadRequest("ann", "default", "a.md", replaces=Replaces(document.id, frozenset({"another"})))
    with harbour.intake.receive(request) as upload:
        upload.write(b"# New\n\nWords.")
        with pytest.raises(PreconditionFailedError):
            upload.accept()
    assert sorted(path for path in tmp_path.glob("blobs/original/*/*")) == kept
