import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm.corpus.lines import _all_named, _some_named, fields, line_shape, record_shape

NAME = st.text(alphabet="abcXYZ", min_size=1, max_size=8)
VALUE = st.text(alphabet="abc é12:=", min_size=1, max_size=20).map(str.strip).filter(bool)


@given(st.dictionaries(NAME, VALUE, min_size=1, max_size=5), st.sampled_from([" || ", "\t", " | ", "\n"]))
def test_fields_are_read_as_they_were_written(written: dict[str, str], between: str) -> None:
    text = between.join(f"{name}: {value}" for name, value in written.items())
    assert fields(text) == written


def test_what_follows_the_last_name_is_its_value() -> None:
    assert fields("User: 7 || Text: one || two: three || Four") == {"User": "7", "Text": "one", "two": "three || Four"}


@given(
    st.lists(st.sampled_from(["A: ", "b", ": ", "|", " | ", "||", ";", " ; ", "\t", "\n", " ", "User: 7", "- D= z"]))
)
def test_where_every_part_has_a_name_the_short_way_says_the_same(parts: list[str]) -> None:
    text = "".join(parts)
    assert fields(text) == _some_named(text)
    assert _all_named(text) in ({}, _some_named(text))


def test_members_of_json_and_cells_of_tables_are_fields() -> None:
    assert fields('{"user": 7, "text": "hi"}') == {"user": "7", "text": "hi"}
    assert fields("| Ann | 3 |", ("name", "age")) == {"name": "Ann", "age": "3"}


def test_half_a_character_of_json_does_not_get_out_of_its_record() -> None:
    found = fields('{"id": 1, "te\\udc00xt": "cut \\ud83d", "whole": "\\ud83d\\ude00 é", "list": ["\\ud83d"]}')
    assert found == {"id": "1", "te?xt": "cut ?", "whole": "\U0001f600 é", "list": '["\\ud83d"]'}


@pytest.mark.parametrize("text", ["", "Just a sentence.", "He said: go", "http://example.org/a", "{broken"])
def test_prose_has_few_fields(text: str) -> None:
    assert len(fields(text)) <= 1


@pytest.mark.parametrize(
    ("line", "shape"),
    [
        ("## Part", ("heading",)),
        ("----", ("rule",)),
        ("|---|:-:|", ("rule",)),
        ("| a | b |", ("cells", "3")),
        ("Date: x || User: y", ("fields", "Date", "User")),
        ('{"a": 1}', ("json", "a")),
        ("- item", ("bullet",)),
        ("12. item", ("number",)),
        ("2024-01-02 03:04:05 ERROR x", ("timestamp",)),
        ("a\tb", ("row", "\t2", "names")),
        ("7\tb", ("row", "\t2")),
        ("id,user,text", ("row", ",3", "names")),
        ('1,ann,"a, b ""c"""', ("row", ",3")),
        ("1;ann;1,5", ("row", ";3")),
        ("user,,2021", ("row", ",3", "names")),
        (",,", ("rule",)),
        ("2024-01-02 03:04:05,20.5,48", ("row", ",3")),
        ("2024-01-02 03:04:05 ERROR a, b, c", ("timestamp",)),
        ("Some prose, that is.", ("plain",)),
        ("Some prose.", ("plain",)),
    ],
)
def test_a_lines_shape_is_told_by_how_it_begins(line: str, shape: tuple[str, ...]) -> None:
    assert line_shape(line) == shape


def test_prose_and_mixtures_have_no_shape_of_records() -> None:
    assert record_shape([("plain",)] * 9) is None
    assert record_shape([("bullet",), ("plain",), ("fields", "a"), ("number",)]) is None
    assert record_shape([]) is None


def test_very_much_white_space_between_fields_is_no_work() -> None:
    """A square of its length would take hours."""
    text = f"Note: short{' ' * 300_000}|| Status: open{' ' * 300_000}"
    assert fields(text) == {"Note": "short", "Status": "open"}
    assert fields(f"Note: short{chr(9) * 3}Status: open") == {"Note": "short", "Status": "open"}
