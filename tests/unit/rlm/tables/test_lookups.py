"""Questions to a small model about rows of a record table: one row answers them, or the table has to be computed."""

import json
from dataclasses import replace

import pytest

from rlm.answers import AnswerStatus, Draft
from rlm.corpus.corpus import Corpus
from rlm.direct import DirectStrategy
from rlm.errors import BudgetExhaustedError, LanguageModelUnavailableError
from rlm.events import Delta, Drafted
from rlm.llm.budgets import Usage
from rlm.llm.port import SubFailure
from rlm.tables.lookups import LookupTest
from tests.fakes.scripted_calls import Script, ScriptedCalls
from tests.fakes.sql_here import sql_engine_here
from tests.support.contexts import CAPABLE, context_over
from tests.support.ingested_tables import ingested

SMALL = replace(CAPABLE, small=True, reading_tokens=600)
ROWS = 300
TERMS = "# Terms\n\nOrders are late after ten days. Spain and Germany have the same rules.\n"


def _build_orders() -> str:
    lines = [
        f"{1000 + number},Customer {number},{('Spain', 'Germany')[number % 2]},{('late', 'in time')[number % 3 > 0]}"
        for number in range(1, ROWS + 1)
    ]
    return "\n".join(["order,customer name,country,status", *lines, ""])


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> "_Asking":
    files = {"orders.csv": _build_orders(), "terms.md": TERMS, "few.csv": "city,opened\nBonn,1999\nKiel,2004\n"}
    corpus, records = ingested(tmp_path_factory.mktemp("files"), files)
    whole = Corpus(corpus.documents, corpus._texts, tables=records)
    return _Asking(whole, LookupTest(records, sql_engine_here()))


class _Asking:
    """Asks a small model whose replies are written down: the quotation of its answer, and the SELECT."""

    def __init__(self, corpus: Corpus, lookups: LookupTest) -> None:
        self._corpus = corpus
        self._lookups = lookups
        self.calls = ScriptedCalls({})

    def ask(self, question: str, sql: Script, *, quote: str) -> Draft:
        def answer(call: object) -> str:
            passages = self.calls.calls[-1].prompt.split("BEGIN passage ")[1:]
            (number,) = [each.split()[0] for each in passages if quote in each]
            return json.dumps({"passage": int(number), "quote": quote, "answer": "There was 1."})

        lookup = json.dumps({"sql": sql}) if isinstance(sql, str) else sql
        self.calls = ScriptedCalls({"answer": answer, "plan": lookup})
        context = context_over(self._corpus, self.calls, question, profile=SMALL)
        events = list(DirectStrategy(self._lookups).stream(context))
        last = events[-1]
        assert isinstance(last, Drafted)
        assert "".join(each.text for each in events if isinstance(each, Delta)) == last.draft.text
        return last.draft


ROW = "1006,Customer 6,Spain,late"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM t WHERE c_country = 'Spain' AND c_status = 'late'",
        "SELECT c_customer_name FROM t WHERE c_status = 'late'",
        "SELECT c_order FROM t",
        "SELECT c_order FROM t WHERE c_order = (SELECT max(c_order) FROM t)",
        "SELECT c_order FROM t WHERE c_order = 1006 ORDER BY c_order DESC LIMIT 1",
        "SELECT c_order FROM t WHERE c_order < 1002",
        "SELECT c_country FROM t WHERE c_country = 'Peru'",
        "SELECT c_country FROM t GROUP BY c_country",
        "SELECT c_status FROM t WHERE c_order = 1299",
        "SELECT nothing FROM t",
        "DROP TABLE t",
        "how many",
    ],
)
def test_a_question_that_one_row_does_not_answer_is_never_answered(asking: _Asking, sql: str) -> None:
    draft = asking.ask("How many orders of customer 6 and of others from Spain were late?", sql, quote=ROW)
    assert draft.status is AnswerStatus.PARTIAL
    assert "all 300 rows of “orders” to be counted, compared or searched, which the built-in model" in draft.text
    assert "There was 1" not in draft.text
    assert draft.text.endswith("This is one of the rows [1].")
    assert ROW in draft.evidence[1].text
    assert [each.text for each in draft.quotes] == [ROW]
    assert "LEADLINE_LLM" in draft.notes[0]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT c_status FROM t WHERE c_order = 1006",
        "SELECT c_status FROM nonce2 WHERE c_order = 1006",
        "SELECT c_status FROM t WHERE c_customer_name = 'Customer 6'",
        "SELECT c_status FROM t WHERE lower(c_customer_name) LIKE '% 6'",
        "SELECT c_status FROM t WHERE c_customer_name = '6 customer' AND c_country = 'spain'",
    ],
)
def test_a_question_about_one_row_is_answered(asking: _Asking, sql: str) -> None:
    draft = asking.ask("Was order 1006 of customer 6 late?", sql, quote=ROW)
    assert (draft.status, draft.text, draft.notes) == (AnswerStatus.ANSWERED, "There was 1. [1]", ())


def test_the_call_shows_the_quoted_row_with_names_that_need_no_quotes(asking: _Asking) -> None:
    asking.ask("Was order 1006 of customer 6 late?", "SELECT c_status FROM t WHERE c_order = 1006", quote=ROW)
    (call,) = asking.calls.of("plan")
    assert "Table t(c_order, c_customer_name, c_country, c_status), 300 rows. A row: 1006 | Customer 6" in call.prompt
    assert call.prompt.startswith("BEGIN table nonce")


@pytest.mark.parametrize("quote", ["Orders are late after ten days.", "Kiel,2004"])
def test_text_and_tables_that_the_cited_passage_contains_cost_no_call(asking: _Asking, quote: str) -> None:
    draft = asking.ask("When are orders late, and when was Kiel opened?", "unused", quote=quote)
    assert draft.status is AnswerStatus.ANSWERED
    assert not asking.calls.of("plan")


def test_a_budget_that_ends_before_the_call_leaves_the_answer_in_doubt(asking: _Asking) -> None:
    ended = SubFailure("budget_exhausted", "The budget is spent.", Usage(), BudgetExhaustedError("Spent."))
    assert asking.ask("Was order 1006 of customer 6 late?", ended, quote=ROW).status is AnswerStatus.PARTIAL
    away = SubFailure("language_model_unavailable", "Away.", Usage(), LanguageModelUnavailableError("Away."))
    with pytest.raises(LanguageModelUnavailableError):
        asking.ask("Was order 1006 of customer 6 late?", away, quote=ROW)
