"""What is encoded, and what is taken from chunks that say the same."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ingest.chunking import find_second_headers
from ingest.intake import UploadRequest
from ingest.storage.documents.records import Document, VersionState
from ingest.storage.queue.records import JobKind
from ingest.storage.texts.chunks import Chunk
from ingest.storage.texts.layout import Layout, TableSpan, dump_layout, parse_layout
from retrieval.index.bm25 import CONTEXT_WEIGHT, Bm25Encoder
from retrieval.index.generations import OpenGeneration
from retrieval.index.languages import Language
from tests.support.parsing import ParserHere
from tests.support.worker_fixture import WorkerFixture, no
from workers.tasks.ingest import IngestTask
from workers.tasks.vectors import (
    MAX_TABLE_HEADER_CHARS,
    Portion,
    VectorWriter,
    build_indexed_text,
    compute_text_digest,
    compute_word_weights,
    iter_chunk_texts,
)

SHARED = "# Notice\n\nThe harbour is closed while the ice lasts.\n"
OTHER = "\n# Tides\n\nHigh water is at noon.\n"


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[WorkerFixture]:
    made = WorkerFixture(tmp_path)
    made.catalog.ensure_tenant("bob")
    yield made
    made.engine.dispose()


def put(worker: WorkerFixture, text: str, *, tenant: str = "ann", collection: str = "default") -> Document:
    with worker.intake.receive_upload(UploadRequest(tenant, collection, "a.md")) as upload:
        upload.write(text.encode())
        return upload.accept().document


def ingest_all(worker: WorkerFixture) -> None:
    assert worker.ingest.run_jobs_together(worker.jobs.claim(JobKind.INGEST, limit=9), no) == []


def texts_of(worker: WorkerFixture, version: str) -> list[str]:
    found = worker.catalog.load_version(version)
    return [str(text) for _, text in iter_chunk_texts(worker.texts, found, worker.texts.load_map(version).chunks)]


def encoded(worker: WorkerFixture) -> list[str]:
    """The last line of each text that was encoded since this was last asked."""
    texts = [text.splitlines()[-1] for text in worker.embedder.texts]
    worker.embedder.texts.clear()
    return texts


def test_a_text_that_several_documents_have_is_encoded_once(worker: WorkerFixture) -> None:
    first, second = put(worker, SHARED), put(worker, SHARED, collection="another")
    worker.work_off()
    assert encoded(worker) == ["The harbour is closed while the ice lasts."]
    third = put(worker, SHARED + OTHER)
    worker.work_off()
    assert encoded(worker) == ["High water is at noon."]
    versions = [worker.catalog.load_document("ann", document.id).version for document in (first, second, third)]
    assert {version.state for version in versions} == {VersionState.READY}
    assert [version.chunks_reused for version in versions] == [0, 1, 1]
    for version in versions:
        assert worker.index.count_chunks("ann", version.id, embedded_only=True) == version.chunks
        assert version.tokens == sum(len(text.split()) for text in texts_of(worker, version.id))


def test_texts_of_one_batch_are_encoded_once_for_each_tenant(worker: WorkerFixture) -> None:
    for collection in "abc":
        put(worker, SHARED, collection=collection)
    put(worker, SHARED, tenant="bob")
    ingest_all(worker)
    worker.embed.run(worker.jobs.claim(JobKind.EMBED, limit=9), no)
    assert encoded(worker) == ["The harbour is closed while the ice lasts."] * 2


def test_a_tenant_gets_nothing_from_what_another_one_has(worker: WorkerFixture) -> None:
    put(worker, SHARED)
    worker.work_off()
    encoded(worker)
    theirs = put(worker, SHARED, tenant="bob")
    worker.work_off()
    assert encoded(worker) == ["The harbour is closed while the ice lasts."]
    assert worker.catalog.load_document("bob", theirs.id).version.chunks_reused == 0


def test_of_a_deleted_document_no_vector_is_left_to_be_taken(worker: WorkerFixture) -> None:
    document = put(worker, SHARED)
    worker.work_off()
    worker.deleter.delete_document("ann", document.id)
    encoded(worker)
    put(worker, SHARED)
    worker.work_off()
    assert encoded(worker) == ["The harbour is closed while the ice lasts."]


def test_what_was_written_and_not_counted_before_a_kill_is_counted_as_its_own(worker: WorkerFixture) -> None:
    document = put(worker, SHARED)
    ingest_all(worker)
    (job,) = worker.jobs.claim(JobKind.EMBED)
    (chunk,) = worker.index.kept.values()
    worker.index.set_dense_vectors([chunk.id], worker.embedder.embed_documents(["left by a killed worker"]).vectors)
    worker.embed.run([job], no)
    version = worker.catalog.load_document("ann", document.id).version
    assert (version.state, version.chunks_reused) == (VersionState.READY, 0)
    assert version.tokens == sum(len(text.split()) for text in texts_of(worker, version.id))


def test_a_digest_is_of_the_whole_text_with_its_context(worker: WorkerFixture) -> None:
    version = put(worker, SHARED).version.id
    worker.work_off()
    assert [chunk.digest for chunk in worker.index.kept.values()] == list(
        map(compute_text_digest, texts_of(worker, version))
    )


def test_rows_stand_under_the_header_of_their_table_for_bm25_and_the_encoder() -> None:
    text = "| year | sales |\n| --- | --- |\n| 2021 | 40 |\n| 2022 | 41 |"
    layout = Layout(tables=(TableSpan(0, 30, len(text)),))
    start = text.index("| 2022")
    rows = build_indexed_text("Shops", Chunk(1, start, len(text), ("Trade",), None), text, layout)
    assert str(rows) == "Shops > Trade\nyear sales\n2022 41"
    encoder = Bm25Encoder()
    found = compute_word_weights(encoder, rows, name="a.csv", language=Language.ENGLISH)
    weight = dict(zip(found.indices, found.values, strict=True))
    (sales,) = set(encoder.encode_document("sales").indices)
    assert weight[sales] == pytest.approx(CONTEXT_WEIGHT * 2.2 / (CONTEXT_WEIGHT + 1.2))


def test_rows_stand_under_the_years_of_their_columns(worker: WorkerFixture) -> None:
    rows = "".join(f"| Quay {at} | {'stone ' * 9}{at} | {at} |\n" for at in range(40))
    text = (
        f"# Costs\n\n| | Harbour | Harbour |\n|---|---|---|\n| (in francs) | 2023 | 2022 |\n| Ropes | 5 | 6 |\n{rows}"
    )
    version = put(worker, text).version.id
    assert IngestTask(worker.deps, ParserHere()).run_jobs_together(worker.jobs.claim(JobKind.INGEST), no) == []
    first, *later = texts_of(worker, version)
    assert first.count("2023") == 1
    assert len(later) > 1
    assert all(each.startswith("Costs\nHarbour Harbour\n(in francs) 2023 2022\nQuay") for each in later)


def test_versions_from_before_keep_the_texts_of_their_chunks() -> None:
    names, years, row = "| | Harbour |", "| (in francs) | 2023 |", "| Ropes | 5 |"
    text = "\n".join([names, "| --- | --- |", years, row])
    start = text.index(row)
    chunk = Chunk(1, start, len(text), (), None)
    stored = {"headings": [], "places": [], "tables": [[0, text.index(years) - 1, len(text), "Costs"]]}
    before = parse_layout(stored, character_count=len(text))
    assert str(build_indexed_text("T", chunk, text, before)) == "T\nHarbour\nRopes 5"
    now = find_second_headers(text, before)
    assert str(build_indexed_text("T", chunk, text, now)) == "T\nHarbour\n(in francs) 2023\nRopes 5"
    assert parse_layout(dump_layout(now), character_count=len(text)) == now
    assert json.loads(json.dumps(dump_layout(before))) == stored


@pytest.mark.parametrize(("name_chars", "year_chars"), [(40, 8), (400, 8), (400, 300), (40, 400)])
def test_a_long_header_leaves_room_for_the_years_of_its_columns(name_chars: int, year_chars: int) -> None:
    names, years = f"| {'n' * name_chars} | b |", f"| | 2023{'y' * year_chars} |"
    text = "\n".join([names, "| --- | --- |", years, "| Ropes | 5 |"])
    layout = Layout(tables=(TableSpan(0, text.index(years) - 1, len(text), "", text.index("\n| Ropes")),))
    header = build_indexed_text("T", Chunk(1, text.index("| Ropes"), len(text), (), None), text, layout).header
    assert len(header) <= MAX_TABLE_HEADER_CHARS
    assert header.startswith("| nnn")
    assert "| | 2023y" in header


def test_the_encoder_reads_cells_without_what_draws_their_table() -> None:
    text = "Sales, in all:\n\n| a \\| b | | c |\n|:---|---|---:|\n| $1,204 | — | |\n\nif x | y:\n- | -"
    found = build_indexed_text("T", Chunk(0, 0, len(text), (), None), text, Layout())
    assert str(found) == "T\nSales, in all:\n\na \\| b c\n$1,204 —\n\nif x | y:\n- | -"
    assert found.body == text


def test_a_vector_is_copied_to_the_next_generation_for_the_same_text_alone(worker: WorkerFixture) -> None:
    version = put(worker, SHARED + OTHER).version
    worker.work_off()
    copied, made = worker.index, type(worker.index)()
    made.upsert_chunks(list(copied.kept.values()), [Bm25Encoder().encode_query("")] * len(copied.kept))
    first, second = copied.kept.values()
    copied.kept[first.id] = replace(first, digest=compute_text_digest("what an earlier release read"))
    encoded(worker)
    writer = VectorWriter(
        worker.texts, worker.catalog, OpenGeneration(2, made, worker.embedder, Bm25Encoder(), copied), JobKind.REEMBED
    )
    writer.write_vectors([Portion(worker.catalog.load_version(version.id), worker.texts.load_map(version.id).chunks)])
    (text,) = (text for text in texts_of(worker, version.id) if compute_text_digest(text) == first.digest)
    assert encoded(worker) == [text.splitlines()[-1]]
    assert set(made.embeddings) == {first.id, second.id}
