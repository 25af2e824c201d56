"""What a run's code hands in: how its markers and quotes are looked up, and how it is shown."""

from typing import Any

import pytest

from retrieval.search.requests import Passage
from rlm.errors import RunCancelledError, not_cancelled
from rlm.loop.literals import CellLiterals
from rlm.loop.read_log import ReadLog
from rlm.loop.replay.checker import ReplayResult
from rlm.loop.strategy import build_separate_passages
from rlm.loop.submit import Submission, Submissions
from rlm.sandbox.port import ToolError
from tests.support.corpora import corpus_of

TREATY = "# The treaty\n\nThe treaty of Ryswick was signed in 1697. It ended the Nine Years' War.\n"
SIGNED, ENDED = "The treaty of Ryswick was signed in 1697.", "It ended the Nine Years' War."


class Desk:
    """Submissions over documents of which code has gone through all."""

    def __init__(self, *documents: str, opened: bool = True, cancelled: Any = not_cancelled) -> None:  # noqa: ANN401
        self.corpus = corpus_of(*(documents or (TREATY,)))
        self.log, self.cells = ReadLog(self.corpus), CellLiterals()
        if opened:
            self.log.record_searched_spans(each.handle for each in self.corpus.documents)
        self.made = Submissions(self.corpus, self.log, self.cells, cancelled=cancelled)

    def submit(
        self, answer: object, evidence: object = None, computed: object = None, found: object = True
    ) -> Submission:
        self.made.submit(answer, evidence, computed, found)
        assert self.made.final is not None
        return self.made.final


def quoted(found: Submission) -> list[str]:
    return [each.quote for each in found.cited]


def test_each_sentence_has_the_evidence_that_its_markers_name() -> None:
    found = Desk().submit(
        f"{SIGNED} [1]\n\n- {ENDED} [2]\n- Both. [1, 2]", [SIGNED, {"document": "doc-1", "quote": ENDED}]
    )
    assert found.text == f"{SIGNED} [1]\n\n- {ENDED} [2]\n- Both. [1][2]"
    assert quoted(found) == [SIGNED, ENDED]


def test_an_entry_that_no_marker_names_does_no_harm() -> None:
    assert Desk().submit(f"{SIGNED} [2]", [ENDED, SIGNED]).text == f"{SIGNED} [2]"


def test_the_only_sentence_gets_the_markers_that_it_lacks() -> None:
    assert Desk().submit(SIGNED, [SIGNED, ENDED]).text == f"{SIGNED} [1][2]"


def test_several_sentences_without_a_marker_are_sent_back_to_get_some() -> None:
    desk = Desk()
    for _ in range(2):
        with pytest.raises(ToolError, match="has no markers"):
            desk.submit(f"{SIGNED} {ENDED}", [SIGNED])
    assert desk.submit(f"{SIGNED} {ENDED}", [SIGNED]).text == f"{SIGNED} {ENDED}\n\nEvidence: [1]"


def test_a_marker_that_names_nothing_is_sent_back_and_at_last_is_text() -> None:
    desk = Desk()
    for _ in range(2):
        with pytest.raises(ToolError, match=r"has \[3\], \[4\], but evidence has 1 entry"):
            desk.submit(f"{SIGNED} [1][3] {ENDED} [4]", [SIGNED])
    found = desk.submit(f"{SIGNED} [1][3] {ENDED} [4]", [SIGNED])
    assert found.text == f"{SIGNED} [1][3] {ENDED} [4]"
    assert quoted(found) == [SIGNED]


def test_a_list_of_numbers_that_code_wrote_is_no_marker() -> None:
    desk = Desk()
    desk.cells.add_cell("submit(f'The machines {failed} failed. None is new.', computed=True)")
    assert desk.submit("The machines [1, 5] failed. None is new.", None, True).text.startswith("The machines [1, 5]")
    cited = desk.submit("The machines 1 and 5 failed. None is new.", [SIGNED], True)
    assert cited.text == "The machines 1 and 5 failed. None is new.\n\nEvidence: [1]"


def test_a_year_in_brackets_is_no_marker() -> None:
    assert Desk().submit("It was signed that year [1697]. [1]", [SIGNED]).text == "It was signed that year [1697]. [1]"


def test_a_quote_that_stands_nowhere_is_named_and_at_last_its_marker_is_left_out() -> None:
    desk = Desk()
    answer, evidence = f"It was signed at noon. [1] {SIGNED} [2]", ["It was signed at noon.", SIGNED]
    for _ in range(2):
        with pytest.raises(ToolError, match=r"the quote of evidence 1, 'It was signed at noon\.', is not in"):
            desk.submit(answer, evidence)
    found = desk.submit(answer, evidence)
    assert found.text.split() == f"It was signed at noon. {SIGNED} [1]".split()
    assert quoted(found) == [SIGNED]


def test_an_answer_in_other_words_than_its_evidence_is_taken() -> None:
    found = Desk().submit("Peace came to Europe before the century was over. [1]", [SIGNED])
    assert quoted(found) == [SIGNED]


def test_text_keeps_its_paragraphs_and_lists() -> None:
    text = "Two things:\n\n1. It was signed. [1]\n2. It ended a war. [1]\n\n| a | b |\n| --- | --- |\n| 1 | 2 |"
    assert Desk().submit(text, [SIGNED]).text == text


def test_text_without_evidence_is_taken_as_it_is() -> None:
    found = Desk().submit("I could not tell.")
    assert (found.text, found.cited, found.found) == ("I could not tell.", (), True)


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (7, "number", "7 [1]"),
        (False, "label", "No. [1]"),
        (["a", "b"], "list", "- a\n- b\n\nEvidence: [1]"),
        ([{"who": "A", "n": 1}], "list", "| who | n |\n| --- | --- |\n| A | 1 |\n\nEvidence: [1]"),
        ({"a": {"b": [1, None]}}, "table", None),
    ],
)
def test_any_json_value_is_an_answer_with_its_evidence(value: object, kind: str, text: str | None) -> None:
    found = Desk().submit(value, [SIGNED])
    assert found.result is not None
    assert (found.result.kind, found.result.value) == (kind, value)
    assert text is None or found.text == text
    assert quoted(found) == [SIGNED]


def test_texts_of_a_json_value_may_have_markers() -> None:
    found = Desk().submit([{"what": "signed [1]"}, {"what": "war [2]"}], [SIGNED, ENDED])
    assert "Evidence" not in found.text
    assert "| war [2] |" in found.text


def test_documents_may_not_say() -> None:
    assert not Desk().submit(None).found
    own = Desk().submit("They name no signatory; they only say when it was signed. [1]", [SIGNED], found=False)
    assert (own.found, own.text) == (False, "They name no signatory; they only say when it was signed. [1]")
    assert quoted(own) == [SIGNED]


@pytest.mark.parametrize(
    ("submitted", "says"),
    [
        (("",), "empty"),
        (("x" * 100_000,), "100,000 characters"),
        (("x", 5), "evidence must be a list"),
        (("x", [5]), "evidence must be a list"),
        (("x", ["a"] * 500), "500 entries"),
        (("x", [{"document": "nope", "quote": "a"}]), "no document has the id, name or title"),
        (("x", [{"document": "doc-1", "start": "a"}]), "whole number"),
        (("x", [{"document": "doc-1", "quote": 3}]), "quote of evidence 1"),
        (("x", ["word " * 1_000]), "5,000 characters"),
        ((3, [], 1), "computed must be True"),
        (("x", [], None, "no"), "found must be True or False"),
        ((3, [], None, False), "found=False"),
        ((object(),), "JSON value"),
    ],
)
def test_what_is_handed_in_wrongly_says_what_is_wanted(submitted: tuple[Any, ...], says: str) -> None:
    with pytest.raises(ToolError, match=says):
        Desk().submit(*submitted)


def test_a_value_is_computed_only_if_running_its_code_again_confirms_it() -> None:
    desk = Desk()
    desk.cells.add_cell("n = count('x')['total']\nsubmit(n, computed='matches')")
    found = desk.submit(3, computed="matches")
    assert (found.computed, found.how) == (True, "matches")
    desk.made.apply_replay(ReplayResult())
    assert desk.made.final is not None
    assert (desk.made.final.computed, desk.made.final.how) == (False, "")
    assert desk.made.final.remarks[0].startswith("The answer claims to be computed")
    assert desk.made.final.result is not None


def test_a_value_with_a_typed_number_in_it_is_not_computed() -> None:
    desk = Desk()
    desk.cells.add_cell("n = 424242 + count('x')['total']\nsubmit(n, computed='matches')")
    stated = desk.submit(424245, computed="matches")
    assert (stated.computed, stated.how) == (False, "")
    assert "424242 was hard-coded" in stated.remarks[0]


def test_nothing_is_computed_from_documents_that_nobody_opened() -> None:
    desk = Desk(opened=False)
    desk.cells.add_cell("submit(6 * n, computed=True)")
    assert not desk.submit(42, computed=True).computed


def test_equal_words_elsewhere_stay_apart() -> None:
    report = "\n".join(f"Machine {n}: failed the pressure test" for n in range(5))
    words = "failed the pressure test"
    places = [at for at in range(len(report)) if report.startswith(words, at)]
    evidence = [{"document": "doc-1", "start": at, "end": at + len(words), "quote": words} for at in places]
    found = Desk(report).submit("All five failed the pressure test.", evidence)
    assert [each.span.start for each in found.cited] == places
    for each in found.cited:
        at = each.passage.text.index(words) + each.passage.start
        assert at == each.span.start


def test_a_long_handle_is_a_passage_without_a_quotation_and_one_that_is_too_long_is_refused() -> None:
    record = "The cargo was salt. " * 60 + "Its master was Marta Lind."
    (cited,) = Desk(record).submit("Its master was Marta Lind.", [{"document": "doc-1"}]).cited
    assert (cited.quote, cited.passage.text) == ("", record)
    with pytest.raises(ToolError, match='add the words that matter as "quote"'):
        Desk("The cargo was salt. " * 1_000).submit("Salt.", [{"document": "doc-1"}])


def test_a_long_handle_that_cuts_sentences_is_a_passage_of_whole_sentences() -> None:
    text = "The cargo was salt. " * 60
    (cited,) = Desk(text).submit("So it is.", [{"document": "doc-1", "start": 47, "end": 692}]).cited
    assert cited.passage.text == text[40:699]
    assert (cited.span.start, cited.span.end, cited.quote) == (40, 699, "")


WRAPPED = (
    "Packages move on. Any security fixes in unstable are made at once,\nand trickle down to testing. Be patient.\n\n"
    "| file | kept |\n| --- | --- |\n| /etc/fstab | yes |\n"
)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("y fixes in unst", "Any security fixes in unstable are made at once,\nand trickle down to testing."),
        ("trickle", "Any security fixes in unstable are made at once,\nand trickle down to testing."),
        ("Packages move on.", "Packages move on."),
        (
            "move on. Any sec",
            "Packages move on. Any security fixes in unstable are made at once,\nand trickle down to testing.",
        ),
        ("etc/fst", "| /etc/fstab | yes |"),
        ("| /etc/fstab | yes |", "| /etc/fstab | yes |"),
    ],
)
def test_a_short_handle_is_quoted_with_the_rest_of_the_sentences_that_it_cuts(words: str, shown: str) -> None:
    start = WRAPPED.index(words)
    handle = {"document": "doc-1", "start": start, "end": start + len(words)}
    (cited,) = Desk(WRAPPED).submit("So it is.", [handle]).cited
    assert cited.quote == shown
    assert WRAPPED[cited.span.start : cited.span.end] == shown


def test_lines_without_full_stops_are_not_joined_in_a_quotation() -> None:
    log = "08:01 Lamp lit\n08:02 Oil filled\n08:03 Wick cut\n"
    start = log.index("08:02")
    (cited,) = Desk(log).submit("So it is.", [{"document": "doc-1", "start": start, "end": start + 16}]).cited
    assert cited.quote.strip() == "08:02 Oil filled"


def test_of_a_long_sentence_a_short_handle_is_quoted_to_the_ends_of_its_words() -> None:
    words = " ".join(f"customized{number}" for number in range(200))
    (cited,) = Desk(f"{words}.").submit("So it is.", [{"document": "doc-1", "start": 1_000, "end": 1_300}]).cited
    assert 300 < len(cited.quote) < 340
    assert set(cited.quote.split()) < set(words.split())
    blob = "x" * 5_000
    (cited,) = Desk(blob).submit("So it is.", [{"document": "doc-1", "start": 2_000, "end": 2_100}]).cited
    assert len(cited.quote) == 500


def test_evidence_begins_and_ends_at_a_word() -> None:
    words = [f"customized{number}" for number in range(1_000)]
    quote = "customized500 customized501"
    (cited,) = Desk(" ".join(words)).submit("So it is.", [quote]).cited
    shown = cited.passage.text
    assert quote in shown
    assert 2_900 < len(shown) < 3_050
    assert set(shown.split()) < set(words)
    assert " ".join(words)[cited.passage.start : cited.passage.end] == shown
    (cited,) = Desk(f"{words[0]} {quote} {words[1]}").submit("So it is.", [quote]).cited
    assert cited.passage.text == f"{words[0]} {quote} {words[1]}", "nothing is cut at the edges of a document"
    (cited,) = (
        Desk("字" * 5_000 + quote + "字" * 5_000)
        .submit("So it is.", [{"document": "doc-1", "start": 5_000, "end": 5_000 + len(quote)}])
        .cited
    )
    assert len(cited.passage.text) > 3_000, "a script without spaces is not cut"


def test_a_value_that_ends_in_a_full_stop_ends_its_sentence() -> None:
    assert Desk().submit(f"Most was sold by {'Brandt Inc.'}.").text == "Most was sold by Brandt Inc."


def test_every_quotation_of_a_long_document_is_found_however_it_is_typed() -> None:
    book = "\n".join(f"Sentence number {n} stands on\nits own two lines." for n in range(35_000))
    assert len(book) < 2_000_000
    quotes = [f"Sentence number {n} stands on its own two lines." for n in range(1_000, 35_000, 3_000)]
    found = Desk(book).submit("Each stands on its own.", [{"document": "doc-1", "quote": quote} for quote in quotes])
    assert len({each.span for each in found.cited}) == len(quotes)


def test_words_read_long_ago_are_found_without_saying_where() -> None:
    book = "\n".join(f"Entry {n} of the log." for n in range(120_000))
    desk = Desk(book, opened=False)
    whole = desk.corpus.documents[0].handle
    for span in (whole[:1_000], *(whole[100_000 + 100 * n : 100_050 + 100 * n] for n in range(300))):
        desk.log.record_returned_text(span, desk.corpus.load_text(span))
    assert desk.submit("Entry 7 of the log.", ["Entry 7 of the log."]).cited[0].span.start < 1_000


def test_looking_for_quotations_ends_with_the_run() -> None:
    asked = iter([False, True])
    desk = Desk("word " * 100_000, cancelled=lambda: next(asked))
    with pytest.raises(RunCancelledError):
        desk.submit("a word", ["“words” that stand nowhere"])


def test_the_latest_draft_that_answers_is_kept() -> None:
    made = Desk().made
    assert made.draft("First.") == "kept"
    assert made.draft(None) == "a better draft is kept already"
    made.store_sub_run_answer("When?", Submission("Of a part."))
    assert made.draft("Second.") == "kept"
    assert made.best is not None
    assert made.best.text == "Second."


def test_passages_of_evidence_close_together_show_no_text_twice_and_keep_their_quotes() -> None:
    log = " ".join(f"On day {day} the keeper lit lamp {day}." for day in range(1, 200))
    lamps = [f"lit lamp {day}" for day in (180, 60, 61, 63)]
    desk = Desk(log, TREATY)
    cited = desk.submit("It burned [1][2][3][4]. It was signed [5].", [*lamps, SIGNED]).cited
    whole = {number: each.passage for number, each in enumerate(cited, start=1)}
    cut = build_separate_passages(dict(enumerate(cited, start=1)), desk.corpus)
    assert (cut[3].text, cut[5].text) == (" On day 61 the keeper lit lamp 61.", TREATY)
    for number, quote in enumerate(lamps, start=1):
        assert quote in cut[number].text
        assert log[cut[number].start : cut[number].end] == cut[number].text

    def shown(passages: list[Passage]) -> list[int]:
        return sorted(at for each in passages for at in range(each.start, each.end))

    of_log = [shown([each[number] for number in range(1, 5)]) for each in (cut, whole)]
    assert of_log[0] == sorted(set(of_log[1]))


def test_evidence_for_the_same_words_is_shown_once_with_what_is_around_it() -> None:
    desk = Desk()
    cited = dict(enumerate(desk.submit("It was signed [1][2].", [SIGNED, SIGNED]).cited, start=1))
    first, second = build_separate_passages(cited, desk.corpus).values()
    assert (first.text, second.text) == (TREATY[: TREATY.index(SIGNED)] + SIGNED, TREATY[TREATY.index(SIGNED) :])
