"""What every bi-encoder must do: the real one and the one for tests run the same suite."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from retrieval.build import embedded_encoder
from retrieval.embedding import Embedder, HashingEmbedder
from retrieval.models.store import ModelStore

TEXTS = ["The white whale swims.", "A ship with three masts.", "", "naïve café 鯨", "word " * 2000]


@pytest.fixture(scope="module", params=["openvino", "hashing"])
def embedder(request: pytest.FixtureRequest, encoder_files: Path) -> Iterator[Embedder]:
    made: Embedder = HashingEmbedder()
    if request.param == "openvino":
        made = embedded_encoder(ModelStore(encoder_files))
    yield made
    made.close()


def test_vectors_are_of_unit_length_one_row_a_text(embedder: Embedder) -> None:
    embedded = embedder.documents(TEXTS)
    assert embedded.vectors.shape == (len(TEXTS), embedder.dimension)
    assert embedded.vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(embedded.vectors, axis=1), 1, atol=1e-4)
    assert len(embedded.token_counts) == len(TEXTS)
    assert embedded.tokens == sum(embedded.token_counts) > 10


def test_rows_are_in_the_order_of_their_texts_whatever_their_length(embedder: Embedder) -> None:
    together = embedder.documents(TEXTS).vectors
    for text, row in zip(TEXTS, together, strict=True):
        assert float(row @ embedder.documents([text]).vectors[0]) > 0.99


def test_a_query_is_nearest_to_the_text_with_its_words(embedder: Embedder) -> None:
    scores = embedder.documents(TEXTS[:2]).vectors @ embedder.query("white whale")
    assert scores[0] > scores[1]


def test_no_texts_give_no_rows(embedder: Embedder) -> None:
    assert embedder.documents([]).vectors.shape == (0, embedder.dimension)


def test_the_same_text_gives_the_same_vector_twice(embedder: Embedder) -> None:
    assert np.array_equal(embedder.query("white whale"), embedder.query("white whale"))


def test_threads_get_their_own_rows(embedder: Embedder) -> None:
    texts = [[f"text {thread} number {n}" for n in range(20)] for thread in range(4)]
    found: dict[int, np.ndarray] = {}

    def work(thread: int) -> None:
        found[thread] = embedder.documents(texts[thread]).vectors

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        alone = embedder.documents(texts[number]).vectors
        assert float((found[number] * alone).sum(axis=1).min()) > 0.99


def test_the_fingerprint_names_the_dimension(embedder: Embedder) -> None:
    assert str(embedder.dimension) in embedder.fingerprint
