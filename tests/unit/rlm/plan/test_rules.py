import pytest

from rlm.corpus.handles import Handle
from rlm.operators.aggregate import Key
from rlm.operators.operators import finish
from rlm.operators.table import LABEL, Condition, Op, Row
from rlm.plan.computing import compute
from rlm.plan.executor import execute
from rlm.plan.judging import noun_judged
from rlm.plan.layout import look
from rlm.plan.plan import Aggregation, Count, CountGroups, Filter, Measure, Plan, Rank, Required
from rlm.plan.rules import plan_by_rules
from tests.support.corpora import corpus_of

DEFINED = "Every record is of one of the categories: 'red', 'green' or 'blue'."
TEXT = "a text that is longer than the other fields"


def planned(question: str, column: str, preamble: str = "") -> Plan | None:
    lines = "\n".join(f"{column}: {('red', 'blue')[n % 2]} || Text: {TEXT} {n}" for n in range(6))
    return plan_by_rules(question, look(corpus_of(f"{preamble}\n\n{lines}")))


@pytest.mark.parametrize(
    ("question", "column"),
    [
        ("Which category has the most records?", "Category"),
        ("Which of the categories is the most common?", "Category"),
        ("Which class has the fewest records?", "Class"),
        ("Which of the classes is the most common?", "Class"),
        ("Which type has the most records?", "Type"),
        ("Which kind has the most records?", "Kind"),
        ("Which label is the most common?", "Label"),
        ("Which label is the most common?", "label"),
    ],
)
@pytest.mark.parametrize("preamble", ["", DEFINED], ids=["no labels", "labels in the documents"])
def test_a_written_field_is_grouped_by_whatever_it_is_called(question: str, column: str, preamble: str) -> None:
    plan = planned(question, column, preamble)
    assert plan is not None
    assert isinstance(plan.answer, Rank)
    assert plan.answer.key == Key(column)
    assert plan.steps == ()


def test_labels_that_the_question_defines_go_before_a_field_of_their_name() -> None:
    plan = planned(f"{DEFINED} Question: Which category has the most records?", "Category")
    assert plan is not None
    assert plan.answer == Rank(Key(LABEL))
    assert len(plan.steps) == 1


def test_labels_of_the_documents_count_where_no_field_has_their_name() -> None:
    plan = planned("Which of the categories is the most common?", "User", DEFINED)
    assert plan is not None
    assert plan.answer == Rank(Key(LABEL))
    assert len(plan.steps) == 1


def test_a_label_that_is_written_is_not_asked_for() -> None:
    plan = planned("How many records have the label 'red'?", "label", DEFINED)
    assert plan is not None
    assert plan.answer == Count((Condition(LABEL, Op.IS, ("red",)),))
    assert plan.steps == ()


DATED = "\n".join(
    f"Date: 2023-0{1 + n % 4}-1{n} || User: {n % 3} || label: {('red', 'blue')[n % 2]} || Text: {TEXT} {n}"
    for n in range(9)
)


def conditions(question: str) -> tuple[Condition, ...] | None:
    """What a count is over; None where the question has no plan by rules."""
    plan = plan_by_rules(question, look(corpus_of(f"{DEFINED}\n\n{DATED}")))
    return None if plan is None else plan.answer.where


IS_RED = Condition(LABEL, Op.IS, ("red",))
DAY = "2023-02-11"


@pytest.mark.parametrize(
    ("words", "ops"),
    [
        ("after", [Op.AFTER]),
        ("on or after", [Op.FROM]),
        ("since", [Op.FROM]),
        ("before", [Op.BEFORE]),
        ("on or before", [Op.UNTIL]),
        ("until", [Op.UNTIL]),
        ("on", [Op.FROM, Op.UNTIL]),
    ],
)
def test_days_are_compared_as_the_words_before_them_say(words: str, ops: list[Op]) -> None:
    found = conditions(f"How many records {words} {DAY} have the label 'red'?")
    assert found == (IS_RED, *(Condition("Date", op, (DAY,)) for op in ops))


@pytest.mark.parametrize(
    "question",
    [
        "How many records after 25/12/2022 have the label 'red'?",
        "How many records since February 30, 2023 have the label 'red'?",
        "How many records after March 2023 have the label 'red'?",
        "How many records between March and May 2023 have the label 'red'?",
        "How many records before May have the label 'red'?",
        "How many records that were made up to 2023-02-11 have the label 'red'?",
        "Which user has the most records after March 2023?",
        "How many records of users with an ID from A10 to A20 have the label 'red'?",
        "In how many months of 2023 does the label 'red' have more records than the label 'blue'?",
        "In how many months since 2023-03-01 does the label 'red' have more records than the label 'blue'?",
    ],
)
@pytest.mark.parametrize("preamble", ["", DEFINED], ids=["no labels", "labels"])
def test_a_condition_that_cannot_be_read_is_not_left_out(question: str, preamble: str) -> None:
    plan = plan_by_rules(question, look(corpus_of(f"{preamble}\n\n{DATED}")))
    assert plan is None


def test_a_year_in_a_label_is_no_date() -> None:
    plan = plan_by_rules(
        "Labels: before 2000, after 2000. Which of the labels is the most common?", look(corpus_of(DATED))
    )
    assert plan is not None
    assert plan.answer == Rank(Key(LABEL))


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("How many records in March 2023 have the label 'red'?", Condition("Date", Op.MONTH, ("March 2023",))),
        ("How many records in 2023 have the label 'red'?", Condition("Date", Op.YEAR, ("2023",))),
        ("How many records in May 2023 have the label 'red'?", Condition("Date", Op.MONTH, ("May 2023",))),
        ("How many records before May 5, 2023 have the label 'red'?", Condition("Date", Op.BEFORE, ("May 5, 2023",))),
        ("How many records may before 5 May 2023 have the label 'red'?", Condition("Date", Op.BEFORE, ("5 May 2023",))),
        ("Consider only user 2. How many records have the label 'red'?", Condition("User", Op.IS, ("2",))),
        ("Of users 1 and 2. How many have the label 'red'?", Condition("User", Op.IN, ("1", "2"))),
    ],
)
def test_conditions_on_fields_are_read_to_the_end_of_their_sentence(question: str, expected: Condition) -> None:
    assert conditions(question) == (IS_RED, expected)


def test_of_no_single_record_is_asked_whether_it_is_the_most_common() -> None:
    lines = corpus_of("\n".join(f"User: {n} || Text: {TEXT} {n}" for n in range(6)))
    assert plan_by_rules("Which reviews are about the staff?", look(lines)) is not None
    assert plan_by_rules("Which topic is the most common in the reviews?", look(lines)) is None


def test_fewer_than_every_other_is_fewer_than_the_rarest() -> None:
    plan = plan_by_rules(
        "In how many months does the label 'red' occur less often than every other label?",
        look(corpus_of(f"{DEFINED}\n\n{DATED}")),
    )
    assert plan is not None
    assert isinstance(plan.answer, CountGroups)

    def row(name: str) -> Row:
        return Row(Handle("d", "v", 0, 1), {LABEL: name})

    rarest = [row(name) for name in ("red", "green", "green", "blue", "blue")]
    assert plan.answer.required.holds(rarest)
    assert not plan.answer.required.holds([*rarest, row("red")])
    assert not plan.answer.required.holds([row(name) for name in ("red", "green", "green")])  # of blue there is none


INVOICES = "# All invoices\n\n" + "\n".join(
    f"Date: 2023-0{1 + n % 4}-1{n} || Customer: {n % 3} || Amount: {n},250.50 € || Note: {TEXT} {n}"
    for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is the total amount of the invoices?", Measure("Amount", "sum")),
        ("What was the sum of all amounts?", Measure("Amount", "sum")),
        ("How much is the average amount?", Measure("Amount", "average")),
        ("What is the lowest amount?", Measure("Amount", "minimum")),
        (
            "For customer 2, what is the total amount?",
            Measure("Amount", "sum", (Condition("Customer", Op.IS, ("2",)),)),
        ),
        (
            "What is the average amount of the customers 1 and 2?",
            Measure("Amount", "average", (Condition("Customer", Op.IN, ("1", "2")),)),
        ),
        (
            "What is the highest amount of all invoices of customer 2 after 2023-02-01?",
            Measure(
                "Amount",
                "maximum",
                (Condition("Date", Op.AFTER, ("2023-02-01",)), Condition("Customer", Op.IS, ("2",))),
            ),
        ),
    ],
)
def test_fields_of_numbers_are_measured_without_a_model(question: str, answer: Measure) -> None:
    plan = plan_by_rules(question, look(corpus_of(INVOICES)))
    assert plan is not None
    assert (plan.answer, plan.steps) == (answer, ())


@pytest.mark.parametrize(
    "question",
    [
        "What is the total amount of the unpaid invoices?",
        "What is the average amount of flights to Paris?",
        "What is the average temperature?",
        "What is the lowest note?",
        "What is the total amount after March 2023?",
        "What is the average amount of the refunds?",
        "What is the average amount of Ann?",
        "What is the total amount by month?",
        "What is the total amount per customer?",
        "For Ann, what is the total amount?",
        "What is the total amount in EUR?",
    ],
)
def test_what_asks_for_more_than_a_field_is_not_measured(question: str) -> None:
    assert plan_by_rules(question, look(corpus_of(INVOICES))) is None


TICKETS = look(
    corpus_of(
        "\n".join(
            f"Ticket: {n} || Customer: c{n % 3} || Priority: {n % 4} || Text: The machine leaks and {n} hums at night."
            for n in range(30)
        ),
        titles=("tickets.txt",),
    )
)
OF_C1 = Condition("Customer", Op.IS, ("c1",))


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("How many tickets are from customer c1 or customer c2?", Count((Condition("Customer", Op.IN, ("c1", "c2")),))),
        ("How many tickets from customer c1 have priority 2?", Count((OF_C1, Condition("Priority", Op.IS, ("2",))))),
        ("How many of these tickets are there in all?", Count()),
        ("How many customers are there?", CountGroups(Key("Customer"), Required())),
        (
            "How many different customers have priority 2?",
            CountGroups(Key("Customer"), Required(), (Condition("Priority", Op.IS, ("2",)),)),
        ),
        ("What is the average priority of the tickets?", Measure("Priority", "average")),
    ],
)
def test_what_is_written_is_computed_without_a_model(asked: str, answer: Aggregation) -> None:
    plan = plan_by_rules(asked, TICKETS)
    assert plan is not None
    assert (plan.answer, plan.steps) == (answer, ())


@pytest.mark.parametrize(
    "asked",
    [
        "How many tickets are not from customer c1?",
        "How many tickets have no priority?",
        "How many tickets have a priority other than 2?",
        "How many tickets weren't from customer c2?",
    ],
)
def test_what_is_not_so_is_judged_by_whoever_sees_the_whole_record(asked: str) -> None:
    plan = plan_by_rules(asked, TICKETS)
    assert plan is not None
    assert [type(step) for step in plan.steps] == [Filter]
    assert (plan.where, plan.text_column) == ((), None)


def test_a_word_of_three_letters_is_in_no_condition_either() -> None:
    plan = plan_by_rules("How many tickets of customer c1 are red?", TICKETS)
    assert plan is not None
    assert [type(step) for step in plan.steps] == [Filter]
    assert (plan.where, plan.text_column) == ((OF_C1,), None)
    assert noun_judged("How many tickets of customer c1 are red?") == "tickets"


@pytest.mark.parametrize(
    "asked", ["How many tickets per customer are there?", "How many tickets are there for each day?"]
)
def test_many_numbers_are_no_count(asked: str) -> None:
    assert plan_by_rules(asked, TICKETS) is None


def test_columns_of_csv_are_written_fields() -> None:
    rows = [f'2024-0{n % 9 + 1}-11,c{n % 3},{n % 4},{n}.50,"It leaks, and hums for the {n}th time"' for n in range(30)]
    corpus = corpus_of("\n".join(["date,customer,priority,amount,text", *rows]), titles=("tickets.csv",))
    layout = look(corpus)
    assert layout.columns == ("date", "customer", "priority", "amount", "text")
    assert (layout.dates, layout.numbers, layout.text_column) == (("date",), ("priority", "amount"), "text")
    for asked, answer in {
        "How many tickets are there?": Count(),
        "How many tickets have priority 1?": Count((Condition("priority", Op.IS, ("1",)),)),
        "What is the total amount of the tickets?": Measure("amount", "sum"),
        "How many customers are there?": CountGroups(Key("customer"), Required()),
    }.items():
        plan = plan_by_rules(asked, layout)
        assert plan is not None
        assert plan.answer == answer


def test_a_negation_in_a_label_is_none_of_the_question() -> None:
    defined = "Every record has one of the labels: 'urgent' (cannot wait); 'not urgent' (can wait)."
    asked = f"{defined} Question: How many records have the label 'not urgent'?"
    plan = plan_by_rules(asked, TICKETS)
    assert plan is not None
    assert plan.answer == Count((Condition(LABEL, Op.IS, ("not urgent",)),))
    assert plan_by_rules(asked.replace("have the label", "do not have the label"), TICKETS) is None


@pytest.mark.parametrize(
    "asked",
    [
        "Which customer has the most open tickets?",
        "Which customer has the most tickets last month?",
        "Which customer complains most often about leaks?",
        "Which customer has the most tickets? Ignore customer c1.",
        "Are there more open tickets of customer c1 than of customer c2?",
        "Are there more tickets of customer c1 than of customer c2 with priority 2?",
        "How many customers have more than 3 tickets about leaks?",
        "How many different customers are in the US?",
        "How many more tickets have priority 2 than priority 3?",
        "How many percent of the tickets have priority 2?",
        "How many tickets are there by customer?",
        "How many words do the tickets have?",
        "Which ticket has the highest priority?",
        "What is the total of the tickets?",
    ],
)
def test_what_would_leave_something_out_is_no_plan(asked: str) -> None:
    assert plan_by_rules(asked, TICKETS) is None


@pytest.mark.parametrize(
    "asked",
    [
        "How many tickets have priority 2 or higher?",
        "How many tickets have at least priority 2?",
        "How many tickets have priority 1 to 3?",
        "How many tickets have priority 2+?",
        "How many tickets are from customer c1 or have priority 2?",
        "How many tickets have the priority 2 or the priority 3?",
        "How many tickets are there besides those of customer c1?",
        "How many tickets are from anyone but customer c1?",
        "How many tickets dont have priority 2?",
        "How many tickets are open?",
        "How many tickets have amount 1,250?",
    ],
)
def test_conditions_of_other_kinds_are_judged_by_who_sees_the_whole_record_if_at_all(asked: str) -> None:
    plan = plan_by_rules(asked, TICKETS)
    if plan is None:
        return
    assert [type(step) for step in plan.steps] == [Filter]
    assert (plan.where, plan.text_column) == ((), None)


def test_what_code_knows_of_it_is_not_judged() -> None:
    for asked in ("How many tickets in HR have priority 2?", "How many tickets with priority 2 are from IT?"):
        plan = plan_by_rules(asked, TICKETS)
        assert plan is not None
        assert [type(step) for step in plan.steps] == [Filter]
        assert plan.where == (Condition("Priority", Op.IS, ("2",)),)


LABELLED = look(corpus_of(f"{DEFINED}\n\n" + DATED.replace("label: ", "Note: ")))


@pytest.mark.parametrize(
    "asked",
    [
        "How many more records have the label 'red' than 'blue'?",
        "How many users have records with the label 'red'?",
        "How many records on weekends have the label 'red'?",
        "How many records lack the label 'red'?",
        "How many records have another label than 'red'?",
        "Which user is the most common among records with the label 'red'?",
        "Which user has the most 'red' and the fewest 'blue' records?",
        "Are there more 'red' than 'blue' records in March 2023?",
        "In how many months do both 'red' and 'blue' occur?",
        "How many records have the label 'red', 'green' or 'blue'?",
    ],
)
def test_labels_with_more_than_a_label_are_no_plan(asked: str) -> None:
    assert plan_by_rules(asked, LABELLED) is None


def test_labels_listed_before_a_question_are_none_of_its_conditions() -> None:
    asked = "Categories: billing, shipping, technical. How many tickets of customer c1 are billing?"
    plan = plan_by_rules(asked, TICKETS)
    assert plan is not None
    assert plan.answer == Count((Condition(LABEL, Op.IS, ("billing",)), OF_C1))


TWO_DATES = look(
    corpus_of(
        "\n".join(
            f"{n},2024-01-{n % 28 + 1:02},2024-02-{n % 28 + 1:02},{n}.00,A line of words"
            if n
            else "invoice number,date,due date,amount,text"
            for n in range(30)
        ),
        titles=("invoices.csv",),
    )
)


def test_of_several_dates_the_one_that_is_named_counts() -> None:
    plan = plan_by_rules("How many invoices have a due date after 2024-02-05?", TWO_DATES)
    assert plan is not None
    assert plan.answer == Count((Condition("due date", Op.AFTER, ("2024-02-05",)),))
    assert plan_by_rules("How many invoices were paid in February 2024?", TWO_DATES) is None


@pytest.mark.parametrize("asked", ["What is the sum of all invoices?", "What is the total invoice number?"])
def test_what_only_numbers_records_is_not_added_up(asked: str) -> None:
    assert plan_by_rules(asked, TWO_DATES) is None


def test_numbers_are_the_same_however_they_are_written() -> None:
    plan = plan_by_rules("How many invoices have amount 7?", TWO_DATES)
    assert plan is not None
    assert plan.answer == Count((Condition("amount", Op.IS, ("7",)),))
    assert plan.answer.where[0].holds(Row(Handle("d", "v", 0, 1), {"amount": "7.00"}))
    assert not Condition("user", Op.IS, ("7",)).holds(Row(Handle("d", "v", 0, 1), {"user": "007"}))


@pytest.mark.parametrize("nothing", ["", " ", "-", "N/A", "null", "None"])
def test_a_field_without_a_value_is_no_group(nothing: str) -> None:
    assert Key("manager").of(Row(Handle("d", "v", 0, 1), {"manager": nothing})) is None


@pytest.mark.parametrize(
    "asked",
    [
        "How many different customers have five tickets?",
        "How many different customers have tickets most often?",
        "How many tickets are there and how many of them are of customer c1?",
        "How many tickets have priority 2? And of customer c1?",
        "Which customer has the most tickets, and which the fewest?",
        "How many customers have 5 tickets and more?",
        "How many tickets are there. List only those with a leak.",
        "Which day had the most days?",
    ],
)
def test_half_of_what_is_asked_is_no_plan(asked: str) -> None:
    plan = plan_by_rules(asked, TICKETS)
    assert plan is None or plan.steps


@pytest.mark.parametrize(
    "when",
    [
        "the day after 2023-03-05",
        "in the month before 2023-04-01",
        "before and after 2023-03-05",
        "on and after 2023-03-05",
        "on the second day of March 2023",
        "after the 5th of March 2023",
    ],
)
def test_dates_that_others_are_counted_from_are_in_no_condition(when: str) -> None:
    plan = plan_by_rules(f"How many records were made {when}?", look(corpus_of(DATED)))
    assert plan is None or (plan.where == () and plan.steps)


def test_groups_without_any_such_record_have_fewer_too() -> None:
    rows = [("a", 1), ("a", 1), ("a", 2), ("b", 2), ("c", 1)]
    corpus = corpus_of("\n".join(f"User: {u} || Level: {n} || Text: {TEXT}" for u, n in rows))
    for asked, expected in {
        "How many users have fewer than 2 records with level 1?": 2,
        "How many users have at most 1 record with level 2?": 3,
        "How many users have exactly 1 record with level 1?": 1,
        "How many users have 2 records with level 1?": 1,
    }.items():
        plan = plan_by_rules(asked, look(corpus))
        assert plan is not None, asked
        assert compute(plan, finish(execute(plan, corpus, None))).result.value == expected, asked


def test_pieces_of_prose_are_not_counted() -> None:
    layout = look(corpus_of("The pigs built a house. " * 400, titles=("The three little pigs.txt",)))
    plan = plan_by_rules("How many pigs are there?", layout)
    assert plan is None or plan.steps


@pytest.mark.parametrize("label", ["billing", "BILLING", "Billings"])
def test_a_label_is_known_however_it_is_written(label: str) -> None:
    asked = f"Categories: Billing, Shipping, A. How many tickets are {label}?"
    plan = plan_by_rules(asked, TICKETS)
    assert plan is not None
    assert plan.answer == Count((Condition(LABEL, Op.IS, ("Billing",)),))


@pytest.mark.parametrize(
    ("question", "criterion", "subject"),
    [
        ("How many records mention a leak?", "Is this one of the records that mention a leak?", "a leak"),
        ("Which records are about the war?", "Is this one of the records that are about the war?", "about the war"),
        ("List all records about the war.", "Is this one of the records about the war?", "the war"),
        (
            "Which records that praise the staff are there?",
            "Is this one of the records that praise the staff are there?",
            "the staff are there",
        ),
    ],
)
def test_a_yes_or_no_question_asks_of_one_record_what_the_question_asks_of_all(
    question: str, criterion: str, subject: str
) -> None:
    plan = plan_by_rules(question, look(corpus_of("\n".join(f"It rained in hall {n} for days." for n in range(30)))))
    assert plan is not None
    assert plan.steps == (Filter(criterion, subject=subject),)
