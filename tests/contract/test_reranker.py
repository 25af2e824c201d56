"""What every reranker must do: those with a model, those behind a server and the one for tests run the same suite."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval.build import open_reranker
from retrieval.errors import RerankerTimeoutError
from retrieval.models.store import ModelStore
from retrieval.rerank.http_reranker import HttpReranker
from retrieval.rerank.port import Reranker, parse_reranker
from tests.fakes.overlap_reranker import OverlapReranker
from tests.support.misbehaving_openai import misbehaving_openai
from tests.support.misbehaving_reranker import reranks

PASSAGES = [
    "the captain of the ship",
    "the white whale swims",
    "",
    "naïve café 鯨",
    "sea " * 2000,
    *(f"the ship {number}" for number in range(20)),
]


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    with misbehaving_openai() as server:
        server.behaviours = [reranks]
        yield server.url


@pytest.fixture(
    scope="module",
    params=[
        "shared words",
        "late interaction",
        pytest.param("cross-encoder", marks=pytest.mark.torch),
        "/rerank",
        "/score",
    ],
)
def reranker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reranker]:
    made: Reranker = OverlapReranker()
    if request.param == "late interaction":
        choice = parse_reranker("late-interaction")
        assert choice
        made = open_reranker(choice, ModelStore(request.getfixturevalue("encoder_files")))
    elif request.param == "cross-encoder":
        made = cross_encoder(tmp_path_factory.mktemp("model"))
    elif request.param != "shared words":
        made = HttpReranker(request.getfixturevalue("served") + request.param, "words")
    yield made
    made.close()


def cross_encoder(folder: Path) -> Reranker:
    from tests.support.cross_encoders import tiny_cross_encoder

    choice = parse_reranker(f"cross-encoder {tiny_cross_encoder(folder)}")
    assert choice
    return open_reranker(choice, ModelStore(folder))


def soon() -> float:
    return time.monotonic() + 60


def test_there_is_one_score_for_each_passage(reranker: Reranker) -> None:
    assert len(reranker.score_passages("white whale", PASSAGES, deadline=soon())) == len(PASSAGES)


def test_a_score_is_that_of_its_passage_whatever_stands_beside_it(reranker: Reranker) -> None:
    together = reranker.score_passages("the white whale", PASSAGES, deadline=soon())
    for number in (0, 1, 4, len(PASSAGES) - 1):
        (alone,) = reranker.score_passages("the white whale", [PASSAGES[number]], deadline=soon())
        assert together[number] == pytest.approx(alone, abs=0.02)
    assert len({round(score, 4) for score in together[:2]}) == 2


def test_no_passages_have_no_scores(reranker: Reranker) -> None:
    assert list(reranker.score_passages("white whale", [], deadline=soon())) == []


def test_a_long_query_and_one_without_words_are_answered(reranker: Reranker) -> None:
    for query in ("whale " * 1300, "?", "🐋"):
        assert len(reranker.score_passages(query, PASSAGES[:3], deadline=soon())) == 3


def test_nothing_is_read_when_the_time_is_over(reranker: Reranker) -> None:
    with pytest.raises(RerankerTimeoutError):
        reranker.score_passages("white whale", PASSAGES, deadline=time.monotonic() - 1)


def test_threads_get_the_scores_of_their_own_passages(reranker: Reranker) -> None:
    found: dict[int, list[float]] = {}

    def work(thread: int) -> None:
        found[thread] = list(reranker.score_passages("the white whale", PASSAGES[thread:][:6], deadline=soon()))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for number in range(4):
        alone = list(reranker.score_passages("the white whale", PASSAGES[number:][:6], deadline=soon()))
        assert found[number] == pytest.approx(alone, abs=0.02)


def test_it_has_a_name(reranker: Reranker) -> None:
    assert reranker.fingerprint.strip()
