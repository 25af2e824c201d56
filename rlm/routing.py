"""Chooses the strategy for answering a question.

A model decides, based on a description of the scope.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from rlm.corpus.corpus import Corpus
from rlm.errors import (
    BudgetExhaustedError,
    ContextTooLongError,
    LanguageModelOutputError,
    LanguageModelRefusedError,
    not_cancelled,
)
from rlm.llm.port import SubCall, SubCalls, request_reply
from rlm.llm.structured_output import build_closed_object
from rlm.requests import StrategyName
from rlm.untrusted import DATA_ONLY, format_question, sanitize_text, to_one_line

_MAX_QUERIES = 4
_QUERY_CHARS = 300
_TOKENS = 600
# Failures of the routing model after which the default strategy is used. Other errors, such as an unavailable or
# timed-out model, are raised to the caller.
_RECOVERABLE_ERRORS = (LanguageModelOutputError, LanguageModelRefusedError, ContextTooLongError, BudgetExhaustedError)

SYSTEM = f"""You choose how a question about a body of documents is answered.

- "direct": search for passages, read some dozens of pages, write the answer. For questions that a limited number of \
passages can answer: facts, figures from a text or from one row of a table, explanations, comparisons of a few things, \
summaries of a topic or of a short document.
- "table": write one SQL SELECT over the tables listed below; a model can first judge each row by its text ("complains \
about late delivery"), and code then counts, sums, groups and lists exactly. For questions that need many rows of a \
table together: counts, totals, averages, rankings, complete lists. The table "documents" has one row per document, \
for questions about each of them ("which of these reports name no budget"); each is judged by its own text alone, so \
do not use it where one document changes what another says.
- "recursive": a model writes programs that go through all of the documents and ask other models about parts of them. \
Slow and costly, so only for questions that neither of the others can answer: summaries of long works, comparisons of \
whole works, complete lists drawn from more prose than direct can read.

For "direct" and "table", also give one to four searches in words that the documents are likely to use, in their \
language, each for one thing the answer needs; those for "table" are run if the tables turn out not to have the \
answer. Give the reason in one short sentence for the person who asked.

{DATA_ONLY}"""


@dataclass(frozen=True)
class Route:
    """The chosen strategy, the searches for passages, and the reason to show to users.

    The searches are also used if the tables do not contain the answer.
    """

    strategy: StrategyName
    reason: str
    queries: tuple[str, ...] = ()


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
        return Route(StrategyName.DIRECT, f"Direct: the model could not choose a strategy ({error.detail})")
    queries = tuple(to_one_line(each)[:_QUERY_CHARS] for each in read["queries"] if each.strip())[:_MAX_QUERIES]
    strategy = StrategyName(read["strategy"])
    return Route(strategy, f"{strategy.capitalize()}: {to_one_line(read['why'])[:300]}", queries)


def build_route_schema(choices: Sequence[StrategyName]) -> dict[str, object]:
    """Return the JSON schema of a router's reply."""
    return build_closed_object(
        {
            "why": {"type": "string"},
            "strategy": {"type": "string", "enum": [each.value for each in choices]},
            "queries": {"type": "array", "items": {"type": "string"}},
        }
    )


def _build_prompt(
    question: str, today: date, corpus: Corpus, choices: Sequence[StrategyName], table_description: str, nonce: str
) -> str:
    size = corpus.size
    return "\n".join(
        [
            f"BEGIN scope {nonce}",
            f"{size.documents:,} documents, about {size.tokens:,} tokens.",
            sanitize_text(table_description, nonce),
            f"END scope {nonce}",
            "",
            format_question(question, today, nonce),
            "",
            f"Strategies available here: {', '.join(choices)}.",
        ]
    )
