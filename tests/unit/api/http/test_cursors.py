import base64

import pytest

from api.http.cursors import decode_cursor, encode_cursor, parse_last_event_id
from api.http.problems import BadRequestError


@pytest.mark.parametrize("sequence", [0, 1, 12_345, 10**18 - 1])
def test_a_cursor_and_an_id_lead_back_to_where_they_were_given_out(sequence: int) -> None:
    assert decode_cursor(encode_cursor(sequence)) == sequence
    assert parse_last_event_id(str(sequence)) == sequence


def test_without_one_it_is_the_beginning() -> None:
    assert decode_cursor(None) == parse_last_event_id(None) == parse_last_event_id("") == 0


@pytest.mark.parametrize("digits", ["9" * 5_000, str(2**63), "-1", "1_0", "٣", "x", " 1"], ids=lambda d: d[:20])
def test_what_was_never_given_out_is_a_bad_request(digits: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        parse_last_event_id(digits)
    assert len(refused.value.detail) < 200
    with pytest.raises(BadRequestError) as refused:
        decode_cursor(base64.urlsafe_b64encode(digits.encode()).decode().rstrip("="))
    assert len(refused.value.detail) < 200


@pytest.mark.parametrize("cursor", ["é", "!", "AAAAA", "_w"])
def test_a_cursor_that_is_no_text_is_a_bad_request(cursor: str) -> None:
    with pytest.raises(BadRequestError):
        decode_cursor(cursor)
