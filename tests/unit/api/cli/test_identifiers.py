"""The beginning of an id stands for the whole id where only one id begins with it."""

import pytest

from api.cli.identifiers import choose_id
from api.client import NotFoundError, RefusedError

IDS = ["01754151-bf77-4000-8000-000000000001", "01754151-bf77-4000-8000-000000000002", "8f2c0000-aaaa-4000-8000-1"]


def test_a_unique_beginning_is_enough() -> None:
    assert choose_id("8f2c", IDS, noun="run") == IDS[2]
    assert choose_id(IDS[0], IDS, noun="run") == IDS[0]
    assert choose_id("ab", ["ab", "abcdef"], noun="key") == "ab"


def test_several_matches_are_named() -> None:
    with pytest.raises(RefusedError, match="beginning of 2 ids") as error:
        choose_id("01754151-bf77", IDS, noun="run")
    assert IDS[0] in error.value.detail
    assert IDS[1] in error.value.detail


def test_a_beginning_that_is_too_short_or_unknown_is_rejected() -> None:
    with pytest.raises(RefusedError, match="too short"):
        choose_id("8f", IDS, noun="run")
    with pytest.raises(NotFoundError, match="no run whose id begins with '9'"):
        choose_id("9", IDS, noun="run")
