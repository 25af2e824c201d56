"""The benchmark of big indexes: chunks that repeat, neighbours that are right, and when an index stops growing."""

import numpy as np
import pytest
import typer

from tests.benchmark.big_index import Step, compute_recall, find_obstacle, parse_sizes
from tests.benchmark.generated_chunks import BATCH_CHUNKS, DIMENSION, ChunkGenerator, name_chunk, name_tenant
from tests.eval.repeating import NearestRows

GIB = 1024**3
STEP = Step(chunks=1_000, added=500, growth_seconds=10.0, measure_seconds=2.0, disk_bytes=GIB)


@pytest.fixture(scope="module")
def generator() -> ChunkGenerator:
    return ChunkGenerator(3, tenants=2)


def test_chunks_are_the_same_however_an_index_grows(generator: ChunkGenerator) -> None:
    middle, end = BATCH_CHUNKS + 100, 2 * BATCH_CHUNKS + 7
    at_once = list(generator.iter_batches(0, end))
    in_steps = [*generator.iter_batches(0, middle), *generator.iter_batches(middle, end)]
    for part in ("chunks", "texts"):
        assert [x for each in at_once for x in getattr(each, part)] == [x for e in in_steps for x in getattr(e, part)]
    assert np.array_equal(np.vstack([each.vectors for each in at_once]), np.vstack([each.vectors for each in in_steps]))
    numbers = np.hstack([each.numbers for each in in_steps])
    assert np.array_equal(numbers, np.arange(end))
    assert [chunk.id for each in in_steps for chunk in each.chunks] == [name_chunk(number) for number in numbers]


def test_every_chunk_has_an_id_and_a_text_of_its_own(generator: ChunkGenerator) -> None:
    (batch,) = generator.iter_batches(0, BATCH_CHUNKS)
    assert len({chunk.id for chunk in batch.chunks}) == len(set(batch.texts)) == BATCH_CHUNKS
    assert np.allclose(np.linalg.norm(batch.vectors, axis=1), 1.0, atol=1e-5)


def test_half_of_the_chunks_belong_to_each_of_two_tenants(generator: ChunkGenerator) -> None:
    (batch,) = generator.iter_batches(0, 400)
    assert [chunk.tenant_id for chunk in batch.chunks].count(name_tenant(0)) == 200
    assert {chunk.tenant_id for chunk in batch.chunks} == {name_tenant(0), name_tenant(1)}


def test_the_frequency_of_words_follows_their_rank(generator: ChunkGenerator) -> None:
    (batch,) = generator.iter_batches(0, BATCH_CHUNKS)
    words = [word for text in batch.texts for word in text.split()]
    # The first word has rank 101, and the word number 101 has rank 202.
    first, second = (words.count(word) for word in ("quoba", "quonubu"))
    assert first / second == pytest.approx(2.0, rel=0.35)


def test_a_query_is_nearest_to_the_chunk_that_it_resembles(generator: ChunkGenerator) -> None:
    texts, vectors = generator.generate_queries(30)
    (batch,) = generator.iter_batches(0, BATCH_CHUNKS)
    own = [n for n, chunk in enumerate(batch.chunks) if chunk.tenant_id == name_tenant(0)]
    nearest = NearestRows(vectors, 1)
    nearest.compare(batch.vectors, batch.numbers)
    assert nearest.rows[:, 0].tolist() == own[:30]
    assert all(batch.texts[row].startswith(text) for row, text in zip(own, texts, strict=False))


def test_nearest_chunks_found_batch_by_batch_are_those_of_a_sort_over_all(generator: ChunkGenerator) -> None:
    _, queries = generator.generate_queries(10)
    batches = list(generator.iter_batches(0, BATCH_CHUNKS + 500))
    nearest = NearestRows(queries, 10)
    for batch in batches:
        nearest.compare(batch.vectors, batch.numbers)
    vectors = np.vstack([batch.vectors for batch in batches])
    assert vectors.shape == (BATCH_CHUNKS + 500, DIMENSION)
    expected = np.argsort(-(queries.astype(np.float64) @ vectors.T.astype(np.float64)), axis=1)[:, :10]
    assert np.array_equal(nearest.rows, expected)


def test_recall_counts_the_nearest_chunks_among_as_many_found() -> None:
    nearest = [["a", "b"], ["c", "d"]]
    assert compute_recall([["b", "a", "x"], ["c", "d"]], nearest) == 1.0
    assert compute_recall([["x", "y", "a", "b"], ["d", "x"]], nearest) == 0.25
    assert compute_recall([[], []], nearest) == 0.0


def test_an_index_grows_if_the_next_size_fits() -> None:
    assert find_obstacle(2_000, STEP, seconds_left=24.1, free_bytes=4 * GIB) == ""


def test_an_index_stops_growing_if_the_next_size_takes_too_long() -> None:
    # 1,000 more chunks take 20 s, and searching twice as many takes 4 s.
    assert "24 s" in find_obstacle(2_000, STEP, seconds_left=23.9, free_bytes=4 * GIB)


def test_an_index_stops_growing_if_the_disk_has_no_room_to_compact_it() -> None:
    # 1 GiB more for the index, 2 GiB for its compaction, and 1 GiB to spare.
    assert "4,096 MiB" in find_obstacle(2_000, STEP, seconds_left=60.0, free_bytes=4 * GIB - 1)
    assert "MiB" in find_obstacle(1_000_000, None, seconds_left=60.0, free_bytes=8 * GIB)


def test_sizes_are_measured_in_ascending_order() -> None:
    assert parse_sizes("5000, 2000,5000", 100) == [2_000, 5_000]


@pytest.mark.parametrize("text", ["", "many", "1e6", "50,2000"])
def test_sizes_must_be_numbers_of_at_least_the_queries_chunks(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_sizes(text, 100)
