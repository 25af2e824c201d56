"""Whole questions over labelled records: what is computed is compared with counting by hand."""

from collections import Counter
from dataclasses import replace

import pytest

from rlm.answers import AnswerStatus
from rlm.corpus.records import SplitBy, Splitting, split
from rlm.exhaustive import ExhaustiveStrategy
from rlm.operators.operators import Operators
from rlm.operators.packing import PackLimits
from rlm.plan.layout import look
from rlm.strategies import Completed, Delta, Planned, Working
from tests.fakes.rule_subcalls import RuleSubCalls
from tests.support.corpora import corpus_of
from tests.support.labelled_records import PREAMBLE, by_label, document, label_of
from tests.support.whole_questions import RECORDS, USERS, ask, first_line, strategy


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


def test_a_row_of_csv_is_judged_with_the_names_of_its_cells() -> None:
    rows = [f"{n},c{n % 3},It hums at night" for n in range(9)]
    corpus = corpus_of("\n".join(["ticket,customer,text", *rows]), titles=("tickets.csv",))
    calls = RuleSubCalls(lambda text: "no" if "customer: c1" in text else "yes")
    answer = strategy(corpus, calls).answer("How many tickets are not from customer c1?")
    assert calls.records()[4] == "ticket: 4; customer: c1; text: It hums at night"
    assert first_line(answer) == "6"
    assert "6 of 9 records as asked for." in answer.text
