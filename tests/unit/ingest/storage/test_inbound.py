"""What comes from outside is valid Unicode, finite and shallow, or is refused with its place."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.storage.errors import InputError
from ingest.storage.inbound import MAX_DEPTH, check_text, parse_json, parse_metadata_json


@pytest.mark.parametrize(
    ("body", "at"),
    [
        (rb'{"a": ["x", {"b": "\ud800"}]}', "body.a.1.b"),
        (rb'{"a": "\udc00\ud800"}', "body.a"),
        (rb'{"a": "nul \u0000"}', "body.a"),
        (rb'{"a\u0000": 1}', "body"),
        (b'{"a": NaN}', "body.a"),
        (b'{"a": [1, -Infinity]}', "body.a.1"),
        (b'{"a": 1e999}', "body.a"),
        (b'{"a": 9223372036854775808}', "body.a"),
        (b'{"a": ' + b"9" * 100_000 + b"}", "body.a"),
        (b'{"a": "\xed\xa0\x80"}', "body"),
        ('{"a": "\ud800"}'.encode("utf-16", "surrogatepass"), "body"),
        (b"[" * 500_000, "body"),
        (b'{"a":' * 500_000, "body"),
        (b'["\\"' * 100_000, "body"),
        (b'"' + b'\\"' * 500_000, "body"),
        (b"{", "body"),
    ],
)
def test_values_nobody_can_keep_are_refused_with_their_place(body: bytes, at: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_json(body, "body")
    assert refused.value.at == at


def test_brackets_inside_of_strings_do_not_nest() -> None:
    assert parse_json(json.dumps({"a": "[" * 1000 + '\\"{' * 1000}).encode(), "body")["a"].startswith("[[")


def test_nesting_up_to_the_limit_is_taken() -> None:
    assert parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, "body") is not None


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63) + 1, 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), inner, max_size=4
            )
        ),
        max_leaves=20,
    )
)
def test_whatever_can_be_kept_is_read_as_it_was_written(value: object) -> None:
    assert parse_json(json.dumps(value).encode(), "body") == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode(), "body") == value


@given(st.text())
def test_text_is_taken_just_when_every_database_takes_it(text: str) -> None:
    storable = "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
    if storable:
        assert check_text(text, "here") == text
    else:
        with pytest.raises(InputError, match="here"):
            check_text(text, "here")


@pytest.mark.parametrize(
    ("text", "at"),
    [
        (b"[1]", "metadata"),
        (b'{"a": {"b": 1}}', "metadata.a"),
        (b'{"a": [[1]]}', "metadata.a"),
        (b'{"a": null}', "metadata.a"),
        (b'{"": 1}', "metadata"),
        (json.dumps({"n" * 300: 1}).encode(), "metadata"),
        (json.dumps({str(n): n for n in range(300)}).encode(), "metadata"),
        (json.dumps({"a": "x" * 70_000}).encode(), "metadata"),
        (b'{"a": ' + b"[" * 30_000 + b"]" * 30_000 + b"}", "metadata"),
    ],
)
def test_metadata_is_an_object_of_bounded_size_and_plain_values(text: bytes, at: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_metadata_json(text)
    assert refused.value.at == at
