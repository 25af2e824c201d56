from dataclasses import replace

import pytest

from rlm.answerability import THRESHOLD, WORTH_READING, after_reading, before_reading, question_words, weigh
from rlm.support import Support
from tests.fakes.passages import passage

QUESTION = "How many points did the Panthers defense give up in 2015?"
ANSWERING = "In 2015 the Panthers defense gave up just 308 points, and many give it credit."
YES = Support(True, 1.0)
NO = Support(False, 0.1, "It denies.")
BESIDE = "The league has thirty-two teams and a long history."


def test_a_passage_near_the_question_that_has_its_words_can_answer() -> None:
    decision = before_reading(weigh(QUESTION, [passage(ANSWERING, cosine=0.6)]))
    assert decision.answerable
    assert decision.score == pytest.approx(1.6)


def test_a_passage_of_another_field_is_not_worth_reading_and_the_reason_names_what_it_lacks() -> None:
    decision = before_reading(weigh(QUESTION, [passage(BESIDE, cosine=0.1)]))
    assert not decision.answerable
    assert "lacks 2015, points, Panthers, defense" in decision.reasons[0]
    assert f"{WORTH_READING:.2f}" in decision.reasons[1]


def test_nothing_found_cannot_answer_and_says_so() -> None:
    assert before_reading(weigh(QUESTION, [])).reasons == ("No passage was found.",)


def test_a_passage_in_other_words_is_worth_reading_but_not_believed_unconfirmed() -> None:
    (weighed,) = weigh("How do I get my money back?", [passage("Refunds come in fourteen days.", cosine=0.41)])
    assert before_reading([weighed]).answerable
    assert not after_reading(weighed, YES).answerable
    assert after_reading(weighed, YES, confirmed=True).answerable


def test_words_that_only_frame_a_question_are_not_looked_for() -> None:
    assert set(question_words("What is the name of the type of engine mentioned?").stems.values()) == {"engine"}


def test_title_and_headings_count_as_the_passages_words() -> None:
    found = passage("They gave up 308.", title="Panthers", heading_path=("Defense", "2015"))
    bare = passage("They gave up 308.", title="")
    assert weigh(QUESTION, [found])[0].score > weigh(QUESTION, [bare])[0].score + 0.5


def test_the_best_evidence_comes_first_and_ties_keep_the_order_of_retrieval() -> None:
    ranked = weigh(QUESTION, [passage(BESIDE, rank=1), passage(ANSWERING, rank=3), passage(ANSWERING, rank=2)])
    assert [each.passage.rank for each in ranked] == [2, 3, 1]


class TestUnknownCosine:
    def test_where_none_was_compared_the_words_decide(self) -> None:
        assert weigh(QUESTION, [passage(ANSWERING, cosine=None)])[0].score > THRESHOLD
        assert weigh(QUESTION, [passage(BESIDE, cosine=None)])[0].score < THRESHOLD

    def test_a_hit_found_by_words_only_is_no_nearer_than_those_that_were_compared(self) -> None:
        weighed = weigh(QUESTION, [passage(BESIDE, cosine=0.2), passage(ANSWERING, cosine=None)])
        assert {each.cosine for each in weighed} == {0.2}


class TestAfterReading:
    def test_a_located_and_supporting_quotation_in_a_good_passage_may_be_shown(self) -> None:
        (weighed,) = weigh(QUESTION, [passage(ANSWERING)])
        decision = after_reading(weighed, YES)
        assert decision.answerable
        assert "supports" in decision.reasons[-1]

    def test_nothing_located_may_not(self) -> None:
        assert not after_reading(None, None).answerable

    def test_under_the_threshold_an_answer_must_be_supported_and_confirmed(self) -> None:
        (weighed,) = weigh(QUESTION, [passage(BESIDE, cosine=0.5)])
        outcomes = {
            (support.supported, confirmed): after_reading(weighed, support, confirmed=confirmed).answerable
            for support in (YES, NO)
            for confirmed in (True, False, None)
        }
        assert [case for case, answerable in outcomes.items() if answerable] == [(True, True)]

    def test_so_must_one_whose_sentence_has_nothing_of_the_question(self) -> None:
        (weighed,) = weigh(QUESTION, [passage(ANSWERING)])
        decided = {each: after_reading(weighed, YES, apart=True, confirmed=each) for each in (True, False, None)}
        assert [each for each, decision in decided.items() if decision.answerable] == [True]
        assert "nothing of the question" in decided[False].reasons[-1]

    def test_the_reason_says_what_the_second_reading_found(self) -> None:
        (weighed,) = weigh(QUESTION, [passage(BESIDE, cosine=0.5)])
        assert "found the answer wrong" in after_reading(weighed, YES, confirmed=False).reasons[-1]
        assert "confirmed the answer" in after_reading(weighed, YES, confirmed=True).reasons[-1]

    def test_an_unsupported_answer_may_be_shown_with_its_reason(self) -> None:
        (weighed,) = weigh(QUESTION, [passage(ANSWERING)])
        decision = after_reading(weighed, NO)
        assert decision.answerable
        assert decision.reasons[-1] == NO.reason


def test_the_nearest_sentence_counts_for_the_order_and_not_for_the_score() -> None:
    far = passage("Tickets are sold at the gate.", document="far", cosine=0.5)
    near = replace(far, document_id="near", nearest=0.6, rank=2)
    first, second = weigh("Where does one pay?", [far, near])
    assert (first.passage.document_id, second.passage.document_id) == ("near", "far")
    assert first.score == second.score
