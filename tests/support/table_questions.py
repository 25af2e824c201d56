"""Questions to the table strategy with a scripted planner and a rule in place of the model that judges rows."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ingest.storage.tables.store import RecordTables
from retrieval.encoders.port import Embedder
from rlm.answers import Draft
from rlm.corpus.corpus import Corpus
from rlm.errors import not_cancelled
from rlm.events import Drafted, Event
from rlm.llm.port import SubCall, SubFailure
from rlm.llm.profiles import ModelProfile
from rlm.requests import DEFAULT_OPTIONS, AnswerOptions, AnswerScope
from rlm.strategy import Context, DocumentSearch
from rlm.tables.catalog import TableCatalog
from rlm.tables.sql import SqlEngine
from rlm.tables.strategy import HandOver, TableStrategy
from tests.fakes.rule_subcalls import Answer, RuleSubCalls
from tests.fakes.sql_here import sql_engine_here
from tests.support.contexts import TODAY

PROFILE = ModelProfile("a capable model", 131_072, 8_192, batch_items=30, slice_tokens=1_000)


def plan(
    sql: str, answer: str = "The answer is:", *, columns: Sequence[dict[str, Any]] = (), rows_sql: str = ""
) -> dict[str, Any]:
    """A planner's reply."""
    judged = [{"labels": [], "where": "", **column} for column in columns]
    return {"semantic_columns": judged, "sql": sql, "rows_sql": rows_sql, "language": "en", "answer": answer}


@dataclass
class TableQuestion:
    """One question: the planner gives `replies` one after the other, and `rule` says what a row is judged to be.

    Queries run in this process, unless `sql` is `SqlEngine()`, as it is in the product.
    """

    corpus: Corpus
    records: RecordTables
    replies: list[object]
    rule: Answer = lambda text: "yes"
    embedder: Embedder | None = None
    wanted: AnswerOptions = DEFAULT_OPTIONS
    profile: ModelProfile = PROFILE
    cancelled: Callable[[], bool] = not_cancelled
    sql: SqlEngine = field(default_factory=sql_engine_here)
    fault: Callable[[SubCall], SubFailure | str | None] = lambda call: None
    search_document: DocumentSearch | None = None
    beyond: HandOver | None = None
    planned: list[SubCall] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.calls = RuleSubCalls(self.rule, self._reply)

    def ask(self, question: str = "What do the tables say?") -> Draft:
        """The draft that the strategy ends with."""
        strategy = TableStrategy(TableCatalog(self.records), self.sql, self.embedder, beyond=self.beyond)
        context = Context(
            question,
            AnswerScope("tenant"),
            self.wanted,
            self.profile,
            self.calls,
            lambda query, top_k: (),
            lambda: self.corpus,
            lambda: "0123456789abcdef",
            TODAY,
            self.cancelled,
            search_document=self.search_document,
        )
        self.events.extend(strategy.stream(context))
        last = self.events[-1]
        assert isinstance(last, Drafted)
        return last.draft

    def _reply(self, call: SubCall) -> SubFailure | str | None:
        if call.purpose != "plan":
            return self.fault(call)
        reply = self.replies[len(self.planned)]
        self.planned.append(call)
        return reply if isinstance(reply, str | SubFailure) else json.dumps(reply)
