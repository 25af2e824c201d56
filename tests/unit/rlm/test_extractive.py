from collections.abc import Sequence

import pytest

from retrieval.passages import Passage
from rlm.answers import AnswerStatus
from rlm.events import Completed, Delta, Retrieved
from rlm.extractive import HEADING, ExtractiveStrategy
from rlm.requests import EmptyQuestionError
from tests.fakes.passages import passage

QUESTION = "How many points did the Panthers defense give up?"
BEST = passage(
    "The season was long and hard. The Panthers defense gave up 308 points. Many give it credit for that.", start=40
)
SECOND = passage("The Broncos defense gave up 296 points. The Panthers give them credit.", document="two", rank=2)
FAR = passage("Tickets are sold at the gate every day.", document="far", rank=3, cosine=0.1)


def extractive(found: Sequence[Passage], max_sentences: int = 3) -> ExtractiveStrategy:
    return ExtractiveStrategy(lambda question: found, max_sentences=max_sentences)


def test_the_nearest_sentences_are_quoted_cited_and_labelled() -> None:
    answer = extractive([BEST, SECOND], max_sentences=2).answer(QUESTION)
    assert answer.status is AnswerStatus.EXTRACTIVE
    assert answer.text == (
        f"{HEADING}\n\n“The Panthers defense gave up 308 points.” [1]\n\n“The Broncos defense gave up 296 points.” [2]"
    )
    assert [citation.document_id for citation in answer.citations] == ["doc-1", "two"]
    assert all(claim.supported for claim in answer.claims)
    assert answer.model is None


def test_citations_are_spans_of_the_version() -> None:
    citation = extractive([BEST]).answer(QUESTION).citations[0]
    assert BEST.text[citation.start - 40 : citation.end - 40] == citation.quote


def test_a_given_similarity_decides() -> None:
    def likes_credit(question: str, texts: Sequence[str]) -> Sequence[float]:
        return [1.0 if "credit" in text else 0.0 for text in texts]

    answer = ExtractiveStrategy(lambda question: [BEST], similarity=likes_credit, max_sentences=1).answer(QUESTION)
    assert answer.citations[0].quote == "Many give it credit for that."


def test_headings_and_scraps_are_not_sentences() -> None:
    found = passage("# Panthers defense points\n\nPoints.\n\nThe Panthers defense did give up 308 points.")
    answer = extractive([found]).answer(QUESTION)
    assert "The Panthers defense did give up 308 points." in answer.citations[0].quote


def test_a_passage_that_cannot_answer_is_not_quoted() -> None:
    answer = extractive([BEST, FAR], max_sentences=10).answer(QUESTION)
    assert {citation.document_id for citation in answer.citations} == {"doc-1"}


@pytest.mark.parametrize("found", [[], [FAR]])
def test_nothing_near_is_not_found(found: list[Passage]) -> None:
    answer = extractive(found).answer(QUESTION)
    assert answer.status is AnswerStatus.NOT_FOUND
    assert answer.citations == ()


def test_events_end_with_the_answer_and_carry_its_text() -> None:
    events = list(extractive([BEST]).stream(QUESTION))
    assert events[0] == Retrieved((BEST,))
    assert isinstance(events[-1], Completed)
    assert "".join(event.text for event in events if isinstance(event, Delta)) == events[-1].answer.text


def test_a_cancelled_stream_does_not_complete() -> None:
    assert list(extractive([BEST]).stream(QUESTION, cancelled=lambda: True)) == [Retrieved((BEST,))]


def test_questions_are_checked_here_too() -> None:
    with pytest.raises(EmptyQuestionError):
        extractive([BEST]).answer(" ? ")


def test_fewer_than_one_sentence_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        extractive([BEST], max_sentences=0)
