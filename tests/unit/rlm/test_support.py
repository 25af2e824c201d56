import pytest

from rlm.support import asks_yes_or_no, judge

QUOTE = "The Panthers defense gave up just 308 points in 2015, and Josh Norman had four interceptions."
PASSAGE = "Carolina led the league. " + QUOTE + " Kurt Coleman added seven more."


@pytest.mark.parametrize(
    "claim",
    [
        "308",
        "Josh Norman",
        "The defense of the Panthers gave up 308 points.",
        "Norman had 4 interceptions.",
        "Carolina's defense gave up 308 points.",
    ],
)
def test_what_the_quotation_says_is_supported(claim: str) -> None:
    support = judge(claim, [QUOTE], [PASSAGE])
    assert support.supported, support.reason
    assert support.reason == ""


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        ("They gave up 309 points.", "What it cites does not have the number 309."),
        (
            "The Panthers gave up 308 points to Denver and Von Miller.",
            "What it cites does not have the names Denver, Von, Miller.",
        ),
        ("The Panthers defense did not give up 308 points.", "It denies something, and what it cites denies nothing."),
        ("Coleman added seven.", "Only 50% of its words stand in what it cites."),
        ("Yes.", "It has no word that could be compared with what it cites."),
        ("It is what it is", "It has no word that could be compared with what it cites."),
    ],
)
def test_what_it_does_not_say_is_refused_in_words(claim: str, reason: str) -> None:
    support = judge(claim, [QUOTE], [PASSAGE])
    assert not support.supported
    assert support.reason == reason


def test_a_claim_without_quotations_is_not_supported_by_its_passage() -> None:
    assert judge("308 points", [], [PASSAGE]).reason == "It cites nothing."


def test_a_denial_is_supported_by_a_quotation_that_denies() -> None:
    assert judge("The fee is not refunded.", ["Once paid, the fee isn't refunded."]).supported


def test_the_passage_around_counts_half() -> None:
    assert judge("seven interceptions", [QUOTE], [PASSAGE]).share == pytest.approx(2 / 3)


def test_several_quotations_support_a_claim_together() -> None:
    both = ["Revenue was 12 million euros.", "Costs were 9 million euros."]
    claim = "Revenue was 12 million and costs were 9 million"
    assert judge(claim, both).supported
    assert not judge(claim, both[:1]).supported


class TestQuestion:
    QUESTION = "How do I get my money back from Denver?"
    REFUND = "Refunds are issued within 14 days."

    def test_its_words_need_no_support(self) -> None:
        claim = "You get money back within 14 days"
        assert judge(claim, [self.REFUND], question=self.QUESTION).supported
        assert not judge(claim, [self.REFUND]).supported

    def test_its_names_and_numbers_do(self) -> None:
        support = judge("You get money back from Denver within 14 days", [self.REFUND], question=self.QUESTION)
        assert support.reason == "What it cites does not have the name Denver."

    def test_a_claim_that_only_repeats_it_must_be_supported_all_the_same(self) -> None:
        assert not judge("You get money back.", [self.REFUND], question=self.QUESTION).supported


def test_an_answer_that_only_repeats_the_question_says_nothing() -> None:
    quote = "Captain Ahab's ship lay at anchor."
    echoed = judge("Captain Ahab's ship", [quote], question="What is the name of Captain Ahab's ship?")
    assert not echoed.supported
    assert "repeats the question" in echoed.reason
    assert judge("Captain Ahab's ship", [quote], question="What lay at anchor?").supported


def test_a_question_that_offers_its_answers_may_be_answered_with_one() -> None:
    quote = "The pear tree is older than the apple tree."
    assert judge("the pear tree", [quote], question="Is the pear tree or the apple tree older?").supported


@pytest.mark.parametrize("written", ["2021-03-05", "March 5, 2021", "5 March 2021", "03/05/2021"])
@pytest.mark.parametrize("cited", ["2021-03-05", "March 5, 2021", "5 March 2021"])
def test_a_day_is_the_same_day_however_it_is_written(written: str, cited: str) -> None:
    quote = f"The bridge was opened on {cited} in the rain."
    assert judge(f"The bridge was opened on {written}.", [quote]).supported
    assert not judge("The bridge was opened on 2021-03-06.", [quote]).supported


@pytest.mark.parametrize(
    ("question", "asks"),
    [
        ("Was the treaty signed in 1697?", True),
        ("Read the letters. Did he ever marry?", True),
        ("Was it the pear or the apple?", False),
        ("When was the treaty signed?", False),
        ("What was it?", False),
        ("It was so.", False),
    ],
)
def test_a_question_that_yes_or_no_would_answer(question: str, asks: bool) -> None:
    assert asks_yes_or_no(question) is asks
