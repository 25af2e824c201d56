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
from rlm.llm.port import SubFailure
from tests.fakes.passages import passage
from tests.fakes.scripted_calls import ScriptedCalls
from tests.support.contexts import CAPABLE, TODAY

FILLER = "The weather was mild and nobody complained about it. " * 60
KEPT = "Ada Brandt came in May. She kept the lighthouse for nine years. The lamp was lit."
LONG = passage(f"{FILLER}\n\n{KEPT}\n\n{FILLER}", start=5_000)
ROWS = "\n".join(f"| Ship {n} | sank in {1800 + n} |" for n in range(60))
TABLE = passage(f"{FILLER}\n\n| Ship | Fate |\n| --- | --- |\n{ROWS}\n\n{FILLER}")


NO_VERDICTS = '{"verdicts": []}'


def draft_of(text: str, evidence: Mapping[int, Passage], *quotes: tuple[int, str]) -> Draft:
    offered = tuple(OfferedQuote(*each) for each in quotes)
    return Draft(AnswerStatus.ANSWERED, text, evidence, summarize_search(list(evidence.values())), offered)


def sentences_of(draft: Draft) -> list[Sentence]:
    return locate_citations(draft, lambda *_: Location())[0]


def excerpt(draft: Draft) -> str:
    """The text of the draft's passage 1 that its judge would read."""
    sentences = sentences_of(draft)
    return cut_to_quotes(draft.evidence[1], 1, sentences, range(len(sentences)), draft.quotes).text


def judged(draft: Draft, *replies: str, **how: object) -> tuple[Judgement, str]:
    """The judgement by these replies of the judge, and the first prompt. Further replies contain no verdicts."""
    calls = ScriptedCalls({"judge": [*replies, NO_VERDICTS, NO_VERDICTS]})
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


def test_a_quotation_is_read_with_the_first_sentence_of_its_paragraph() -> None:
    paragraph = "In March the harbour was closed. Two ships waited. One had coal. It lost $21 on it. Nobody paid."
    source = passage(f"{FILLER}\n\n{paragraph}\n\n{FILLER}")
    shown = excerpt(draft_of("A ship lost $21 [1].", {1: source}, (1, "lost $21 on it")))
    assert shown == (
        f"{LEFT_OUT}\nIn March the harbour was closed.\n{LEFT_OUT}\nOne had coal. It lost $21 on it.\n{LEFT_OUT}"
    )
    alone = excerpt(draft_of("It was closed [1].", {1: source}, (1, "In March the harbour was closed")))
    assert alone == f"{LEFT_OUT}\nIn March the harbour was closed.\n{LEFT_OUT}"


@pytest.mark.parametrize(
    ("quoted", "below"),
    [
        ("The fleet in March", "| Ship | March 2023 | March 2022 |"),
        ("Losses in April", "Two ships were lost."),
        ("These were sold:", "These were sold:"),
        ("The Rose, in May", "These were sold:"),
    ],
)
def test_a_heading_is_read_with_what_follows_and_a_list_with_what_introduces_it(quoted: str, below: str) -> None:
    table = "| Ship | March 2023 | March 2022 |\n| --- | --- | --- |\n| Merle | 4 | 5 |"
    parts = [FILLER, "## The fleet in March", table, "## Losses in April", "Two ships were lost. It was windy."]
    parts += ["These were sold:", "The Rose, in May.", FILLER]
    shown = excerpt(draft_of("So it says [1].", {1: passage("\n\n".join(parts))}, (1, quoted)))
    assert quoted in shown
    assert below in shown
    assert "| Merle |" not in shown
    assert "windy" not in shown
    assert len(shown) < 100


HEADED = """Holdings were as follows (in tons):

| Cargo | North | South |
| --- | --- | --- |
| Sold: | | |
| Coal | 4,111 | 5,111 |
| Kept: | | |
| Coal | 6,111 | 7,111 |
| Salt | 8,111 | 9,111 |
"""


def test_a_row_is_read_with_the_heading_of_its_group_and_the_sentence_above_its_table() -> None:
    source = passage(f"{FILLER}\n\n{HEADED}")
    shown = excerpt(draft_of("Salt was kept [1].", {1: source}, (1, "| Salt | 8,111 | 9,111 |")))
    assert shown == "\n".join(
        [
            *(LEFT_OUT, "Holdings were as follows (in tons):", LEFT_OUT, "| Cargo | North | South |", LEFT_OUT),
            *("| Kept: | | |", LEFT_OUT, "| Salt | 8,111 | 9,111 |"),
        ]
    )


@pytest.mark.parametrize(
    ("header", "rows", "shown_rows"),
    [
        ("| | North | South |", ["| | 2023 | 2022 |", "| Coal | 4 | 5 |", "| Salt | 6 | 7 |"], [0, 2]),
        ("| | North | South |", ["| At 1 May 2023 | 4 | 5 |", "| Coal | 1 | 1 |", "| Salt | 6 | 7 |"], [0, 2]),
        (
            "| | North | South |",
            ["| May 2021 | 1 | 1 |", "| At 1 May 2022 | 4 | 5 |", "| Salt | 6 | 7 |", "| At 1 May 2023 | 9 | 9 |"],
            [1, 2, 3],
        ),
        ("| | May 2023 | May 2022 |", ["| At 1 May 2021 | 4 | 5 |", "| Coal | 1 | 1 |", "| Salt | 6 | 7 |"], [2]),
        ("| | North | South |", ["| Sold | | |", "| Coal | 1801 | 1802 |", "| Salt | 1803 | 1804 |"], [0, 2]),
        ("| | North | South |", ["| At 1 May 2021 | 4 | 5 |", "| Coal | 1 | 1 |", "| Salt, 2023 | 6 | 7 |"], [2]),
    ],
)
def test_a_row_is_read_with_the_rows_that_date_it(header: str, rows: list[str], shown_rows: list[int]) -> None:
    (salt,) = [row for row in rows if "Salt" in row]
    table = "\n".join([header, "| --- | --- | --- |", *rows])
    shown = excerpt(draft_of("It had salt [1].", {1: passage(f"{FILLER}\n\n{table}\n\n{FILLER}")}, (1, salt)))
    assert header in shown
    assert [place for place, row in enumerate(rows) if row in shown] == shown_rows


def test_sentences_with_figures_of_the_passage_may_share_a_quotation() -> None:
    source = {1: passage(f"{FILLER}\n\n{HEADED}")}
    line = (1, "| Coal | 4,111 | 5,111 |")
    first = "North sold 4,111 tons of coal [1]."
    assert len(excerpt(draft_of(f"{first} South sold 5,111 tons [1].", source, line))) < 250
    assert excerpt(draft_of(f"{first} All in all, 23,444 tons were sold [1].", source, line)) == source[1].text
    assert excerpt(draft_of(f"{first} So nobody kept it [1].", source, line)) == source[1].text
    assert excerpt(draft_of(f"{first} North kept 6,111 tons of it [1].", source, line)) == source[1].text


def test_rows_with_figures_that_a_sentence_states_are_read_even_if_they_are_not_quoted() -> None:
    source = {1: passage(f"{FILLER}\n\n{HEADED}")}
    shown = excerpt(draft_of("North had 12,222 (4,111 + 8,111) tons [1].", source, (1, "| Coal | 4,111 | 5,111 |")))
    assert "| Salt | 8,111 | 9,111 |" in shown
    assert "6,111" not in shown


def test_sentences_are_numbered_without_gaps_and_verdicts_reach_the_right_ones() -> None:
    draft = draft_of("Nobody asked. She kept it [1]. Who knows. It was lit [1].", {1: LONG})
    judgement, prompt = judged(draft, verdicts((1, "partly"), (2, "supported"), (4, "not_supported")))
    listed = prompt.split("in the order of the answer:\n")[1].splitlines()
    assert [line.split()[0] for line in listed[:4]] == ["(context)", "1.", "(context)", "2."]
    assert {place: each.support for place, each in judgement.verdicts.items()} == {1: "partly", 3: "supported"}


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
    assert judgement.note is None
    unclear, _ = judged(draft, verdicts((2, "supported"), (2, "partly"), (4, "supported")))
    assert set(unclear.verdicts) == {3}


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (["supported", "not_supported"], ["supported", "not_supported"]),
        ([], ["partly", "not_supported"]),
        (SubFailure("model_unavailable", "The model is away."), ["partly", "not_supported"]),
    ],
    ids=str,
)
def test_a_sentence_in_doubt_on_a_cut_passage_is_judged_again_with_the_whole_passage(
    second: list[str] | SubFailure, expected: list[str]
) -> None:
    text = "She kept it for nine years [1]. She was alone there [1]. A ship sank in 1812 [2]."
    short = passage("A ship sank in 1811.")
    draft = draft_of(text, {1: LONG, 2: short}, (1, "for nine years"), (1, "Ada Brandt came"), (2, short.text))
    again = verdicts(*enumerate(second, start=1)) if isinstance(second, list) else second
    calls = ScriptedCalls({"judge": [verdicts((1, "partly"), (2, "not_supported"), (3, "not_supported")), again]})
    judge = Judge(calls, CAPABLE, "nonce", TODAY)
    judgement = judge.judge_sentences("Who?", text, sentences_of(draft), draft.evidence, offered=draft.quotes)
    first, last = (call.prompt for call in calls.calls)
    assert (FILLER.strip() in first, FILLER.strip() in last) == (False, True)
    assert short.text not in last, "the third sentence was judged by its whole passage"
    assert [judgement.verdicts[place].support for place in range(3)] == [*expected, "not_supported"]
    assert judgement.note is None


def test_a_sentence_without_a_verdict_is_judged_again() -> None:
    draft = draft_of("A ship sank [1]. It was found [1].", {1: passage("A ship sank in 1811.")})
    judgement, _ = judged(draft, verdicts((2, "not_supported")), verdicts((1, "supported")))
    assert [judgement.verdicts[place].support for place in range(2)] == ["supported", "not_supported"]


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
    assert "\nRead for the answer: Of 100 tokens, a model read 10 and code searched 90.\n" in prompt
