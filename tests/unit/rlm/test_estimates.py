"""What judging records is estimated to cost, and when a caller is asked first."""

from decimal import Decimal

import pytest

from ingest.storage.tables.store import RecordTables
from rlm.errors import RunTooLargeError
from rlm.estimates import (
    MAX_UNCONFIRMED_DOLLARS,
    CostEstimate,
    estimate_judging_cost,
    estimate_searched_judging,
    format_limits,
    require_confirmation,
)
from rlm.llm.budgets import Limits, Price
from rlm.llm.profiles import ModelProfile
from rlm.operators.cascade import CascadeLimits
from rlm.operators.operators import Operators, run_operator
from rlm.operators.packing import PackLimits
from rlm.requests import DEFAULT_OPTIONS, AnswerOptions
from rlm.tables.catalog import TableInScope, TableKind
from rlm.tables.columns import judge_document_columns
from rlm.tables.opened import open_table
from rlm.tables.plan import SemanticColumn, SemanticType
from rlm.tables.searched import DocumentPassages, ReadingSize
from tests.fakes.memory_blobs import MemoryBlobs
from tests.fakes.rule_subcalls import RuleSubCalls
from tests.support.contexts import corpus_of, document_search_over
from tests.support.kinds_of_lines import LABELS, corpus_and_records, kind, lines

PROFILE = ModelProfile("priced", 8_000, 1_000, slice_tokens=1_000, price=Price(Decimal(1), Decimal(4)))
LARGE = CostEstimate(calls=1, dollars=2 * MAX_UNCONFIRMED_DOLLARS)


@pytest.mark.parametrize("words", [1, 20, 900])
def test_an_estimate_is_within_a_factor_of_two(words: int) -> None:
    texts = [f"{text} {number} {'word ' * words}" for number, text in enumerate(lines(60))]
    corpus, records = corpus_and_records(texts)
    pack = PackLimits.from_profile(PROFILE)
    calls = RuleSubCalls(lambda text: "noted" if text.startswith("word") else kind(text))
    found = run_operator(Operators(corpus, calls, limits=pack).classify(records, LABELS))
    tokens = sum(corpus.estimate_tokens(record) for record in records)
    estimate = estimate_judging_cost(len(records), tokens, PROFILE, pack_limits=pack, cascade_limits=None)
    assert found.usage.calls / 2 <= estimate.calls <= 2 * found.usage.calls
    assert found.usage.prompt_tokens / 2 <= estimate.prompt_tokens <= 2 * found.usage.prompt_tokens


def test_copying_the_words_that_results_rest_on_is_estimated_within_a_factor_of_two() -> None:
    texts = [f"{text} {number} {'word ' * 400}" for number, text in enumerate(lines(20))]
    corpus, records = corpus_and_records(texts)
    pack = PackLimits.from_profile(PROFILE)
    clause = "Either party may end this contract by giving notice of sixty days in writing to the other."
    calls = RuleSubCalls(lambda text: {"words": clause, "answer": kind(text)})
    found = run_operator(Operators(corpus, calls, limits=pack).classify(records, LABELS, with_quotes=True))
    tokens = sum(corpus.estimate_tokens(record) for record in records)
    estimate = estimate_judging_cost(
        len(records), tokens, PROFILE, pack_limits=pack, cascade_limits=None, with_quotes=True
    )
    assert found.quotes == [clause] * len(records)
    assert found.usage.completion_tokens / 2 <= estimate.completion_tokens <= 2 * found.usage.completion_tokens


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_column_over_documents_by_search_is_estimated_within_a_factor_of_two(share: float) -> None:
    facts = "".join(f"\n\nThe auditor of unit {at} is a firm. {'It stays in office. ' * 46}" for at in range(40))
    corpus = corpus_of(
        {f"Report {at}": f"Firm {at}. {'It was a year like any other. ' * 120}{facts}" for at in range(20)}
    )
    capable = ModelProfile("capable", 131_072, 8_192)
    pack = PackLimits.from_profile(capable)
    missing = {f"Report {at}" for at in range(round(share * 20))}

    def rule(text: str) -> object:
        return {"value": None if text.partition(".md")[0] in missing else "a firm"}

    calls = RuleSubCalls(rule)
    size = ReadingSize()
    passages = DocumentPassages(corpus, document_search_over(corpus), size, pack.record_chars)
    column = SemanticColumn("documents", "auditor", "Which firm is the auditor?", SemanticType.TEXT)
    table = open_table(TableInScope("documents", TableKind.DOCUMENTS, (), 20), corpus, RecordTables(MemoryBlobs()))
    operators = Operators(corpus, calls, limits=pack)
    (found,) = run_operator(judge_document_columns([column], table, range(1, 21), operators, corpus, passages, "Who?"))
    assert len(found.not_found) == len(missing)
    tokens = [each.tokens for each in corpus.documents]
    assert min(tokens) > 4_000
    estimate = estimate_searched_judging(tokens, capable, size, pack=pack, values=True)
    assert found.found.usage.calls / 2 <= estimate.calls <= 2 * found.found.usage.calls
    assert found.found.usage.prompt_tokens / 2 <= estimate.prompt_tokens <= 2 * found.found.usage.prompt_tokens
    assert estimate.records == 20


def test_twenty_long_filings_are_estimated_at_less_than_sixty_thousand_tokens_and_two_readings_are_said() -> None:
    profile = ModelProfile("capable", 131_072, 8_192)
    pack = PackLimits.from_profile(profile)
    estimate = estimate_searched_judging([100_000] * 20, profile, ReadingSize(), pack=pack, values=True, quoting=True)
    assert estimate.prompt_tokens < 60_000
    assert estimate.seconds > 20 * 0.05, "searching takes time, too"
    assert "over 20 records (8 of them read twice)" in estimate.to_sentence()
    together = estimate + estimate_judging_cost(5, 500, profile, pack_limits=pack, cascade_limits=None)
    assert (together.records, together.reread) == (25, 8)


def test_two_columns_of_documents_that_are_read_together_cost_little_more_than_one() -> None:
    profile = ModelProfile("capable", 131_072, 8_192)
    pack = PackLimits.from_profile(profile)
    one, two = (
        estimate_searched_judging([100_000] * 20, profile, ReadingSize(columns), pack=pack, values=True, quoting=True)
        for columns in (1, 2)
    )
    assert two.prompt_tokens < 1.2 * one.prompt_tokens
    assert two.completion_tokens == 2 * one.completion_tokens


def test_a_classifier_makes_a_large_table_cheaper() -> None:
    pack = PackLimits.from_profile(PROFILE)
    alone = estimate_judging_cost(50_000, 1_000_000, PROFILE, pack_limits=pack, cascade_limits=None)
    together = estimate_judging_cost(50_000, 1_000_000, PROFILE, pack_limits=pack, cascade_limits=CascadeLimits())
    assert together.calls < alone.calls / 2
    assert together.dollars is not None
    assert alone.dollars is not None
    assert together.dollars < alone.dollars


def test_only_a_large_run_that_nobody_confirmed_or_budgeted_is_refused() -> None:
    with pytest.raises(RunTooLargeError):
        require_confirmation(LARGE, DEFAULT_OPTIONS)
    for wanted in (AnswerOptions(confirm=True), AnswerOptions(budget=Limits(calls=3))):
        require_confirmation(LARGE, wanted)
    require_confirmation(CostEstimate(), DEFAULT_OPTIONS)


def test_a_sum_without_a_known_price_has_none() -> None:
    assert (LARGE + CostEstimate(dollars=None)).dollars is None
    assert (LARGE + LARGE).dollars == 4 * MAX_UNCONFIRMED_DOLLARS


def test_one_call_one_record_and_one_token_are_singular() -> None:
    said = CostEstimate(records=1, calls=1, prompt_tokens=1).to_sentence()
    assert said.startswith("About 1 call of the language model over 1 record, 1 token, ")
    limits = Limits(calls=1, prompt_tokens=1, completion_tokens=2, tokens=3_000)
    assert format_limits(limits) == (
        "At most 1 call of the language model, 1 token to read, 2 tokens to write, 3,000 tokens to read and write."
    )
