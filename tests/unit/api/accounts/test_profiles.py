"""The display name and mail address in the claims of a token."""

from typing import Any

import pytest

from api.accounts.profiles import parse_profile
from ingest.storage.accounts.records import MAX_NAME_CHARS, Profile


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"name": "Eve Adams", "preferred_username": "eve", "email": "eve@example.org"}, "Eve Adams"),
        ({"preferred_username": "eve", "email": "eve@example.org"}, "eve"),
        ({"name": "  ", "email": "eve@example.org"}, "eve@example.org"),
        ({"name": ["Eve"]}, "id-1"),
        ({"name": "Eve\u202e\u200b  Adams\n"}, "Eve Adams"),
        ({"name": "e" * 500}, "e" * MAX_NAME_CHARS),
        ({}, "id-1"),
    ],
)
def test_the_name_is_the_first_that_a_person_can_read(claims: dict[str, Any], name: str) -> None:
    assert parse_profile(claims, "id-1").name == name


@pytest.mark.parametrize("verified", [False, None, "true", "false", 1, ["true"]])
def test_only_a_true_email_verified_verifies_an_address(verified: object) -> None:
    found = parse_profile({"email": "eve@example.org", "email_verified": verified}, "id-1")
    assert (found.mail, found.is_mail_verified) == ("eve@example.org", False)
    assert parse_profile({"email": "eve@example.org", "email_verified": True}, "id-1").is_mail_verified


@pytest.mark.parametrize("mail", ["eve", "@example.org", "eve@", "e ve@example.org", "eve@example.org\n", 7, None])
def test_other_texts_are_no_address_whatever_the_provider_says_of_them(mail: object) -> None:
    found = parse_profile({"email": mail, "email_verified": True, "name": "Eve"}, "id-1")
    assert found == Profile("Eve", None, False)
