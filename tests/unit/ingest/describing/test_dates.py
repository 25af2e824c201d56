"""Dates and periods in names and texts, in several languages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.describing.dates import find_times
from ingest.storage.documents.cards.records import parse_date, parse_period_start


@pytest.mark.parametrize(
    ("text", "language", "found"),
    [
        ("For the quarterly period ended December 31, 2022", "en", ["2022-12-31"]),
        ("dated 22 September 2022, and 3 Oct. 2022", "en", ["2022-09-22", "2022-10-03"]),
        ("this 14th day, the 14th of May, 2024", "en", ["2024-05-14"]),
        ("Sept. 30, 2023", "en", ["2023-09-30"]),
        ("from 1 September to 30 November 2023", "en", ["2023-09-01", "2023-11-30"]),
        ("1 December to 28 February 2023", "en", ["2022-12-01", "2023-02-28"]),
        ("2023-04-01T10:00:00", "en", ["2023-04-01"]),
        ("vom 15. November 2016", "de", ["2016-11-15"]),
        ("am 12.04.2023", "de", ["2023-04-12"]),
        ("1. Quartal 2023", "de", ["2023-Q1"]),
        ("le 1er mai 2023", "fr", ["2023-05-01"]),
        ("T1 2023", "fr", ["2023-Q1"]),
        ("14 de mayo de 2024", "es", ["2024-05-14"]),
        ("12 апреля 2023 г.", "ru", ["2023-04-12"]),
        ("2023. április 12.", "hu", ["2023-04-12"]),
        ("2023年4月1日 2023年5月", "ja", ["2023-04-01", "2023-05"]),
        ("Q1 2023, 2022 Q4, 2021Q3, Q2 FY2020", "en", ["2023-Q1", "2022-Q4", "2021-Q3", "2020-Q2"]),
        ("H1 2023", "en", ["2023-H1"]),
        ("May 2023", "en", ["2023-05"]),
        ("version 4.0 of 31 February 2023, at 10.30", "en", []),
        ("in 1999 and 2023", "en", []),
        ("12 апреля 2023", "xx", []),
    ],
)
def test_times_in_a_text(text: str, language: str, found: list[str]) -> None:
    assert [each.value for each in find_times(text, language)] == found


@pytest.mark.parametrize(
    ("text", "language", "found"),
    [
        ("02/03/2023", "en", []),  # in March or in February
        ("02/02/2023", "en", ["2023-02-02"]),
        ("02/03/2023", "fr", ["2023-03-02"]),
        ("02/03/2023, corrected on 01/24/2023", "en", ["2023-02-03", "2023-01-24"]),
        ("02/03/2023, corrected on 24/03/2023", "en", ["2023-03-02", "2023-03-24"]),
        ("02/03/2023 or 01/24/2023 or 24/01/2023", "en", ["2023-01-24", "2023-01-24"]),
    ],
)
def test_a_numeric_date_counts_only_if_its_order_is_certain(text: str, language: str, found: list[str]) -> None:
    assert [each.value for each in find_times(text, language)] == found


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("2023 Q1 MSFT", ["2023-Q1"]),
        ("bill tremaine 2023q2", ["2023-Q2"]),
        ("FY23 Q4", ["2023-Q4"]),
        ("3Q22", ["2022-Q3"]),
        ("payslip may24", ["2024-05"]),
        ("Jun-Aug 23", ["2023-06", "2023-08"]),
        ("2022-09 lease", ["2022-09"]),
        ("statement 02 2024", ["2024-02"]),
        ("20230401 scan0042", ["2023-04-01"]),
        ("minutes 14may2024 signed", ["2024-05-14"]),
        ("season 2022-23", ["2022"]),
        ("ordinance (2011)", ["2011"]),
        ("mail-000213", []),
        ("HX-2045", []),
    ],
)
def test_times_in_the_name_of_a_file(name: str, found: list[str]) -> None:
    assert [each.value for each in find_times(name, "en", is_name=True)] == found


@given(st.text(alphabet=st.sampled_from("0123456789.-/ ,QFYHqmayMarchäé年月\n"), max_size=80), st.booleans())
def test_times_are_valid_and_in_the_text_and_do_not_overlap(text: str, is_name: bool) -> None:
    end = 0
    for each in find_times(text, "en", is_name=is_name):
        assert end <= each.start < each.end <= len(text)
        assert (parse_date if each.is_date else parse_period_start)(each.value) is not None
        end = each.end
