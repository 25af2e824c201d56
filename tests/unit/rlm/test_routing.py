from decimal import Decimal

import pytest

from rlm.budgets import Limits
from rlm.corpus.corpus import Corpus
from rlm.errors import RunCancelledError, RunTooLargeError
from rlm.estimates import Estimate, estimate
from rlm.operators.cascade import EVERY_RECORD, CascadeLimits
from rlm.operators.operators import Operators, finish
from rlm.operators.packing import PackLimits
from rlm.operators.table import Condition, Op
from rlm.plan.executor import execute
from rlm.plan.layout import look
from rlm.plan.plan import Classify, Count
from rlm.plan.rules import plan_by_rules
from rlm.prices import Price
from rlm.profiles import LOCAL_QWEN, ModelProfile
from rlm.routing import Route, Wanted, require_confirmation, route
from rlm.strategy_names import StrategyName
from tests.fakes.rule_subcalls import RuleSubCalls
from tests.support.books import book
from tests.support.corpora import corpus_of
from tests.support.labelled_records import PREAMBLE, document, label_of, labelled_records

RECORDS = corpus_of(document(labelled_records(120)))
BOOK = corpus_of(book(1))
COUNTING = f"{PREAMBLE} Question: How many records have the label 'plant'?"


def routed(
    question: str, corpus: Corpus = RECORDS, *, wanted: StrategyName = StrategyName.AUTO, judge: bool = True
) -> Route:
    return route(question, Wanted(wanted), lambda: corpus, can_judge=judge)


@pytest.mark.parametrize(
    "question",
    [
        COUNTING,
        f"{PREAMBLE} Question: Which of the labels is the most common?",
        "Which user has the most records?",
        "How many of the records mention a bird?",
    ],
)
def test_questions_about_all_records_are_exhaustive_and_say_why(question: str) -> None:
    found = routed(question)
    assert found.strategy is StrategyName.EXHAUSTIVE
    assert "120 records" in found.reason
    assert found.plan is not None


@pytest.mark.parametrize(
    ("question", "corpus"),
    [
        ("Who wrote to the harbour master?", RECORDS),
        ("How many ships are in the bay?", RECORDS),
        ("How many children does Mr. Bennet have?", BOOK),
        ("How many of the chapters mention a whale?", BOOK),
        ("Which captain has the most whales?", BOOK),
        ("Which of the labels is the most common?", corpus_of()),
    ],
)
def test_other_questions_are_read_for_directly(question: str, corpus: Corpus) -> None:
    assert routed(question, corpus).strategy is StrategyName.DIRECT


TICKETS = document(labelled_records(120))


@pytest.mark.parametrize("title", ["tickets.txt", "Support-Tickets 2024", "ticket"])
@pytest.mark.parametrize(
    "asked",
    [
        "How many tickets mention a bird?",
        "List all of the open tickets that ask for it.",
        "Name every ticket that mentions a bird.",
        "How many tickets are there?",
        "How many tickets have user 10000?",
    ],
)
def test_records_may_be_called_as_the_documents_are(title: str, asked: str) -> None:
    corpus = corpus_of(TICKETS, TICKETS, titles=(title, title))
    found = route(asked, Wanted(), lambda: corpus, can_judge=True, can_program=True)
    assert found.strategy is StrategyName.EXHAUSTIVE
    assert found.plan is not None
    # A small model judges no records that are not called so, and is not needed for what is written.
    judges = bool(found.plan.steps)
    assert routed(asked, corpus).strategy is (StrategyName.DIRECT if judges else StrategyName.EXHAUSTIVE)
    assert routed(asked).strategy is StrategyName.DIRECT


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        ("How many tickets are there?", Count()),
        ("How many records are there in total?", Count()),
        ("How many tickets have user 10000?", Count((Condition("User", Op.IS, ("10000",)),))),
    ],
)
def test_what_is_written_of_them_is_counted_without_a_model(asked: str, count: Count) -> None:
    plan = plan_by_rules(asked, look(corpus_of(TICKETS, titles=("tickets.txt",))))
    assert plan is not None
    assert (plan.answer, plan.steps) == (count, ())


@pytest.mark.parametrize("asked", ["How many customers are angry?", "How many users are angry?", "How many are angry?"])
def test_what_has_records_is_no_record(asked: str) -> None:
    assert routed(asked, corpus_of(TICKETS, titles=("customer tickets.txt",))).strategy is StrategyName.DIRECT
    assert routed(asked, corpus_of(TICKETS, titles=("users.txt",))).strategy is StrategyName.DIRECT


def test_not_where_some_documents_are_called_otherwise() -> None:
    corpus = corpus_of(TICKETS, TICKETS, titles=("tickets.txt", "reviews.txt"))
    assert routed("How many tickets mention a bird?", corpus).strategy is StrategyName.DIRECT


@pytest.mark.parametrize(
    ("question", "corpus"),
    [
        ("List all of the ships that are named.", BOOK),
        ("Name every ship.", BOOK),
        ("How many different captains are there?", BOOK),
        ("Which pairs of captains meet?", BOOK),
        ("Which word is used least often?", corpus_of(document(labelled_records(1_200)))),
    ],
)
def test_what_no_rule_plans_over_much_text_goes_to_a_model_that_programs(question: str, corpus: Corpus) -> None:
    found = route(question, Wanted(), lambda: corpus, can_judge=True, can_program=True)
    assert found.strategy is StrategyName.RECURSIVE
    assert "the model programs" in found.reason
    little = corpus_of("Ahab and Starbuck are captains.")
    assert route(question, Wanted(), lambda: little, can_judge=True, can_program=True).strategy is StrategyName.DIRECT


@pytest.mark.parametrize("of", ["All", "Any", "How many", "Which", "One", "12"])
def test_some_of_many_are_no_chain_of_facts(of: str) -> None:
    asked = f"{of} of the open letters that mention a ship are long?"
    assert route(asked, Wanted(), lambda: BOOK, can_judge=True).strategy is StrategyName.DIRECT


@pytest.mark.parametrize(
    "asked",
    [
        "How many children does Mr. Bennet have?",
        "How many of the crew survived the wreck?",
        "What is the most common cause of scurvy?",
        "Which captain has the most whales?",
    ],
)
def test_one_fact_is_looked_up_by_a_model_that_programs_too(asked: str) -> None:
    assert route(asked, Wanted(), lambda: BOOK, can_judge=True, can_program=True).strategy is StrategyName.DIRECT


def test_documents_are_not_looked_at_for_a_question_that_needs_no_counting() -> None:
    def untouched() -> Corpus:
        raise AssertionError("the corpus was opened")

    assert route("Who is Harriet Smith?", Wanted(), untouched, can_judge=True).strategy is StrategyName.DIRECT
    forced = route(COUNTING, Wanted(StrategyName.DIRECT), untouched, can_judge=True)
    assert forced.strategy is StrategyName.DIRECT


@pytest.mark.parametrize("wanted", [StrategyName.AUTO, StrategyName.EXHAUSTIVE])
def test_choosing_can_be_cancelled_while_documents_are_looked_at(wanted: StrategyName) -> None:
    with pytest.raises(RunCancelledError):
        route(COUNTING, Wanted(wanted), lambda: RECORDS, can_judge=True, cancelled=lambda: True)


def test_without_a_language_model_only_written_fields_are_counted() -> None:
    assert routed(COUNTING, judge=False).strategy is StrategyName.DIRECT
    assert routed("Which user has the most records?", judge=False).strategy is StrategyName.EXHAUSTIVE


def test_a_field_of_numbers_is_added_up_by_whoever_asks_for_its_sum() -> None:
    invoices = corpus_of(
        "# Invoices\n\n"
        + "\n".join(f"Customer: {n} || Amount: {n}.50 || Note: a note of some length" for n in range(20))
    )
    found = routed("What is the total amount of the invoices?", invoices, judge=False)
    assert found.strategy is StrategyName.EXHAUSTIVE
    assert routed("What is the total length of the bridge?", invoices).strategy is StrategyName.DIRECT


def test_a_caller_may_force_a_strategy() -> None:
    assert routed("Beasts, in total?", wanted=StrategyName.EXHAUSTIVE).strategy is StrategyName.EXHAUSTIVE
    assert routed(COUNTING, wanted=StrategyName.DIRECT).strategy is StrategyName.DIRECT


LARGE = Estimate(records=250_000, calls=30_000, prompt_tokens=9_000_000, completion_tokens=2_000_000, seconds=9_000.0)


def test_a_large_run_is_refused_with_its_estimate_and_costs_nothing() -> None:
    with pytest.raises(RunTooLargeError, match=r"30,000 calls.*250,000 records.*11,000,000 tokens.*2\.5 h"):
        require_confirmation(LARGE, Wanted())


@pytest.mark.parametrize("wanted", [Wanted(confirm=True), Wanted(budget=Limits(calls=10))], ids=["confirmed", "budget"])
def test_a_large_run_begins_when_the_caller_says_so(wanted: Wanted) -> None:
    require_confirmation(LARGE, wanted)


def test_a_small_run_begins_unasked() -> None:
    require_confirmation(Estimate(records=100, calls=10, seconds=20.0), Wanted())


def test_money_alone_makes_a_run_large() -> None:
    assert Estimate(seconds=5.0, dollars=Decimal("1.5")).large
    assert not Estimate(seconds=5.0, dollars=None).large


@pytest.mark.parametrize("items", [4, 10, 40])
def test_an_estimate_is_within_a_factor_of_two_of_what_is_spent(items: int) -> None:
    corpus = corpus_of(document(labelled_records(400)))
    layout = look(corpus)
    plan = plan_by_rules(COUNTING, layout)
    assert plan is not None
    profile = ModelProfile("m", 32_000, 2_000, price=Price(Decimal(1), Decimal(4)))
    pack = PackLimits(items, 4_000)
    expected = estimate(plan, layout, corpus, profile, pack=pack, cascade=EVERY_RECORD)
    calls = RuleSubCalls(label_of)
    spent = finish(execute(plan, corpus, Operators(corpus, calls, limits=pack))).usage
    assert 0.5 <= expected.calls / spent.calls <= 2
    assert 0.5 <= expected.prompt_tokens / spent.prompt_tokens <= 2
    assert 0.4 <= expected.completion_tokens / spent.completion_tokens <= 2.5
    assert expected.dollars == profile.price.of(expected.prompt_tokens, expected.completion_tokens)  # type: ignore[union-attr]


def test_labels_that_are_weighed_go_with_each_record_twice() -> None:
    corpus = corpus_of(document(labelled_records(96)))
    layout = look(corpus)
    plan = plan_by_rules(COUNTING, layout)
    assert plan is not None
    (step,) = plan.steps
    assert isinstance(step, Classify)
    read, weighed = (
        estimate(plan, layout, corpus, LOCAL_QWEN, pack=PackLimits(10), cascade=CascadeLimits(), weigh=weigh)
        for weigh in (False, True)
    )
    assert weighed.calls == read.calls == 20
    assert weighed.completion_tokens == 2 * 96 * len(step.labels.names)
    assert weighed.prompt_tokens > read.prompt_tokens


def test_only_records_that_meet_a_plan_s_conditions_are_counted() -> None:
    found = labelled_records(400)
    user = found[0].user
    corpus = corpus_of(document(found))
    layout = look(corpus)
    plan = plan_by_rules(f"{PREAMBLE} Question: How many records of user {user} have the label 'plant'?", layout)
    assert plan is not None
    cost = estimate(plan, layout, corpus, LOCAL_QWEN, pack=PackLimits(10), cascade=CascadeLimits())
    assert cost.records == sum(record.user == user for record in found) < 100
    assert cost.calls <= 2 * (cost.records // 10 + 1)
    with pytest.raises(RunCancelledError):
        estimate(plan, layout, corpus, LOCAL_QWEN, pack=PackLimits(10), cascade=CascadeLimits(), cancelled=lambda: True)


def test_where_no_record_meets_them_nothing_is_spent() -> None:
    layout = look(RECORDS)
    plan = plan_by_rules(f"{PREAMBLE} Question: How many records of user 1 have the label 'plant'?", layout)
    assert plan is not None
    assert plan.where
    cost = estimate(plan, layout, RECORDS, LOCAL_QWEN, pack=PackLimits(10), cascade=CascadeLimits())
    assert cost == Estimate()


def test_a_plan_that_judges_nothing_costs_nothing() -> None:
    layout = look(RECORDS)
    plan = plan_by_rules("Which user has the most records?", layout)
    assert plan is not None
    profile = ModelProfile("m", 32_000, 2_000)
    found = estimate(plan, layout, RECORDS, profile, pack=PackLimits(), cascade=CascadeLimits())
    assert found == Estimate()


def test_open_ended_questions_over_much_text_go_to_a_model_that_programs() -> None:
    question = "Trace how the captain's mood changes across the book."
    chosen = route(question, Wanted(), lambda: BOOK, can_judge=True, can_program=True)
    assert chosen.strategy is StrategyName.RECURSIVE
    assert "tokens" in chosen.reason
    assert routed(question, BOOK).strategy is StrategyName.DIRECT
    small = route(question, Wanted(), lambda: RECORDS, can_judge=True, can_program=True)
    assert small.strategy is StrategyName.DIRECT


@pytest.mark.parametrize(
    "question",
    [
        "In which year did the designer of the bridge that is guarded by two lions die?",
        "Where is the body that owns the vessel whose figurehead is a boar based?",
        "Who is the patron of the town in which the chestnut festival is held?",
    ],
)
def test_chains_of_facts_go_to_a_model_that_programs_or_are_followed_link_by_link(question: str) -> None:
    chosen = route(question, Wanted(), lambda: BOOK, can_judge=True, can_program=True)
    assert chosen.strategy is StrategyName.RECURSIVE
    assert "chain of facts" in chosen.reason
    assert routed(question, BOOK).strategy is StrategyName.CHAIN
    assert routed(question, BOOK, judge=False).strategy is StrategyName.DIRECT


@pytest.mark.parametrize(
    "question",
    [
        "What was the name of the ship that was crushed by the ice in the Weddell Sea?",
        "Who is the mad woman that Mr. Rochester keeps locked up at Thornfield?",
        "What name does Robinson Crusoe give to the man he rescues from the savages?",
        "What is the number of the paragraph about refunds?",
        "What was the colour of the clothes that Ada Lind wore to get married, to everyone's surprise?",
        "What is the price of the ticket that lasts a week?",
    ],
)
def test_one_fact_is_read_for_directly_whoever_reads(question: str) -> None:
    assert route(question, Wanted(), lambda: BOOK, can_judge=True, can_program=True).strategy is StrategyName.DIRECT


def test_a_recursive_run_can_be_forced() -> None:
    assert routed("Who is Ahab?", wanted=StrategyName.RECURSIVE).reason == "Recursive, as asked."


HALLS = corpus_of(
    "\n".join(f"Hall: {n} || Note: something does not work as it should" for n in range(30)), titles=["tickets.txt"]
)


@pytest.mark.parametrize(
    ("question", "strategy"),
    [
        ("How many tickets mention a leak?", StrategyName.EXHAUSTIVE),
        ("How many of the records mention a leak?", StrategyName.EXHAUSTIVE),
        ("How many tickets don't mention a leak?", StrategyName.DIRECT),
        ("Which pairs of tickets describe the same fault?", StrategyName.DIRECT),
        ("How many ships mention a leak?", StrategyName.DIRECT),
    ],
)
def test_a_model_whose_yes_is_weighed_is_asked_of_what_titles_name_but_not_what_it_is_not(
    question: str, strategy: StrategyName
) -> None:
    found = route(question, Wanted(), lambda: HALLS, can_judge=True, can_weigh=True)
    assert found.strategy is strategy
