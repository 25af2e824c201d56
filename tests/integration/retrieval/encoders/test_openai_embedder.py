"""The embedder over HTTP, against servers that answer late, wrongly, or not at all."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest

from retrieval.encoders.openai_embedder import OpenAIEmbedder
from retrieval.encoders.port import HashingEmbedder
from retrieval.encoders.specs import parse_spec
from retrieval.errors import EncoderError, EncoderUnavailableError
from tests.support.embedding_server import Distort, answers, embeds
from tests.support.misbehaving_openai import MisbehavingOpenAI, misbehaving_openai, refuses

Make = Callable[..., OpenAIEmbedder]
ENCODER = HashingEmbedder(16)
WORDS = ("anchor", "ballast", "captain", "deck", "ebb", "fathom", "galley")
TEXTS = [f"{WORDS[n % 7]} {WORDS[n % 5]} {n}" for n in range(100)]


@pytest.fixture
def server() -> Iterator[MisbehavingOpenAI]:
    with misbehaving_openai() as running:
        running.behaviours = [embeds(ENCODER)]
        yield running


@pytest.fixture
def make(server: MisbehavingOpenAI) -> Iterator[Make]:
    with ExitStack() as stack:

        def made(options: str = "dimension=16", key: str | None = None) -> OpenAIEmbedder:
            embedder = OpenAIEmbedder(parse_spec(f"{server.url} some/model {options}"), api_key=key)
            stack.callback(embedder.close)
            return embedder

        yield made


def test_every_text_gets_its_own_vector_at_length_one_in_bounded_requests(
    server: MisbehavingOpenAI, make: Make
) -> None:
    found = make().embed_documents(TEXTS)
    np.testing.assert_allclose(found.vectors, ENCODER.embed_documents(TEXTS).vectors, atol=1e-6)
    assert len(server.requests) == 4
    assert max(len(request["input"]) for request in server.requests) <= 32
    assert found.total_tokens == pytest.approx(sum(len(text.split()) for text in TEXTS), rel=0.2)


def test_long_texts_share_a_request_up_to_a_sum_of_characters(server: MisbehavingOpenAI, make: Make) -> None:
    make().embed_documents(["word " * 2_000] * 10)
    assert max(sum(map(len, request["input"])) for request in server.requests) <= 32_000


def test_prompts_go_before_queries_and_before_documents_and_are_in_the_fingerprint(
    server: MisbehavingOpenAI, make: Make
) -> None:
    made = make("dimension=16 query='query: ' document='passage: '")
    made.embed_query("whales")
    made.embed_documents(["ships"])
    assert [request["input"] for request in server.requests] == [["query: whales"], ["passage: ships"]]
    others = ("dimension=16", "dimension=16 query='query: '", "dimension=8", "dimension=16 revision=2")
    assert len({made.fingerprint, *(make(other).fingerprint for other in others)}) == 5


def test_the_dimension_is_asked_of_the_server_or_by_it(server: MisbehavingOpenAI, make: Make) -> None:
    assert make("").dimension == 16
    assert make("dimension=8").embed_query("whales").shape == (8,)
    assert [request.get("dimensions") for request in server.requests] == [None, 8]


def test_a_text_past_the_window_is_cut_where_the_server_takes_it(server: MisbehavingOpenAI, make: Make) -> None:
    server.behaviours = [embeds(ENCODER, window_characters=1_000)]
    made = make()
    long, short = "whale " * 500, "ship"
    vectors = made.embed_documents([short, long]).vectors
    assert float(vectors[1] @ ENCODER.embed_query("whale")) > 0.99
    asked = len(server.requests)
    made.embed_documents([long + "again"])
    assert len(server.requests) == asked + 1  # where to cut is known by now


def test_a_busy_server_is_asked_again_when_it_says(server: MisbehavingOpenAI, make: Make) -> None:
    server.behaviours = [refuses(429, Retry_After="0.01"), refuses(503, Retry_After="0.01"), embeds(ENCODER)]
    assert make().embed_documents(["ships"]).vectors.shape == (1, 16)
    assert len(server.requests) == 3


def test_a_server_that_stays_busy_or_is_away_is_waited_for(server: MisbehavingOpenAI, make: Make) -> None:
    server.behaviours = [refuses(503, Retry_After="0.01")]
    with pytest.raises(EncoderUnavailableError, match="503"):
        make().embed_query("ships")
    server.shutdown()
    server.server_close()
    with pytest.raises(EncoderUnavailableError, match="does not respond"):
        make().embed_query("ships")


@pytest.mark.parametrize(
    ("status", "hint"),
    [(401, "LEADLINE_ENCODER_API_KEY"), (404, "models"), (400, "dimension"), (402, "")],
)
def test_what_the_server_refuses_says_what_to_do(server: MisbehavingOpenAI, make: Make, status: int, hint: str) -> None:
    server.behaviours = [refuses(status)]
    with pytest.raises(EncoderError) as raised:
        make().embed_documents(["ships"])
    assert not isinstance(raised.value, EncoderUnavailableError)
    assert hint in raised.value.hint
    assert server.url in raised.value.detail


def without_last(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "data": body["data"][1:]}


def all_the_same(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "data": [{**row, "index": 0} for row in body["data"]]}


def shorter(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "data": [{**row, "embedding": row["embedding"][:5]} for row in body["data"]]}


def zeros(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "data": [{**row, "embedding": [0.0] * 16} for row in body["data"]]}


def words(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "data": [{**row, "embedding": ["a"] * 16} for row in body["data"]]}


def nothing(body: dict[str, Any]) -> dict[str, Any]:
    return {"object": "list"}


@pytest.mark.parametrize("distort", [without_last, all_the_same, shorter, zeros, words, nothing])
def test_an_answer_that_cannot_be_right_is_an_error_and_no_vector(
    server: MisbehavingOpenAI, make: Make, distort: Distort
) -> None:
    server.behaviours = [embeds(ENCODER, distort=distort)]
    with pytest.raises(EncoderError, match=r"some/model|not return embeddings"):
        make().embed_documents(["ships", "whales"])


def test_what_is_no_json_is_an_error_in_words(server: MisbehavingOpenAI, make: Make) -> None:
    server.behaviours = [lambda request: answers(request, "<html>")]
    with pytest.raises(EncoderError):
        make().embed_documents(["ships"])


def test_the_key_is_sent_and_is_in_no_message(server: MisbehavingOpenAI, make: Make) -> None:
    server.behaviours = [refuses(401)]
    with pytest.raises(EncoderError) as raised:
        make(key="sk-secret").embed_query("ships")
    assert "sk-secret" not in f"{raised.value.detail}{raised.value.hint}"
