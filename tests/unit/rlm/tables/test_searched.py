"""Columns over documents by search: what is read of long documents, what is cited, and what an empty cell says."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from ingest.storage.tables.places import Location
from ingest.storage.tables.store import RecordTables
from rlm.answers import AnswerStatus, Draft
from rlm.checking.checker import locate_citations
from rlm.corpus.corpus import Corpus
from rlm.corpus.handles import Handle
from rlm.errors import DocumentGoneError, RunCancelledError, RunTooLargeError
from rlm.events import Delta, Drafted, Event, Routed, Working
from rlm.llm.budgets import Price
from rlm.llm.port import SubCall, SubFailure
from rlm.llm.profiles import ModelProfile
from rlm.requests import AnswerOptions
from rlm.strategy import Context, SpanSearch
from rlm.tables.searched import DocumentPassages, ReadingSize, choose_reading_size
from rlm.tables.strategy import HandOver
from tests.fakes.memory_blobs import MemoryBlobs
from tests.support.contexts import corpus_of, document_search_over
from tests.support.table_questions import TableQuestion, plan

FILLER = "The quarterly figures of the plant were discussed at length, and the board took note of them. "
AUDITOR = {"table": "documents", "name": "auditor", "instruction": "Which firm is the auditor?", "type": "text"}
ABSENT = {"table": "documents", "name": "endless", "instruction": "Has it no end date?", "type": "boolean"}
CHAIR = {"table": "documents", "name": "chair", "instruction": "Who is the chair?", "type": "text"}
BOTH = "SELECT title, auditor, chair FROM documents"
CAPABLE = ModelProfile("capable", 131_072, 8_192)
LIST = "SELECT title, auditor FROM documents"


def long(*said: str, words: int = 4_000) -> str:
    """A text of about 1.3 tokens a word, with each of `said` in a section of its own in the middle."""
    filler = FILLER * (words // 34)
    sections = "".join(f"\n\n## Part {number}\n\n{each}\n" for number, each in enumerate(said, start=1))
    return f"# Report\n\n{filler}{sections}\n\n## Further matters\n\n{filler}"


def audits(text: str) -> object:
    """Name the auditor if the text does, and copy the sentence."""
    _, found, rest = text.partition("The auditor is ")
    name = rest.partition(".")[0] if found else None
    return {"words": f"The auditor is {name}." if name else None, "answer": {"value": name}}


def chairs(text: str) -> object:
    """Name the chair if the text does, and copy the sentence."""
    found = "The chair is Mia Berg." in text
    return {"words": "The chair is Mia Berg." if found else None, "answer": {"value": "Mia" if found else None}}


def question(
    corpus: Corpus,
    column: dict[str, Any],
    sql: str,
    rule: Callable[[str], object],
    **named: Any,  # noqa: ANN401
) -> TableQuestion:
    reply = plan(sql, "These are they:", columns=[column])
    named = {"search_document": document_search_over(corpus), "profile": CAPABLE, **named}
    return TableQuestion(corpus, RecordTables(MemoryBlobs()), [reply], rule, **named)


def cells(draft: Draft) -> dict[str, object]:
    assert draft.table is not None
    return {str(title): value for title, value in draft.table.rows}


@pytest.fixture(scope="module")
def reports() -> Corpus:
    texts = {f"Report {at}": long(f"The auditor is Firm {at}. It was appointed again.") for at in range(12)}
    return corpus_of({**texts, "Memo": "The auditor is Firm M. Nothing else is new."})


def test_a_long_document_is_read_by_its_best_passages_and_a_short_one_whole(reports: Corpus) -> None:
    asked = question(reports, AUDITOR, LIST, audits)
    draft = asked.ask("Who audits each company?")
    assert cells(draft) == {**{f"Report {at}": f"Firm {at}" for at in range(12)}, "Memo": "Firm M"}
    judged = [call for call in asked.calls.calls if call.purpose == "extract"]
    assert len(judged) < 7, "many documents share a call"
    assert sum(len(call.prompt) for call in judged) < reports.size.characters / 3
    shown = asked.calls.records()
    assert sum(text.startswith("Report 3.md ◆ ") for text in shown) == 1
    assert [text for text in shown if text.startswith("Memo")] == [
        "Memo.md The auditor is Firm M. Nothing else is new."
    ]
    assert draft.coverage is not None
    assert draft.status is AnswerStatus.ANSWERED
    assert draft.coverage.units_read == 13
    assert draft.coverage.tokens_read < draft.coverage.tokens_in_scope / 3
    assert draft.coverage.tokens_unopened < 100, "code searched what no model read"
    assert draft.notes[0] == (
        'The model read 13 documents for "auditor", passages that a search found in 12 of them: '
        "these values are its reading."
    )


def test_quotes_are_located_in_the_passages_that_were_read(reports: Corpus) -> None:
    draft = question(reports, AUDITOR, LIST, audits).ask()
    _, citations = locate_citations(draft, lambda version, start, end: Location(3, "page 3"))
    assert [each.quote for each in citations][:2] == ["The auditor is Firm 0.", "The auditor is Firm 1."]
    for each in citations:
        document = reports.find_document_by_id(each.document_id)
        assert document is not None
        assert each.verified
        assert reports.load_text(document.handle[each.start : each.end]) == each.quote
    assert draft.evidence[1].heading_path == ("Report", "Part 1")


def test_each_column_of_a_row_has_its_citation() -> None:
    corpus = corpus_of({"A": long("The auditor is Firm A. It stays.", "The chair is Mia Berg. She was elected.")})
    asked = question(corpus, AUDITOR, LIST, lambda text: {"A": audits(text), "B": chairs(text)})
    asked.replies[:] = [plan("SELECT title, auditor, chair FROM documents", "See:", columns=[AUDITOR, CHAIR])]
    draft = asked.ask()
    assert [each.text for each in draft.evidence.values()] == ["The auditor is Firm A.", "The chair is Mia Berg."]
    assert "[1][2]" in draft.text
    assert not any("are cited" in note for note in draft.notes)


def test_six_more_passages_are_read_where_the_first_do_not_have_the_value() -> None:
    decoys = [f"The auditor, the auditor firm: which firm is the auditor, case {at}?" for at in range(3)]
    corpus = corpus_of({"A": long(*decoys, "The auditor is Firm A. It stays.")})
    asked = question(corpus, AUDITOR, LIST, audits)
    assert cells(asked.ask("Which firm is the auditor?")) == {"A": "Firm A"}
    first, second = asked.calls.records()
    assert "Firm A" not in first
    assert all(decoy in first for decoy in decoys)
    assert "Firm A" in second
    assert not any(decoy in second for decoy in decoys)


def test_a_value_that_no_passage_has_is_empty_and_said_to_be_not_found() -> None:
    corpus = corpus_of({"A": long("The auditor is Firm A. It stays."), "B": long("Nobody is named here.")})
    asked = question(corpus, AUDITOR, LIST, audits)
    draft = asked.ask()
    assert cells(draft) == {"A": "Firm A", "B": None}
    assert '"auditor" is empty for 1 document: not found in what was read.' in draft.notes
    assert draft.evidence[2].place == "not found in what was read"
    assert draft.evidence[2].text == ""
    assert draft.coverage is not None
    assert (draft.coverage.units_read, draft.coverage.units_failed, draft.coverage.units_not_found) == (2, 0, 1)
    assert draft.coverage.is_complete
    assert "of 1 record a value was not found in what was read" in draft.coverage.to_sentence()


@pytest.mark.parametrize("kind", ["boolean", "label"])
def test_passages_alone_never_prove_that_a_document_lacks_something(kind: str) -> None:
    corpus = corpus_of({"A": long("It has an end date, which is 3 May."), "B": long("It goes on.")})
    column = {**ABSENT, "type": kind, "labels": ["yes", "no"] if kind == "label" else []}

    def rule(text: str) -> object:
        answer = "no" if "which is 3 May" in text else "not found in the passages"
        return {"words": "It has an end date, which is 3 May." if answer == "no" else None, "answer": answer}

    asked = question(corpus, column, "SELECT title, endless FROM documents", rule)
    draft = asked.ask()
    assert cells(draft) == {"A": False if kind == "boolean" else "no", "B": None}
    schema = next(call.schema for call in asked.calls.calls if call.purpose != "plan")
    assert "not found in the passages" in json.dumps(schema)
    assert draft.coverage is not None
    assert draft.coverage.units_not_found == 1


def test_documents_in_which_something_was_not_found_give_a_count_no_range() -> None:
    corpus = corpus_of({"A": long("It has no end: its time is indefinite."), "B": long("It goes on.")})

    def rule(text: str) -> object:
        return {"words": None, "answer": "yes" if "indefinite" in text else "not found in the passages"}

    draft = question(corpus, ABSENT, "SELECT count(*) AS n FROM documents WHERE endless", rule).ask()
    assert draft.result is not None
    assert (draft.result.value, draft.result.interval) == (1, None)
    assert '"endless" is empty for 1 document: not found in what was read.' in draft.notes


def test_a_document_under_four_thousand_tokens_is_read_whole_where_its_passages_do_not_help() -> None:
    corpus = corpus_of({"A": long("It goes on.", words=2_400), "B": long("It goes on.")})
    assert [each.tokens < 4_000 for each in corpus.documents] == [True, False]

    def rule(text: str) -> object:
        is_passages = "◆" in text
        return {"words": None, "answer": "not found in the passages" if is_passages else "yes"}

    draft = question(corpus, ABSENT, "SELECT title, endless FROM documents", rule).ask()
    assert cells(draft) == {"A": True, "B": None}
    assert draft.evidence[1].place == "the whole document, which the model read"


def test_a_document_that_is_no_longer_than_its_first_reading_is_read_whole_instead() -> None:
    corpus = corpus_of({"A": long("It goes on.", words=1_000)})
    assert 1_000 < corpus.documents[0].tokens < ReadingSize().first_tokens

    def rule(text: str) -> object:
        return {"words": None, "answer": "not found in the passages" if "◆" in text else "yes"}

    asked = question(corpus, ABSENT, "SELECT title, endless FROM documents", rule)
    assert cells(asked.ask()) == {"A": True}
    assert ["◆" in text for text in asked.calls.records()] == [False]


def test_a_caller_who_wants_every_record_read_gets_documents_read_whole(reports: Corpus) -> None:
    def read(call: SubCall) -> str | None:
        if "consecutive parts" not in call.prompt:
            return None
        found = call.prompt.partition("The auditor is ")[2].partition(".")[0]
        count = len((call.schema or {})["properties"])  # type: ignore[arg-type]
        return json.dumps({str(at): f"The auditor is {found}." if found else "" for at in range(1, count + 1)})

    asked = question(reports, AUDITOR, LIST, audits, fault=read, wanted=AnswerOptions(every_record=True))
    assert "search found" not in asked.ask().notes[0]
    assert not any("◆" in call.prompt for call in asked.calls.calls)


@pytest.mark.parametrize("is_searched", [True, False])
def test_the_start_of_a_document_is_always_read(is_searched: bool) -> None:
    others = [f"The audit, the auditor and the firm, case {at}." for at in range(9)]
    corpus = corpus_of({"A": "This is about Firm A. " + long(*others)})

    def rule(text: str) -> object:
        found = "This is about Firm A." if "This is about Firm A." in text else None
        return {"words": found, "answer": {"value": "Firm A" if found else None}}

    found = document_search_over(corpus) if is_searched else lambda document: lambda query, top_k: ()
    asked = question(corpus, AUDITOR, LIST, rule, search_document=found)
    assert cells(asked.ask("Which firm?")) == {"A": "Firm A"}
    (record,) = asked.calls.records()
    assert record.count("◆") == (4 if is_searched else 1)


def test_passages_of_other_documents_are_not_read_for_a_document() -> None:
    corpus = corpus_of({"A": long("The auditor is Firm A. It stays."), "B": long("Nobody is named here.")})
    search = document_search_over(corpus)
    asked = question(corpus, AUDITOR, LIST, audits, search_document=lambda document: search("d1"))
    assert cells(asked.ask()) == {"A": "Firm A", "B": None}


def test_nothing_is_read_of_a_document_that_was_closed_after_it_was_searched() -> None:
    texts = {f"Report {at}": long(f"The auditor is Firm {at}. It stays.") for at in range(3)}
    corpus = corpus_of(texts)
    closed: set[str] = set()
    guarded = Corpus(corpus.documents, corpus._texts, "ann", withheld_source=lambda *, at_once=False: closed)
    search = document_search_over(corpus)

    def closing(document: str) -> SpanSearch:
        def found(query: str, top_k: int) -> Sequence[Handle]:
            passages = search(document)(query, top_k)
            closed.add("d1")
            return passages

        return found

    asked = question(guarded, AUDITOR, LIST, audits, search_document=closing)
    with pytest.raises(DocumentGoneError):
        asked.ask()
    assert not any("Firm 0" in call.prompt for call in asked.calls.calls)


def test_a_document_whose_second_reading_fails_counts_as_failed_and_not_as_not_found() -> None:
    others = [f"No auditor but a firm, number {at}, was asked." for at in range(6)]
    corpus = corpus_of({"A": long("The auditor is Firm A. It stays."), "B": long(*others)})
    readings: list[SubCall] = []

    def fail_later(call: SubCall) -> SubFailure | None:
        readings.append(call)
        return SubFailure("language_model_timeout", "It was silent.") if len(readings) > 1 else None

    draft = question(corpus, AUDITOR, LIST, audits, fault=fail_later).ask()
    assert cells(draft) == {"A": "Firm A", "B": None}
    assert draft.coverage is not None
    assert (draft.coverage.units_failed, draft.coverage.units_not_found) == (1, 0)
    assert draft.status is AnswerStatus.PARTIAL


class _Programs:
    """A strategy that stands for the recursive one."""

    def stream(self, context: Context) -> Any:  # noqa: ANN401
        yield Delta("A program says so.")


COSTLY = ModelProfile("costly", 131_072, 8_192, price=Price(Decimal(5_000), Decimal(5_000)))


def test_a_table_that_would_need_confirmation_is_handed_over_and_the_limits_are_said(reports: Corpus) -> None:
    asked = question(reports, AUDITOR, LIST, audits, profile=COSTLY, beyond=HandOver(_Programs, "At most 500 calls."))
    with pytest.raises(AssertionError):  # the stand-in drafts nothing
        asked.ask()
    events: list[Event] = asked.events
    assert isinstance(events[-2], Routed)
    assert (events[-2].strategy, events[-2].estimate) == ("recursive", "At most 500 calls.")
    assert "13 records" in events[-2].reason
    assert events[-1] == Delta("A program says so.")
    assert asked.calls.records() == []


def test_a_table_that_was_asked_for_is_refused_instead(reports: Corpus) -> None:
    asked = question(reports, AUDITOR, LIST, audits, profile=COSTLY)
    with pytest.raises(RunTooLargeError, match="13 records"):
        asked.ask()
    assert not any(isinstance(each, Drafted) for each in asked.events)


QUERY = ["Which firm is the auditor?"]


def passages_of_a_report(max_chars: int) -> tuple[Corpus, DocumentPassages]:
    """The passages of a document in which each of three sections has words of the query."""
    said = [f"The auditor of part {part} is Firm {part}. " + FILLER * 10 for part in range(3)]
    corpus = corpus_of({"Report": long(*said)})
    return corpus, DocumentPassages(corpus, document_search_over(corpus), ReadingSize(), max_chars)


def test_passages_without_space_in_the_first_reading_are_the_first_of_the_next() -> None:
    _, *best = passages_of_a_report(100_000)[1].read_first([1], QUERY).spans[0]
    narrow = passages_of_a_report(3_000)[1]
    first = narrow.read_first([1], QUERY).spans[0]
    assert len(best) == 3
    assert 1 < len(first) < 4
    assert [*first[1:], *narrow.read_more([1], QUERY).spans[0]][:3] == list(best)


def test_at_least_one_passage_is_read_in_the_second_reading() -> None:
    narrow = passages_of_a_report(10)[1]
    (start,) = narrow.read_first([1], QUERY).spans[0]
    assert start.end <= 10
    assert len(narrow.read_more([1], QUERY).spans[0]) == 1


def test_a_long_table_header_leaves_space_for_every_passage_of_a_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    corpus, passages = passages_of_a_report(4_500)
    load = corpus.load_passage
    monkeypatch.setattr(corpus, "load_passage", lambda span: replace(load(span), table_header="| figure " * 200))
    reading = passages.read_first([1], QUERY)
    (text,) = passages.iter_texts(reading, [0])
    assert len(reading.spans[0]) > 2
    assert all(load(span).text in text for span in reading.spans[0])


def _answer_both(call: SubCall) -> str:
    """A reply about the auditor, the chair or both, whichever the call is about."""
    tasks, body = call.prompt.split("BEGIN records")
    rule = chairs if "chair" in tasks else audits
    records = re.findall(r"^(\d+)\. (.*)$", body.partition("END records")[0], re.MULTILINE)
    is_joint = "\nB: " in tasks
    return json.dumps({at: {"A": audits(text), "B": chairs(text)} if is_joint else rule(text) for at, text in records})


def test_columns_of_documents_are_read_together_and_again_only_where_one_lacks_a_value() -> None:
    decoys = [f"The auditor, the auditor firm: which firm is the auditor, case {at}?" for at in range(4)]
    corpus = corpus_of(
        {
            "A": long("The auditor is Firm A. It stays.", "The chair is Mia Berg. She was elected."),
            "B": long(*decoys, "The auditor is Firm B. It stays.", "The chair is Mia Berg. She was elected."),
        }
    )
    asked = question(corpus, AUDITOR, LIST, audits, fault=_answer_both)
    asked.replies[:] = [plan(BOTH, "See:", columns=[AUDITOR, CHAIR])]
    draft = asked.ask("And?")
    assert draft.table is not None
    assert list(draft.table.rows) == [("A", "Firm A", "Mia"), ("B", "Firm B", "Mia")]
    first, second = [call for call in asked.calls.calls if call.purpose == "extract"]
    assert "A: Which firm is the auditor?" in first.prompt
    assert "B: Who is the chair?" in first.prompt
    assert "A.md" in first.prompt
    assert "A.md" not in second.prompt
    assert "chair" not in second.prompt, "only the auditor was missing"
    assert draft.coverage is not None
    assert (draft.coverage.units_read, draft.coverage.units_not_found) == (2, 0)
    steps = {each.step for each in asked.events if isinstance(each, Working)}
    assert steps == {'Searching the documents for "auditor", "chair"', 'Reading the rows for "auditor", "chair"'}


def test_each_column_says_in_which_documents_it_was_not_found() -> None:
    corpus = corpus_of({"A": long("The auditor is Firm A. It stays."), "B": long("The chair is Mia Berg. Yes.")})

    asked = question(corpus, AUDITOR, LIST, audits, fault=_answer_both)
    asked.replies[:] = [plan(BOTH, "See:", columns=[AUDITOR, CHAIR])]
    draft = asked.ask()
    assert draft.table is not None
    assert list(draft.table.rows) == [("A", "Firm A", None), ("B", None, "Mia")]
    assert [note for note in draft.notes if "not found" in note] == [
        f'"{name}" is empty for 1 document: not found in what was read.' for name in ("auditor", "chair")
    ]


def test_a_small_model_and_columns_with_other_conditions_are_asked_about_one_column_at_a_time() -> None:
    corpus = corpus_of({"A": "The auditor is Firm A.", "B": "The chair is Mia Berg."})
    for profile, where in ((CAPABLE, "title = 'A'"), (replace(CAPABLE, small=True), "")):
        asked = question(corpus, AUDITOR, LIST, lambda text: {"value": None}, profile=profile)
        asked.replies[:] = [plan(BOTH, "See:", columns=[AUDITOR, {**CHAIR, "where": where}])]
        asked.ask()
        assert [call.purpose for call in asked.calls.calls if call.purpose != "plan"] == ["extract"] * 2


def test_less_is_read_of_each_of_many_long_documents_and_short_ones_leave_more_for_the_others() -> None:
    few, many = choose_reading_size([40_000] * 20), choose_reading_size([40_000] * 200)
    assert few.scale == 1
    assert many.first_passages < few.first_passages
    assert 200 * many.first_tokens < 120_000
    assert choose_reading_size([300] * 200).scale == 1, "all are read whole"
    assert choose_reading_size([300] * 100 + [40_000] * 100).scale > many.scale
    assert choose_reading_size([40_000] * 1_000_000).more_passages >= 1


def test_a_list_of_a_few_hundred_documents_keeps_all_of_its_rows() -> None:
    corpus = corpus_of({f"Mail {at:03}": f"The auditor is Firm {at}." for at in range(210)})
    draft = question(corpus, AUDITOR, f"{LIST} ORDER BY title", audits).ask()
    assert draft.table is not None
    assert len(draft.table.rows) == draft.table.total_rows == 210
    assert "… and 190 more rows" in draft.text
    assert len(draft.evidence) == 50


def test_a_cancelled_run_searches_no_further_documents(reports: Corpus) -> None:
    searched: list[str] = []

    def find_nothing(document: str) -> SpanSearch:
        searched.append(document)
        return lambda query, top_k: ()

    asked = question(reports, AUDITOR, LIST, audits, search_document=find_nothing, cancelled=lambda: len(searched) >= 3)
    with pytest.raises(RunCancelledError):
        asked.ask()
    assert len(searched) == 3
