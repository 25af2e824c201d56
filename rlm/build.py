"""Opens the components for one request and builds its strategy. No other module of `rlm` names concrete strategies."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from ingest.storage.documents.records import UsedVersions
from ingest.storage.tables.places import Location
from ingest.storage.tables.store import RecordTables
from ingest.storage.texts.texts import Texts
from retrieval.encoders.port import Embedder
from retrieval.search.requests import SearchRequest
from retrieval.search.search import SearchPort, SearchResult
from rlm.corpus.corpus import ActiveDocuments, Corpus, open_corpus, restrict_scope
from rlm.corpus.withheld import DocumentAccess, WithheldDocuments, withhold_nothing
from rlm.direct import DirectStrategy
from rlm.errors import SandboxUnavailableError
from rlm.estimates import build_unconfirmed_limits, format_limits
from rlm.llm.budgets import FREE, Budget, Limits
from rlm.llm.port import BatchedSubCalls, ChatModel, LanguageModel, SubCalls
from rlm.llm.scheduler import SubCallScheduler
from rlm.loop.environment import Environment
from rlm.loop.strategy import RecursiveStrategy
from rlm.operators.operators import Operators
from rlm.passages import build_search
from rlm.requests import AnswerRequest, StrategyName
from rlm.runs.port import Durability
from rlm.sandbox.port import Sandbox
from rlm.strategy import BoundModel, Context, Phrasing, Search, SpanSearch, Strategy, phrase_in_english
from rlm.tables.catalog import TableCatalog, TablesInScope
from rlm.tables.lookups import LookupTest
from rlm.tables.sql import SqlEngine
from rlm.tables.strategy import HandOver, TableStrategy


@dataclass(frozen=True)
class PipelineComponents:
    """The process-wide components of the answer pipeline.

    Without an encoder, records are not classified. Without a sandbox, programs do not run. `access` reports documents
    that become hidden from the caller while a question is being answered. `phrase` says what code answers in the
    language of the question.
    """

    catalog: ActiveDocuments
    texts: Texts
    tables: RecordTables
    sql: SqlEngine
    sub_calls: SubCallScheduler
    embedder: Embedder | None = None
    sandbox: Sandbox | None = None
    access: DocumentAccess | None = None
    phrase: Phrasing = phrase_in_english

    @cached_property
    def table_catalog(self) -> TableCatalog:
        return TableCatalog(self.tables)


@dataclass(frozen=True)
class HelperModels:
    """Optional models for judging, routing, and reading records and passages sent by programs.

    If a model is None, the answering model does its task.
    """

    judge: LanguageModel | None = None
    router: LanguageModel | None = None
    sub_calls: LanguageModel | None = None


_NO_HELPERS = HelperModels()


@dataclass(frozen=True)
class _UnrerankedSearch:
    """A search without a reranker, for columns, which search every document.

    Measured on filings, the first and second readings contain no more of the figures that questions ask for if hits are
    reranked, and each search takes thirteen times as long.
    """

    base: SearchPort

    def search(self, request: SearchRequest) -> SearchResult:
        return self.base.search(replace(request, rerank=False))

    def locate(self, version_id: str, start: int, end: int) -> Location:
        return self.base.locate(version_id, start, end)


class OpenRequest:
    """One request: its budget and model calls, its corpus and search, and the strategies that its model supports."""

    def __init__(
        self,
        components: PipelineComponents,
        searcher: SearchPort,
        model: ChatModel,
        request: AnswerRequest,
        durability: Durability,
        cancelled: Callable[[], bool],
        helpers: HelperModels = _NO_HELPERS,
    ) -> None:
        self._parts = components
        self._helpers = helpers
        self._searcher = searcher
        self._durability = durability
        self.background = durability.background
        self.model = model
        self.profile = model.profile
        self.request = request
        self.cancelled = cancelled
        self.nonce = durability.create_nonce
        self.today = durability.get_today()
        limits = (request.wanted.limits or Limits()).narrow_to(Limits(depth=self.profile.max_depth))
        self.budget = durability.build_budget(limits, self.profile.price)
        self.prices_known = True
        self.calls = self.bind_sub_calls(self.budget)

    def bind_sub_calls(
        self, budget: Budget, model: ChatModel | None = None, used_versions: UsedVersions | None = None
    ) -> SubCalls:
        """Bind calls to a model and a budget.

        Without `model`, the request's own model is used. `budget` is the budget of the request or of one of its
        sub-runs. `used_versions` records the versions in prompts; by default, the request's own collection does.
        """
        model, scope = model or self.model, self.request.scope
        self.prices_known = self.prices_known and model.profile.price is not None
        bound = self._parts.sub_calls.bind_sub_calls(
            model.chat,
            model.profile,
            tenant_id=scope.tenant_id,
            audience=scope.audience,
            budget=budget,
            run=self,
            background=self._durability.background,
            affinity=self._affinity_key,
            used_versions=used_versions or self.request.used,
        )
        return self._durability.wrap_sub_calls(bound, budget, model.profile.price)

    @cached_property
    def _affinity_key(self) -> str:
        """A key that is equal for all requests of a conversation, so that they can share a server's cache."""
        request = self.request
        first = request.history[0].text if request.history else request.question
        parts = (request.scope.tenant_id, request.scope.audience, first)
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()

    def select_helper_model(self, helper: LanguageModel | None) -> ChatModel:
        """Return the helper model for a task, or the answering model if the helper is unavailable."""
        if helper is None or helper.get_state()["state"] == "away":
            return self.model
        return helper.acquire() or self.model

    @cached_property
    def router(self) -> BoundModel:
        """The model that chooses the strategy and rewrites questions."""
        return self._bind_model(self.select_helper_model(self._helpers.router))

    @cached_property
    def sub_model(self) -> ChatModel:
        """The model that reads records, and passages sent by programs.

        While this model is unavailable, no other model replaces it, because a resumed run must repeat its earlier
        calls.
        """
        helper = self._helpers.sub_calls
        return (helper.acquire() if helper is not None else None) or self.model

    @cached_property
    def reader(self) -> BoundModel:
        """Calls to `sub_model` that spend the request's own budget."""
        return self._bind_model(self.sub_model)

    def _bind_model(self, model: ChatModel) -> BoundModel:
        return BoundModel(self.calls if model is self.model else self.bind_sub_calls(self.budget, model), model.profile)

    @cached_property
    def corpus(self) -> Corpus:
        """The documents in scope. A resumed run sees them as they were when the run began.

        The corpus is opened only once.
        """
        parts, scope = self._parts, self.request.scope
        withheld = (
            WithheldDocuments(parts.access, scope)
            if parts.access is not None and scope.readers is not None
            else withhold_nothing
        )
        documents = self._durability.wrap_documents(parts.catalog)
        return open_corpus(documents, parts.texts, scope, parts.tables, self.request.used, withheld_source=withheld)

    def load_tables(self, question: str) -> TablesInScope:
        """Load the tables in scope. If there are many, those relevant to the question come first."""
        return self._parts.table_catalog.outline_tables(self.corpus, question, self.build_context(question, ()).search)

    def build_context(self, question: str, queries: tuple[str, ...], *, may_be_absent: bool = False) -> Context:
        """Build the context that is passed to every strategy."""
        request = self.request
        search = build_search(self._searcher, request.scope, request.used, widened_chars=None)

        def build_document_search(document_id: str) -> SpanSearch:
            # guard: document-search-scope
            within = replace(request.scope, documents=(document_id,))
            found = build_search(_UnrerankedSearch(self._searcher), within, request.used, widened_chars=None)
            return self._durability.wrap_document_search(found, document_id)

        return Context(
            question=question,
            queries=queries,
            may_be_absent=may_be_absent,
            phrase=self._parts.phrase,
            search_document=build_document_search,
            scope=request.scope,
            wanted=request.wanted,
            profile=self.profile,
            calls=self.calls,
            reader=lambda: self.reader,
            search=self._durability.wrap_search(search),
            corpus=lambda: self.corpus,
            nonce=self.nonce,
            today=self.today,
            cancelled=self.cancelled,
        )

    def build_whole_context(self, question: str, used_versions: UsedVersions, cancelled: Callable[[], bool]) -> Context:
        """Build the context of a strategy that reads the whole corpus, searches nothing, and may be dropped."""
        corpus = self.corpus.record_separately(used_versions)
        calls = self.bind_sub_calls(self.budget, used_versions=used_versions)
        return replace(self.build_context(question, ()), calls=calls, corpus=lambda: corpus, cancelled=cancelled)

    def count_free_slots(self) -> int:
        """Return how many more requests the answering model accepts now."""
        return self._parts.sub_calls.count_free_slots(self.profile)

    @property
    def model_costs(self) -> bool:
        """True if the answering model has a price above zero."""
        return self.profile.price not in (None, FREE)

    def list_strategy_names(self) -> list[StrategyName]:
        """Return the strategies that the model supports in this deployment."""
        programs = self.profile.writes_code and self._parts.sandbox is not None
        return [StrategyName.DIRECT, StrategyName.TABLE, *([StrategyName.RECURSIVE] if programs else [])]

    def build_strategy(self, name: StrategyName) -> Strategy:
        """Build a strategy. Raises `SandboxUnavailableError` for the recursive strategy if there is no sandbox."""
        match name:
            case StrategyName.TABLE:
                parts, is_forced = self._parts, self.request.wanted.strategy is StrategyName.TABLE
                otherwise = None if is_forced else self._build_direct_strategy()
                can_hand_over = not is_forced and StrategyName.RECURSIVE in self.list_strategy_names()
                beyond = (
                    HandOver(self._build_recursive_strategy, self.format_spending_limits(StrategyName.RECURSIVE))
                    if can_hand_over
                    else None
                )
                return TableStrategy(parts.table_catalog, parts.sql, parts.embedder, fallback=otherwise, beyond=beyond)
            case StrategyName.RECURSIVE:
                return self._build_recursive_strategy()
            case _:
                return self._build_direct_strategy()

    def format_spending_limits(self, name: StrategyName) -> str:
        """Describe the spending limits of a recursive run. Returns an empty string for other strategies."""
        return (
            format_limits(self.request.wanted.limits or self._default_limits) if name is StrategyName.RECURSIVE else ""
        )

    @property
    def _default_limits(self) -> Limits:
        return build_unconfirmed_limits(is_confirmed=self.request.wanted.confirm, has_model_price=self.model_costs)

    def _build_direct_strategy(self) -> Strategy:
        # A large model plans a query itself, and says in its reply if passages are not sufficient.
        small = self.profile.small
        return DirectStrategy(LookupTest(self._parts.tables, self._parts.sql) if small else None)

    def _build_recursive_strategy(self) -> Strategy:
        if self._parts.sandbox is None:
            raise SandboxUnavailableError("No sandbox is configured in this process.")
        request, durability = self.request, self._durability
        if request.wanted.limits is None:
            self.budget.lower_limits(self._default_limits)

        def build_part_search(part: Corpus) -> Search:
            scope = restrict_scope(part, self.corpus, request.scope)
            return durability.wrap_search(build_search(self._searcher, scope, request.used))

        reader = self.sub_model

        def build_operators(corpus: Corpus, calls: BatchedSubCalls) -> Operators:
            return Operators.from_request(
                corpus, calls, reader.profile, self._parts.embedder, request.wanted, cancelled=self.cancelled
            )

        return RecursiveStrategy(
            Environment(
                corpus=self.corpus,
                calls=self.calls,
                profile=self.profile,
                sub_profile=reader.profile,
                sandbox=self._parts.sandbox,
                today=self.today,
                operators=build_operators,
                search=build_part_search,
                budget=self.budget,
                bind=self.bind_sub_calls,
                bind_sub=lambda budget: self.bind_sub_calls(budget, reader),
                cancelled=self.cancelled,
                told=durability.record_turn,
                tells_time=not durability.background,
            )
        )
