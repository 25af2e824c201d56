import time
from collections.abc import Iterator

import pytest

from retrieval.errors import (
    RerankerError,
    RerankerOutputError,
    RerankerTimeoutError,
    RerankerUnavailableError,
)
from retrieval.rerank.http_reranker import HttpReranker
from tests.support.misbehaving_openai import Behaviour, MisbehavingOpenAI, cuts, hangs, misbehaving_openai, refuses
from tests.support.misbehaving_reranker import drips, replies_with, reranks, says

PASSAGES = ["a ship", "the white whale", "white paint"]


@pytest.fixture
def server() -> Iterator[MisbehavingOpenAI]:
    with misbehaving_openai() as found:
        yield found


def ask(server: MisbehavingOpenAI, path: str = "", seconds: float = 20.0) -> list[float]:
    reranker = HttpReranker(server.url + path, "some/model", sleep=lambda _: None)
    try:
        return list(reranker.score_passages("white whale", PASSAGES, deadline=time.monotonic() + seconds))
    finally:
        reranker.close()


@pytest.mark.parametrize("path", ["", "/rerank", "/rerank/"])
def test_passages_are_sent_as_documents_and_scores_come_back_in_their_order(
    server: MisbehavingOpenAI, path: str
) -> None:
    server.behaviours = [reranks]
    assert ask(server, path) == [0.0, 1.0, 0.5]
    assert server.requests == [{"model": "some/model", "query": "white whale", "documents": PASSAGES, "top_n": 3}]


def test_the_other_form_is_taken_where_the_address_names_it(server: MisbehavingOpenAI) -> None:
    server.behaviours = [reranks]
    assert ask(server, "/score") == [0.0, 1.0, 0.5]
    assert server.requests == [{"model": "some/model", "text_1": "white whale", "text_2": PASSAGES}]


@pytest.mark.parametrize("bad", [refuses(503), refuses(500), refuses(429)])
def test_a_server_that_is_busy_for_a_moment_is_asked_again(server: MisbehavingOpenAI, bad: Behaviour) -> None:
    server.behaviours = [bad, reranks]
    assert ask(server) == [0.0, 1.0, 0.5]


@pytest.mark.parametrize(
    ("behaviour", "kind", "requests", "said"),
    [
        (refuses(500), RerankerUnavailableError, 2, "returned status 500"),
        (refuses(401), RerankerUnavailableError, 1, "returned status 401"),
        (refuses(404), RerankerUnavailableError, 1, "returned status 404"),
        (refuses(400), RerankerError, 1, "returned status 400"),
        (refuses(302), RerankerError, 1, "returned status 302"),
        (cuts, RerankerOutputError, 1, "wrong format"),
        (says("<html>Bad gateway</html>"), RerankerOutputError, 1, "wrong format"),
        (says("[]"), RerankerOutputError, 1, "wrong format"),
        (says("7"), RerankerOutputError, 1, "wrong format"),
        (says("[" * 100_000), RerankerOutputError, 1, "wrong format"),
        (says('{"data": []}'), RerankerOutputError, 1, "wrong format"),
        (says('{"results": 7}'), RerankerOutputError, 1, "wrong format"),
        (says(" " * (17 * 2**20)), RerankerOutputError, 1, "exceeds"),
        (replies_with(lambda entries: entries[:-1]), RerankerOutputError, 1, "2 of 3"),
        (replies_with(lambda entries: [*entries, entries[0]]), RerankerOutputError, 1, "3 of 3"),
        (replies_with(lambda entries: entries[0].update(index=3)), RerankerOutputError, 1, "index 3"),
        (replies_with(lambda entries: entries[0].update(index=True)), RerankerOutputError, 1, "index True"),
        (replies_with(lambda entries: entries[0].update(relevance_score=None)), RerankerOutputError, 1, "format"),
        (replies_with(lambda entries: entries[0].update(relevance_score="high")), RerankerOutputError, 1, "format"),
        (
            replies_with(lambda entries: entries[0].update(relevance_score=1e999)),
            RerankerOutputError,
            1,
            "not a finite number",
        ),
    ],
)
def test_what_is_no_answer_is_an_error_of_its_kind(
    server: MisbehavingOpenAI, behaviour: Behaviour, kind: type[RerankerError], requests: int, said: str
) -> None:
    server.behaviours = [behaviour]
    with pytest.raises(RerankerError, match=said) as caught:
        ask(server)
    assert type(caught.value) is kind
    assert caught.value.hint
    assert len(server.requests) == requests


@pytest.mark.parametrize("behaviour", [hangs, drips])
def test_a_server_that_does_not_end_is_left_when_the_time_is_over(
    server: MisbehavingOpenAI, behaviour: Behaviour
) -> None:
    server.behaviours = [behaviour]
    with pytest.raises(RerankerTimeoutError):
        ask(server, seconds=0.5)
    assert len(server.requests) <= 1  # none where the time was over before it was sent


def test_a_server_that_is_not_there_is_an_error_that_names_it() -> None:
    reranker = HttpReranker("http://127.0.0.1:9/v1", "m", sleep=lambda _: None)
    with pytest.raises(RerankerUnavailableError, match=r"127\.0\.0\.1:9"):
        reranker.score_passages("x", PASSAGES, deadline=time.monotonic() + 20)
    reranker.close()


def test_an_address_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(RerankerError, match="not a valid address"):
        HttpReranker("http://[::1", "m")
