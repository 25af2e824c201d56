"""Questions that only a planner who sees how values are spelled, and what units figures have, can turn into a query.

The planner is scripted; each word of a value that its query needs has to stand in what it was shown. The right answers
are counted by plain Python over the rows.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from statistics import mean

import pytest

from ingest.parsing.isolation.sandbox import ParserSandbox
from ingest.storage.tables.store import RecordTables
from rlm.corpus.corpus import Corpus
from rlm.tables.sql import SqlEngine
from tests.integration.tables.tickets import TITLE, Rows, stock, tickets, written
from tests.support.ingested_tables import ingested
from tests.support.table_questions import TableQuestion, plan


@dataclass(frozen=True)
class Asked:
    """A question, what the planner has to see for it, its query, and how plain Python answers it over the rows."""

    question: str
    seen: tuple[str, ...]
    sql: str
    right: Callable[[Rows], object]


_OPEN = ("New", "WIP", "Esc. L2", "Esc. L3")
TICKETS = [
    Asked(
        "How many tickets are escalated?",
        ("'Esc. L2' (", "'Esc. L3' ("),
        "SELECT count(*) FROM tickets WHERE status IN ('Esc. L2', 'Esc. L3')",
        lambda rows: sum(row["status"] in ("Esc. L2", "Esc. L3") for row in rows),
    ),
    Asked(
        "How many critical tickets are still open?",
        ("'P1!' (", *(f"'{state}' (" for state in _OPEN)),
        f"SELECT count(*) FROM tickets WHERE priority = 'P1!' AND status IN {_OPEN}",
        lambda rows: sum(row["priority"] == "P1!" and row["status"] in _OPEN for row in rows),
    ),
    Asked(
        "How many tickets have no rating?",
        ('"rating" text: ', " empty ("),
        "SELECT count(*) FROM tickets WHERE rating IS NULL",
        lambda rows: sum(not row["rating"] for row in rows),
    ),
    Asked(
        "How many customers refused to rate?",
        ("'n/a' (",),
        "SELECT count(*) FROM tickets WHERE rating = 'n/a'",
        lambda rows: sum(row["rating"] == "n/a" for row in rows),
    ),
    Asked(
        "What is the average rating?",
        ("'n/a' (", "'5' ("),
        "SELECT avg(TRY_CAST(rating AS INTEGER)) FROM tickets",
        lambda rows: pytest.approx(mean(int(row["rating"]) for row in rows if row["rating"].isdecimal())),
    ),
    Asked(
        "How long does a refund take on average?",
        ("'RFND' (", '"minutes" integer: '),
        "SELECT avg(minutes) FROM tickets WHERE topic = 'RFND'",
        lambda rows: pytest.approx(mean(int(row["minutes"]) for row in rows if row["topic"] == "RFND")),
    ),
    Asked(
        "When was the last ticket opened?",
        ('"opened" date: 2024-01-01 to 2025-05-14',),
        "SELECT max(opened) FROM tickets",
        lambda rows: max(row["opened"] for row in rows),
    ),
    Asked(
        "How many came by phone, and how many at O'Hare?",
        ("'tel' (", "'O''Hare desk' ("),
        "SELECT count_if(channel = 'tel') AS phone, count_if(channel = 'O''Hare desk') AS desk FROM tickets",
        lambda rows: [{"phone": _count(rows, "channel", "tel"), "desk": _count(rows, "channel", "O'Hare desk")}],
    ),
    Asked(
        "Which queue has the most tickets?",
        ("'Store 12' (",),
        "SELECT queue, count(*) AS n FROM tickets GROUP BY queue ORDER BY n DESC, queue LIMIT 1",
        lambda rows: [dict(zip(("queue", "n"), Counter(row["queue"] for row in rows).most_common(1)[0], strict=True))],
    ),
]
STOCK = [
    Asked(
        "What is the stock in Basel worth?",
        (f"above: {TITLE}", "'BSL' ("),
        "SELECT sum(value) FROM stock WHERE site = 'BSL'",
        lambda rows: pytest.approx(float(sum(Decimal(row["value"]) for row in rows if row["site"] == "BSL"))),
    ),
    Asked(
        "How many articles are discontinued?",
        ("'X' (", "'A' (", "'N' ("),
        "SELECT count(*) FROM stock WHERE lifecycle = 'X'",
        lambda rows: _count(rows, "lifecycle", "X"),
    ),
    Asked(
        "What is the largest value, and when was it counted?",
        ('"value" number: ', '"counted" date: 2025-01-01 to 2025-06-29'),
        "SELECT counted FROM stock ORDER BY value DESC LIMIT 1",
        lambda rows: max(rows, key=lambda row: Decimal(row["value"]))["counted"],
    ),
    Asked(
        "How many articles are out of stock?",
        ('"quantity" integer: 0 to 499',),
        "SELECT count(*) FROM stock WHERE quantity = 0",
        lambda rows: _count(rows, "quantity", "0"),
    ),
]


def _count(rows: Rows, column: str, value: str) -> int:
    return sum(row[column] == value for row in rows)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, RecordTables]:
    with ParserSandbox() as parser:
        return ingested(
            tmp_path_factory.mktemp("files"),
            {"tickets.csv": written(tickets()), "stock.csv": written(stock(), TITLE)},
            parser=parser,
        )


@pytest.mark.parametrize(
    ("asked", "rows"),
    [*((each, tickets) for each in TICKETS), *((each, stock) for each in STOCK)],
    ids=lambda value: value.question if isinstance(value, Asked) else "",
)
def test_a_planner_who_sees_the_values_answers_exactly(
    files: tuple[Corpus, RecordTables], asked: Asked, rows: Callable[[], Rows]
) -> None:
    question = TableQuestion(*files, [plan(asked.sql)], sql=SqlEngine())
    draft = question.ask(asked.question)
    (call,) = question.planned
    assert [words for words in asked.seen if words not in call.prompt] == []
    assert call.prompt.index("Question: ") > call.prompt.index('Table "stock"')
    assert draft.result is not None
    assert draft.result.value == asked.right(rows())


def test_what_is_the_same_for_all_questions_comes_first(files: tuple[Corpus, RecordTables]) -> None:
    calls = []
    for asked in TICKETS[:2]:
        question = TableQuestion(*files, [plan(asked.sql)], sql=SqlEngine())
        question.ask(asked.question)
        calls += question.planned
    one, other = calls
    assert one.system == other.system
    assert one.prompt.partition("Question: ")[0] == other.prompt.partition("Question: ")[0]


def test_a_total_of_all_rows_is_that_of_python(files: tuple[Corpus, RecordTables]) -> None:
    """No row is lost to the title above the header."""
    draft = TableQuestion(
        *files,
        [plan("SELECT count(*) AS n, sum(value) AS total FROM stock", "{n} rows: {total}")],
        sql=SqlEngine(),
    ).ask()
    assert draft.text.startswith(f"3,000 rows: {sum(Decimal(row['value']) for row in stock()):,}")
