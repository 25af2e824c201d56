"""Whole questions over labelled records: what is computed is compared with counting by hand."""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import pytest

from ingest.runs import RunState
from retrieval.embedding import HashingEmbedder
from rlm.answers import Answer, AnswerStatus
from rlm.corpus.corpus import Corpus
from rlm.corpus.records import SplitBy, Splitting, split
from rlm.errors import (
    LanguageModelOutputError,
    LanguageModelRefusedError,
    LanguageModelUnavailableError,
    NotExhaustiveError,
    RunCancelledError,
)
from rlm.exhaustive import ExhaustiveStrategy
from rlm.operators.cascade import EVERY_RECORD, CascadeLimits
from rlm.operators.operators import Operators, finish
from rlm.operators.packing import PackLimits
from rlm.plan.executor import execute
from rlm.plan.layout import look
from rlm.plan.rules import plan_by_rules
from rlm.runs.bodies import state_of
from rlm.strategies import Completed, Delta, Planned, Working
from rlm.subcalls.port import SubCall, SubFailure
from tests.fakes.rule_subcalls import RuleSubCalls
from tests.support.corpora import corpus_of
from tests.support.labelled_records import PREAMBLE, by_label, document, label_of, labelled_records

RECORDS = labelled_records(300)
USERS = sorted({record.user for record in RECORDS})
FORM = " Give the final answer as '{}'."


def strategy(corpus: Corpus, calls: RuleSubCalls) -> ExhaustiveStrategy:
    return ExhaustiveStrategy(corpus, Operators(corpus, calls), calls, "scripted")


def ask(question: str, form: str = "", preamble: str = PREAMBLE) -> Answer:
    corpus = corpus_of(document(RECORDS))
    text = f"{preamble}\n\nQuestion: {question}" + (FORM.format(form) if form else "")
    answer = strategy(corpus, RuleSubCalls(label_of)).answer(text)
    for citation in answer.citations:
        assert corpus.text(corpus.documents[0].handle[citation.start : citation.end]) == citation.quote
    return answer


def first_line(answer: Answer) -> str:
    return answer.text.split("\n")[0]


def test_counting_a_label() -> None:
    answer = ask("How many records have the label 'plant'?", "Answer: <number>")
    assert first_line(answer) == f"Answer: {by_label(RECORDS)['plant']}"
    assert answer.status is AnswerStatus.ANSWERED
    assert answer.result is not None
    assert (answer.result.value, answer.result.table) == (by_label(RECORDS)["plant"], dict(by_label(RECORDS)))
    assert answer.coverage is not None
    assert answer.coverage.complete
    assert all("|| User" in citation.quote and citation.verified for citation in answer.citations)


@pytest.mark.parametrize(
    ("question", "rank"),
    [
        ("Which of the labels is the most common?", 0),
        ("Which label is the second most common?", 1),
        ("Of the labels that occur at least once, which one is the least common?", 2),
    ],
)
def test_ranking_labels(question: str, rank: int) -> None:
    assert first_line(ask(question, "Label: <label>")) == f"Label: {by_label(RECORDS).most_common()[rank][0]}"


@pytest.mark.parametrize(("one", "other"), [("animal", "plant"), ("tool", "plant")], ids=["more", "less"])
def test_comparing_labels(one: str, other: str) -> None:
    sides = (f"label '{one}'", f"label '{other}'")
    answer = ask(
        f"Is {sides[0]} more common, less common or as common as {sides[1]}?",
        f"Answer: {sides[0]} is <more common than|less common than|same frequency as> {sides[1]}",
    )
    counts = by_label(RECORDS)
    verdict = "more common than" if counts[one] > counts[other] else "less common than"
    assert first_line(answer) == f"Answer: {sides[0]} is {verdict} {sides[1]}"


def test_comparing_users_within_a_label() -> None:
    counts = Counter(record.user for record in RECORDS if record.label == "animal")
    one, other = counts.most_common()[0][0], counts.most_common()[-1][0]
    answer = ask(
        f"Among records with the label 'animal', is user {one} more common, less common or as common as user {other}?",
        f"Answer: user {one} is <more common than|less common than|same frequency as> user {other}",
    )
    assert first_line(answer) == f"Answer: user {one} is more common than user {other}"
    assert answer.result is not None
    assert list(answer.result.table.values()) == [counts[one], counts[other]]


def test_comparing_before_and_after_a_day() -> None:
    before = sum(record.label == "tool" and record.when.isoformat() < "2022-06-01" for record in RECORDS)
    after = sum(record.label == "tool" and record.when.isoformat() > "2022-06-01" for record in RECORDS)
    sides = ("the label before Jun 01, 2022", "the label after Jun 01, 2022")
    answer = ask(
        f"Counting records with the label 'tool', is {sides[0]} more common, less common or as common as {sides[1]}?"
    )
    assert answer.result is not None
    assert answer.result.table == {sides[0]: before, sides[1]: after}


def test_users_are_ranked_without_asking_a_model() -> None:
    counts = Counter(record.user for record in RECORDS).most_common()
    corpus = corpus_of(document(RECORDS))
    calls = RuleSubCalls(label_of)
    answer = strategy(corpus, calls).answer(f"{PREAMBLE} Question: Which user has the second most records?")
    expected = sorted({count for _, count in counts}, reverse=True)[1]
    assert answer.result is not None
    assert answer.result.table[first_line(answer)] == expected
    assert calls.calls == []
    assert answer.model is None


def test_the_user_with_most_of_a_label() -> None:
    counts = Counter(record.user for record in RECORDS if record.label == "plant").most_common()
    answer = ask("Which user has the most records with the label 'plant'?", "User: <ID>")
    assert first_line(answer) in {f"User: {user}" for user, count in counts if count == counts[0][1]}


def test_questions_about_some_users_judge_only_their_records() -> None:
    chosen = USERS[:3]
    listed = f"{chosen[0]}, {chosen[1]} and {chosen[2]}"
    mine = [record for record in RECORDS if record.user in chosen]
    answer = ask(f"How many records of the users {listed} have the label 'animal'?", "Answer: <number>")
    assert first_line(answer) == f"Answer: {by_label(mine)['animal']}"
    assert answer.coverage is not None
    assert answer.coverage.slices == len(mine)
    most = ask(f"Among the records of the users {listed}, which label is the most common?", "Label: <label>")
    assert first_line(most) == f"Label: {by_label(mine).most_common(1)[0][0]}"


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ("of the month 05/2022 (MM/YYYY)", lambda day: (day.year, day.month) == (2022, 5)),
        (
            "from Mar 01, 2022 to Sep 30, 2022, both included,",
            lambda day: "2022-03-01" <= day.isoformat() <= "2022-09-30",
        ),
        ("in 2023", lambda day: day.year == 2023),
    ],
)
def test_counting_within_dates(when: str, holds) -> None:  # type: ignore[no-untyped-def]
    expected = sum(record.label == "animal" and holds(record.when) for record in RECORDS)
    assert first_line(ask(f"How many records {when} have the label 'animal'?")) == str(expected)


def test_dates_with_so_many_records() -> None:
    sizes = Counter(record.when for record in RECORDS)
    expected = sum(count == 2 for count in sizes.values())
    assert first_line(ask("How many dates have exactly 2 records?", "Answer: <number>")) == f"Answer: {expected}"


def months() -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for record in sorted(RECORDS, key=lambda each: each.when):
        found.setdefault(f"{record.when:%m/%Y}", Counter())[record.label] += 1
    return found


def test_months_in_which_a_label_leads() -> None:
    more = [month for month, counts in months().items() if counts["plant"] > counts["animal"]]
    text = "label 'plant' has more records than the label 'animal'"
    assert first_line(ask(f"Which is the first month in which the {text}?", "Month: <MM/YYYY>")) == f"Month: {more[0]}"
    answer = ask("In how many months does the label 'plant' have more records than the label 'animal'?")
    assert first_line(answer) == str(len(more))
    leading = sum(counts["animal"] > max(counts["plant"], counts["tool"]) for counts in months().values())
    answer = ask("In how many months does the label 'animal' have more records than every other label?")
    assert first_line(answer) == str(leading)


def pairs_of(answer: Answer) -> set[tuple[int, int]]:
    assert answer.result is not None
    assert isinstance(answer.result.value, list)
    return {(int(low), int(high)) for low, high in answer.result.value}


def of_user(user: int) -> Counter[str]:
    return Counter(record.label for record in RECORDS if record.user == user)


def test_pairs_of_users_that_both_have_one_of_two_labels_by_a_day() -> None:
    answer = ask(
        "List all pairs of two different users where both users have at least one record with the label 'tool' or the "
        "label 'plant', and all of a user's records with the label 'tool' are after Mar 01, 2022 (also true if there "
        "is none). Give every pair once, as (lower ID, higher ID), one pair per line."
    )
    fit = [
        user
        for user in USERS
        if of_user(user)["tool"] + of_user(user)["plant"]
        and all(r.when.isoformat() > "2022-03-01" for r in RECORDS if (r.user, r.label) == (user, "tool"))
    ]
    assert pairs_of(answer) == set(combinations(fit, 2))
    assert 0 < len(fit) < len(USERS)


@pytest.mark.parametrize("wanted", ["a record", "at least one record", "any records"])
def test_pairs_of_users_that_both_have_a_record_of_a_label(wanted: str) -> None:
    answer = ask(f"List all pairs of users where both users have {wanted} with the label 'plant'.")
    assert pairs_of(answer) == set(combinations([user for user in USERS if of_user(user)["plant"]], 2))


@pytest.mark.parametrize(
    "what",
    [
        "both like the label 'plant'",
        "neither user has a record with the label 'plant'",
        "both users do not have any records with the label 'plant'",
        "both users have a record with the label 'tool' and no records with the label 'plant'",
    ],
)
def test_pairs_of_users_in_words_that_no_rule_reads_are_left_to_the_model(what: str) -> None:
    corpus = corpus_of(document(RECORDS))
    assert plan_by_rules(f"{PREAMBLE} Question: List all pairs of users where {what}.", look(corpus)) is None


def test_pairs_of_users_of_which_each_meets_another_condition() -> None:
    low, high = USERS[1], USERS[-2]
    answer = ask(
        f"List all pairs of two different users with an ID from {low} to {high} where one of the two has at least 9 "
        "records with the label 'animal' and at least 6 records with the label 'plant', and the other has exactly 5 "
        "records with the label 'tool'. Give every pair once, as (lower ID, higher ID), one pair per line."
    )
    some = [user for user in USERS if low <= user <= high]
    one = {user for user in some if of_user(user)["animal"] >= 9 and of_user(user)["plant"] >= 6}
    other = {user for user in some if of_user(user)["tool"] == 5}
    expected = {(a, b) for a, b in combinations(some, 2) if (a in one and b in other) or (a in other and b in one)}
    assert pairs_of(answer) == expected
    assert expected


def test_a_criterion_without_labels_is_asked_of_every_record() -> None:
    corpus = corpus_of(document(RECORDS))
    calls = RuleSubCalls(lambda text: "yes" if label_of(text) == "plant" else "no")
    answer = strategy(corpus, calls).answer("How many of the records mention something green?")
    assert first_line(answer) == str(by_label(RECORDS)["plant"])
    assert "mention something green" in calls.calls[0].prompt


def test_labels_are_found_in_the_documents_where_the_question_has_none() -> None:
    corpus = corpus_of(PREAMBLE + "\n" + document(RECORDS))
    answer = strategy(corpus, RuleSubCalls(label_of)).answer("How many records are labelled 'plant'?")
    assert first_line(answer) == str(by_label(RECORDS)["plant"])


def test_what_failed_makes_the_answer_partial_and_is_counted() -> None:
    def fault(call: SubCall) -> SubFailure | None:
        return SubFailure("language_model_timeout", "slow") if "1. Tell me of the oak" in call.prompt else None

    corpus = corpus_of(document(RECORDS))
    calls = RuleSubCalls(label_of, fault)
    answer = strategy(corpus, calls).answer(f"{PREAMBLE} Question: How many records have the label 'animal'?")
    assert answer.status is AnswerStatus.PARTIAL
    assert answer.coverage is not None
    assert answer.coverage.slices_failed > 0
    assert "failed" in answer.text
    assert any("language model timeout" in reason for reason in answer.reasons)
    assert answer.result is not None
    assert answer.result.interval is not None
    assert not answer.claims[0].supported


COUNT = f"{PREAMBLE} Question: How many records have the label 'animal'?"
EVERY_KIND = [
    COUNT,
    f"{PREAMBLE} Question: Which of the labels is the most common?",
    f"{PREAMBLE} Question: Is the label 'plant' more common, less common, or as common as the label 'animal'?",
    f"{PREAMBLE} Question: Which user has the most records with the label 'plant'?",
    f"{PREAMBLE} Question: List all pairs of users where both users have a record with the label 'plant'.",
    "List all records that mention a plant.",
]


@pytest.mark.parametrize("question", EVERY_KIND)
def test_a_model_that_judges_nothing_is_an_error_and_no_answer(question: str) -> None:
    refused = LanguageModelRefusedError("The key is wrong.", hint="Set another.")
    calls = RuleSubCalls(label_of, lambda call: SubFailure(refused.code, refused.detail, error=refused))
    with pytest.raises(LanguageModelRefusedError) as raised:
        strategy(corpus_of(document(RECORDS)), calls).answer(question)
    assert raised.value is refused


@pytest.mark.parametrize("said", ["Certainly! Here they are.", "{}", '{"1": ["plant"]}'])
def test_so_is_one_that_answers_nonsense(said: str) -> None:
    with pytest.raises(LanguageModelOutputError, match="nothing usable"):
        strategy(corpus_of(document(RECORDS)), RuleSubCalls(label_of, lambda call: said)).answer(COUNT)


@pytest.mark.parametrize("question", EVERY_KIND)
def test_a_budget_that_covers_nothing_makes_the_answer_partial_and_unfinished(question: str) -> None:
    calls = RuleSubCalls(label_of, lambda call: SubFailure("budget_exhausted", "Nothing is left."))
    answer = strategy(corpus_of(document(RECORDS)), calls).answer(question)
    assert answer.status is AnswerStatus.PARTIAL
    assert not answer.finished
    assert not any(claim.supported for claim in answer.claims)
    assert state_of(answer) is RunState.PARTIAL


def test_where_nothing_was_found_in_what_could_be_judged_something_may_be_in_the_rest() -> None:
    def fault(call: SubCall) -> SubFailure | None:
        return SubFailure("language_model_timeout", "slow") if "10. " in call.prompt else None

    calls = RuleSubCalls(lambda text: "no", fault)
    answer = strategy(corpus_of(document(RECORDS[:285])), calls).answer("List all records that mention a ship.")
    assert answer.status is AnswerStatus.PARTIAL
    assert answer.finished
    assert "failed" in answer.text
    assert state_of(answer) is RunState.PARTIAL


def test_a_model_that_is_away_is_not_asked_about_every_record() -> None:
    calls = RuleSubCalls(label_of, lambda call: SubFailure("language_model_unavailable", "It is away."))
    corpus = corpus_of(document(MANY))
    operators = Operators(corpus, calls, cascade_limits=EVERY_RECORD)
    with pytest.raises(LanguageModelUnavailableError, match="away"):
        ExhaustiveStrategy(corpus, operators, calls, "scripted").answer(COUNT)
    assert len(calls.calls) < len({record.text for record in MANY}) / 10 / 2


def test_a_part_is_asked_about_by_itself_where_a_record_of_the_whole_has_failed() -> None:
    def fault(call: SubCall) -> SubFailure | None:
        return SubFailure("language_model_timeout", "slow") if RECORDS[0].text in call.prompt else None

    corpus = corpus_of(document(RECORDS))
    calls = RuleSubCalls(label_of, fault)
    operators = Operators(corpus, calls, are_kept=lambda asked: all(call in calls.calls for call in asked))
    made = ExhaustiveStrategy(corpus, operators, calls, "scripted")
    assert made.answer(f"{PREAMBLE} Question: How many records have the label 'animal'?").status is AnswerStatus.PARTIAL
    failed = {record.user for record in RECORDS if record.text == RECORDS[0].text}
    user = next(each for each in USERS if each not in failed)
    part = made.answer(f"{PREAMBLE} Question: How many records of user {user} have the label 'animal'?")
    assert first_line(part) == str(by_label([record for record in RECORDS if record.user == user])["animal"])
    assert part.status is AnswerStatus.ANSWERED


CITIES = "\n".join(f"User: {n % 4} || City: {('Amsterdam', 'Berlin', 'Utrecht')[n % 5 % 3]}" for n in range(50))


def test_records_are_grouped_by_their_longest_column() -> None:
    corpus = corpus_of(CITIES)
    assert look(corpus).text_column == "City"
    answer = strategy(corpus, RuleSubCalls(label_of)).answer("Which city has the second fewest records?")
    assert answer.result is not None
    assert answer.result.table == {"Amsterdam": 20, "Berlin": 20, "Utrecht": 10}


def test_records_are_grouped_by_their_only_column() -> None:
    corpus = corpus_of("\n".join(f"City: {name}" for name in ("Berlin", "Utrecht", "Berlin", "Berlin")))
    answer = strategy(corpus, RuleSubCalls(label_of)).answer("Which city has the most records?")
    assert first_line(answer) == "Berlin"


def test_records_are_kept_by_their_longest_column() -> None:
    form = (
        '{"yes_no_question": "", "labels": [], "values": [], "compute": "count", "column": "", '
        '"where": [{"column": "City", "op": "is", "value": "Amsterdam"}]}'
    )
    answer = strategy(corpus_of(CITIES), RuleSubCalls(label_of, lambda call: form)).answer("Amsterdam, in total?")
    assert first_line(answer) == "20"


def test_documents_judged_by_their_beginning_are_said_to_be_so() -> None:
    corpus = corpus_of("We met a cat that day. " * 20, "The oak fell. " * 1_000, "The elm fell. " * 1_000)
    layout = replace(look(corpus), records=split(corpus, Splitting(SplitBy.DOCUMENT)))
    form = (
        '{"yes_no_question": "Is it about a tree?", "labels": [], "values": [], "where": [], "compute": "count", '
        '"column": ""}'
    )
    calls = RuleSubCalls(
        lambda text: "no" if "cat" in text else "yes", lambda call: form if call.purpose == "plan" else None
    )
    operators = Operators(corpus, calls, limits=PackLimits(10, 1_000))
    answer = ExhaustiveStrategy(corpus, operators, calls, "scripted", layout=layout).answer("Trees, in total?")
    assert answer.coverage is not None
    assert answer.result is not None
    assert answer.result.value == 2
    assert answer.coverage.tokens_read < 0.3 * answer.coverage.tokens_in_scope
    assert answer.status is AnswerStatus.PARTIAL
    assert not answer.claims[0].supported
    assert any("2 records were judged by their beginning" in reason for reason in answer.reasons)


def test_a_question_of_no_known_shape_is_filled_in_by_the_model() -> None:
    form = (
        '{"yes_no_question": "Is it an animal?", "labels": [], "values": [], "where": [], "compute": "count", '
        '"column": ""}'
    )
    calls = RuleSubCalls(
        lambda text: "yes" if label_of(text) == "animal" else "no",
        lambda call: form if call.purpose == "plan" else None,
    )
    answer = strategy(corpus_of(document(RECORDS)), calls).answer("Beasts, in total?")
    assert first_line(answer) == str(by_label(RECORDS)["animal"])


def words_in(text: str) -> int:
    match = re.search(r"in (\d+) words", text)
    assert match is not None
    return int(match[1])


def filled(rule: Callable[[str], object], question: str = "All told?", **fields: object) -> Answer:
    """The answer by a form; `rule` says what is found in each record."""
    blank = {"yes_no_question": "", "labels": [], "values": [], "where": [], "compute": "count", "column": ""}
    form = json.dumps(blank | fields)
    calls = RuleSubCalls(rule, lambda call: form if call.purpose == "plan" else None)
    return strategy(corpus_of(document(RECORDS)), calls).answer(question)


NUMBERS = [words_in(record.text) for record in RECORDS]


@pytest.mark.parametrize(
    ("compute", "expected"),
    [
        ("sum", sum(NUMBERS)),
        ("average", sum(NUMBERS) / len(NUMBERS)),
        ("minimum", min(NUMBERS)),
        ("maximum", max(NUMBERS)),
    ],
)
def test_values_are_taken_out_of_every_record_and_measured(compute: str, expected: float) -> None:
    answer = filled(lambda text: {"words": str(words_in(text))}, values=["words"], compute=compute, column="words")
    assert answer.result is not None
    assert answer.result.value == pytest.approx(expected)
    assert float(first_line(answer).replace(",", "")) == pytest.approx(expected, rel=1e-5)
    assert answer.status is AnswerStatus.ANSWERED
    assert answer.coverage is not None
    assert answer.coverage.slices_read == len(RECORDS)


def test_values_that_are_no_numbers_are_left_out_of_a_sum_and_told() -> None:
    def rule(text: str) -> object:
        return {"words": "many" if "cat" in text else "NaN" if "owl" in text else str(words_in(text))}

    answer = filled(rule, values=["words"], compute="sum", column="words")
    counted = [words_in(record.text) for record in RECORDS if not re.search("cat|owl", record.text)]
    assert answer.result is not None
    assert answer.result.value == sum(counted)
    assert f"over {len(counted):,} records" in answer.text


def test_a_sum_of_nothing_is_not_found() -> None:
    answer = filled(lambda text: {"words": None}, values=["words"], compute="sum", column="words")
    assert answer.status is AnswerStatus.NOT_FOUND
    assert "No record has a number for words." in answer.text


def test_written_numbers_of_some_records_are_measured_without_a_model() -> None:
    where = [{"column": "Date", "op": "before", "value": "Jul 01, 2022"}]
    answer = filled(lambda text: None, compute="maximum", column="User", where=where)
    assert answer.result is not None
    assert answer.result.value == max(record.user for record in RECORDS if record.when.isoformat() < "2022-07-01")
    assert answer.model == "scripted"  # it made the plan
    assert answer.usage.calls == 1


def test_the_most_common_of_values_that_were_taken_out() -> None:
    words = Counter(record.text.split()[4] for record in RECORDS)
    answer = filled(lambda text: {"thing": text.split()[4]}, values=["thing"], compute="most_common", column="thing")
    assert answer.result is not None
    assert answer.result.table == dict(words)


def test_different_values_are_listed_with_how_often_they_come() -> None:
    words = Counter(record.text.split()[4] for record in RECORDS)
    answer = filled(lambda text: {"thing": text.split()[4]}, values=["thing"], compute="list", column="thing")
    assert answer.result is not None
    assert answer.result.kind == "values"
    assert answer.result.table == dict(words)
    assert all(f"{word} ({count})" in first_line(answer) for word, count in words.items())


def test_records_are_listed_with_the_first_of_them_quoted() -> None:
    plants = [record.line for record in RECORDS if record.label == "plant"]
    answer = filled(
        lambda text: "yes" if label_of(text) == "plant" else "no",
        yes_no_question="Is it about a plant?",
        compute="list",
    )
    assert answer.result is not None
    assert (answer.result.kind, answer.result.value) == ("records", len(plants))
    assert [citation.quote for citation in answer.citations] == plants[:50]
    assert "[50]" in answer.text
    assert "The first 50 are quoted" in answer.text


def test_a_list_of_nothing_is_not_found() -> None:
    answer = filled(lambda text: "no", yes_no_question="Is it a ship?", compute="list")
    assert answer.status is AnswerStatus.NOT_FOUND
    assert answer.citations == ()


MANY = labelled_records(1_500)


def inferring(question: str) -> Answer:
    """The answer with a classifier that learns from 200 records."""
    corpus, calls = corpus_of(document(MANY)), RuleSubCalls(label_of)
    limits = CascadeLimits(read_all=100, sample=200, target=0.9)
    operators = Operators(corpus, calls, HashingEmbedder(), cascade_limits=limits)
    made = ExhaustiveStrategy(corpus, operators, calls, "scripted")
    return made.answer(f"{PREAMBLE} Question: {question}")


def test_a_count_of_labels_that_a_classifier_gave_states_its_error() -> None:
    answer = inferring("How many records have the label 'plant'?")
    assert answer.coverage is not None
    assert answer.coverage.slices_inferred > 500
    assert answer.coverage.complete
    assert answer.status is AnswerStatus.ANSWERED
    assert answer.result is not None
    interval = answer.result.interval
    assert interval is not None
    assert interval.low <= by_label(MANY)["plant"] <= interval.high
    assert 0 < interval.high - interval.low < 300
    assert f"({interval.low:g} to {interval.high:g} at 95 %)" in answer.text
    assert any("agreed with the model on" in reason for reason in answer.reasons)
    assert "labelled by a classifier" in answer.text


def test_a_large_part_has_the_labels_of_the_whole_and_its_share_of_their_error() -> None:
    corpus, calls = corpus_of(document(MANY)), RuleSubCalls(label_of)
    limits = CascadeLimits(read_all=100, sample=200, target=0.9)
    kept: list[SubCall] = []
    operators = Operators(
        corpus,
        calls,
        HashingEmbedder(),
        cascade_limits=limits,
        are_kept=lambda asked: all(call in kept for call in asked),
    )
    made = ExhaustiveStrategy(corpus, operators, calls, "scripted")

    def ask(question: str) -> tuple[Answer, int]:
        kept[:] = calls.calls
        answer = made.answer(f"{PREAMBLE} Question: {question}")
        return answer, sum(call not in kept for call in calls.calls)

    whole, _ = ask("How many records have the label 'plant'?")
    day = sorted(record.when for record in MANY)[len(MANY) // 2]
    part, new = ask(f"How many records after {day:%Y-%m-%d} have the label 'plant'?")
    rest, more = ask(f"How many records until {day:%Y-%m-%d} have the label 'plant'?")
    assert (new, more) == (0, 0)
    assert whole.result is not None
    assert part.result is not None
    counts = [int(first_line(each)) for each in (whole, part, rest)]
    assert abs(counts[0] - counts[1] - counts[2]) <= 1
    expected = by_label([record for record in MANY if record.when > day])["plant"]
    interval = part.result.interval
    assert interval is not None
    assert whole.result.interval is not None
    assert interval.low <= expected <= interval.high
    assert 0 < interval.high - interval.low < whole.result.interval.high - whole.result.interval.low
    user = MANY[0].user
    few = [record for record in MANY if record.user == user and record.when > day]
    assert len(few) <= 100
    one, new = ask(f"How many records of user {user} after {day:%Y-%m-%d} have the label 'plant'?")
    assert first_line(one) == str(by_label(few)["plant"])
    assert one.result is not None
    assert one.result.interval is None
    assert new > 0


def test_so_does_a_ranking_and_a_comparison() -> None:
    ranked = inferring("Which of the labels is the most common?")
    assert ranked.result is not None
    assert ranked.result.value == "animal"
    assert ranked.result.interval is not None
    assert "at 95 %" in ranked.text
    compared = inferring("Is label 'animal' more common, less common or as common as label 'plant'?")
    assert compared.text.count("at 95 %") == 2
    assert "A classifier gave" in compared.text


def test_pairs_by_labels_that_a_classifier_gave_say_so() -> None:
    answer = inferring(
        "List all pairs of two different users where both users have at least 40 records with the label 'animal'."
    )
    assert answer.result is not None
    assert answer.result.kind == "pairs"
    assert "of such labels were not the model's" in answer.text


def test_a_form_that_cannot_be_used_is_mended_once_and_then_refused_with_the_reason() -> None:
    form = '{"yes_no_question": "", "labels": [], "values": [], "where": [], "compute": "sum", "column": "Prise"}'
    calls = RuleSubCalls(label_of, lambda call: form)
    with pytest.raises(NotExhaustiveError, match="'Prise' is neither"):
        strategy(corpus_of(document(RECORDS)), calls).answer("Prices, all told?")
    assert len(calls.calls) == 2
    assert "'Prise' is neither" in calls.calls[1].prompt


def test_a_form_that_nobody_fills_in_ends_with_the_reason() -> None:
    away = LanguageModelUnavailableError("It is away.", retry_after_seconds=3)
    calls = RuleSubCalls(label_of, lambda call: SubFailure(away.code, away.detail, error=away))
    with pytest.raises(LanguageModelUnavailableError) as raised:
        strategy(corpus_of(document(RECORDS)), calls).answer("Prices, all told?")
    assert raised.value is away


def test_events_tell_the_plan_the_progress_and_the_text() -> None:
    events = list(
        strategy(corpus_of(document(RECORDS)), RuleSubCalls(label_of)).stream(
            f"{PREAMBLE} Question: How many records have the label 'animal'?"
        )
    )
    assert isinstance(events[0], Planned)
    assert [type(event) for event in events[1:]] == sorted(
        (type(event) for event in events[1:]), key=[Working, Delta, Completed].index
    )
    last = events[-1]
    assert isinstance(last, Completed)
    assert "".join(event.text for event in events if isinstance(event, Delta)) == last.answer.text


def test_a_cancelled_run_ends() -> None:
    corpus = corpus_of(document(RECORDS))
    calls = RuleSubCalls(label_of)
    made = ExhaustiveStrategy(corpus, Operators(corpus, calls, cancelled=lambda: True), calls, "scripted")
    with pytest.raises(RunCancelledError):
        made.answer(f"{PREAMBLE} Question: How many records have the label 'animal'?")


def test_filling_in_a_plan_can_be_cancelled() -> None:
    corpus = corpus_of(document(RECORDS))
    calls = RuleSubCalls(label_of)
    layout = look(corpus)
    made = ExhaustiveStrategy(corpus, Operators(corpus, calls), calls, "scripted", layout=layout)
    with pytest.raises(RunCancelledError):
        next(made.stream("What is the sum of all that was paid?", cancelled=lambda: True))
    assert calls.calls == []


def test_looking_at_the_documents_can_be_cancelled() -> None:
    events = strategy(corpus_of(document(RECORDS)), RuleSubCalls(label_of)).stream(
        "Which user has the most records?", cancelled=lambda: True
    )
    with pytest.raises(RunCancelledError):
        next(events)


def test_reading_the_rows_can_be_cancelled() -> None:
    corpus = corpus_of(document(RECORDS))
    layout = look(corpus)
    plan = plan_by_rules("Which user has the most records?", layout)
    assert plan is not None
    with pytest.raises(RunCancelledError):
        finish(execute(plan, corpus, None, records=layout.records, cancelled=lambda: True))


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_a_corpus_without_text_is_refused_in_words(text: str) -> None:
    corpus = corpus_of(text)
    with pytest.raises(NotExhaustiveError):
        strategy(corpus, RuleSubCalls(label_of)).answer("Beasts, in total?")


def test_a_row_of_csv_is_judged_with_the_names_of_its_cells() -> None:
    rows = [f"{n},c{n % 3},It hums at night" for n in range(9)]
    corpus = corpus_of("\n".join(["ticket,customer,text", *rows]), titles=("tickets.csv",))
    calls = RuleSubCalls(lambda text: "no" if "customer: c1" in text else "yes")
    answer = strategy(corpus, calls).answer("How many tickets are not from customer c1?")
    assert calls.records()[4] == "ticket: 4; customer: c1; text: It hums at night"
    assert first_line(answer) == "6"
    assert "6 of 9 records as asked for." in answer.text
