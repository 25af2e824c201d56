"""Chooses the strategy for answering a question.

A model decides, based on a description of the scope.
"""

import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date

from ingest.storage.remarks import Remark, name_problem
from ingest.storage.tables.types import PROPERTY_COLUMNS, ColumnType
from rlm.corpus.corpus import Corpus, CorpusDocument
from rlm.corpus.names import list_nearest, list_own_subjects
from rlm.errors import (
    BudgetExhaustedError,
    ContextTooLongError,
    DocumentUnreadableError,
    LanguageModelOutputError,
    LanguageModelRefusedError,
    UnknownHandleError,
    not_cancelled,
)
from rlm.llm.port import SubCall, SubCalls, request_reply
from rlm.llm.structured_output import build_closed_object
from rlm.requests import StrategyName
from rlm.untrusted import DATA_ONLY, format_question, sanitize_text, to_one_line

_MAX_QUERIES = 4
# Maximum number of documents named in the prompt, and of characters for the dates of one.
_NAMED, _DATES_CHARS = 40, 120
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:\D|\Z)")
_QUERY_CHARS = 300
_TOKENS = 600
# Failures of the routing model after which the default strategy is used. Other errors, such as an unavailable or
# timed-out model, are raised to the caller.
_RECOVERABLE_ERRORS = (LanguageModelOutputError, LanguageModelRefusedError, ContextTooLongError, BudgetExhaustedError)

# The reply that no document here is about the question. It is answered directly, and the answer names the nearest ones.
_NOT_HERE = "not_here"

SYSTEM = f"""You choose how a question about a body of documents is answered.

- "direct": search for passages, read some dozens of pages, write the answer. For questions that a limited number of \
passages can answer: facts, figures from a text or from one row of a table, explanations, comparisons of a few \
things, summaries of a topic or of a short document.
- "table": write one SQL SELECT over the tables listed below; a model can first read each row and fill in a column \
for it: a yes or no ("complains about late delivery"), a text or an amount. Code then counts, sums, groups and lists \
exactly. For questions that need many rows of a table together: counts, totals, averages, rankings, complete lists. \
The table "documents" has one row per document, for questions about each of them ("which of these reports name no \
budget"). A column over it has a model read in every document, some hundred tokens of each or more, and each is \
judged by its own text alone, so do not use it where one document changes what another says.
- "recursive": a model writes programs that go through all of the documents and ask other models about parts of them. \
Slow and costly, so only for questions that neither of the others can answer: summaries of long works, comparisons of \
whole works, complete lists drawn from more prose than direct can read.
- "{_NOT_HERE}": the question names a person, organization or thing, and the names of the documents show that none is \
about it. Choose it only if every document is named below; otherwise, and if only the time is missing, search.

For "direct" and "table", also give one to four searches in words that the documents are likely to use, in their \
language, each for one thing the answer needs; those for "table" are run if the tables turn out not to have the \
answer. A search cannot tell which document is the latest, or the one before another: where the question depends on \
that, work it out from the date of today and the names and dates of the documents, and name the document that you \
mean in the search. The periods beside a name may be those of the file's name, and a document may count them \
otherwise. For the other choices, leave the searches empty. Give the reason in one short sentence for the person who \
asked.

{DATA_ONLY}"""


@dataclass(frozen=True)
class Route:
    """The chosen strategy, the searches for passages, and the reason to show to users.

    The searches are also used if the tables do not contain the answer. `may_be_absent` means that the names of the
    documents suggest that none is about the question.
    """

    strategy: StrategyName
    reason: str
    queries: tuple[str, ...] = ()
    may_be_absent: bool = False


def choose_route(
    question: str,
    today: date,
    corpus: Corpus,
    choices: Sequence[StrategyName],
    table_description: str,
    calls: SubCalls,
    nonce: str,
    *,
    cancelled: Callable[[], bool] = not_cancelled,
) -> Route:
    """Ask the model to choose one of `choices`.

    `table_description` describes the tables in scope, including the table of documents. If the reply is unusable, the
    direct strategy is chosen. Raises other errors if the model cannot reply at all.
    """
    prompt = _build_prompt(question, today, corpus, choices, table_description, nonce)
    call = SubCall(SYSTEM, prompt, _TOKENS, build_route_schema(choices), "route")
    try:
        read = json.loads(request_reply(calls, call, cancelled=cancelled).text)
    except _RECOVERABLE_ERRORS as error:
        return Route(StrategyName.DIRECT, Remark("route_undecided", problem=name_problem(error.code, error.detail)))
    queries = tuple(to_one_line(each)[:_QUERY_CHARS] for each in read["queries"] if each.strip())[:_MAX_QUERIES]
    why = to_one_line(read["why"])[:300]
    if read["strategy"] == _NOT_HERE:
        reason = Remark("route_not_here", why=why)
        return Route(StrategyName.DIRECT, reason, queries, may_be_absent=True)
    strategy = StrategyName(read["strategy"])
    return Route(strategy, Remark("route_chosen", strategy=name_strategy(strategy), why=why), queries)


def name_strategy(strategy: StrategyName) -> Remark:
    """Return the name of a strategy, for display to users."""
    return Remark(f"strategy_{strategy.value}")


def build_route_schema(choices: Sequence[StrategyName]) -> dict[str, object]:
    """Return the JSON schema of a router's reply."""
    return build_closed_object(
        {
            "why": {"type": "string"},
            "strategy": {"type": "string", "enum": [*(each.value for each in choices), _NOT_HERE]},
            "queries": {"type": "array", "items": {"type": "string"}},
        }
    )


def _build_prompt(
    question: str, today: date, corpus: Corpus, choices: Sequence[StrategyName], table_description: str, nonce: str
) -> str:
    size = corpus.size
    named = list_nearest(corpus, (), question, shown=(), limit=_NAMED)
    subjects = list_own_subjects(named)
    corpus.record_seen(named)
    # More than their names is shown of these.
    corpus.record_use(each for each in named if each.attributes or each.periods or each.dates or each in subjects)
    others = size.documents - len(named)
    return "\n".join(
        [
            f"BEGIN scope {nonce}",
            f"{size.documents:,} documents, about {size.tokens:,} tokens.",
            *(
                f"- {sanitize_text(f'{each.line}{_format_known(each, corpus, subjects.get(each, ()))}', nonce)}"
                for each in named
            ),
            *([f"- and {others:,} more documents"] if named and others else []),
            sanitize_text(table_description, nonce),
            f"END scope {nonce}",
            "",
            format_question(question, today, nonce),
            "",
            f"Strategies available here: {', '.join([*choices, _NOT_HERE])}.",
        ]
    )


def _format_known(document: CorpusDocument, corpus: Corpus, subjects: Sequence[str]) -> str:
    """Return what tells a document apart: its subjects, and dates in its metadata and in the properties of its file."""
    known: dict[str, object] = dict(document.attributes)
    if columns := PROPERTY_COLUMNS.get(document.media_type, ()):
        with suppress(UnknownHandleError, DocumentUnreadableError):
            properties = corpus.load_text_map(document).properties
            known |= {each.name: properties.get(each.name) for each in columns if each.type is ColumnType.TIMESTAMP}
    dates = [f"{name} {value}" for name, value in known.items() if isinstance(value, str) and _DATE.match(value)]
    known_parts = [f"about {', '.join(subjects)}"] if subjects else []
    known_parts += [to_one_line("; ".join(dates), _DATES_CHARS)] if dates else []
    return "".join(f", {each}" for each in known_parts)
