"""What a run's code hands in: how it is judged, cited and shown."""

from collections.abc import Sequence

import pytest
from rlm.composing import compose
from rlm.loop.spans import OpenedSpans
from rlm.loop.submitting import MAX_STATEMENTS, Submissions, Submitted
from rlm.verification import Judged

from rlm.sandbox.port import ToolError
from tests.support.corpora import corpus_of

TREATY = "# The treaty\n\nThe treaty of Ryswick was signed in 1697. It ended the Nine Years' War.\n"
SIGNED = "The treaty of Ryswick was signed in 1697."
WHEN, WHETHER = "When was the treaty signed?", "Was the treaty of Ryswick signed in 1697?"


def submissions(*documents: str, question: str = WHEN) -> Submissions:
    corpus = corpus_of(*(documents or (TREATY,)))
    return Submissions(question, corpus, OpenedSpans(corpus))


def handed_in(answer: object, evidence: object, *documents: str, question: str = WHEN) -> Submitted:
    """The answer that ends a run, handed in again where it is doubted."""
    made = submissions(*documents, question=question)
    try:
        made.submit(answer, evidence, False)
    except ToolError:
        made.submit(answer, evidence, False)
    assert made.final is not None
    return made.final


def cited(claims: Sequence[Judged]) -> list[tuple[str, int]]:
    """The document and the place of each quotation."""
    located = [each for claim in claims for each in claim.evidence]
    return [(each.source.passage.document_id, each.source.passage.start + each.start) for each in located]


def test_each_of_many_sentences_is_judged_and_cited() -> None:
    sentences = [f"Ship {n} sank off port {n * 7} in {1700 + n}." for n in range(1, 41)]
    found = handed_in(" ".join(sentences), sentences, "\n".join(sentences))
    assert [claim.text for claim in found.claims] == sentences
    assert found.supported
    assert len(set(cited(found.claims))) == 40


def test_an_answer_with_more_sentences_than_are_checked_is_refused_and_not_cut() -> None:
    with pytest.raises(ToolError, match=f"more than {MAX_STATEMENTS} sentences"):
        submissions().submit("It ended. " * (MAX_STATEMENTS + 1), [SIGNED], False)


@pytest.mark.parametrize(
    ("answer", "quote", "supported"),
    [
        ("Yes.", SIGNED, True),
        ("No.", SIGNED, False),
        (True, SIGNED, True),
        (False, SIGNED, False),
        ("No", "The treaty of Ryswick was not signed in 1697.", True),
        ("Yes", "The treaty of Ryswick was not signed in 1697.", False),
        ("No.", "The treaty of Ryswick was signed in 1702.", True),
        ("Yes.", "The treaty of Ryswick was signed in 1702.", False),
        ("No.", "Ships were built of oak.", False),
        ("Yes.", "Ships were built of oak.", False),
    ],
)
def test_a_bare_yes_or_no_is_shown_and_judged_by_what_it_cites(answer: object, quote: str, supported: bool) -> None:
    found = handed_in(answer, [quote], quote, question=WHETHER)
    (claim,) = found.claims
    assert claim.text.rstrip(".") in ("Yes", "No")
    assert found.supported is supported
    assert [each.text for each in claim.evidence] == [quote]


def test_an_answer_without_a_word_to_compare_is_not_confirmed_and_not_lost() -> None:
    found = handed_in("After.", [SIGNED], question="Did it end before or after the war?")
    assert [claim.text for claim in found.claims] == ["After."]
    assert not found.supported


def test_a_yes_with_its_sentence_may_repeat_the_question() -> None:
    assert handed_in(f"Yes, {SIGNED}", [SIGNED], question=WHETHER).supported
    assert not handed_in("The treaty was signed.", [SIGNED]).supported


@pytest.mark.parametrize(
    "answer",
    [
        "It was signed in 1697 [2].",
        "## Timeline\n\n- The treaty of Ryswick was signed in 1697.\n- It ended the Nine Years' War.",
        "The documents say the following:\n\n- The treaty of Ryswick was signed in 1697.",
    ],
)
def test_markers_headings_and_what_leads_up_to_a_list_are_no_claims(answer: str) -> None:
    found = handed_in(answer, [SIGNED, "It ended the Nine Years' War."])
    assert found.supported, found.claims
    assert "[2]" not in found.claims[0].text


def test_a_heading_stays_with_what_stands_under_it() -> None:
    found = handed_in(f"## Timeline\n\n{SIGNED}", [SIGNED])
    assert [claim.text for claim in found.claims] == [f"Timeline: {SIGNED}"]


def test_the_lines_of_a_list_stay_lines() -> None:
    found = handed_in(f"- {SIGNED}\n- It ended the Nine Years' War.", [SIGNED, "It ended the Nine Years' War."])
    assert compose(found.claims).text == f"- {SIGNED} [1]\n- It ended the Nine Years' War. [2]"


def test_a_citation_is_where_its_handle_says_and_equal_words_elsewhere_stay_apart() -> None:
    report = "\n".join(f"Machine {n}: failed the pressure test" for n in range(5))
    words = "failed the pressure test"
    places = [at for at in range(len(report)) if report.startswith(words, at)]
    evidence = [{"document": "doc-1", "start": at, "end": at + len(words), "quote": words} for at in places]
    found = handed_in("All five failed the pressure test.", evidence[3:], report)
    assert set(cited(found.claims)) == {("doc-1", at) for at in places[3:]}


def test_the_same_sentence_in_two_documents_is_cited_in_both() -> None:
    evidence = [{"document": name, "quote": SIGNED} for name in ("doc-1", "doc-2")]
    found = handed_in(SIGNED, evidence, TREATY, TREATY)
    assert {document for document, _ in cited(found.claims)} == {"doc-1", "doc-2"}


def test_each_new_answer_is_doubted_with_its_sentence_and_the_same_one_once() -> None:
    made = submissions()
    for year in (1701, 1702, 1703):
        with pytest.raises(ToolError, match=rf"'It was signed in {year}\.': What it cites does not have"):
            made.submit(f"{SIGNED} It was signed in {year}.", [SIGNED], False)
    made.submit("It was signed in 1704.", [SIGNED], False)
    assert made.final is not None

    again = submissions()
    with pytest.raises(ToolError, match="1701"):
        again.submit("It was signed in 1701.", [SIGNED], False)
    again.submit("It was signed in 1701.", [SIGNED], False)
    assert again.final is not None


def test_prose_that_is_said_to_be_computed_is_told_so_with_evidence_too() -> None:
    with pytest.raises(ToolError, match="nothing that code computes"):
        submissions().submit("It was signed in a hurry by Peter.", [SIGNED], True)


def test_a_value_of_a_part_names_what_was_not_gone_through() -> None:
    corpus = corpus_of(TREATY, "Ships of oak.")
    opened = OpenedSpans(corpus)
    opened.add([corpus.documents[0].handle])
    with pytest.raises(ToolError, match="1 of 2, such as"):
        Submissions(WHEN, corpus, opened).submit(3, [SIGNED], True)


def test_blank_lines_that_nobody_read_leave_no_document_half_read() -> None:
    corpus = corpus_of("One.\n\n\nTwo.\n\n\nThree.")
    opened = OpenedSpans(corpus)
    whole = corpus.documents[0].handle
    text = corpus.text(whole)
    opened.add(whole[text.index(word) : text.index(word) + len(word)] for word in ("One.", "Two.", "Three."))
    assert opened.not_gone_through() == []


def test_among_answers_that_are_borne_out_alike_the_last_is_kept() -> None:
    made = submissions()
    made.keep_draft(f"{SIGNED} It ended the Nine Years' War.", [SIGNED, "It ended the Nine Years' War."], False)
    assert made.keep_draft(SIGNED, [SIGNED], False) == "kept"
    assert made.draft is not None
    assert len(made.draft.claims) == 1


def test_every_quotation_of_a_long_document_is_found_however_it_is_typed() -> None:
    lines = [f"Sentence number {n} stands on\nits own two lines." for n in range(35_000)]
    book = "\n".join(lines)
    assert len(book) < 2_000_000
    quotes = [f"Sentence number {n} stands on its own two lines." for n in range(1_000, 35_000, 3_000)]
    found = handed_in("Each stands on its own two lines.", [{"document": "doc-1", "quote": q} for q in quotes], book)
    assert len(set(cited(found.claims))) == len(quotes)


def test_words_read_long_ago_are_found_without_saying_where() -> None:
    book = "\n".join(f"Entry {n} of the log." for n in range(120_000))
    corpus = corpus_of(book)
    opened = OpenedSpans(corpus)
    whole = corpus.documents[0].handle
    assert len(whole) > 2_000_000
    opened.add([whole[:1_000], *(whole[100_000 + 100 * n : 100_050 + 100 * n] for n in range(300))])
    made = Submissions("What does it say?", corpus, opened)
    made.submit("Entry 7 of the log.", ["Entry 7 of the log."], False)
    assert made.final is not None


def test_a_handle_is_cited_whole_or_refused() -> None:
    record = "The cargo was salt. " * 60 + "Its master was Marta Lind."
    assert handed_in("Its master was Marta Lind.", [{"document": "doc-1"}], record).supported
    with pytest.raises(ToolError, match='add the words to it as "quote"'):
        submissions("The cargo was salt. " * 600).submit("Salt.", [{"document": "doc-1"}], False)
