import copy
import json
import pickle
import re
from string import Formatter

import pytest

from ingest.storage.queue.records import Failure
from ingest.storage.remarks import REMARKS, Remark, convert_remark_to_json, name_problem, parse_remark
from ingest.storage.texts.layout import Omission, OmissionKind, build_omission, dump_omissions, parse_omissions


def test_a_remark_is_its_english_sentence_with_its_numbers_formatted() -> None:
    remark = Remark("rows_not_judged", column="late", n=1_200, problem=name_problem("budget_exhausted"))
    assert remark == 'For "late", 1,200 rows have no result: budget exhausted.'
    assert Remark("records_cited", n=1, records=2_000) == "1 of the 2,000 records behind this answer is cited."
    assert Remark("hours", hours=1.5) == "1.5 h"


def test_a_remark_is_sent_with_its_code_and_values_and_with_the_remarks_within_it() -> None:
    parts = [Remark("calls_of_model", n=500), Remark("minutes", minutes=15)]
    sent = json.loads(json.dumps(convert_remark_to_json(Remark("limits", parts=parts))))
    assert sent["code"] == "limits"
    assert sent["text"] == "At most 500 calls of the language model, 15 min."
    assert [each["code"] for each in sent["values"]["parts"]] == ["calls_of_model", "minutes"]
    assert sent["values"]["parts"][0]["values"] == {"n": 500}


def test_a_text_without_a_code_has_none() -> None:
    assert convert_remark_to_json("The model's own words.") is None


def test_a_remark_keeps_its_code_when_it_is_copied() -> None:
    remark = Remark("run_cells_over", n=3)
    for same in (copy.deepcopy(remark), pickle.loads(pickle.dumps(remark))):
        assert (same, same.code, same.values) == (remark, "run_cells_over", {"n": 3})


def test_a_remark_without_a_code_of_the_list_or_without_its_values_cannot_be_made() -> None:
    with pytest.raises(KeyError):
        Remark("no_such_code")
    with pytest.raises(KeyError):
        Remark("run_cells_over")


def test_a_remark_that_was_sent_is_the_same_when_it_is_read() -> None:
    pages = ["3", Remark("omitted_page_range", first="7", last="9")]
    for remark in (Remark("omitted_pages", pages=pages), Remark("workbook_unreadable", problem="no such part")):
        read = parse_remark(json.loads(json.dumps(convert_remark_to_json(remark))))
        assert (read, read and read.code) == (remark, remark.code)


@pytest.mark.parametrize(
    "found",
    [
        None,
        "pdf_cut_off",
        {"code": "of_a_later_release", "values": {}, "text": "Later."},
        {"code": "no_text_slides", "values": {}, "text": "No value."},
        {"code": "no_text_pdf", "values": {"n": None}, "text": "No number."},
        {"code": ["pdf_cut_off"], "values": {}, "text": "No code."},
        {"code": "pdf_cut_off", "values": [], "text": "No values."},
    ],
)
def test_a_remark_that_is_not_known_is_none(found: object) -> None:
    assert parse_remark(found) is None


def test_the_reason_of_a_failure_has_its_codes_only_while_it_says_the_same() -> None:
    failure = Failure("document_damaged", Remark("pdf_cut_off"), Remark("hint_upload_complete"))
    columns = json.loads(json.dumps(failure.remarks))
    restored = Failure.from_columns(failure.code, str(failure.detail), str(failure.hint), columns)
    assert restored.coded_detail == failure.coded_detail
    assert restored.coded_hint == failure.coded_hint
    changed = Failure.from_columns("parse_failed", "Changed.", "", columns)
    assert (changed.detail, changed.coded_detail, changed.coded_hint) == ("Changed.", None, None)
    assert Failure("parse_failed", "Own words.").remarks is None


def test_the_parts_of_an_omission_have_their_codes_only_while_they_say_the_same() -> None:
    details = [Remark("omitted_hidden_text"), Remark("omitted_slide", slide="2"), Remark("omitted_slide", slide="3")]
    omission = build_omission(OmissionKind.HIDDEN, 3, details, 2)
    assert omission.words == "3 hidden parts (hidden text; slide 2; and 1 more)"
    rows = json.loads(json.dumps(dump_omissions((omission,))))
    assert parse_omissions(rows) == (omission,)
    assert [each and each["code"] for each in parse_omissions(rows)[0].coded_details] == [
        "omitted_hidden_text",
        "omitted_slide",
        "omitted_more",
    ]
    rows[0][2] = "something else"
    assert parse_omissions(rows) == (Omission(OmissionKind.HIDDEN, 3, "something else"),)
    assert parse_omissions([["image", 2, "pages 2, 7"]]) == (Omission(OmissionKind.IMAGE, 2, "pages 2, 7"),)
    assert build_omission(OmissionKind.OTHER, 1, ["a", Remark("omitted_comments")]).remarks == ()


@pytest.mark.parametrize("code", REMARKS)
def test_both_forms_of_a_remark_have_the_same_values(code: str) -> None:
    forms = REMARKS[code]
    assert re.fullmatch(r"[a-z_]+", code)
    if not isinstance(forms, str):
        one, many = ({name for _, name, _, _ in Formatter().parse(form) if name} for form in forms)
        assert one == many
        assert "n" in one
