"""Names of documents in answers are masked however they are written, and nothing else is."""

import re
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.storage.answers.masking import CLOSED_NAME, DELETED_NAME, NameMask, mask_answer

MASK = NameMask({"Brandt_2022Q3.pdf": DELETED_NAME, "Brandt_2022Q3": DELETED_NAME, "Annual report": CLOSED_NAME})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("See Brandt_2022Q3.pdf.", f"See {DELETED_NAME}."),
        (r"See **Brandt\_2022Q3.pdf** or brandt 2022q3!", f"See **{DELETED_NAME}** or {DELETED_NAME}!"),
        ("The ANNUAL\nREPORT's authors", f"The {CLOSED_NAME}'s authors"),
        ("Brandt_2022Q30.pdf and annual reports", "Brandt_2022Q30.pdf and annual reports"),
        ("Brandt 2022 and a report", "Brandt 2022 and a report"),
    ],
)
def test_a_name_is_masked_in_each_way_to_write_it_and_not_inside_other_words(text: str, expected: str) -> None:
    assert MASK.mask_text(text) == expected
    assert MASK.mask_text(expected) == expected


def test_the_longest_name_is_masked_and_names_without_words_too() -> None:
    mask = NameMask({"Report": CLOSED_NAME, "Report of May (may.pdf)": DELETED_NAME, "+++": DELETED_NAME})
    assert mask.mask_text("Report of May (may.pdf), report, +++") == f"{DELETED_NAME}, {CLOSED_NAME}, {DELETED_NAME}"


def test_a_name_is_masked_in_scripts_without_spaces_and_in_both_normalization_forms() -> None:
    mask = NameMask({"契約書": DELETED_NAME, unicodedata.normalize("NFD", "Müller.pdf"): DELETED_NAME})
    assert mask.mask_text("この契約書では") == f"この{DELETED_NAME}では"
    for form in ("NFC", "NFD"):
        assert mask.mask_text(unicodedata.normalize(form, "By Müller.pdf.")) == f"By {DELETED_NAME}."


def test_placeholders_and_markers_stay_although_a_document_has_their_words_for_a_name() -> None:
    mask = NameMask({"document": CLOSED_NAME, "1": CLOSED_NAME, "a": CLOSED_NAME, "withheld": CLOSED_NAME})
    kept = f"{DELETED_NAME} [1] [withheld: based on a document that you cannot access] {CLOSED_NAME}"
    assert mask.mask_text(kept) == kept
    assert mask.mask_text("The document") == f"The {CLOSED_NAME}"


def _build_body(*sentences: str, **members: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    text, marked = "", []
    for each in sentences:
        begin = len(text) + 1 if text else 0
        text = f"{text} {each}" if text else each
        marked.append({"text": each, "start": begin, "end": len(text), "reason": "By Annual report.", "quotes": []})
    searched = {"queries": ["annual report"], "documents": [{"title": "Annual report"}]}
    rest: dict[str, Any] = {
        "question": "Which?",
        "reasons": [],
        "notes": [],
        "result": None,
        "table": None,
        "searched": searched,
    }
    return {
        "text": text,
        "sentences": marked,
        "citations": [{"title": "Brandt", "quote": "The annual profit rose."}],
        **rest,
        **members,
    }


def test_every_text_of_a_model_is_masked_and_quotations_and_cells_are_not() -> None:
    table = {
        "columns": ["annual report"],
        "rows": [["Annual report"]],
        "sql": "SELECT 'Annual report'",
        "total_rows": 1,
    }
    body = _build_body(
        "It is in the Annual report.",
        question="What does the annual report say?",
        reasons=["Direct: the Annual report."],
        notes=["Annual report"],
        result={"kind": "list", "value": [{"title": "Annual report", "count": 1}]},
        table=table,
    )
    masked = mask_answer(body, "What does it say?", MASK)
    for name in ("text", "question"):
        assert CLOSED_NAME in masked[name]
    assert masked["sentences"][0]["reason"] == f"By {CLOSED_NAME}."
    assert (masked["reasons"], masked["notes"]) == ([f"Direct: the {CLOSED_NAME}."], [CLOSED_NAME])
    assert masked["searched"] == {"queries": [CLOSED_NAME], "documents": body["searched"]["documents"]}
    assert masked["result"] == {"kind": "list", "value": [{"title": CLOSED_NAME, "count": 1}]}
    assert masked["table"] == {**table, "columns": [CLOSED_NAME], "sql": f"SELECT '{CLOSED_NAME}'"}
    assert masked["citations"] == body["citations"]


def test_the_users_own_question_is_not_masked() -> None:
    body = _build_body("No.", question="Is there an annual report?")
    assert mask_answer(body, body["question"], MASK)["question"] == body["question"]


def test_a_name_over_the_end_of_a_sentence_belongs_to_the_first() -> None:
    mask = NameMask({"Report No. 5.pdf": DELETED_NAME})
    masked = mask_answer(_build_body("See Report No.", "5.pdf is one."), "Which?", mask)
    assert masked["text"] == f"See {DELETED_NAME} is one."
    assert [each["text"] for each in masked["sentences"]] == [f"See {DELETED_NAME}", " is one."]


@given(st.lists(st.lists(st.sampled_from(["Annual report", "Brandt_2022Q3.pdf", "is", "ß", "[1]"]), min_size=1)))
def test_sentences_stay_where_the_text_has_them(words: list[list[str]]) -> None:
    body = _build_body(*(" ".join(each) + "." for each in words))
    masked = mask_answer(body, "Which?", MASK)
    for before, after in zip(body["sentences"], masked["sentences"], strict=True):
        assert masked["text"][after["start"] : after["end"]] == after["text"] == MASK.mask_text(before["text"])
    assert not re.search("annual|brandt", masked["text"], re.IGNORECASE)


def test_a_name_that_a_citation_shows_is_no_secret_of_another_document() -> None:
    mask = NameMask({"Form 10-Q": DELETED_NAME, "Berlin.pdf": DELETED_NAME})
    cited = {"title": "FORM 10-Q", "quote": "Sales rose in Bonn."}
    body = _build_body("The Form 10-Q says so, and Berlin.pdf too.", citations=[cited])
    assert mask_answer(body, "Which?", mask)["text"] == f"The Form 10-Q says so, and {DELETED_NAME} too."
    removed = _build_body("The Form 10-Q says so.", citations=[{**cited, "deleted": True}])
    assert mask_answer(removed, "Which?", mask)["text"] == f"The {DELETED_NAME} says so."


def test_a_number_or_a_single_character_is_no_name() -> None:
    mask = NameMask({"2023": DELETED_NAME, "A": DELETED_NAME, "2023.pdf": DELETED_NAME})
    assert mask.mask_text("A sum of 2023 in 2023.pdf.") == f"A sum of 2023 in {DELETED_NAME}."


def test_values_of_notes_and_reasons_are_masked() -> None:
    coded = {
        "code": "document_unreadable",
        "values": {"title": "Brandt 2022", "values": ["code"]},
        "text": "Brandt 2022 …",
    }
    body: dict[str, Any] = {
        "text": "",
        "question": "",
        "sentences": [],
        "citations": [],
        "searched": {"queries": []},
        "reasons": [],
        "notes": ["Brandt 2022 …"],
        "coded_reasons": [None],
        "coded_notes": [coded],
        "result": None,
        "table": None,
    }
    masked = mask_answer(body, "", NameMask({"Brandt 2022": "[name]", "code": "[name]", "values": "[name]"}))
    assert masked["coded_reasons"] == [None]
    assert masked["coded_notes"] == [
        {"code": "document_unreadable", "values": {"title": "[name]", "values": ["[name]"]}, "text": "[name] …"}
    ]
