"""Makes the strategies of a deployment: the only module of `rlm` that names their concrete classes."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from langchain_core.language_models import BaseChatModel

from ingest.tables import RecordTables
from ingest.texts import Texts
from ingest.works import UsedVersions
from retrieval.embedding import Embedder
from retrieval.search import Searches
from rlm.corpus.corpus import ActiveDocuments, Corpus, open_corpus, scope_of
from rlm.corpus.withheld import DocumentAccess, Withheld, nothing
from rlm.direct import DirectStrategy
from rlm.errors import SandboxUnavailableError
from rlm.estimates import at_most, unasked
from rlm.llm.budgets import FREE, Budget, Limits
from rlm.llm.cache import ReplyCache
from rlm.llm.port import SubCalls
from rlm.llm.profiles import ModelProfile
from rlm.llm.scheduler import SubCallScheduler
from rlm.loop.environment import Environment
from rlm.loop.strategy import RecursiveStrategy
from rlm.operators.cascade import EVERY_RECORD, CascadeLimits
from rlm.operators.operators import Operators
from rlm.operators.packing import PackLimits
from rlm.passages import noting, searching
from rlm.requests import AnswerScope, StrategyName, Wanted
from rlm.runs.port import ONCE, Durability
from rlm.sandbox.port import Sandbox
from rlm.strategy import Context, Search, Strategy
from rlm.tables.catalog import TableCatalog, TablesInScope
from rlm.tables.sql import SqlEngine
from rlm.tables.strategy import TableStrategy


@dataclass(frozen=True)
class Parts:
    """The parts of a process that answers are made of. No classifier judges records without an encoder, and no
    programs answer without a sandbox. `access` tells what was closed while a question is answered."""

    catalog: ActiveDocuments
    texts: Texts
    tables: RecordTables
    sql: SqlEngine
    sub_calls: SubCallScheduler
    embedder: Embedder | None = None
    sandbox: Sandbox | None = None
    replies: ReplyCache | None = None
    access: DocumentAccess | None = None


class Answers:
    """Opens corpora and makes the parts of each request."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._tables = TableCatalog(parts.tables)

    def corpus(self, scope: AnswerScope, durability: Durability = ONCE, used: UsedVersions | None = None) -> Corpus:
        """Open the documents of a scope as they are now, or as they were when a run began."""
        parts = self._parts
        withheld = Withheld(parts.access, scope) if parts.access is not None and scope.readers is not None else nothing
        documents = durability.documents(parts.catalog)
        return open_corpus(documents, parts.texts, scope, parts.tables, used, withheld=withheld)

    def budget(self, wanted: Wanted, profile: ModelProfile, durability: Durability) -> Budget:
        """Return the budget of one request: the caller's limits, and no limit where the caller set none."""
        limits = (wanted.limits or Limits()).within(Limits(depth=profile.max_depth))
        return durability.budget(limits, profile.price)

    def bind(
        self,
        chat: BaseChatModel,
        profile: ModelProfile,
        scope: AnswerScope,
        budget: Budget,
        durability: Durability,
        *,
        run: Hashable,
        used: UsedVersions | None = None,
    ) -> SubCalls:
        """Bind a model's calls, for a scope, to `budget`; all calls of one request share the same `run`.

        Their replies go with the versions in `used`.
        """
        bound = self._parts.sub_calls.bind(
            chat,
            profile,
            tenant_id=scope.tenant_id,
            audience=scope.audience,
            budget=budget,
            run=run,
            background=durability.background,
            used=used,
        )
        return durability.sub_calls(bound, budget, profile.price)

    def strategies(self, profile: ModelProfile) -> list[StrategyName]:
        """Return the strategies that a model can carry out here."""
        programs = profile.writes_code and self._parts.sandbox is not None
        return [StrategyName.DIRECT, StrategyName.TABLE, *([StrategyName.RECURSIVE] if programs else [])]

    def tables(self, corpus: Corpus) -> TablesInScope:
        """Return the tables in scope, with some of their rows."""
        return self._tables.in_scope(corpus)

    def strategy(self, name: StrategyName, making: "Making") -> Strategy:
        """Make the strategy of a request. Raises `SandboxUnavailableError` for programs without a sandbox."""
        match name:
            case StrategyName.TABLE:
                otherwise = None if making.context.wanted.strategy is StrategyName.TABLE else DirectStrategy()
                return TableStrategy(self._tables, self._parts.sql, self._parts.embedder, otherwise=otherwise)
            case StrategyName.RECURSIVE:
                return self._recursive(making)
            case _:
                return DirectStrategy()

    def _recursive(self, making: "Making") -> Strategy:
        if self._parts.sandbox is None:
            raise SandboxUnavailableError("This process has no sandbox.")
        context, budget = making.context, making.budget
        if context.wanted.limits is None:
            budget.narrow(_unasked(context.wanted, context.profile))
        whole = context.corpus()

        def search(corpus: Corpus) -> Search:
            part = scope_of(corpus, whole, context.scope)
            return making.durability.search(noting(searching(making.searcher, part), whole.used))

        return RecursiveStrategy(
            Environment(
                corpus=whole,
                calls=context.calls,
                profile=context.profile,
                sandbox=self._parts.sandbox,
                operators=making.operators(self._parts),
                search=search,
                budget=budget,
                bind=making.bind,
                cancelled=context.cancelled,
                told=making.durability.turn,
                tells_time=not making.durability.background,
            )
        )


@dataclass(frozen=True)
class Making:
    """A request for which a strategy is made: its context, its budget, calls for a part of it, and its durability."""

    context: Context
    budget: Budget
    bind: Callable[[Budget], SubCalls]
    durability: Durability
    searcher: Searches

    def operators(self, parts: Parts) -> Callable[[Corpus, SubCalls], Operators]:
        """Return a factory of operators over a corpus; the model reads all records if the caller asked for that."""
        context = self.context

        def made(corpus: Corpus, calls: SubCalls) -> Operators:
            return Operators(
                corpus,
                calls,
                parts.embedder,
                limits=PackLimits.of(context.profile),
                cascade_limits=EVERY_RECORD if context.wanted.every_record else CascadeLimits(),
                cancelled=context.cancelled,
            )

        return made


def _unasked(wanted: Wanted, profile: ModelProfile) -> Limits:
    return unasked(is_confirmed=wanted.confirm, model_costs=profile.price not in (None, FREE))


def spendable(name: StrategyName, wanted: Wanted, profile: ModelProfile) -> str:
    """Return the most a recursive run may spend, for people; empty for other strategies."""
    if name is not StrategyName.RECURSIVE:
        return ""
    return at_most(wanted.limits or _unasked(wanted, profile))
