"""Reads the display name and mail address of a person from the claims of a token.

Source of the claims: OpenID Connect Core 1.0, section 5.1.
"""

from collections.abc import Mapping
from typing import Any

from ingest.storage.accounts.records import MAX_NAME_CHARS, Profile

_NAME_CLAIMS = ("name", "preferred_username", "email")
# Maximum length of a mail address (RFC 5321, section 4.5.3.1.3, without the angle brackets).
_MAX_MAIL_CHARS = 254


def parse_profile(claims: Mapping[str, Any], user: str) -> Profile:
    """Return the profile in a token's claims. Without a name, it has the user's id as the name."""
    names = (_clean_name(claims.get(each)) for each in _NAME_CLAIMS)
    mail = claims.get("email")
    mail = mail if isinstance(mail, str) and _is_mail_address(mail) else None
    # guard: mail-verified
    is_verified = mail is not None and claims.get("email_verified") is True
    return Profile(next((name for name in names if name), user), mail, is_verified)


def _clean_name(claim: object) -> str:
    """Return a name without invisible characters, which could make it look like another one."""
    text = "".join(each if each.isprintable() else " " for each in claim[:1_000]) if isinstance(claim, str) else ""
    return " ".join(text.split())[:MAX_NAME_CHARS].strip()


def _is_mail_address(text: str) -> bool:
    local, _, domain = text.rpartition("@")
    is_plain = text.isprintable() and not any(each.isspace() for each in text)
    return bool(local and domain) and is_plain and len(text) <= _MAX_MAIL_CHARS
