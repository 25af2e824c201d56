"""Which column names say what a column contains."""

import pytest

from ingest.storage.tables.types import Column, ColumnType
from rlm.tables.names import count_telling_names


@pytest.mark.parametrize(
    ("names", "count"),
    [
        (("item", "amount"), 2),
        (("column_1", "column_2_2"), 0),
        (("A", "B", "D"), 0),
        (("column", "a", "ID"), 3),
        (("column_1", "2022", "2023"), 0),
        (("1", "(2)", "—", "3.5"), 0),
        (("Q3 2023", "FY23", "2022/23", "30.06.2023", "June 30, 2023"), 0),
        (("June 30,", "31. Dezember", "Item 2."), 0),
        (("Three Months Ended June 30, 2023", "Three Months Ended June 25, 2022"), 1),
        (("June 30, 2023 Gross Amount", "June 30, 2023 Net Amount"), 2),
        (("Total", "Total_2", "total_3"), 1),
        (("£", "%", "kWh"), 3),
        (("Level 1", "Level 2", "Other"), 1),
        (("姓名", "金额", "2023年"), 2),
    ],
)
def test_numbers_dates_and_numbered_columns_are_no_telling_names(names: tuple[str, ...], count: int) -> None:
    assert count_telling_names(Column(name, ColumnType.TEXT) for name in names) == count
