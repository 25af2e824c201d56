"""Only values that a document states are kept of those that a model gives."""

import pytest

from ingest.describing.occurrence import keep_stated_fields
from ingest.storage.documents.cards.records import CardFields

TEXT = """Quarterly report of Brandt & Söhne GmbH
For the three months ended June 30, 2023. Revision 4.1, Order 12023.
本会議記録です。
"""


def keep(name: str = "scan.pdf", **found: object) -> CardFields:
    return keep_stated_fields(CardFields.from_json(found), TEXT, name, "en")


@pytest.mark.parametrize("subject", ["BRANDT & SÖHNE", "brandt söhne gmbh", "Quarterly  report", "会議記録"])
def test_a_name_is_kept_in_another_case_width_or_punctuation(subject: str) -> None:
    assert keep(subjects=[subject]).subjects == (subject,)


@pytest.mark.parametrize("subject", ["Acme", "Brand", "hne GmbH", "Order 1202", "&", ""])
def test_a_name_that_is_not_there_as_whole_words_is_dropped(subject: str) -> None:
    assert keep(subjects=["Brandt", subject]).subjects == ("Brandt",)


def test_a_field_without_stated_values_is_unknown_so_that_rules_decide() -> None:
    found = keep(title="Annual report", subjects=["Acme"], periods=["2022"], dates=["2022-01-01"], version="4.2")
    assert found == CardFields()


def test_a_date_is_compared_by_value_in_the_language_of_the_text() -> None:
    assert keep(dates=["2023-06-30", "2023-06-29", "2023-03-06"]).dates == ("2023-06-30",)
    text = "Unterschrieben am 3. März 2023"
    found = CardFields(dates=("2023-03-03",), periods=("2023-03",))
    assert keep_stated_fields(found, text, "", "de") == found
    assert keep_stated_fields(found, text, "", "en") == CardFields()


@pytest.mark.parametrize("period", ["2023", "2023-H1", "2023-Q2", "2023-06"])
def test_a_period_is_kept_if_it_contains_a_date_of_the_text(period: str) -> None:
    assert keep(periods=[period]).periods == (period,)


@pytest.mark.parametrize("period", ["2022", "2023-H2", "2023-Q1", "2023-Q3", "2023-07", "9999", "9999-12"])
def test_a_period_without_a_time_of_the_text_is_dropped(period: str) -> None:
    assert keep(periods=[period]).periods is None


def test_the_name_of_the_file_counts_as_well() -> None:
    found = keep(name="Acme_handbook_v7_2021Q3.pdf", subjects=["Acme"], version="7", periods=["2021-Q3", "2021"])
    assert found == CardFields(subjects=("Acme",), version="7", periods=("2021-Q3", "2021"))


def test_the_kind_and_the_language_need_not_occur() -> None:
    assert keep(kind="minutes", language="en") == CardFields(kind="minutes", language="en")
