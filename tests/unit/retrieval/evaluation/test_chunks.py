from pathlib import Path

import pytest

from retrieval.encoders.port import HashingEmbedder
from retrieval.evaluation.chunks import index_chunks, judge_chunks, search_chunks
from retrieval.evaluation.passages import DocumentSpan
from retrieval.index.bm25 import Bm25Encoder
from tests.support.memory_index import MemoryIndex

TEXT = "The white whale dived. " * 4 + "A ship with three masts. " * 4
WANTED = {"q": [DocumentSpan("a", 0, 40), DocumentSpan("a", 30, 60)]}


def figures(found: list[DocumentSpan], chunks: list[DocumentSpan]) -> dict[str, float]:
    return {name: values["q"] for name, values in judge_chunks({"q": found}, WANTED, chunks).figures.items()}


def test_recall_precision_and_iou_count_what_excerpts_and_chunks_share() -> None:
    half = [DocumentSpan("a", 0, 30)]
    measured = figures(
        [*half, DocumentSpan("a", 100, 130)],
        [*half, DocumentSpan("a", 30, 80), DocumentSpan("a", 100, 130), DocumentSpan("b", 0, 9)],
    )
    assert measured["recall"] == pytest.approx(30 / 60)
    assert measured["precision"] == pytest.approx(30 / 60)
    assert measured["iou"] == pytest.approx(30 / (60 + 60 - 30))
    # The two chunks that touch the excerpts have 80 characters, and hold all 60.
    assert measured["best precision"] == pytest.approx(60 / 80)
    assert measured["best iou"] == pytest.approx(60 / 80)


def test_what_two_chunks_share_is_found_once_and_read_twice() -> None:
    measured = figures([DocumentSpan("a", 0, 60), DocumentSpan("a", 0, 60)], [])
    assert (measured["recall"], measured["precision"]) == (1, 0.5)


def test_a_question_without_a_chunk_found_nothing() -> None:
    assert list(judge_chunks({}, WANTED, []).figures["recall"].values()) == [0]


def test_as_many_of_the_best_chunks_are_read_as_fit_and_at_least_one(tmp_path: Path) -> None:
    index, encoder, sparse = MemoryIndex(), HashingEmbedder(), Bm25Encoder()
    cuts = [(at, at + 23) for at in range(0, 92, 23)] + [(at, at + 25) for at in range(92, 192, 25)]
    places = index_chunks({"a": TEXT}, lambda _name, _text: cuts, index, encoder, sparse)
    asked = {"q": "How many masts has the ship?"}

    def found(characters: int) -> list[DocumentSpan]:
        return search_chunks(asked, places, index, encoder, sparse, max_chars=characters)["q"]

    assert [place.start >= 92 for place in found(60)] == [True, True]
    assert len(found(1)) == 1
