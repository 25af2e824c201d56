"""A judge reads excerpts: quotations with their sentences, tables by blocks of rows, and how much was read."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.storage.tables.places import Location
from retrieval.search.requests import Passage
from rlm.answers import AnswerStatus, Check, Coverage, Draft, OfferedQuote, Sentence, summarize_search
from rlm.checking.checker import apply_judgement, locate_citations
from rlm.checking.excerpts import EXCERPT_CHARS, LEFT_OUT, cut_to_quotes
from rlm.checking.judging import Judge, Judgement, JudgeVerdict
from rlm.checking.reading import ReadShare, measure_reading
from tests.fakes.passages import passage
from tests.fakes.scripted_calls import ScriptedCalls
from tests.support.contexts import CAPABLE, TODAY

FILLER = "The weather was mild and nobody complained about it. " * 60
KEPT = "Ada Brandt came in May. She kept the lighthouse for nine years. The lamp was lit."
LONG = passage(f"{FILLER}\n\n{KEPT}\n\n{FILLER}", start=5_000)
ROWS = "\n".join(f"| Ship {n} | sank in {1800 + n} |" for n in range(60))
TABLE = passage(f"{FILLER}\n\n| Ship | Fate |\n| --- | --- |\n{ROWS}\n\n{FILLER}")


def draft_of(text: str, evidence: Mapping[int, Passage], *quotes: tuple[int, str]) -> Draft:
    offered = tuple(OfferedQuote(*each) for each in quotes)
    return Draft(AnswerStatus.ANSWERED, text, evidence, summarize_search(list(evidence.values())), offered)


def sentences_of(draft: Draft) -> list[Sentence]:
    return locate_citations(draft, lambda *_: Location())[0]


def excerpt(draft: Draft) -> str:
    """The text of the draft's passage 1 that its judge would read."""
    sentences = sentences_of(draft)
    return cut_to_quotes(draft.evidence[1], 1, sentences, range(len(sentences)), draft.quotes).text


def judged(draft: Draft, reply: str = '{"verdicts": []}', **how: object) -> tuple[Judgement, str]:
    calls = ScriptedCalls({"judge": reply})
    judge = Judge(calls, CAPABLE, "nonce", TODAY)
    judgement = judge.judge_sentences(
        "Who?",
        draft.text,
        sentences_of(draft),
        draft.evidence,
        offered=draft.quotes,
        **how,  # type: ignore[arg-type]
    )
    return judgement, calls.calls[0].prompt


def verdicts(*given_: tuple[int, str]) -> str:
    each = [{"sentence": number, "support": said, "reason": f"on {number}"} for number, said in given_]
    return json.dumps({"verdicts": each})


def test_a_quotation_is_read_with_its_sentence_and_the_one_before() -> None:
    draft = draft_of("She kept it for nine years [1].", {1: LONG}, (1, "lighthouse for nine years"))
    shown = excerpt(draft)
    assert "Ada Brandt came in May. She kept the lighthouse for nine years." in shown
    assert "The lamp" not in shown
    assert shown.startswith(LEFT_OUT)
    assert shown.endswith(LEFT_OUT)
    assert len(shown) < 200
    _, prompt = judged(draft)
    assert FILLER not in prompt
    assert FILLER.strip() in judged(draft, shows_whole=True)[1], "what says that nothing is said needs all of it"


def test_without_a_quotation_of_the_model_the_whole_passage_is_read() -> None:
    assert excerpt(draft_of("She kept it for nine years [1].", {1: LONG})) == LONG.text
    both = draft_of(
        "She kept it for nine years [1]. A lamp was lit [1].", {1: LONG}, (1, "She kept the lighthouse for nine years")
    )
    assert excerpt(both) == LONG.text


def test_a_row_is_read_with_the_header_of_its_table() -> None:
    shown = excerpt(draft_of("Ship 40 sank in 1840 [1].", {1: TABLE}, (1, "| Ship 40 | sank in 1840 |")))
    assert "| Ship | Fate |" in shown
    assert "| Ship 40 | sank in 1840 |" in shown
    assert "| Ship 7 |" not in shown


WORDS = [f"word{n}{'.' if n % 90 == 0 or n in range(301, 310) else ''}" for n in range(1, 700)]


@given(st.integers(0, 690), st.integers(1, 120))
def test_a_quotation_is_never_cut_and_what_is_around_it_ends_at_words(start: int, count: int) -> None:
    draft = draft_of("It says so [1].", {1: passage(" ".join(WORDS))}, (1, " ".join(WORDS[start : start + count])))
    shown = excerpt(draft)
    (quote,) = sentences_of(draft)[0].quotes
    assert quote.text in shown
    body = shown.removeprefix(f"{LEFT_OUT}\n").removesuffix(f"\n{LEFT_OUT}")
    assert len(body) <= max(EXCERPT_CHARS, len(quote.text))
    assert set(body.split()) <= set(WORDS)


def test_rows_of_one_table_are_judged_as_one_block_and_those_that_differ_by_themselves() -> None:
    rows = "\n".join(f"| Ship {n} | sank in {1800 + n} [1] |" for n in range(1, 6))
    text = f"They sank [1].\n\n| Ship | Fate |\n| --- | --- |\n{rows}\n\nNone was found [1]."
    draft = draft_of(text, {1: TABLE})
    judgement, prompt = judged(draft, verdicts((1, "supported"), (2, "supported"), (4, "not_supported"), (7, "partly")))
    assert prompt.endswith("number in front: 1, 2 (for the rows 2 to 6), 7.")
    assert {place: each.support for place, each in judgement.verdicts.items()} == {
        0: "supported",
        1: "supported",
        2: "supported",
        3: "not_supported",
        4: "supported",
        5: "supported",
        6: "partly",
    }
    assert judgement.note == ""
    unclear, _ = judged(draft, verdicts((2, "supported"), (2, "partly"), (4, "supported")))
    assert set(unclear.verdicts) == {3}


def test_rows_of_two_tables_are_two_blocks() -> None:
    table = "| Ship | Fate |\n| --- | --- |\n| Ship 1 | sank in 1801 [1] |\n| Ship 2 | sank in 1802 [1] |"
    _, prompt = judged(draft_of(f"{table}\n\n{table}", {1: TABLE}))
    assert prompt.endswith("1 (for the rows 1 to 2), 3 (for the rows 3 to 4).")


@pytest.mark.parametrize(
    ("support", "is_whole", "check", "reason"),
    [
        ("assessment", False, Check.VERIFIED, ""),
        ("collection", True, Check.VERIFIED, ""),
        ("collection", False, Check.QUOTED, "Of 9 documents, passages of 3 were read."),
    ],
)
def test_assessments_and_statements_about_all_documents(
    support: str, is_whole: bool, check: Check, reason: str
) -> None:
    draft = draft_of("Nobody else kept it [1].", {1: LONG}, (1, KEPT))
    judgement = Judgement({0: JudgeVerdict(support, "")})
    read = ReadShare(is_whole, "Of 9 documents, passages of 3 were read")
    (sentence,) = apply_judgement(sentences_of(draft), judgement, read)
    assert sentence.check is check
    assert sentence.reason.endswith(reason)
    assert bool(sentence.reason) is bool(reason)


def test_how_much_was_read_is_told_to_the_judge() -> None:
    draft = draft_of("So it is [1].", {1: LONG})
    assert measure_reading(draft, range(1)) == ReadShare(is_whole=False, sentence="Of 1 document, 0 were read whole")
    whole = replace(draft, searched=summarize_search([LONG], [LONG]))
    assert measure_reading(whole, range(1)).is_whole
    assert not measure_reading(whole, range(2)).is_whole
    searched = replace(draft, searched=summarize_search([LONG], [LONG], ["who"]))
    assert measure_reading(searched, range(1)) == ReadShare(
        is_whole=False, sentence="Of 1 document, passages of 1 were read"
    )
    programmed = replace(draft, coverage=Coverage(100, 10, 90, 4, 1, units_searched=3))
    assert measure_reading(programmed, range(4)).is_whole
    _, prompt = judged(draft, read=measure_reading(programmed, range(4)).sentence)
    assert "\nRead for the answer: Of 100 tokens a model read 10, code searched 90, 0 were not opened.\n" in prompt
