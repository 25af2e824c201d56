"""The fields of a card that are found by rules."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.describing.fields import HEAD_CHARS, DescribedText, describe_document
from ingest.parsing.mail import build_mail_properties
from ingest.storage.documents.cards.records import MAX_FIELD_CHARS, MAX_LAYER_BYTES, CardFields
from ingest.storage.texts.layout import Layout, Place, PlaceKind, build_markdown_layout

REPORT = """# Borealis Harbour Cranes

Quarterly report

For the quarter ended December 31, 2022

## Revenue

The revenue of Borealis Harbour Cranes grew. In the report for 31 March 2021 it fell, and a crane of Acme stood idle.
Acme sold more cranes than Borealis Harbour Cranes.
"""


def describe(text: str, name: str = "scan0042.md", **values: Any) -> CardFields:  # noqa: ANN401 - of a `DescribedText`
    given_values = {"title": None, "layout": build_markdown_layout(text), "language": "en", **values}
    return describe_document(DescribedText(text, name, "text/markdown", **given_values))[1]


def test_the_fields_of_a_report() -> None:
    found = describe(REPORT, "2023 Q1 report.md", title="Borealis Harbour Cranes")
    assert found == CardFields(
        kind="quarterly report",
        subjects=("Borealis Harbour Cranes", "Acme"),
        periods=("2023-Q1",),
        dates=("2022-12-31",),
        language="en",
        outline=("Borealis Harbour Cranes", "Revenue"),
    )


def test_the_source_layer_has_only_what_the_file_says_about_itself() -> None:
    described = DescribedText(REPORT, "2023 Q1 v2.1.md", "text/markdown", layout=build_markdown_layout(REPORT))
    source, _ = describe_document(described)
    assert source == CardFields(periods=("2023-Q1",), version="2.1")


def test_dates_in_sentences_count_only_where_no_short_line_has_one() -> None:
    text = f"# Lease\n\n{'The parties agree that the rooms are let for ten years. ' * 3} It began on 3 May 2020.\n"
    assert describe(text).dates == ("2020-05-03",)
    assert describe(f"dated 4 June 2020\n\n{text}").dates == ("2020-06-04",)


def test_a_title_that_the_first_page_does_not_repeat_may_be_of_an_earlier_document() -> None:
    text = "# Minutes\n\nDate: 12 March 2024\n"
    found = describe(text, title="Budget September 2023 v3")
    assert (found.periods, found.dates, found.version, found.kind) == (None, ("2024-03-12",), None, "minutes")
    undated = describe("# Minutes\n\nAll agreed.\n", title="Minutes September 2023")
    assert undated.periods == ("2023-09",)


def test_only_the_first_page_is_read_for_dates_and_names() -> None:
    text = "# Plan\n\n5 May 2020\n\nThe plan of Acme and Acme.\n\n6 June 2021\n\nThe plan of Borealis and Borealis.\n"
    second = text.index("6 June")
    layout = Layout(
        build_markdown_layout(text).headings, (Place(PlaceKind.PAGE, 1, 0), Place(PlaceKind.PAGE, 2, second))
    )
    found = describe(text, layout=layout)
    assert (found.dates, found.subjects) == (("2020-05-05",), ("Acme",))


@pytest.mark.parametrize(
    ("name", "heading", "version"),
    [
        ("admin-guide-4.2.md", "Guide", "4.2"),
        ("guide_v5.md", "Guide", "5"),
        ("scan.md", "Archive Server 3.2.1", "3.2.1"),
        ("scan.md", "Guide\n\nMeeting at 7.30 p.m. in room 4", None),
        ("scan.md", "3.2 Scope", None),
        ("minutes 12.04.2023.md", "Minutes", None),
        ("HX-20.md", "Manual", None),
    ],
)
def test_the_version_is_in_the_name_or_ends_a_line_of_the_title(name: str, heading: str, version: str | None) -> None:
    assert describe(f"# {heading}\n\nText.\n", name).version == version


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("# Lease of business premises\n\nAll rooms.\n", "lease of business premises"),
        ("# Linnet Rowing Club - By-laws\n\nThe Linnet Rowing Club is open to all.\n", "by-laws"),
        ("# PARISH COUNCIL OF ELLERBY\n\nMinutes\n\nThe council of Ellerby met, and Ellerby paid.\n", "minutes"),
        ("# Statement March 2024\n\nPaid.\n", "statement"),
        (f"Page 1\n\n{'A sentence of the text. ' * 9}\n", None),
    ],
)
def test_the_kind_is_what_names_numbers_and_dates_leave_of_a_title(text: str, kind: str | None) -> None:
    assert describe(text).kind == kind


def test_a_message_has_its_people_its_date_and_no_other_kind() -> None:
    properties = build_mail_properties(
        "Pump",
        {"From": "Ann Lee <a@x.example>", "To": "Bo Ray <b@x.example>", "Date": "Thu, 11 May 2023 11:52:00 +0000"},
    )
    described = DescribedText("# Pump\n\nDear Bo Ray,\n", "1.eml", "message/rfc822", "Pump", properties=properties)
    _, found = describe_document(described)
    assert (found.kind, found.subjects, found.dates) == ("message", ("Ann Lee", "Bo Ray"), ("2023-05-11",))


def test_a_single_noun_is_no_name_in_a_language_that_capitalizes_nouns() -> None:
    text = "# Mietvertrag\n\nEs gilt der Mietvertrag mit der Gemeinde Lindenrode.\n\nGemeinde Lindenrode\n"
    assert describe(text, language="de").subjects == ("Gemeinde Lindenrode",)


def test_scripts_without_upper_case_have_no_names() -> None:
    assert describe("# 会議録\n\n2023年4月1日\n\n会議録と会議録。\n", language="ja").subjects is None


TEXTS = st.text(alphabet=st.sampled_from("Ab c.\n#|>-0123/,:Ä年 May2023Q1v(){}<"), max_size=3_000)


@given(TEXTS, st.text(max_size=300), st.none() | st.text(max_size=300), st.sampled_from([None, "en", "de", "ja", "zz"]))
def test_fields_are_limited_and_come_from_the_beginning_alone(
    text: str, name: str, title: str | None, language: str | None
) -> None:
    text = text * 4
    described = DescribedText(text, name, "text/plain", title, language=language)
    layers = describe_document(described)
    assert layers == describe_document(DescribedText(text[:HEAD_CHARS], name, "text/plain", title, language=language))
    for layer in layers:
        dumped = layer.to_json()
        assert len(json.dumps(dumped, ensure_ascii=False).encode("utf-8", "surrogatepass")) <= MAX_LAYER_BYTES
        values = [each for value in dumped.values() for each in ([value] if isinstance(value, str) else value)]
        assert all(0 < len(each) <= MAX_FIELD_CHARS for each in values)
        assert CardFields.from_json(json.loads(json.dumps(dumped))) == layer
