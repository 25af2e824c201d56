"""Without a language model an answer is quotations, and says so."""

from dataclasses import replace

from ingest.storage.remarks import Remark
from rlm.answers import AnswerStatus, Draft
from rlm.events import Delta, Drafted
from rlm.extractive import HEADING, ExtractiveStrategy
from tests.fakes.passages import passage

KEEPER = passage("The night was cold and long. The keeper of the lighthouse was Ada Brandt. Nobody came.")


def extracted(question: str, *passages: object) -> Draft:
    events = list(ExtractiveStrategy().stream(question, lambda query, top_k: list(passages)))  # type: ignore[arg-type]
    last = events[-1]
    assert isinstance(last, Drafted)
    assert "".join(each.text for each in events if isinstance(each, Delta)) == last.draft.text
    return last.draft


def test_the_nearest_sentence_is_quoted_first_with_its_marker() -> None:
    draft = extracted("Who was keeper of the lighthouse?", KEEPER)
    assert draft.status is AnswerStatus.EXTRACTIVE
    assert draft.text.startswith(HEADING)
    assert "- “The keeper of the lighthouse was Ada Brandt.” [1]" in draft.text
    assert draft.quotes[0].text == "The keeper of the lighthouse was Ada Brandt."


def test_what_code_says_is_in_the_language_of_the_question() -> None:
    def phrase(question: str, remark: Remark) -> str:
        return f"{remark.code} for {question}"

    for passages, said in (([KEEPER], "answer_quotes for Wer?"), ([], "answer_no_quotes for Wer?")):
        *_, delta, drafted = ExtractiveStrategy(phrase).stream("Wer?", lambda *_, found=passages: found)
        assert isinstance(delta, Delta)
        assert isinstance(drafted, Drafted)
        assert delta.text == drafted.draft.text
        assert delta.text.splitlines()[0] == said


def test_of_a_csv_the_nearest_row_is_quoted() -> None:
    rows = replace(passage("town,people\nOslo,709037\nBergen,291940\nMolde,27100"), place="rows 1 to 4")
    draft = extracted("How large is Bergen?", rows)
    assert draft.quotes[0].text == "Bergen,291940"


def test_where_nothing_is_found_the_answer_says_so() -> None:
    draft = extracted("Who?")
    assert draft.status is AnswerStatus.NOT_FOUND
    assert draft.evidence == {}


def test_short_lines_with_a_figure_are_quoted_and_rules_of_tables_are_not() -> None:
    draft = extracted("Which order number?", passage("Order number 12345\n\n| a | b |\n| --- | --- |\n\nThank you"))
    assert [each.text for each in draft.quotes] == ["Order number 12345", "| a | b |"]
