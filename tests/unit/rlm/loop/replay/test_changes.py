"""Changes of results: dates that stay dates, and places that belong to one group whatever the change."""

from datetime import date

import pytest

from rlm.loop.replay.changes import Change, ChangeKind, change_result, copy_strings

_BY_GROUP = [
    kind
    for kind in ChangeKind
    if kind not in {ChangeKind.NONE, ChangeKind.EMPTY, ChangeKind.LESS, ChangeKind.FEWER, ChangeKind.MORE}
]


def changed(text: str, kind: ChangeKind, group: int | None = None) -> str:
    result = change_result("read", [text, text], 0, 1, Change(kind, group))
    assert isinstance(result, list)
    return str(result[group or 0])


@pytest.mark.parametrize(
    ("text", "later", "earlier"),
    [
        ("on 12 July 2031.", "on 28 July 2096.", "on 11 July 2004."),
        ("the 3rd of July 2031", "the 28rd of July 2096", "the 11rd of July 2004"),
        ("July 12, 2031", "July 28, 2096", "July 11, 2004"),
        ("am 12. Juli 2031", "am 28. Juli 2096", "am 11. Juli 2004"),
        ("12 de julio de 2031", "28 de julio de 2096", "11 de julio de 2004"),
        ("12.7.2031: 14 kg", "28.7.2096: 999 kg", "11.7.2004: 00 kg"),
        ("07/12/2031", "07/12/2096", "07/12/2004"),
        ("2031-07-12", "2096-07-28", "2004-07-11"),
        ("2031. július 12.", "2096. július 28.", "2004. július 11."),
        ("2031年7月12日", "2096年7月28日", "2004年7月11日"),
        ("12.7.31, 14 kg", "28.7.68, 999 kg", "11.7.04, 00 kg"),
        ("12.7.87", "28.7.96", "11.7.72"),
        ("July 1998", "July 2096", "July 1904"),
        ("July 1904", "July 1996", "July 1804"),
        ("1,998.50 and 320", "99,999.99 and 9999", "0,000.00 and 000"),
    ],
)
def test_dates_stay_dates_in_other_years(text: str, later: str, earlier: str) -> None:
    assert changed(text, ChangeKind.LATER) == later
    assert changed(text, ChangeKind.EARLIER) == earlier


@pytest.mark.parametrize("kind", [ChangeKind.LATER, ChangeKind.EARLIER])
@pytest.mark.parametrize("group", [0, 1])
@pytest.mark.parametrize("day", ["2028-02-29", "1900-12-31", "1999-01-01", "2096-02-29", "2000-02-29", "2004-04-30"])
def test_every_day_stays_a_day_and_becomes_another_one(day: str, kind: ChangeKind, group: int) -> None:
    assert date.fromisoformat(changed(day, kind, group)) != date.fromisoformat(day)


def test_years_in_values_of_a_model_stay_years() -> None:
    assert change_result("extract", [{"year": 2031, "n": 7}], 0, 1, Change(ChangeKind.LATER)) == [
        {"year": 2096, "n": 62}
    ]


@pytest.mark.parametrize("kind", [ChangeKind.RAISED, ChangeKind.LATER])
def test_the_two_groups_get_different_numbers(kind: ChangeKind) -> None:
    assert changed("320", kind, 0) != changed("320", kind, 1)
    assert changed("May 2031", kind, 0) != changed("May 2031", kind, 1)


@pytest.mark.parametrize("kind", _BY_GROUP)
def test_a_line_among_texts_belongs_to_one_group_whatever_the_change(kind: ChangeKind) -> None:
    texts = [f"Report {n}\n\n{n + 20} mm of rain.\nNo. {n + 300}\n" for n in range(8)]
    for group, other in ((0, 1), (1, 0)):
        result = change_result("read", texts, 0, 1, Change(kind, group))
        assert result[other::2] == texts[other::2]


@pytest.mark.parametrize("kind", _BY_GROUP)
def test_a_line_of_a_long_text_that_was_read_beside_others_belongs_to_one_group(kind: ChangeKind) -> None:
    text = "\n".join(f"Entry {n}: {n + 300} of July 2031\n" for n in range(9))
    lines = text.split("\n\n")
    for group, other in ((0, 1), (1, 0)):
        change = Change(kind, group)
        copied = copy_strings(["short", text], change)
        result = change_result("read", copied[1], 1, 2, change).split("\n\n")
        assert [line.strip() for line in result[other::2]] == [line.strip() for line in lines[other::2]]


def test_one_number_alone_can_be_raised() -> None:
    result = change_result("read", ["No. 417, 4170 and 4,17", 417, 41], 0, 1, Change(ChangeKind.RAISED, number="417"))
    assert result == ["No. 9417, 4170 and 94,17", 7 * 417 + 13, 41]


def test_a_quarter_of_the_records_can_be_all_that_is_left() -> None:
    records = [f"record {n}" for n in range(8)]
    blank = change_result("read", records, 0, 1, Change(ChangeKind.BLANK, spared=1))
    assert [each.strip() for each in blank] == ["", "record 1", "", "", "", "record 5", "", ""]
    copied = change_result("read", records, 0, 1, Change(ChangeKind.COPIED, spared=1))
    assert copied == ["record 1"] * 4 + ["record 5"] * 4


def test_texts_keep_their_lines_where_only_records_are_left_out() -> None:
    assert change_result("read", "one\ntwo\n", 0, 1, Change(ChangeKind.FEWER)) == "one\ntwo\n"
    assert change_result("grep", {"hits": [1, 2]}, 0, 1, Change(ChangeKind.FEWER)) == {"hits": [1]}


@pytest.mark.parametrize("result", [["one hit"], "one line", {"hits": [{"text": "one hit", "start": 7}]}])
def test_the_only_record_belongs_to_one_quarter(result: object) -> None:
    left = [change_result("grep", result, 0, 1, Change(ChangeKind.COPIED, spared=quarter)) for quarter in range(4)]
    assert [each == result for each in left] == [True, False, False, False]
    assert "one" not in str(left[1:])
