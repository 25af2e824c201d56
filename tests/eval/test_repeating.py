"""Many chunks of few: the first are the originals, the others near them, and neighbours are found by comparing all."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.encoders.port import DenseVector
from tests.eval.repeating import Repetition, VectorFile
from tests.support.index_chunks import indexed_chunk

TEXTS = [" ".join(f"w{chunk}-{word}" for word in range(200)) for chunk in range(5)]
CHUNKS = [replace(indexed_chunk(text[:4]), start=10 * n, end=10 * n + 9) for n, text in enumerate(TEXTS)]


def unit(rows: DenseVector) -> DenseVector:
    scaled: DenseVector = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


def repetition(seed: int = 0) -> Repetition:
    vectors = unit(np.random.default_rng(7).normal(size=(5, 384)).astype(np.float32))
    return Repetition(CHUNKS, TEXTS, vectors, seed=seed)


def test_the_first_chunks_are_the_originals() -> None:
    (batch,) = repetition().batches(0, 5, size=8)
    assert batch.texts == TEXTS
    assert batch.chunks == CHUNKS
    assert np.allclose(batch.vectors, unit(np.random.default_rng(7).normal(size=(5, 384)).astype(np.float32)))


def test_copies_are_other_chunks_near_their_originals() -> None:
    originals, copies = repetition().batches(0, 10, size=5)
    assert len({chunk.id for chunk in originals.chunks + copies.chunks}) == 10
    assert not {chunk.version_id for chunk in originals.chunks} & {chunk.version_id for chunk in copies.chunks}
    cosines = np.sum(originals.vectors * copies.vectors, axis=1)
    assert np.all((cosines > 0.8) & (cosines < 0.97))
    for original, copy in zip(originals.texts, copies.texts, strict=True):
        kept = len(set(original.split()) & set(copy.split()))
        assert 130 < kept < 190


def test_an_index_grown_in_steps_has_each_chunk_once() -> None:
    growing = repetition()
    batches = [*growing.batches(0, 7, size=4), *growing.batches(7, 23, size=4)]
    chunks = [chunk.id for batch in batches for chunk in batch.chunks]
    assert len(chunks) == len(set(chunks)) == 23


def test_an_original_without_words_is_repeated_too() -> None:
    chunks = [indexed_chunk("a"), indexed_chunk("b")]
    made = Repetition(chunks, ["", "some words"], unit(np.ones((2, 4), np.float32)), seed=0)
    assert len([chunk for batch in made.batches(0, 40, size=40) for chunk in batch.chunks]) == 40


def test_there_must_be_something_to_repeat() -> None:
    with pytest.raises(ValueError, match="each original needs"):
        Repetition([], [], np.zeros((0, 4), np.float32), seed=0)


@settings(max_examples=30)
@given(rows=st.integers(1, 60), count=st.integers(1, 5), seed=st.integers(0, 1000))
def test_neighbours_are_those_of_a_sort_over_all_rows(
    tmp_path_factory: pytest.TempPathFactory, rows: int, count: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(rows + 5, 8)).astype(np.float32)
    queries = random.normal(size=(3, 8)).astype(np.float32)
    path: Path = tmp_path_factory.mktemp("vectors") / "rows"
    with closing(VectorFile(path, 8)) as file:
        file.append(vectors[:rows])
        file.append(vectors[rows:])
        found = file.nearest(queries, count, rows_at_once=7)
    expected = np.argsort(-(queries @ vectors.T), axis=1)[:, :count]
    assert np.array_equal(found, expected)
