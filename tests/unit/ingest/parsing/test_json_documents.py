"""JSON as it is parsed: each value with its path, each list of objects a record table."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.parsing.errors import DamagedDocumentError, NoTextError
from ingest.parsing.json_documents import parse_json
from ingest.parsing.sniff import sniff_media_type
from ingest.parsing.tables import FoundTable
from ingest.parsing.types import ParsedDocument
from ingest.storage.texts.layout import OmissionKind
from ingest.storage.texts.normalize import normalize
from ingest.storage.texts.positions import SheetCell

_VALUES: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("ab é\n", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=5,
)
_OBJECTS = st.lists(st.dictionaries(st.sampled_from("abc"), _VALUES, min_size=1, max_size=3), min_size=2, max_size=5)


def _parsed(folder: Path, source: str) -> ParsedDocument:
    path = folder / "file.json"
    path.write_text(source, encoding="utf-8")
    return parse_json(path)


def _cells(table: FoundTable) -> list[list[str]]:
    return [list(row.cells) for row in table.rows()]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(_OBJECTS, st.sampled_from(["list", "lines", "member"]))
def test_a_rows_span_holds_each_word_of_its_object_and_the_place_of_it(
    tmp_path: Path, objects: list[dict[str, Any]], shape: str
) -> None:
    source = "\n".join(map(json.dumps, objects)) if shape == "lines" else json.dumps(objects, indent=2)
    document = _parsed(tmp_path, f'{{"rows": {source}}}' if shape == "member" else source)
    assert normalize(document.text) == document.text
    (table,) = document.found
    rows = list(table.rows())
    assert len(rows) == len(objects)
    at = table.start
    for number, (row, record) in enumerate(zip(rows, objects, strict=True), start=1):
        assert at <= row.start < row.end <= table.end
        at = row.end
        assert document.positions.list_cells(row.start, row.end) == [SheetCell(1, number, 0)]
        words = document.text[row.start : row.end]
        for value in record.values():
            if isinstance(value, bool | int | float):
                assert json.dumps(value) in words
            elif isinstance(value, str):
                assert normalize(value.strip()) in words


def test_values_stand_on_a_line_each_with_the_path_to_them(tmp_path: Path) -> None:
    source = {
        "title": "caf\u00e9",
        "price": 1.5,
        "on": True,
        "none": None,
        "tags": ["red", "blue"],
        "a": {"b": {"c": "d"}},
    }
    assert _parsed(tmp_path, json.dumps(source)).text == (
        "title: café\nprice: 1.5\non: true\ntags: red, blue\na.b.c: d"
    )


def test_numbers_keep_their_digits(tmp_path: Path) -> None:
    document = _parsed(tmp_path, '[{"n": 1.10, "id": 12345678901234567890}, {"n": 2E5, "id": 0}]')
    assert _cells(document.found[0]) == [["1.10", "12345678901234567890"], ["2E5", "0"]]


def test_members_of_members_are_columns_and_lists_stay_json(tmp_path: Path) -> None:
    source = '[{"id": 1, "who": {"name": "Ann", "tags": ["a", 1.50]}}, {"id": 2, "ok": true, "who": null}]'
    (table,) = _parsed(tmp_path, source).found
    assert table.columns == ("id", "who.name", "who.tags", "ok", "who")
    assert _cells(table) == [["1", "Ann", '["a", 1.5]', "", ""], ["2", "", "", "true", ""]]


def test_lists_of_objects_are_found_wherever_they_stand(tmp_path: Path) -> None:
    source = '{"meta": {"n": 2}, "data": {"users": [{"a": 1}], "rooms": [{"b": 2}, {"b": 3}]}}'
    found = _parsed(tmp_path, source).found
    assert [(table.name, len(_cells(table))) for table in found] == [("data.users", 1), ("data.rooms", 2)]


def test_what_would_fill_a_chunk_is_a_section_with_its_path(tmp_path: Path) -> None:
    long = "word " * 300
    source = {
        "top": 1,
        "part": {"name": "x", "inner": {"body": long}},
        "rows": [{"n": 1}, {"n": 2, "text": long}, {"n": 3}, {"n": 4}],
    }
    document = _parsed(tmp_path, json.dumps(source))
    text = document.text
    sections = [
        (heading.level, heading.title, text[heading.start :].split("\n")[0][:9]) for heading in document.layout.headings
    ]
    assert sections == [
        (1, "part", "name: x"),
        (2, "inner", "body: wor"),
        (1, "rows", "n: 1"),
        (2, "[1]", "n: 2"),
        (2, "", "n: 3"),
    ]
    assert text.startswith("top: 1\n\nname: x\n\nbody: word")


def test_a_text_that_is_a_list_of_its_lines_is_one_text(tmp_path: Path) -> None:
    source = {"source": ["import sys\n", "\n", "sys.version"], "names": ["Essex", "Pequod"], "one": ["a\n"]}
    assert (
        _parsed(tmp_path, json.dumps(source)).text == "source: import sys\n\nsys.version\nnames: Essex, Pequod\none: a"
    )


def test_a_long_list_of_plain_values_is_a_section_with_its_words(tmp_path: Path) -> None:
    names = [f"ship {number}" for number in range(200)]
    document = _parsed(tmp_path, json.dumps({"port": "Nantucket", "fleet": {"names": names, "tons": [238]}}))
    assert document.text == f"port: Nantucket\n\ntons: 238\n\n{', '.join(names)}"
    assert [heading.title for heading in document.layout.headings] == ["fleet", "names"]
    assert _parsed(tmp_path, json.dumps([names, [1, 2]])).text == f"[1]: 1, 2\n\n{', '.join(names)}"


def test_lines_that_are_broken_stand_as_they_are_and_are_said(tmp_path: Path) -> None:
    document = _parsed(tmp_path, '{"a": 1}\n{"a": 2}\n{"a": 3, "b": \n{"a": 4}\n')
    assert _cells(document.found[0]) == [["1"], ["2"], ["4"]]
    assert document.text.endswith('\n\n{"a": 3, "b":')
    (said,) = document.omissions
    assert (said.kind, said.count) == (OmissionKind.OTHER, 1)
    assert said.detail.endswith(": 3")


def test_objects_one_after_the_other_are_records_however_they_are_laid_out(tmp_path: Path) -> None:
    objects = [{"ship": "Essex", "at": {"port": "Nantucket"}}, {"ship": "Acushnet", "at": {"port": "Fairhaven"}}]
    document = _parsed(tmp_path, "\n".join(json.dumps(each, indent=2) for each in objects))
    (table,) = document.found
    assert table.columns == ("ship", "at.port")
    assert _cells(table) == [["Essex", "Nantucket"], ["Acushnet", "Fairhaven"]]
    assert document.omissions == ()
    assert document.text == _parsed(tmp_path, "".join(map(json.dumps, objects))).text


def test_of_a_list_that_is_cut_off_the_sound_objects_are_read(tmp_path: Path) -> None:
    document = _parsed(tmp_path, '[{"a": 1}, {"a": 2}, {"a": "thr')
    assert _cells(document.found[0]) == [["1"], ["2"]]
    assert document.text.endswith(', {"a": "thr')
    assert "2 objects" in document.omissions[0].detail


@pytest.mark.parametrize("source", ["{", '{"a": 1,}', '{"a": 1}\nbroken', "{'a': 1}", '[1, {"a": 1}', "// words\n{}"])
def test_what_is_no_json_is_its_source_and_that_is_said(tmp_path: Path, source: str) -> None:
    document = _parsed(tmp_path, source)
    assert (document.text, document.found) == (source, ())
    assert [each.kind for each in document.omissions] == [OmissionKind.OTHER]


@pytest.mark.parametrize("source", ["[" * 100_000, '{"a":' * 100_000, "[" * 500 + "1" + "]" * 500 + " "])
def test_absurd_nesting_is_a_typed_error_or_read(tmp_path: Path, source: str) -> None:
    try:
        assert _parsed(tmp_path, source).text
    except DamagedDocumentError as error:
        assert error.hint  # noqa: PT017 - shallow enough nesting is read


@pytest.mark.parametrize("source", ["{}", "[]", "null", '[{}, {"a": null}]'])
def test_json_without_values_is_no_document_or_shows_its_empty_objects(tmp_path: Path, source: str) -> None:
    if source.startswith("[{"):
        assert [row.cells for row in _parsed(tmp_path, source).found[0].rows()] == [[""], [""]]
        return
    with pytest.raises(NoTextError):
        _parsed(tmp_path, source)


@pytest.mark.parametrize(
    ("content", "name", "kind"),
    [
        (b'{"a": 1}', "a.txt", "application/json"),
        (b'[\n  {"a": 1}]', "", "application/json"),
        (b"[1] See below.", "a.txt", "text/plain"),
        (b"{curly} words", "a.txt", "text/plain"),
        (b"[1, 2]", "a.json", "application/json"),
        (b'{"a": 1}', "a.md", "text/markdown"),
    ],
)
def test_json_is_told_by_its_content_where_the_name_says_nothing(content: bytes, name: str, kind: str) -> None:
    assert sniff_media_type(content, name, None) == kind
