import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm.corpus.handles import Handle
from rlm.operators.dates import read_date, read_month
from rlm.operators.table import Condition, Op, Row, number


def row(**values: str) -> Row:
    return Row(Handle("d", "v", 0, 0), values)


@given(st.dates())
def test_a_date_is_read_in_every_way_of_writing_it(day) -> None:  # type: ignore[no-untyped-def]
    month, year = f"{day:%B}", f"{day.year:04}"
    written = [
        day.isoformat(),
        f"{month} {day.day}, {year}",
        f"{month[:3]} {day.day:02}, {year}",
        f"{day.day} {month} {year}",
        f"{day.month}/{day.day}/{year}",
        f"{day.day}.{day.month}.{year}",
        f"{day.isoformat()}T10:20:30Z",
    ]
    assert {read_date(text) for text in written} == {day}
    assert {read_month(text) for text in (f"{day.month}/{year}", f"{year}-{day.month:02}", f"{month} {year}")} == {
        day.isoformat()[:7]
    }


@pytest.mark.parametrize("text", ["", "soon", "32.1.2022", "2022-13-01", "Feb 30, 2022", "17"])
def test_what_is_no_date_is_none(text: str) -> None:
    assert read_date(text) is None


@pytest.mark.parametrize("text", ["13/2022", "Sometime 2022", "2022"])
def test_what_is_no_month_is_none(text: str) -> None:
    assert read_month(text) is None


RECORD = row(user="Ann", text="The white whale", date="Oct 14, 2022", age="7", at="2022-10-14 10:00")


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (Condition("user", Op.IS, (" ANN ",)), True),
        (Condition("user", Op.IS_NOT, ("bob",)), True),
        (Condition("user", Op.IN, ("bob", "ann")), True),
        (Condition("text", Op.CONTAINS, ("WHALE",)), True),
        (Condition("date", Op.BEFORE, ("2022-10-14",)), False),
        (Condition("date", Op.UNTIL, ("10/14/2022",)), True),
        (Condition("date", Op.FROM, ("14 Oct 2022",)), True),
        (Condition("date", Op.AFTER, ("2022-10-13",)), True),
        (Condition("date", Op.MONTH, ("October 2022",)), True),
        (Condition("date", Op.YEAR, ("2021",)), False),
        (Condition("age", Op.AT_LEAST, ("7",)), True),
        (Condition("age", Op.AT_MOST, ("6.9",)), False),
        (Condition("missing", Op.IS_NOT, ("x",)), False),
        (Condition("date", Op.IS, ("2022-10-14",)), True),
        (Condition("date", Op.IS, ("2022-10-15",)), False),
        (Condition("date", Op.IS_NOT, ("10/14/2022",)), False),
        (Condition("date", Op.IN, ("2022-10-13", "14.10.2022")), True),
        (Condition("date", Op.IS, ("October",)), False),
        (Condition("at", Op.IS, ("2022-10-14",)), True),
        (Condition("at", Op.IS, ("2022-10-14 11:00",)), False),
    ],
    ids=str,
)
def test_conditions(condition: Condition, holds: bool) -> None:
    assert condition.holds(RECORD) is holds


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,250.5", 1250.5),
        ("12,345,678", 12_345_678),
        ("12,34,567", 1_234_567),
        ("1,250", 1250),
        ("12,50 €", 12.5),
        ("1.250,50 €", 1250.5),
        ("1.234.567,8", 1_234_567.8),
        ("1 250 000", 1_250_000),
        ("$ -3.5", -3.5),
        ("0,125", 0.125),
        ("7 %", 7),
    ],
)
def test_numbers_are_read_as_they_are_written(text: str, value: float) -> None:
    assert number(text) == value


@pytest.mark.parametrize("text", ["NaN", "inf", "-Infinity", "1e999", "many", "1,2,3", "1 2", "12,,5"])
def test_what_cannot_be_added_up_is_no_number(text: str) -> None:
    assert number(text) is None


@pytest.mark.parametrize(
    ("op", "values"),
    [
        (Op.IS, ()),
        (Op.IS, ("a", "b")),
        (Op.BEFORE, ("someday",)),
        (Op.MONTH, ("2022",)),
        (Op.AT_LEAST, ("many",)),
    ],
)
def test_a_condition_that_means_nothing_is_refused(op: Op, values: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"value|date|month|number"):
        Condition("x", op, values)


@pytest.mark.parametrize("written", ["-$50.00", "(50.00)", "\u221250", "$-50", "($50)", "- € 50", "-50"])
def test_a_debit_is_negative_however_it_is_written(written: str) -> None:
    assert number(written) == -50


def test_versions_are_names() -> None:
    row = Row(Handle("d", "v", 0, 1), {"Version": "2.10", "Price": "2.10"})
    assert not Condition("Version", Op.IS, ("2.1",)).holds(row)
    assert Condition("Price", Op.IS, ("2.1",)).holds(row)
