"""A check marks sentences: it locates quotations, asks a judge, and changes nothing of the text."""

import json
import random
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations

import pytest

from ingest.storage.tables.places import Location
from retrieval.search.requests import Passage
from rlm.answers import AnswerStatus, Check, Draft, OfferedQuote, ResultTable, Sentence, Support, summarize_search
from rlm.checking.checker import (
    CheckMode,
    apply_judgement,
    correct_evidence,
    locate_citations,
    pair_sentences_with_quotations,
    parse_offered_quotes,
)
from rlm.checking.judging import Judge, Judgement, JudgeVerdict
from rlm.checking.levels import ABOUT_ALL
from rlm.checking.reading import ReadShare
from rlm.errors import LanguageModelOutputError
from rlm.llm.port import SubFailure
from tests.fakes.passages import passage
from tests.fakes.scripted_calls import ScriptedCalls
from tests.support.contexts import CAPABLE, TODAY

KEEPER = passage("The night was cold. The keeper of the lighthouse was Ada Brandt. She lit it in 1871.", start=100)
SHIP = passage("The Merle sank off the cape. Nobody drowned.", document="doc-2", title="Wrecks", page=3)


def draft_of(text: str, quotes: Mapping[int, str] | None = None, *, computed: bool = False) -> Draft:
    offered = tuple(OfferedQuote(number, words) for number, words in (quotes or {}).items())
    evidence = {1: KEEPER, 2: SHIP}
    return Draft(AnswerStatus.ANSWERED, text, evidence, summarize_search([KEEPER, SHIP]), offered, computed)


def place_of(version: str, start: int, end: int) -> Location:
    assert start < end
    return Location(4, "page 4") if version == SHIP.version_id else Location()


def sentences_of(draft: Draft, mode: CheckMode = CheckMode.JUDGE) -> list[Sentence]:
    return locate_citations(draft, place_of, mode)[0]


def judgement_of(reply: str | SubFailure, draft: Draft) -> tuple[Judgement, ScriptedCalls]:
    calls = ScriptedCalls({"judge": reply})
    return Judge(calls, CAPABLE, "nonce", TODAY).judge_sentences(
        "Who?", draft.text, sentences_of(draft), draft.evidence
    ), calls


def verdicts(*given: tuple[int, str, str]) -> str:
    return json.dumps(
        {"verdicts": [{"sentence": number, "support": said, "reason": why} for number, said, why in given]}
    )


def test_each_sentence_has_its_own_markers_and_its_own_quotation() -> None:
    draft = draft_of("Ada Brandt kept it [1]. It was lit in 1871 [1]. A ship sank [2].", {2: "Merle sank off the cape"})
    first, second, third = sentences_of(draft)
    assert first.quotes[0].text == "The keeper of the lighthouse was Ada Brandt."
    assert second.quotes[0].text == "She lit it in 1871."
    assert third.quotes[0].text == "Merle sank off the cape"
    assert (first.citations, third.citations) == ((1,), (2,))
    assert (third.quotes[0].page, third.quotes[0].place) == (4, "page 4")
    assert all(each.check is Check.QUOTED for each in (first, second, third))
    quote = first.quotes[0]
    assert KEEPER.text[quote.start - KEEPER.start : quote.end - KEEPER.start] == quote.text


def test_spans_of_sentences_are_those_of_the_text() -> None:
    text = "# Keeper\n\nAda Brandt kept it [1].\n\n- A ship sank [2]. [1]\n- Nobody drowned"
    for each in sentences_of(draft_of(text)):
        assert text[each.start : each.end] == each.text


def test_citations_say_whether_the_model_quoted_them() -> None:
    _, citations = locate_citations(draft_of("It sank [2]. She kept it [1].", {2: "sank off"}), lambda *_: Location())
    assert [(each.number, each.verified) for each in citations] == [(1, False), (2, True)]


def test_a_sentence_without_a_citation_is_unchecked() -> None:
    assert [each.check for each in sentences_of(draft_of("They say nothing of it."))] == [Check.UNCHECKED]


def test_words_that_stand_nowhere_leave_a_sentence_unchecked_with_a_reason() -> None:
    (sentence,) = sentences_of(draft_of("Ada Brandt kept it [1].", {1: "Ada kept the light for forty years"}))
    assert sentence.check is Check.UNCHECKED
    assert sentence.reason


def quoting(text: str, *lines: tuple[int, str]) -> list[str]:
    """The quotations shown for the sentences of an answer whose model gave these lines."""
    draft = replace(draft_of(text), quotes=tuple(OfferedQuote(number, words) for number, words in lines))
    return [each.quotes[0].text for each in sentences_of(draft)]


def test_quotations_are_shown_in_the_order_that_the_model_gave_them() -> None:
    """Words would not tell: the answer is in another language, or shares more of them with another line."""
    text = "Kalt war es [1]. Gesunken ist sie [2]. Seit 1871 brannte es [1]."
    lines = (1, "The night was cold."), (2, "Nobody drowned."), (1, "The keeper of the lighthouse was Ada Brandt.")
    assert quoting(text, *lines) == [words for _, words in lines]
    by_passage = lines[0], lines[2], lines[1]
    assert quoting(text, *by_passage) == [words for _, words in lines]


def test_where_lines_are_too_few_or_too_many_words_say_whose_they_are() -> None:
    lit, cold, keeper = "She lit it in 1871.", "The night was cold.", "The keeper of the lighthouse was Ada Brandt."
    assert quoting("It was a cold night [1]. She lit it [1].", (1, lit)) == [cold, lit]
    assert quoting("Kalt war es [1]. She lit it [1].", (1, lit)) == [lit, lit]
    three = "It was a cold night [1]. She was the keeper [1]. She lit it [1]."
    assert quoting(three, (1, cold), (1, lit)) == [cold, keeper, lit]
    assert quoting("It was lit in 1871 [1].", (1, cold), (1, keeper), (1, lit)) == [lit]


def test_a_sentence_with_figures_never_rests_on_others_or_on_a_heading() -> None:
    """The fourth line is nearest in words, the heading second; the keeper's wage is not the boatman's."""
    wage, other = "Ada Brandt was paid 40 marks a month.", "The boatman at Falk, who also had a wage, got 25 a month."
    page = passage(f"# The keeper of the lighthouse at Falk, 1871\n\n{wage} {other}")
    text = "The keeper of the lighthouse at Falk had a wage of 480 a year [1]. They paid 12 times 40 marks [1]."
    draft = replace(draft_of(text), evidence={1: page}, quotes=(OfferedQuote(1, wage),))
    sentences, (citation,) = locate_citations(draft, place_of)
    assert [each.quotes[0].text for each in sentences] == [wage, wage]
    assert citation.quote == wage
    assert citation.verified


def test_a_citation_shows_the_words_of_the_model_first() -> None:
    cold, lit = "The night was cold.", "She lit it in 1871."
    draft = replace(draft_of("It was a cold night [1]. She lit it [1]."), quotes=(OfferedQuote(1, lit),))
    sentences, (citation,) = locate_citations(draft, place_of)
    assert [each.quotes[0].text for each in sentences] == [cold, lit]
    assert (citation.quote, citation.verified) == (lit, True)


def test_a_sentence_shows_all_lines_that_the_model_gave_for_it() -> None:
    """The first is the one that belongs to it most."""
    cold, keeper, lit = "The night was cold.", "The keeper of the lighthouse was Ada Brandt.", "She lit it in 1871."
    text = "Ada Brandt, the keeper, lit the lighthouse in 1871 [1]. It was cold [1]."
    draft = replace(
        draft_of(text),
        quotes=(OfferedQuote(1, keeper), OfferedQuote(1, lit), OfferedQuote(1, cold), OfferedQuote(1, lit)),
    )
    sentences, citations = locate_citations(draft, lambda *_: Location())
    assert [[quote.text for quote in each.quotes] for each in sentences] == [[keeper, lit], [cold, lit]]
    assert [(each.number, each.quote) for each in citations] == [(1, keeper)]
    for quote in (quote for each in sentences for quote in each.quotes):
        assert KEEPER.text[quote.start - KEEPER.start : quote.end - KEEPER.start] == quote.text


def test_of_several_lines_for_a_sentence_those_are_shown_that_stand_in_the_passage() -> None:
    draft = draft_of("Ada Brandt kept and lit it [1].")
    lines = OfferedQuote(1, "Ada Brandt kept and lit it for years."), OfferedQuote(1, "She lit it in 1871.")
    (sentence,) = sentences_of(replace(draft, quotes=lines))
    assert sentence.check is Check.QUOTED
    assert [quote.text for quote in sentence.quotes] == ["She lit it in 1871."]
    (lost,) = sentences_of(replace(draft, quotes=(lines[0], OfferedQuote(1, "She kept it well."))))
    assert lost.check is Check.UNCHECKED
    assert len(lost.quotes) == 1


def test_lines_without_end_for_one_sentence_are_not_all_shown() -> None:
    words = KEEPER.text.split()
    lines = tuple(OfferedQuote(1, " ".join(words[at : at + 3])) for at in range(len(words) - 2))
    (sentence,) = sentences_of(replace(draft_of("Ada Brandt kept it [1]."), quotes=lines))
    assert len(lines) > len(sentence.quotes) == 5
    assert len({(quote.start, quote.end) for quote in sentence.quotes}) == 5


def test_a_statement_that_cites_nothing_among_others_that_do_says_so() -> None:
    text = (
        "# The keeper\n\nAda Brandt kept it [1]. Everybody liked her. What is known:\n\n- **Fate**\n- A ship sank [2]."
    )
    found = {each.text: (each.check, bool(each.reason)) for each in sentences_of(draft_of(text))}
    assert found == {
        "# The keeper": (Check.UNCHECKED, False),
        "Ada Brandt kept it [1].": (Check.QUOTED, False),
        "Everybody liked her.": (Check.UNCHECKED, True),
        "What is known:": (Check.UNCHECKED, False),
        "- **Fate**": (Check.UNCHECKED, False),
        "- A ship sank [2].": (Check.QUOTED, False),
    }


def test_where_nothing_is_cited_or_checked_no_sentence_has_a_reason() -> None:
    (alone,) = sentences_of(draft_of("The documents do not say who kept it."))
    assert (alone.check, alone.reason) == (Check.UNCHECKED, "")
    unlooked = sentences_of(draft_of("Ada kept it [1]. Everybody liked her."), CheckMode.OFF)
    assert [each.reason for each in unlooked] == ["", ""]


def test_a_quotation_that_stands_nowhere_keeps_its_place() -> None:
    first, second = sentences_of(
        replace(
            draft_of("Es war kalt [1]. Ada Brandt hat es gehütet [1]."),
            quotes=(OfferedQuote(1, "It froze hard."), OfferedQuote(1, "keeper of the lighthouse was Ada Brandt")),
        )
    )
    assert (first.check, second.check) == (Check.UNCHECKED, Check.QUOTED)
    assert second.quotes[0].text == "keeper of the lighthouse was Ada Brandt"


@pytest.mark.parametrize("seed", range(200))
def test_as_many_lines_as_can_be_are_paired_in_order(seed: int) -> None:
    """Against every way of pairing."""
    source = random.Random(seed)
    sets = [[frozenset(source.sample("abcdef", 3)) for _ in range(source.randint(0, 4))] for _ in range(2)]
    own = pair_sentences_with_quotations(*sets)
    paired = [(i, j) for i, j in enumerate(own) if j is not None]
    assert [j for _, j in paired] == sorted({j for _, j in paired})
    size = min(map(len, sets))
    ways = (
        zip(rows, columns, strict=True)
        for rows in combinations(range(len(sets[0])), size)
        for columns in combinations(range(len(sets[1])), size)
    )
    most = max(sum(len(sets[0][i] & sets[1][j]) for i, j in way) for way in ways)
    assert (len(paired), sum(len(sets[0][i] & sets[1][j]) for i, j in paired)) == (size, most)


def test_what_code_computed_is_marked_so_and_what_it_quotes_besides_is_judged() -> None:
    computed, quoted = sentences_of(draft_of("It is 7. Ada Brandt kept it [1].", computed=True))
    assert (computed.check, quoted.check) == (Check.COMPUTED, Check.QUOTED)


def test_sentences_that_code_only_stated_are_not_computed() -> None:
    draft = replace(
        draft_of("It is 7. The price was 424242.", computed=True), stated=frozenset({"The price was 424242."})
    )
    assert [each.check for each in sentences_of(draft)] == [Check.COMPUTED, Check.UNCHECKED]


def test_the_rows_of_a_table_are_what_an_answer_was_computed_from() -> None:
    table = ResultTable(("n",), ((7,),), 1, "SELECT 7 AS n")
    draft = replace(draft_of("It is 7 [1].", computed=True), table=table)
    assert sentences_of(draft)[0].check is Check.COMPUTED


def test_no_sentence_ends_within_a_value_of_the_result_or_of_its_query() -> None:
    query = "SELECT shelf, hall FROM t WHERE owner ILIKE '%Sgt. O''Hara%'"
    table = ResultTable(("shelf", "hall"), (("Esc. L2", "Esc. L2 a. B"), ("West", "B")), 2, query)
    text = "It is Esc. L2 in Esc. L2 a. B [1], of Sgt. O'Hara. Next is Desc. L2."
    texts = [each.text for each in sentences_of(replace(draft_of(text, computed=True), table=table))]
    assert texts == ["It is Esc. L2 in Esc. L2 a. B [1], of Sgt. O'Hara.", "Next is Desc.", "L2."]


def test_a_list_and_the_rows_of_a_table_are_not_torn_where_a_value_ends_with_a_point() -> None:
    table = ResultTable(("item", "to"), (("Bees, etc.", "Mr. R. Voss Jr."), ("Walls", "S. Quinn")), 2, "SELECT 1")
    lines = ["Lent: Bees, etc. (Mr. R. Voss Jr.); Walls (S. Quinn).", "| Bees, etc. | Mr. R. Voss Jr. |", "| W. | S. |"]
    draft = replace(draft_of("\n".join([lines[0], "", *lines[1:]]), computed=True), table=table)
    assert [each.text for each in sentences_of(draft)] == lines


@pytest.mark.parametrize("computed", [True, False])
def test_the_header_of_a_table_is_no_sentence(computed: bool) -> None:
    text = "By port:\n\n| port | metres |\n| --- | ---: |\n| Brest | 7.1 |\n| Leith | 5.6 |"
    found = sentences_of(draft_of(text, computed=computed))
    assert [each.text for each in found] == ["By port:", "| Brest | 7.1 |", "| Leith | 5.6 |"]
    assert [text[each.start : each.end] for each in found] == [each.text for each in found]


INVENTED = "Ada kept the light for forty years"


def test_a_quotation_from_one_passage_does_not_hide_that_one_from_another_was_invented() -> None:
    draft = draft_of("Ada saw the Merle sink [1][2].", {1: INVENTED, 2: "Merle sank off the cape"})
    (sentence,) = sentences_of(draft)
    assert sentence.check is Check.QUOTED
    assert "not in the passage" in sentence.reason


@pytest.mark.parametrize(
    ("verdict", "why", "check", "support", "reason"),
    [
        ("supported", "", Check.QUOTED, Support.FULL, "not in the passage"),
        ("partly", "", Check.QUOTED, Support.PARTIAL, "not in the passage"),
        ("partly", "No year is named.", Check.QUOTED, Support.PARTIAL, "No year is named."),
        ("not_supported", "It says another.", Check.UNSUPPORTED, Support.NONE, "It says another."),
    ],
)
@pytest.mark.parametrize("others", [{}, {2: "Merle sank off the cape"}])
def test_a_sentence_with_an_invented_quotation_is_verified_by_no_judge(
    verdict: str, why: str, check: Check, support: Support, reason: str, others: dict[int, str]
) -> None:
    draft = draft_of("Ada saw the Merle sink [1][2].", {1: INVENTED, **others})
    judgement, _ = judgement_of(verdicts((1, verdict, why)), draft)
    (sentence,) = apply_judgement(sentences_of(draft), judgement)
    assert (sentence.check, sentence.support) == (check, support)
    assert reason in sentence.reason


def test_what_was_not_found_has_no_passage_and_the_reason_says_so() -> None:
    draft = draft_of("They do not say who built it. Nearest comes that Ada Brandt kept it [1].")
    found, absent = (sentences_of(replace(draft, status=each))[0] for each in (draft.status, AnswerStatus.NOT_FOUND))
    assert (found.check, absent.check) == (Check.UNCHECKED, Check.UNCHECKED)
    assert "do not say" in absent.reason
    assert "do not say" not in found.reason


LIT = "She lit it in 1871, on the first night of spring."
LAMP = passage(f"The lamp had four wicks. {LIT} Oil was dear.", document="doc-3")


@pytest.mark.parametrize(
    ("quotes", "read", "taken"),
    [
        ({1: LIT}, (KEEPER, SHIP, LAMP), LAMP),
        ({1: LIT.upper()}, (KEEPER, SHIP, LAMP), LAMP),
        ({1: LIT}, (KEEPER, SHIP), KEEPER),  # it stands nowhere
        ({1: LIT}, (KEEPER, LAMP, replace(LAMP, document_id="doc-4")), KEEPER),  # in two
        ({1: "Oil was dear."}, (KEEPER, LAMP), KEEPER),  # and so it may elsewhere
        ({2: LIT}, (KEEPER, LAMP), KEEPER),
        ({}, (KEEPER, LAMP), KEEPER),
    ],
)
def test_a_number_is_that_of_the_only_passage_in_which_its_quotation_stands(
    quotes: dict[int, str], read: tuple[Passage, ...], taken: Passage
) -> None:
    offered = [OfferedQuote(number, words) for number, words in quotes.items()]
    assert correct_evidence({1: KEEPER}, offered, read) == {1: taken}


def test_a_number_with_one_quotation_of_its_own_passage_stays_that_passages() -> None:
    offered = [OfferedQuote(1, "She lit it in 1871."), OfferedQuote(1, LIT)]
    assert correct_evidence({1: KEEPER}, offered, [KEEPER, LAMP]) == {1: KEEPER}
    invented = [OfferedQuote(1, LIT), OfferedQuote(1, INVENTED)]
    assert correct_evidence({1: SHIP}, invented, [SHIP, LAMP]) == {1: SHIP}


def test_without_checking_nothing_is_located() -> None:
    assert sentences_of(draft_of("It sank [2]."), CheckMode.OFF)[0].check is Check.UNCHECKED


def test_verdicts_mark_sentences_and_leave_their_text() -> None:
    draft = draft_of("Ada Brandt kept it [1]. It sank in May [2]. It exploded [2]. So it was.")
    said = verdicts((1, "supported", ""), (2, "partly", "No month is named."), (3, "not_supported", "It sank."))
    judgement, calls = judgement_of(said, draft)
    marked = apply_judgement(sentences_of(draft), judgement)
    assert [each.check for each in marked] == [Check.VERIFIED, Check.QUOTED, Check.UNSUPPORTED, Check.UNCHECKED]
    assert [each.support for each in marked] == [Support.FULL, Support.PARTIAL, Support.NONE, None]
    assert "No month is named." in marked[1].reason
    assert marked[2].reason == "It sank."
    assert [each.text for each in marked] == [each.text for each in sentences_of(draft)]
    assert len(calls.calls) == 1
    assert judgement.note is None


@pytest.mark.parametrize(
    "reply",
    [
        verdicts((1, "supported", ""), (1, "not_supported", "No.")),
        verdicts((9, "not_supported", "No such sentence.")),
        verdicts(),
        SubFailure(LanguageModelOutputError.code, "It wrote nonsense."),
        SubFailure("budget_exhausted", "The budget is spent."),
    ],
)
def test_a_judge_that_fails_or_contradicts_itself_leaves_marks_as_they_were(reply: str | SubFailure) -> None:
    draft = draft_of("Ada Brandt kept it [1].")
    judgement, _ = judgement_of(reply, draft)
    assert apply_judgement(sentences_of(draft), judgement)[0].check is Check.QUOTED
    assert judgement.note


def test_the_judge_reads_what_is_cited_with_titles_question_and_the_sentences_around() -> None:
    draft = draft_of("First there was a keeper. She lit it [1].")
    _, calls = judgement_of(verdicts((2, "supported", "")), draft)
    prompt = calls.calls[0].prompt
    assert "Ada Brandt" in prompt
    assert KEEPER.title in prompt
    assert "First there was a keeper." in prompt
    assert "Merle" not in prompt, "what no sentence cites is not read"


def test_a_long_answer_is_judged_in_several_calls() -> None:
    draft = draft_of(" ".join(f"Ada kept it for {number} years [1]." for number in range(1, 101)))
    reply = verdicts(*((number, "supported", "") for number in range(1, 81)))
    calls = ScriptedCalls({"judge": reply})
    Judge(calls, CAPABLE, "nonce", TODAY).judge_sentences("Who?", draft.text, sentences_of(draft), draft.evidence)
    assert len(calls.calls) == 2


def test_a_passage_too_long_for_the_judge_is_shown_around_the_quotation() -> None:
    text = "Filler of no use. " * 20_000
    long = passage(f"{text}Ada Brandt kept the lighthouse. {text}")
    draft = Draft(AnswerStatus.ANSWERED, "Ada Brandt kept it [1].", {1: long}, summarize_search([long]))
    sentences = locate_citations(draft, lambda *_: Location())[0]
    calls = ScriptedCalls({"judge": verdicts((1, "supported", ""))})
    Judge(calls, CAPABLE, "nonce", TODAY).judge_sentences("Who?", draft.text, sentences, draft.evidence)
    assert "Ada Brandt kept the lighthouse." in calls.calls[0].prompt
    assert len(calls.calls[0].prompt) < 4 * CAPABLE.max_prompt_tokens
    shown = calls.calls[0].prompt.split("END passage 1")[0].splitlines()[-1]
    assert set(shown.split()) == set(long.text.split()), "it begins and ends at a word"


def test_the_judge_sees_the_head_of_a_table_above_its_rows_and_items_without_their_numbers() -> None:
    table = "| Ship | Fate |\n| --- | --- |\n| Merle [2] | sank |\n| Rose [2] | sold |"
    draft = draft_of(f"Two things:\n\n1. Ada kept it [1].\n\n{table}")
    calls = ScriptedCalls({"judge": verdicts()})
    Judge(calls, CAPABLE, "nonce", TODAY).judge_sentences("Who?", draft.text, sentences_of(draft), draft.evidence)
    said = calls.calls[0].prompt.split("in the order of the answer:\n")[1].splitlines()
    assert said[:5] == [
        "(context) Two things:",
        "1. Ada kept it. (cites passage 1)",
        "(context) | Ship | Fate |",
        "2. | Merle | sank | (cites passage 2)",
        "3. | Rose | sold | (cites passage 2)",
    ]


def test_a_sentence_that_shares_no_word_with_the_passage_cites_its_place_without_words() -> None:
    page = replace(SHIP, place="page 3")
    draft = replace(draft_of("Niemand kam dabei um [1]."), evidence={1: page})
    (sentence,), (citation,) = locate_citations(draft, place_of)
    assert (sentence.check, sentence.quotes) == (Check.QUOTED, ())
    assert (citation.quote, citation.page, citation.place, citation.verified) == ("", 3, "page 3", False)
    assert (citation.start, citation.end) == (page.start, page.start)


def test_a_record_of_a_table_is_quoted_whole_though_it_shares_no_word() -> None:
    table = ResultTable(("n",), ((7,),), 1, "SELECT 7 AS n")
    draft = replace(draft_of("Es sind 7 [2].", computed=True), table=table)
    assert [quote.text for quote in sentences_of(draft)[0].quotes] == [SHIP.text]


def test_a_sentence_about_a_csv_rests_on_a_row_and_not_on_the_whole_table() -> None:
    rows = replace(passage("town,people\nOslo,709037\nBergen,291940"), place="rows 1 to 3")
    draft = Draft(AnswerStatus.ANSWERED, "Bergen has 291940 people [1].", {1: rows}, summarize_search([rows]))
    (sentence,), (citation,) = locate_citations(draft, lambda version, start, end: Location(None, f"row {start}"))
    assert (sentence.quotes[0].text, citation.quote) == ("Bergen,291940", "Bergen,291940")
    assert citation.place == f"row {rows.text.index('Bergen')}"


def test_a_quotation_of_several_rows_is_read_to_its_end() -> None:
    block = (
        '<support answered="yes">\n[2] "| 2022 | 170 |\n| 2023 | 160 |"\n[7] "never closed\n'
        '[3] the "keeper" of it\n[2] "one line"\nrest\n</support>'
    )
    quotes = [(each.number, each.text) for each in parse_offered_quotes(block, {2: 1, 3: 2, 7: 3})]
    assert quotes == [
        (1, "| 2022 | 170 |\n| 2023 | 160 |"),
        (3, "never closed"),
        (2, 'the "keeper" of it'),
        (1, "one line"),
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('"$ lb config --append "boot=live luks""', '$ lb config --append "boot=live luks"'),
        ("“She said “no””", "She said “no”"),
        ('"boot=live" is a parameter', '"boot=live" is a parameter'),
        ('it is called "boot=live"', 'it is called "boot=live"'),
        ('opened nowhere"', "opened nowhere"),
        ('""', None),
        ('""""', None),
    ],
)
def test_one_pair_of_quotation_marks_is_taken_off(line: str, words: str | None) -> None:
    found = parse_offered_quotes(f"<support>\n[2] {line}\n</support>", {2: 1})
    assert [each.text for each in found] == ([] if words is None else [words])


def test_rows_that_were_quoted_together_are_shown_together() -> None:
    ducks = passage(
        "Ducks of the lake\n\n| year | ducks |\n| --- | --- |\n| 2022 | 170 |\n| 2023 | 160 |\n| 2024 | 165 |"
    )
    draft = replace(
        draft_of("They fell by ten in 2023 [1].", {1: "| 2022 | 170 |\n| 2023 | 160 |"}), evidence={1: ducks}
    )
    (sentence,) = sentences_of(draft)
    assert sentence.check is Check.QUOTED
    assert [each.text for each in sentence.quotes] == ["| 2022 | 170 |\n| 2023 | 160 |"]


def test_what_documents_do_not_say_is_judged_by_all_passages_that_were_read() -> None:
    text = "They do not say who built it. Nearest comes that Ada Brandt kept it [1]."
    draft = replace(draft_of(text), status=AnswerStatus.NOT_FOUND)
    calls = ScriptedCalls({"judge": verdicts((1, "not_supported", "Nils built it."), (2, "supported", ""))})
    sentences, kept = sentences_of(draft), draft.evidence[1]

    def judge(*read: Passage, calls: ScriptedCalls = calls) -> Judgement:
        made = Judge(calls, CAPABLE, "nonce", TODAY)
        return made.judge_sentences("Who?", text, sentences, draft.evidence, shows_whole=True, all_read=read)

    judgement = judge(kept, LAMP)
    (call,) = calls.calls
    assert "1. They do not say who built it. (about all passages)" in call.prompt
    assert LIT in call.prompt, "not only what is cited"
    assert call.prompt.count(kept.text) == 1
    denied, _ = apply_judgement(sentences, judgement)
    assert (denied.check, denied.support, denied.reason) == (Check.UNSUPPORTED, Support.NONE, "Nils built it.")
    # Passages that were not read may say it, so the sentence is proven only if all passages were read.
    agreed = Judgement({0: JudgeVerdict("supported", "")})
    whole, part = ReadShare(is_whole=True, sentence="all"), ReadShare(is_whole=False, sentence="Of 9, 2 were read")
    proven, partly = (apply_judgement(sentences, agreed, each)[0] for each in (whole, part))
    assert (proven.check, proven.support, proven.reason) == (Check.VERIFIED, Support.FULL, "")
    assert (partly.check, partly.support) == (Check.UNCHECKED, Support.PARTIAL)
    assert partly.reason.startswith(ABOUT_ALL)
    # Without the passages, or if they do not all fit, nobody can tell.
    for read in ((), (kept, passage("word " * 200_000, document="doc-9"))):
        few = ScriptedCalls({"judge": verdicts((1, "supported", ""))})
        judge(*read, calls=few)
        assert "(context) They do not say who built it." in few.calls[0].prompt
