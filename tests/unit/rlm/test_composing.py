from rlm.answerability import weigh
from rlm.answers import AnswerStatus, searched
from rlm.composing import compose, extracts, not_found
from rlm.support import Support
from rlm.verification import Judged, Located
from tests.fakes.passages import passage

(SOURCE,) = weigh("points?", [passage("It was 308\npoints. It was a record.", start=50)])
FIRST = Located(SOURCE, 0, 18)
SECOND = Located(SOURCE, 19, 35)
YES = Support(True, 1.0)


def test_each_claim_is_followed_by_its_markers() -> None:
    composed = compose([Judged("308 points", (FIRST,), YES), Judged("A record in points", (SECOND, FIRST), YES)])
    assert composed.text == "308 points [1] A record in points [2][1]"
    assert composed.status is AnswerStatus.ANSWERED
    assert [claim.citations for claim in composed.claims] == [(1,), (2, 1)]
    assert [citation.number for citation in composed.citations] == [1, 2]


def test_what_was_written_on_a_line_of_its_own_stands_on_one() -> None:
    claims = [Judged("Two:", (FIRST,), YES, opens_line=True), Judged("- a record", (SECOND,), YES, opens_line=True)]
    assert compose(claims).text == "Two: [1]\n- a record [2]"


def test_citations_show_the_source_as_it_stands() -> None:
    (citation,) = compose([Judged("308 points", (FIRST,), YES)]).citations
    assert citation.quote == "It was 308\npoints."
    assert (citation.start, citation.end) == (50, 68)


def test_a_claim_that_is_not_supported_says_so_in_the_text() -> None:
    doubtful = Judged("Nobody did better", (SECOND,), Support(False, 0.0, "It denies something."))
    composed = compose([Judged("308 points", (FIRST,), YES), doubtful])
    assert composed.text == "308 points [1] Nobody did better [2] (not confirmed: It denies something.)"
    assert composed.status is AnswerStatus.PARTIAL
    assert [claim.supported for claim in composed.claims] == [True, False]


def test_when_no_claim_is_supported_the_document_speaks() -> None:
    composed = compose([Judged("309", (FIRST,), Support(False, 0.0, "No 309."))])
    assert composed.text == "309 [1] (not confirmed: No 309.) The document says: “It was 308 points.” [1]"
    assert composed.status is AnswerStatus.PARTIAL
    assert [(claim.text, claim.supported) for claim in composed.claims] == [
        ("309", False),
        ("It was 308 points.", True),
    ]


def test_not_found_names_what_was_searched() -> None:
    found = [passage("a", document=str(number), title=f"Title {number}") for number in range(7)]
    composed = not_found(searched([*found, found[0]]))
    assert composed.status is AnswerStatus.NOT_FOUND
    assert composed.text == (
        "These documents do not answer the question. Searched: 8 passages of 7 documents "
        "(Title 0, Title 1, Title 2, Title 3, Title 4 and 2 more)."
    )
    assert composed.citations == ()


def test_not_found_among_nothing_says_so() -> None:
    assert not_found(searched([])).text == ("These documents do not answer the question. No passage was found in them.")


def test_extracts_are_labelled_quoted_and_cited() -> None:
    composed = extracts([SECOND, FIRST], "Nearest:")
    assert composed.text == "Nearest:\n\n“It was a record.” [1]\n\n“It was 308 points.” [2]"
    assert composed.status is AnswerStatus.EXTRACTIVE
    assert all(claim.supported for claim in composed.claims)
