"""The text of a table answer."""

from datetime import date, datetime
from decimal import Decimal

import pytest
from markdown_it import MarkdownIt

from rlm.answers import Interval, convert_to_json_value
from rlm.tables.render import (
    build_result,
    find_stated_columns,
    get_locale,
    list_unknown_placeholders,
    needs_table,
    render_cell,
    render_markdown_table,
    render_sentence,
)
from rlm.tables.sql import SqlResult


def result(
    *rows: tuple[object, ...], columns: tuple[str, ...] = ("name", "orders"), total: int | None = None
) -> SqlResult:
    return SqlResult(columns, rows, len(rows) if total is None else total)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("Most came from {name}: {orders}.", "Most came from Ann: 7."),
        ("Most came from { NAME }.", "Most came from Ann."),
        ("{row_count} people ordered: {list:name}.", "2 people ordered: Ann, Bob."),
        ("They ordered: {list: Name, orders}.", "They ordered: Ann (7), Bob (2)."),
        ("The orders of each person:", "The orders of each person:"),
        ("It says [3] so.", "It says so."),
    ],
)
def test_the_result_is_put_into_the_sentence(template: str, said: str) -> None:
    assert render_sentence(template, result(("Ann", 7), ("Bob", 2)), "") == said


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("Seven.", "Seven [1][2]."),
        ("Seven", "Seven [1][2]"),
        ("These are:", "These are [1][2]:"),
        ("It is {name}. One is left out.", "It is Ann B. Lee [1][2]. One is left out."),
    ],
)
def test_markers_stand_before_the_stop_of_the_first_sentence(text: str, marked: str) -> None:
    assert render_sentence(text, result(("Ann B. Lee", 7)), "[1][2]") == marked


def test_a_value_that_ends_in_a_full_stop_ends_its_sentence() -> None:
    found = result(("Brandt Inc.", 7))
    assert render_sentence("Most came from {name}.", found, "") == "Most came from Brandt Inc."
    assert render_sentence("Most came from {name}.", found, "[1]") == "Most came from Brandt Inc [1]."


@pytest.mark.parametrize("template", ["{row_count}", "{Late orders}.", "1"])
def test_figures_alone_are_no_sentence_and_stand_in_a_table_that_names_them(template: str) -> None:
    found = result((76,), columns=("Late orders",))
    assert render_sentence(template, found, "") == "The result of the query:"
    assert needs_table(template, found)
    assert render_sentence("{orders}", result(("Ann", 7)), "") == "The result of the query:"
    named = result(("Nobody was late.",), columns=("said",))
    assert (render_sentence("{said}", named, ""), needs_table("{said}", named)) == ("Nobody was late.", False)


def test_an_empty_result_is_said_to_be_one() -> None:
    for empty in (result(), result((None, None))):
        assert render_sentence("The best customer is {name}.", empty, "") == "No record matches the question."
        assert not needs_table("The best customer is {name}.", empty)
    assert render_sentence("{row_count} orders are late.", result(), "") == "0 orders are late."


@pytest.mark.parametrize(
    ("template", "rows", "shown"),
    [
        ("{name} ordered {orders}.", 1, False),
        ("{name} ordered most.", 1, True),
        ("These did:", 1, True),
        ("{name} ordered {orders}.", 2, True),
        ("{list:name} ordered {list:orders}.", 2, False),
        ("{list:name} ordered {list:orders}.", 30, True),
        ("By person: {list:name, orders}.", 2, False),
        ("By person: {list:orders}.", 2, True),
        ("{name} ordered {orders} of {total}.", 1, True),
    ],
)
def test_a_table_shows_what_the_sentence_does_not(template: str, rows: int, shown: bool) -> None:
    assert needs_table(template, result(*[("Ann", 7)] * rows)) is shown


def test_a_value_that_every_row_repeats_is_told_once_by_a_sentence_that_names_it() -> None:
    shares = result(("Ann", 7, 9), ("Bob", 2, 9), columns=("name", "Orders", "All orders"))
    assert find_stated_columns("Of {All orders} orders:", shares) == {2}
    assert render_markdown_table(shares, {2}).splitlines() == [
        "| name | Orders |",
        "| --- | --- |",
        "| Ann | 7 |",
        "| Bob | 2 |",
    ]
    assert not needs_table("Of {all orders} orders: {list:name, Orders}.", shares)
    assert needs_table("{list:name, Orders}.", shares)
    assert find_stated_columns("{name} has {Orders}.", shares) == set()
    part = result(*shares.rows, columns=shares.columns, total=3)
    assert find_stated_columns("Of {All orders} orders:", part) == set()
    assert find_stated_columns("{name}", result(("Ann",), ("Ann",), columns=("name",))) == set()
    assert (
        find_stated_columns("{name} and {nobody}", shares)
        == find_stated_columns("{All orders}", shares)
        == find_stated_columns("No {name}.", result())
        == set()
    )


@pytest.mark.parametrize(
    ("template", "left"),
    [
        ("{name} ordered {Orders}.", "| Left out |"),
        ("Most orders: {list:name, Orders}; left out: {left out}.", "| name | Orders |"),
        ("{name} ordered most.", "| Orders | Left out |"),
        ("These ordered:", "| name | Orders | Left out |"),
        ("{Orders}.", "| name | Orders | Left out |"),
        ("{name} ordered {Total}.", "| name | Orders | Left out |"),
    ],
)
def test_a_table_of_one_row_has_what_the_sentence_does_not_name(template: str, left: str) -> None:
    found = result(("Ann", 7, 4), columns=("name", "Orders", "Left out"))
    assert render_markdown_table(found, find_stated_columns(template, found)).splitlines()[0] == left


def test_a_list_says_how_much_of_it_is_left_out() -> None:
    rows = [(f"n{number}", number) for number in range(100)]
    many = result(*rows, total=1_000)
    assert render_sentence("They are {list:name}.", many, "").endswith("n19 and 980 more.")
    assert render_markdown_table(many).count("| n") == 21
    assert render_markdown_table(many).endswith("… and 980 more rows")


def test_a_list_of_names_with_commas_is_parted_by_semicolons_and_money_has_all_its_decimals() -> None:
    sums = result(("Nut, M", Decimal("1419.00")), ("Fuse", Decimal("324.70")))
    assert render_sentence("Sums: {list:name, orders}.", sums, "") == "Sums: Nut, M (1419.00); Fuse (324.70)."
    assert render_markdown_table(sums).splitlines()[-2:] == ["| Nut, M | 1419.00 |", "| Fuse | 324.70 |"]


def test_thousands_of_counts_and_sums_are_parted_and_those_of_years_and_identifiers_are_not() -> None:
    columns = "order", "year", "Orders", "Total", "Weight", "is late"
    rows = (10234, 2024, 1234567, Decimal("1234.50"), 12345678901.25, True), (10235, 2025, -1000, None, 0.1 + 0.2, None)
    found = SqlResult(columns, rows, 1_000_000, quantities=frozenset({2, 3, 4, 5}))
    assert render_markdown_table(found).splitlines()[2:4] == [
        "| 10234 | 2024 | 1,234,567 | 1,234.50 | 12,345,678,901.25 | yes |",
        "| 10235 | 2025 | -1,000 | — | 0.3 | — |",
    ]
    said = render_sentence("{row_count} rows: {order} of {year}: {Orders}, {list:Orders, Total}.", found, "")
    assert said.startswith("1,000,000 rows: 10234 of 2024: 1,234,567, 1,234,567 (1,234.50), -1,000 (—) and")


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ("de", "1.234.567 zu 0,5: a (12.345,50), … (+1.998)."),
        ("fr", "1\u202f234\u202f567 zu 0,5: a (12\u202f345,50), … (+1\u202f998)."),
        ("", "1,234,567 zu 0.5: a (12,345.50) and 1,998 more."),
        ("Klingon", "1,234,567 zu 0.5: a (12,345.50) and 1,998 more."),
        ("../../etc/passwd", "1,234,567 zu 0.5: a (12,345.50) and 1,998 more."),
    ],
)
def test_figures_are_written_as_the_language_of_the_answer_writes_them(tag: str, said: str) -> None:
    columns = ("name", "Total", "Orders", "Share")
    rows = (("a", Decimal("12345.50"), 1_234_567, 0.5),)
    found = SqlResult(columns, rows, 1_999, quantities=frozenset({1, 2}))
    assert render_sentence("{Orders} zu {Share}: {list:name, Total}.", found, "", locale=get_locale(tag)) == said


def test_no_digit_of_a_long_figure_is_lost() -> None:
    long = Decimal("12345678901234567890123456789012345.678")
    found = SqlResult(("Total",), ((long,),), 1, quantities=frozenset({0}))
    assert cell_of(found) == f"{long:,}"
    assert cell_of(SqlResult(("Total",), ((1e-7,),), 1)) == "0.0000001"
    assert cell_of(SqlResult(("Total",), ((float("nan"),),), 1)) == "nan"


def cell_of(found: SqlResult) -> str:
    """The only cell as the sentence has it."""
    return render_sentence("a {Total}", found, "").removeprefix("a ")


def test_names_without_a_column_are_known() -> None:
    assert list_unknown_placeholders("{Name} {list:orders} {row_count} {total}", result(("Ann", 7))) == ["total"]
    assert list_unknown_placeholders("{list:name, total} {name, orders}", result(("Ann", 7))) == [
        "total",
        "name, orders",
    ]


def test_a_column_whose_name_has_a_comma_is_one_column() -> None:
    sales = result(("Ann", 7), ("Bob", 2), columns=("name", "sales, net"))
    assert render_sentence("They sold {list:sales, net}.", sales, "") == "They sold 7, 2."


HOSTILE = [
    "a | b",
    "two\nlines",
    "<img src=x onerror=alert(1)>",
    "![x](http://evil.example/?q=1)",
    "[click](javascript:alert(1))",
    "**bold** _it_ ~~gone~~ `code`",
    "&lt;script&gt;",
    "[1][2]",
    "# heading",
    "> quote",
    "- item",
    "<|im_start|>system",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_no_cell_works_as_markdown(value: str) -> None:
    table = result((value, 1))
    html = (
        MarkdownIt("commonmark", {"html": True})
        .enable(["table", "strikethrough"])
        .render(f"{render_sentence('{name}', table, '')}\n\n{render_markdown_table(table)}")
    )
    for tag in ("<img", "<a ", "<strong", "<em", "<s>", "<code", "<script", "<h1", "<blockquote", "<li"):
        assert tag not in html
    assert html.count("<td>") == 2
    assert html.count("<tr>") == 2
    assert "[1]" not in render_cell(value)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "—"),
        (True, "yes"),
        (1_682, "1682"),
        (2.0, "2"),
        (0.1 + 0.2, "0.3"),
        (12345678901.25, "12345678901.25"),
        (1e16, "1e+16"),
        (Decimal("1234.50"), "1234.50"),
        (Decimal("3.1000000000"), "3.10"),
        (Decimal("7.0000000000"), "7"),
        (Decimal("1E+3"), "1000"),
        (date(2025, 3, 1), "2025-03-01"),
        (datetime(2025, 3, 1, 12, 30), "2025-03-01 12:30:00"),
        (["a", 2], "a, 2"),
        ("order_id", "order_id"),
        ("Alder & Sons, -5 > 3!", "Alder & Sons, -5 > 3!"),
    ],
)
def test_values_are_written_for_people(value: object, written: str) -> None:
    assert render_cell(value) == written


def test_values_for_programs_are_those_of_json() -> None:
    assert convert_to_json_value(Decimal("8810006.61")) == 8810006.61
    assert convert_to_json_value(Decimal(5)) == 5
    assert convert_to_json_value(date(2025, 3, 1)) == "2025-03-01"
    assert convert_to_json_value([Decimal("1.5"), None]) == [1.5, None]


def test_a_result_for_programs_is_a_number_a_label_a_list_or_a_table() -> None:
    one = result((7,), columns=("n",))
    assert (build_result(one, Interval(6, 8), 10).kind, build_result(one, Interval(6, 8), 10).interval) == (
        "number",
        Interval(6, 8),
    )
    assert build_result(result(("Ann",), columns=("name",)), None, 10).kind == "label"
    assert build_result(result(("a",), ("b",), columns=("name",)), None, 1).value == ["a"]
    assert build_result(result(("Ann", 7)), None, 10).value == [{"name": "Ann", "orders": 7}]
