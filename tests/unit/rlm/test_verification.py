import pytest

from rlm.answerability import weigh
from rlm.replies import Quotation, Reply
from rlm.verification import verify
from tests.fakes.passages import passage

QUESTION = "How many points did the Panthers defense give up?"
ONE = passage("The Panthers defense gave up 308 points. Others gave up more.", document="one")
TWO = passage("The Broncos defense gave up 296 points to give a lead. It won.", document="two", rank=2)
KNOWN = weigh(QUESTION, [ONE, TWO])
BEQUEST = weigh("", [passage("The nephew receives a bronze sundial.", document="will")])
SHORT = Reply((Quotation("receives a bronze sundial"),), "sundial")


def quoted(found: object) -> list[tuple[str, str]]:
    claims = getattr(found, "claims", ())
    return [(each.source.passage.document_id, each.text) for claim in claims for each in claim.evidence]


def test_a_quotation_is_located_and_its_answer_supported() -> None:
    found = verify(QUESTION, Reply((Quotation("the panthers defense gave up 308 points"),), "308"), KNOWN[:1], KNOWN)
    assert quoted(found) == [("one", "The Panthers defense gave up 308 points")]
    assert found.supported
    assert found.decision.answerable


def test_a_wrong_passage_number_is_put_right() -> None:
    found = verify(QUESTION, Reply((Quotation("gave up 296 points", passage=1),), "296"), KNOWN, KNOWN)
    assert quoted(found) == [("two", "gave up 296 points")]


def test_a_number_out_of_range_is_ignored() -> None:
    for number in (0, -1, 99):
        assert verify(QUESTION, Reply((Quotation("gave up 296 points", number),), "296"), KNOWN, KNOWN).supported


def test_a_quotation_from_a_passage_that_was_not_read_is_still_found() -> None:
    found = verify(QUESTION, Reply((Quotation("gave up 296 points"),), "296"), KNOWN[:1], KNOWN)
    assert quoted(found) == [("two", "gave up 296 points")]


def test_an_invented_quotation_is_worth_nothing() -> None:
    found = verify(QUESTION, Reply((Quotation("The Panthers gave up 17 points."),), "17"), KNOWN[:1], KNOWN)
    assert not found.claims
    assert not found.decision.answerable


@pytest.mark.parametrize(
    ("said", "stands"),
    [
        ("The team's great Panthers defense gave up 308 points.", "Panthers defense gave up 308 points."),
        ("The Panthers defense gave up 308 points. They lost.", "The Panthers defense gave up 308 points."),
    ],
)
def test_a_quotation_with_some_words_of_the_models_at_one_end_counts_without_them(said: str, stands: str) -> None:
    assert quoted(verify(QUESTION, Reply((Quotation(said),), ""), KNOWN[:1], KNOWN)) == [("one", stands)]


def test_few_words_in_common_are_no_quotation() -> None:
    for said in ("A better defense gave up 308 points.", "x y z u v w The Panthers defense gave up 308 points."):
        assert not verify(QUESTION, Reply((Quotation(said),), ""), KNOWN[:1], KNOWN).claims


def test_an_answer_whose_quotation_stands_nowhere_is_looked_up_itself() -> None:
    found = verify(QUESTION, Reply((Quotation("Panthers points: 308."),), "308 points"), KNOWN[:1], KNOWN)
    assert quoted(found) == [("one", "The Panthers defense gave up 308 points.")]
    assert found.supported


def test_a_quotation_without_the_answer_is_joined_by_the_sentence_that_has_it() -> None:
    found = verify(QUESTION, Reply((Quotation("Others gave up more."),), "308"), KNOWN[:1], KNOWN)
    assert ("one", "The Panthers defense gave up 308 points.") in quoted(found)
    assert found.supported


def test_an_answer_that_its_quotation_does_not_hold_is_not_supported() -> None:
    found = verify(QUESTION, Reply((Quotation("The Panthers defense gave up 308 points."),), "309"), KNOWN[:1], KNOWN)
    assert not found.supported
    assert "309" in found.claims[0].support.reason
    assert found.decision.answerable


def test_an_answer_that_is_cut_short_is_made_the_whole_phrase() -> None:
    found = verify("What is inherited?", SHORT, BEQUEST, BEQUEST)
    assert found.answer == "a bronze sundial"
    assert quoted(found) == [("will", "receives a bronze sundial")]


def test_an_answer_that_only_repeats_the_question_stays_unsupported() -> None:
    found = verify("Which sundial is it?", SHORT, BEQUEST, BEQUEST)
    assert not found.supported
    assert found.answer == "sundial"


def test_without_an_answer_the_quotation_speaks_for_itself() -> None:
    found = verify(QUESTION, Reply((Quotation("gave up 308 points"),), ""), KNOWN[:1], KNOWN)
    assert [claim.text for claim in found.claims] == ["gave up 308 points"]
    assert found.supported


@pytest.mark.parametrize("answer", ["Yes.", "no", "It is not", "?!"])
def test_a_bare_yes_or_no_gives_way_to_the_words_it_rests_on(answer: str) -> None:
    found = verify(QUESTION, Reply((Quotation("gave up 308 points"),), answer), KNOWN[:1], KNOWN)
    assert [claim.text for claim in found.claims] == ["gave up 308 points"]


def test_each_sentence_of_an_answer_rests_on_the_quotation_that_holds_it() -> None:
    reply = Reply(
        (Quotation("gave up 308 points"), Quotation("gave up 296 points")),
        "The Panthers gave up 308 points. The Broncos gave up 296 points.",
    )
    found = verify(QUESTION, reply, KNOWN, KNOWN)
    assert quoted(found) == [("one", "gave up 308 points"), ("two", "gave up 296 points")]


def test_a_claim_over_two_quotations_cites_both() -> None:
    reply = Reply((Quotation("gave up 308 points"), Quotation("gave up 296 points")), "308 points and 296 points")
    assert [document for document, _ in quoted(verify(QUESTION, reply, KNOWN, KNOWN))] == ["one", "two"]


def test_a_refusal_of_the_model_is_no_finding() -> None:
    found = verify(QUESTION, Reply((Quotation("Others gave up more."),), "It is not stated."), KNOWN[:1], KNOWN)
    assert not found.claims
    assert not found.decision.answerable


def test_the_same_words_quoted_twice_are_one_piece_of_evidence() -> None:
    found = verify(
        QUESTION, Reply((Quotation("gave up 308 points"), Quotation("Gave up 308 POINTS")), ""), KNOWN[:1], KNOWN
    )
    assert len(found.claims) == 1


class TestDoubtful:
    FAR = weigh(QUESTION, [passage("The league has 32 teams.", cosine=0.5)])

    def test_a_supported_answer_from_a_passage_under_the_threshold_waits_for_a_second_reading(self) -> None:
        found = verify(QUESTION, Reply((Quotation("The league has 32 teams."),), "32"), self.FAR, self.FAR)
        assert found.supported
        assert not found.decision.answerable
        assert found.doubtful is self.FAR[0]
        assert found.answer == "32"
        assert found.checked(True).decision.answerable
        assert not found.checked(False).decision.answerable

    def test_an_unsupported_one_does_not(self) -> None:
        found = verify(QUESTION, Reply((Quotation("The league has 32 teams."),), "33"), self.FAR, self.FAR)
        assert found.doubtful is None

    def test_nor_does_one_that_is_sure(self) -> None:
        assert verify(QUESTION, Reply((Quotation("gave up 308 points"),), "308"), KNOWN[:1], KNOWN).doubtful is None

    @pytest.mark.parametrize(
        ("said", "doubtful"),
        [
            pytest.param("Ada Lind was away.", True, id="but-the-name"),
            pytest.param("The oak is tall.", True, id="not-even-the-name"),
            pytest.param("Ada Lind gathers stamps, which few collect.", False, id="what-is-asked"),
        ],
    )
    def test_a_sentence_that_has_nothing_of_the_question_waits_however_near_its_passage_is(
        self, said: str, doubtful: bool
    ) -> None:
        question = "What does Ada Lind collect?"
        known = weigh(question, [passage(f"They collect much. {said}", title="", cosine=0.9)])
        found = verify(question, Reply((Quotation(said),), said), known, known)
        assert (found.doubtful is not None) == doubtful == found.apart
        assert found.checked(True).decision.answerable

    def test_a_heading_says_what_its_sentences_are_about(self) -> None:
        question = "What does Ada Lind collect?"
        known = weigh(question, [passage("Stamps.", title="", heading_path=("What we collect",), cosine=0.9)])
        assert not verify(question, Reply((Quotation("Stamps."),), "Stamps"), known, known).apart
