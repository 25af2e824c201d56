"""Questions about records through everything but the network: router, scheduler, cache, budget."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel

from ingest.catalog.catalog import Visible
from ingest.catalog.records import ActiveDocument
from ingest.texts import Texts
from retrieval.bm25 import Bm25Encoder
from retrieval.embedding import HashingEmbedder
from retrieval.search import Searcher, SearchRequest, SearchResult
from rlm.answering import UNASKED, Answering
from rlm.answers import Answer, AnswerStatus
from rlm.build import Library
from rlm.errors import LanguageModelRefusedError, NotExhaustiveError, RunTooLargeError, SandboxUnavailableError
from rlm.events import Completed, Routed
from rlm.llm.budgets import Limits
from rlm.llm.cache import MemoryReplyCache, ReplyCache
from rlm.llm.prices import Price
from rlm.llm.profiles import ModelProfile
from rlm.llm.scheduler import SubCallScheduler
from rlm.loop.strategy import RecursiveStrategy
from rlm.requests import ANYHOW, AnswerScope, StrategyName, Wanted
from rlm.runs.port import ONCE, Durability, Once
from rlm.sandbox.build import build_sandbox
from rlm.sandbox.forms import SandboxForm
from rlm.sandbox.port import Sandbox
from tests.fakes.loaded_model import LoadedModel
from tests.fakes.memory_blobs import MemoryBlobs
from tests.fakes.rule_chat import RuleChat
from tests.fakes.scripted_chat import ScriptedChat
from tests.support.fixed_generation import FixedGeneration
from tests.support.labelled_records import PREAMBLE, by_label, document, labelled_records
from tests.support.memory_index import MemoryIndex

RECORDS = labelled_records(90)
TEXT = document(RECORDS)
COUNTING = f"{PREAMBLE} Question: How many records have the label 'plant'?"
SCOPE = AnswerScope("ann")


class OneDocument:
    """A catalog of one document, which only one tenant has."""

    def active_documents(
        self, tenant_id: str, *, collections: Sequence[str], identifiers: Sequence[str], after: int
    ) -> list[ActiveDocument]:
        if tenant_id != "ann" or after:
            return []
        return [ActiveDocument(1, "d1", "v1", "c", "r.txt", "Records", len(TEXT), None, {})]

    def attributes(self, tenant_id: str) -> list[tuple[str, Mapping[str, Any]]]:
        return []

    def hidden_versions(self, tenant_id: str) -> list[str]:
        return []

    def visible(self, tenant_id: str, version_ids: Collection[str]) -> dict[str, Visible]:
        return {}


PROFILE = ModelProfile("rules", 32_000, 2_000)
SLOW = ModelProfile("slow", 32_000, 2_000, read_speed=0.1)


@pytest.fixture
def replies() -> MemoryReplyCache:
    return MemoryReplyCache()


@pytest.fixture
def scheduler(replies: MemoryReplyCache) -> Iterator[SubCallScheduler]:
    made = SubCallScheduler(replies)
    yield made
    made.close()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    made = build_sandbox(SandboxForm.PLAIN)
    yield made
    made.close()


def answering(
    scheduler: SubCallScheduler,
    chat: BaseChatModel | None,
    profile: ModelProfile = PROFILE,
    sandbox: Sandbox | None = None,
    replies: ReplyCache | None = None,
) -> Answering:
    texts = Texts(MemoryBlobs())
    texts.save("v1", TEXT, title="Records", pages=(), chunks=())
    catalog, encoder = OneDocument(), HashingEmbedder()
    searcher = Searcher(FixedGeneration(MemoryIndex(), encoder), Bm25Encoder(), catalog, texts)
    return Answering(
        searcher, LoadedModel(chat, profile), Library(catalog, texts, encoder, sandbox, replies), scheduler
    )


def answer(made: Answering, question: str = COUNTING, wanted: Wanted = ANYHOW, scope: AnswerScope = SCOPE) -> Answer:
    events = list(made.stream(question, scope, wanted=wanted))
    assert isinstance(events[0], Routed)
    assert isinstance(events[-1], Completed)
    return events[-1].answer


def test_a_question_about_records_is_answered_from_all_of_them(scheduler: SubCallScheduler) -> None:
    found = answer(answering(scheduler, RuleChat()))
    assert found.text.split("\n")[0] == str(by_label(RECORDS)["plant"])
    assert found.strategy == "exhaustive"
    assert "90 records" in found.reasons[0]
    assert found.usage.prompt_tokens > 0


def test_the_same_question_again_and_another_with_the_same_labels_cost_nothing(scheduler: SubCallScheduler) -> None:
    chat = RuleChat()
    made = answering(scheduler, chat)
    first = answer(made)
    asked = len(chat.prompts)
    again = answer(made)
    other = answer(made, f"{PREAMBLE} Question: Which of the labels is the most common?")
    assert first.usage.calls == asked
    assert (again.usage.calls, other.usage.calls, len(chat.prompts)) == (0, 0, asked)
    assert again.text == first.text
    assert other.text.split("\n")[0] == by_label(RECORDS).most_common(1)[0][0]


def test_of_a_part_of_the_records_is_said_what_was_found_of_all(
    scheduler: SubCallScheduler, replies: MemoryReplyCache
) -> None:
    chat = RuleChat()
    made = answering(scheduler, chat, replies=replies)
    (user, number), (other, _) = Counter(record.user for record in RECORDS).most_common(2)
    alone = answer(made, of_user(user, "plant"))
    assert alone.usage.calls == len(chat.prompts) == 2 * -(-number // PROFILE.batch_items)
    assert answer(made).usage.calls > 0
    asked = len(chat.prompts)
    part = answer(made, of_user(user, "plant"))
    assert (part.text, part.coverage, part.usage.calls) == (alone.text, alone.coverage, 0)
    found = answer(made, of_user(other, "animal"))
    animals = sum((record.user, record.label) == (other, "animal") for record in RECORDS)
    assert found.text.split("\n")[0] == str(animals)
    assert (found.usage.calls, len(chat.prompts)) == (0, asked)


def of_user(user: int, label: str) -> str:
    return f"{PREAMBLE} Question: How many records of user {user} have the label '{label}'?"


def test_a_budget_that_does_not_cover_all_leaves_a_partial_answer(scheduler: SubCallScheduler) -> None:
    chat = RuleChat()
    found = answer(answering(scheduler, chat), wanted=Wanted(budget=Limits(calls=4)))
    assert len(chat.prompts) == 4
    assert found.status is AnswerStatus.PARTIAL
    assert found.coverage is not None
    assert 40 <= found.coverage.slices_read < 90
    assert any("budget exhausted" in reason for reason in found.reasons)


def test_a_large_run_is_refused_before_a_call_and_begins_when_confirmed(scheduler: SubCallScheduler) -> None:
    chat = RuleChat()
    made = answering(scheduler, chat, SLOW)
    with pytest.raises(RunTooLargeError, match="About"):
        made.stream(COUNTING, SCOPE)
    assert chat.prompts == []
    assert answer(made, wanted=Wanted(confirm=True)).status is AnswerStatus.ANSWERED


def test_a_budget_without_a_limit_confirms_nothing(scheduler: SubCallScheduler) -> None:
    with pytest.raises(RunTooLargeError):
        answering(scheduler, RuleChat(), SLOW).stream(COUNTING, SCOPE, wanted=Wanted(budget=Limits()))


def test_a_large_run_whose_plan_the_model_is_to_fill_in_is_refused_before_a_call(scheduler: SubCallScheduler) -> None:
    chat = RuleChat()
    with pytest.raises(RunTooLargeError, match="90 records"):
        answering(scheduler, chat, SLOW).stream(
            "What do these records have in common?", SCOPE, wanted=Wanted(StrategyName.EXHAUSTIVE)
        )
    assert chat.prompts == []


def test_another_tenant_counts_nothing_of_it(scheduler: SubCallScheduler) -> None:
    chat = RuleChat()
    found = answer(answering(scheduler, chat), scope=AnswerScope("bob"))
    assert (found.strategy, found.status) == ("direct", AnswerStatus.NOT_FOUND)
    assert chat.prompts == []


def test_without_a_model_what_is_written_is_counted_and_judging_is_refused(scheduler: SubCallScheduler) -> None:
    made = answering(scheduler, None)
    found = answer(made, "Which user has the most records?")
    assert (found.strategy, found.model) == ("exhaustive", None)
    with pytest.raises(NotExhaustiveError, match="none"):
        made.stream(COUNTING, SCOPE, wanted=Wanted(StrategyName.EXHAUSTIVE))


RECURSIVE = Wanted(StrategyName.RECURSIVE)


def test_a_model_that_programs_counts_over_the_whole_scope(scheduler: SubCallScheduler, sandbox: Sandbox) -> None:
    code = "n = len(records())\nsubmit(n, [records()[0]], computed=True)"
    chat = ScriptedChat(script=["Records, I think.", f"```python\n{code}\n```"])
    found = answer(answering(scheduler, chat, PROFILE, sandbox), wanted=RECURSIVE)
    assert (found.strategy, found.status) == ("recursive", AnswerStatus.ANSWERED)
    assert found.text == "90 [1]"
    assert found.usage.calls == 2
    assert found.reasons[0] == "Recursive, as asked."
    assert found.citations[0].quote == TEXT[found.citations[0].start : found.citations[0].end]


def test_a_recursive_run_keeps_to_its_budget_and_says_so(scheduler: SubCallScheduler, sandbox: Sandbox) -> None:
    spend = "```python\nwhile True:\n    print(llm_query('more'))\n```"
    chat = ScriptedChat(script=[spend, *["more"] * 10])
    wanted = Wanted(StrategyName.RECURSIVE, budget=Limits(calls=6))
    found = answer(answering(scheduler, chat, replace(PROFILE, max_depth=0), sandbox), wanted=wanted)
    assert found.status is AnswerStatus.PARTIAL
    # The second "more" and all after it are kept replies, which cost nothing.
    assert len(chat.prompts) <= 6
    assert found.usage.calls <= 6


def test_a_recursive_run_of_a_budget_without_limits_spends_what_one_without_a_budget_does(
    scheduler: SubCallScheduler, sandbox: Sandbox
) -> None:
    spend = "```python\nllm_query_batched([str(n) for n in range(1000)])\n```"
    chat = ScriptedChat(script=[spend, *["more"] * 1000])
    wanted = Wanted(StrategyName.RECURSIVE, confirm=True, budget=Limits())
    found = answer(answering(scheduler, chat, replace(PROFILE, max_depth=0), sandbox), wanted=wanted)
    assert found.status is AnswerStatus.PARTIAL
    assert found.usage.calls == UNASKED.calls


def test_a_recursive_run_that_costs_money_ends_after_a_dollar_unless_somebody_confirms(
    scheduler: SubCallScheduler, sandbox: Sandbox
) -> None:
    spend = "```python\nllm_query_batched([str(n) for n in range(100)])\n```"
    profile = replace(PROFILE, max_depth=0, price=Price(Decimal(0), Decimal(50)))  # a call may cost ten cents
    made = answering(scheduler, ScriptedChat(script=[spend, *["more"] * 1000]), profile, sandbox)
    (routed,) = [event for event in made.stream("Who?", SCOPE, wanted=RECURSIVE) if isinstance(event, Routed)]
    assert routed.estimate == "At most 500 calls of the language model, 15 min, $1.00."
    confirmed = Wanted(StrategyName.RECURSIVE, confirm=True)
    assert made.check("Who?", SCOPE, RECURSIVE) == replace(UNASKED, dollars=Decimal(1))
    assert made.check("Who?", SCOPE, confirmed) == UNASKED
    assert made.check("Who?", SCOPE, Wanted(StrategyName.DIRECT)) == Limits()
    given = Wanted(StrategyName.RECURSIVE, budget=Limits(prompt_tokens=9_000, dollars=Decimal("0.004")))
    assert [each.estimate for each in made.stream("Who?", SCOPE, wanted=given) if isinstance(each, Routed)] == [
        "At most 9,000 tokens to read, $0.0040."
    ]
    assert answer(made, "Who?", wanted=RECURSIVE).usage.calls < 30


def test_an_answer_says_what_it_cost_where_that_is_known(scheduler: SubCallScheduler) -> None:
    priced = replace(PROFILE, price=Price(Decimal(2), Decimal(8)))
    found = answer(answering(scheduler, RuleChat(), priced))
    assert found.dollars == (2 * found.usage.prompt_tokens + 8 * found.usage.completion_tokens) / 1_000_000 > 0
    assert answer(answering(scheduler, RuleChat())).dollars is None
    assert answer(answering(scheduler, None), "Which user has the most records?").dollars == 0


def test_without_a_model_or_a_sandbox_a_recursive_answer_is_refused(scheduler: SubCallScheduler) -> None:
    with pytest.raises(LanguageModelRefusedError, match="takes a language model"):
        answering(scheduler, None).stream("Who?", SCOPE, wanted=RECURSIVE)
    with pytest.raises(SandboxUnavailableError):
        answering(scheduler, RuleChat()).stream("Who?", SCOPE, wanted=RECURSIVE)


def test_a_chain_can_be_forced_and_takes_a_language_model(scheduler: SubCallScheduler) -> None:
    wanted = Wanted(StrategyName.CHAIN)
    asked = "Who is the friend of the man that keeps the oak?"
    found = answer(answering(scheduler, RuleChat()), asked, wanted)
    assert found.reasons[0] == "Chain, as asked."
    assert found.status is AnswerStatus.NOT_FOUND
    with pytest.raises(LanguageModelRefusedError):
        answering(scheduler, None).stream(asked, SCOPE, wanted=wanted)


def test_all_records_are_read_where_that_is_asked_for(scheduler: SubCallScheduler) -> None:
    made = answering(scheduler, RuleChat(), SLOW)
    with pytest.raises(RunTooLargeError, match="About"):
        made.stream(COUNTING, SCOPE, wanted=Wanted(every_record=True))
    found = answer(made, wanted=Wanted(confirm=True, every_record=True))
    assert found.coverage is not None
    assert (found.coverage.slices_read, found.coverage.slices_inferred) == (90, 0)


class Asking(Searcher):
    """Keeps the documents that were asked for."""

    def __init__(self, *parts: Any) -> None:  # noqa: ANN401
        super().__init__(*parts)
        self.asked: list[tuple[str, ...]] = []

    def search(self, request: SearchRequest) -> SearchResult:
        self.asked.append(request.documents)
        return super().search(request)


class TwoDocuments(OneDocument):
    """As well, a letter."""

    def active_documents(
        self, tenant_id: str, *, collections: Sequence[str], identifiers: Sequence[str], after: int
    ) -> list[ActiveDocument]:
        found = super().active_documents(tenant_id, collections=collections, identifiers=identifiers, after=after)
        return [*found, *(replace(each, sequence=2, document_id="d2", version_id="v2") for each in found)]


def test_a_part_of_a_run_searches_the_documents_of_that_part(scheduler: SubCallScheduler, sandbox: Sandbox) -> None:
    texts, catalog, encoder = Texts(MemoryBlobs()), TwoDocuments(), HashingEmbedder()
    for version in ("v1", "v2"):
        texts.save(version, TEXT, title="Records", pages=(), chunks=())
    searcher = Asking(FixedGeneration(MemoryIndex(), encoder), Bm25Encoder(), catalog, texts)
    cells = ("search('plant')\nrlm_query('Which plant?', 'd2')", "search('plant')\nsubmit(None)", "submit(None)")
    chat = ScriptedChat(script=[f"```python\n{code}\n```" for code in cells])
    profile = replace(PROFILE, max_depth=1)
    made = Answering(searcher, LoadedModel(chat, profile), Library(catalog, texts, encoder, sandbox), scheduler)
    answer(made, "Which plant?", RECURSIVE)
    assert searcher.asked == [(), ("d2",)]


@pytest.mark.parametrize(("durability", "told"), [(ONCE, True), (Once(), False)])
def test_only_a_run_that_is_never_resumed_is_told_the_time(
    scheduler: SubCallScheduler, sandbox: Sandbox, durability: Durability, told: bool
) -> None:
    noted: list[bool] = []

    class Noting(Library):
        def recursive(self, *parts: Any, tells_time: bool = False, **more: Any) -> RecursiveStrategy:  # noqa: ANN401
            noted.append(tells_time)
            return super().recursive(*parts, tells_time=tells_time, **more)

    texts, catalog, encoder = Texts(MemoryBlobs()), OneDocument(), HashingEmbedder()
    searcher = Searcher(FixedGeneration(MemoryIndex(), encoder), Bm25Encoder(), catalog, texts)
    chat = LoadedModel(ScriptedChat(script=[]), PROFILE)
    made = Answering(searcher, chat, Noting(catalog, texts, encoder, sandbox), scheduler)
    made.stream("Which plant?", SCOPE, wanted=RECURSIVE, durability=durability)
    assert noted == [told]
