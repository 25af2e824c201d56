import math
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from retrieval.errors import RerankerOutputError, RerankerTimeoutError, RerankerUnavailableError
from retrieval.rerank.port import CorpusSnapshot, RerankerChoice, RerankerKind, parse_reranker
from retrieval.search.ranking import Ranking
from retrieval.search.reranking import Reranking, RerankOutcome, reorder_candidates
from tests.fakes.overlap_reranker import OverlapReranker

RANKING = Ranking([("a", 3.0), ("b", 2.0), ("c", 1.0)], (), ())
TEXTS = {"a": "green cake", "b": "white whale"}


class Scripted:
    """Does what a test says."""

    fingerprint = "scripted"

    def __init__(self, act: Callable[[Sequence[str]], Sequence[float]]) -> None:
        self._act = act

    def score_passages(
        self, query: str, passages: Sequence[str], *, deadline: float, corpus: CorpusSnapshot | None = None
    ) -> Sequence[float]:
        return self._act(passages)

    def close(self) -> None:
        return None


@contextmanager
def reranking(act: Callable[[Sequence[str]], Sequence[float]], seconds: float = 20.0) -> Iterator[Reranking]:
    made = Reranking(Scripted(act), deadline_seconds=seconds)
    yield made
    made.close()


def test_candidates_that_were_read_go_first_by_their_scores_and_the_others_follow_as_they_were() -> None:
    made = Reranking(OverlapReranker())
    ranking, told = made.rerank_candidates("white whale", RANKING, TEXTS)
    made.close()
    assert ranking.best == [("b", 1.0), ("a", 0.0), ("c", 1.0)]
    assert [hit.id for hit in ranking.by_rerank] == ["b", "a"]
    assert told == RerankOutcome("shared-words", 2)


def test_a_weight_leaves_the_first_ranking_its_say() -> None:
    scores = {"a": 0.1, "b": 0.3, "c": 0.2}
    assert [i for i, _ in reorder_candidates(RANKING, scores).best] == ["b", "c", "a"]
    halves = reorder_candidates(RANKING, scores, weight=0.5)
    assert [i for i, _ in halves.best] == ["b", "a", "c"]
    assert [hit.id for hit in halves.by_rerank] == ["b", "c", "a"]
    assert sum(score for _, score in halves.best) == pytest.approx(0)
    assert [i for i, _ in reorder_candidates(RANKING, {"a": 1.0}, weight=0.5).best] == ["a", "b", "c"]


def test_a_missed_deadline_leaves_the_order_and_says_so() -> None:
    over = threading.Event()

    def wait(passages: Sequence[str]) -> Sequence[float]:
        over.wait(120)
        return [0.0] * len(passages)

    with reranking(wait, seconds=0.05) as made:
        ranking, told = made.rerank_candidates("x", RANKING, TEXTS)
        over.set()
    assert ranking is RANKING
    assert (told.failure, told.passages) == ("reranker_timeout", 0)
    assert told.detail == RerankerTimeoutError.public_detail  # hosts and times are for the log


def test_searches_behind_those_that_hang_miss_their_deadline_and_the_next_one_is_served() -> None:
    over, under_way = threading.Event(), threading.Semaphore(0)

    def wait(passages: Sequence[str]) -> Sequence[float]:
        under_way.release()
        over.wait(120)
        return [1.0] * len(passages)

    with reranking(wait, seconds=600.0) as made, ThreadPoolExecutor(4) as searches:
        hanging = [searches.submit(made.score_passages, "x", ["y"]) for _ in range(4)]
        for _ in range(4):
            assert under_way.acquire(timeout=120)
        made._deadline_seconds = 0.05
        for _ in range(2):
            with pytest.raises(RerankerTimeoutError):
                made.score_passages("x", ["y"])
        made._deadline_seconds = 600.0
        over.set()
        assert list(made.score_passages("x", ["y"])) == [1.0]
        assert under_way.acquire(timeout=120)
        assert [list(each.result()) for each in hanging] == [[1.0]] * 4
    assert not under_way.acquire(blocking=False)  # those two that waited behind the four were never begun


def test_a_reranker_that_fails_again_and_again_is_left_alone_for_a_while() -> None:
    asked: list[int] = []
    well = False
    now = 0.0

    def act(passages: Sequence[str]) -> Sequence[float]:
        asked.append(1)
        if not well:
            raise RerankerUnavailableError("away")
        return [1.0] * len(passages)

    made, away = Reranking(Scripted(act), clock=lambda: now), RerankerUnavailableError.public_detail

    def told() -> RerankOutcome:
        return made.rerank_candidates("x", RANKING, TEXTS)[1]

    assert [told().detail for _ in range(3)] == [away] * 3
    assert (told().failure, len(asked)) == ("reranker_unavailable", 3)
    now = 11.0
    assert (told().detail, len(asked)) == (away, 4)
    assert (told().failure, len(asked)) == ("reranker_unavailable", 4)
    now, well = 22.0, True
    assert told().failure == ""
    well = False
    assert [told().detail for _ in range(2)] == [away] * 2
    made.close()


def test_a_search_fails_if_reranking_is_required_and_impossible() -> None:
    def count(outcome: str) -> float:
        return REGISTRY.get_sample_value("leadline_reranks_total", {"outcome": outcome}) or 0.0

    failed, done = count("reranker_unavailable"), count("done")
    answers: list[Sequence[float] | Exception] = [RerankerUnavailableError("away"), [2.0, 1.0]]

    def act(passages: Sequence[str]) -> Sequence[float]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    made = Reranking(Scripted(act), is_required=True)
    with pytest.raises(RerankerUnavailableError):
        made.rerank_candidates("x", RANKING, TEXTS)
    assert made.rerank_candidates("x", RANKING, TEXTS)[1].passages == len(TEXTS)
    assert (count("reranker_unavailable"), count("done")) == (failed + 1, done + 1)
    made.close()


def raises(error: Exception) -> Callable[[Sequence[str]], Sequence[float]]:
    def act(passages: Sequence[str]) -> Sequence[float]:
        raise error

    return act


@pytest.mark.parametrize(
    ("act", "code"),
    [
        (raises(RerankerUnavailableError("away")), "reranker_unavailable"),
        (raises(RuntimeError("a model's own")), "reranker_failed"),
        (raises(TimeoutError("inside")), "reranker_timeout"),
        (lambda passages: [1.0], "reranker_output"),
        (lambda passages: [1.0, math.nan], "reranker_output"),
        (lambda passages: [1.0, math.inf], "reranker_output"),
    ],
)
def test_whatever_a_reranker_does_the_hits_are_there(
    act: Callable[[Sequence[str]], Sequence[float]], code: str
) -> None:
    with reranking(act) as made:
        ranking, told = made.rerank_candidates("x", RANKING, TEXTS)
    assert ranking is RANKING
    assert told.failure == code
    assert told.detail


def test_scores_that_are_asked_for_alone_raise_what_went_wrong() -> None:
    with reranking(lambda passages: []) as made, pytest.raises(RerankerOutputError, match="0 scores for 1"):
        made.score_passages("x", ["y"])


def test_it_never_works_in_the_thread_that_asks() -> None:
    threads: set[int] = set()

    def note(passages: Sequence[str]) -> Sequence[float]:
        threads.add(threading.get_ident())
        return [0.0] * len(passages)

    with reranking(note) as made:
        made.rerank_candidates("x", RANKING, TEXTS)
    assert threads
    assert threading.get_ident() not in threads


@given(
    st.lists(st.text(max_size=3), unique=True, max_size=30),
    st.dictionaries(st.text(max_size=3), st.sampled_from([0.0, 0.5, 1.0]), max_size=20),
)
def test_every_candidate_is_there_once_and_equals_keep_their_order(ids: list[str], scores: dict[str, float]) -> None:
    best = [(identifier, float(-place)) for place, identifier in enumerate(ids)]
    after = [identifier for identifier, _ in reorder_candidates(Ranking(best, (), ()), scores).best]
    read = [identifier for identifier in after if identifier in scores]
    assert sorted(after) == sorted(ids)
    assert after[: len(read)] == read
    assert after[len(read) :] == [identifier for identifier in ids if identifier not in scores]
    assert read == sorted(read, key=lambda identifier: (-scores[identifier], ids.index(identifier)))


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("none", None),
        ("late-interaction", RerankerChoice(RerankerKind.LATE_INTERACTION)),
        ("cross-encoder  /models/my model", RerankerChoice(RerankerKind.CROSS_ENCODER, "/models/my model")),
        ("https://h/v1/score org/m", RerankerChoice(RerankerKind.HTTP, "org/m", "https://h/v1/score")),
    ],
)
def test_settings_name_a_reranker(text: str, choice: RerankerChoice | None) -> None:
    assert parse_reranker(text) == choice


@pytest.mark.parametrize(
    "text", ["", "luck", "none of it", "late-interaction 50", "cross-encoder", "http://h", "ftp:h m"]
)
def test_a_setting_that_names_none_says_what_it_may_be(text: str) -> None:
    with pytest.raises(ValueError, match="LEADLINE_RERANKER must be"):
        parse_reranker(text)
