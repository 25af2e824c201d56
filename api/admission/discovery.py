"""Reads an OpenID Connect provider's discovery document, and the errors with which a provider refuses a sign-in.

Source of the fields: OpenID Connect Discovery 1.0, section 3, and Back-Channel Logout 1.0, section 2.1.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from retrieval.bounded_replies import ResponseTooLargeError, fetch_short_document

_TIMEOUT_SECONDS = 5.0
# Maximum lengths in the log and on pages. Codes of RFC 6749 are shorter, and so are descriptions of Entra ID.
_MAX_CODE_CHARS = 60
_MAX_DESCRIPTION_CHARS = 400
_DISCOVERY_PATH = "/.well-known/openid-configuration"


class DiscoveryError(Exception):
    """The provider's discovery document cannot be fetched or used. The message names its address."""


@dataclass(frozen=True)
class ProviderDescription:
    """The discovery document of a provider."""

    address: str
    fields: Mapping[str, Any]

    def get_url(self, name: str) -> str:
        """Return the URL in the field `name`. Raises `DiscoveryError` if there is none."""
        found = self.fields.get(name)
        if not isinstance(found, str) or not found.startswith(("https://", "http://")):
            raise DiscoveryError(f"{self.address} has no {name}")
        return found

    def list_values(self, name: str) -> tuple[str, ...] | None:
        """Return the strings in the list `name`, or None if the document does not have the list."""
        found = self.fields.get(name)
        return tuple(each for each in found if isinstance(each, str)) if isinstance(found, list) else None

    def has(self, name: str) -> bool:
        """Return whether the document has the field `name`, and the field is not false or empty."""
        return bool(self.fields.get(name))


def fetch_description(issuer: str) -> ProviderDescription:
    """Fetch the discovery document of an issuer. Raises `DiscoveryError` if it is not a document of this issuer."""
    address = issuer.rstrip("/") + _DISCOVERY_PATH
    try:
        # guard: discovery-size
        answer = fetch_short_document(address, timeout=_TIMEOUT_SECONDS)
        found = answer.json() if answer.is_success else None
    except (httpx.HTTPError, ResponseTooLargeError, ValueError) as error:
        raise DiscoveryError(f"{address} did not return a discovery document: {error}") from error
    if not isinstance(found, dict):
        raise DiscoveryError(f"{address} did not return a discovery document (status {answer.status_code})")
    # guard: discovery-issuer
    if found.get("issuer") != issuer:
        raise DiscoveryError(
            f"{address} describes the issuer {cut_to_line(json.dumps(found.get('issuer')))}, not {issuer}"
        )
    return ProviderDescription(address, found)


@dataclass(frozen=True)
class ProviderRefusal:
    """The code and description with which a provider refused a sign-in (RFC 6749, sections 4.1.2.1 and 5.2).

    Both come from outside: they are one short line each, and without the secrets of this sign-in.
    """

    code: str
    description: str

    @classmethod
    def parse(cls, code: object, description: object, secrets: Iterable[str] = ()) -> "ProviderRefusal":
        known = [each for each in secrets if each]
        return cls(
            cut_to_line(_remove_secrets(code, known), _MAX_CODE_CHARS),
            cut_to_line(_remove_secrets(description, known), _MAX_DESCRIPTION_CHARS),
        )

    def __str__(self) -> str:
        return f"{self.code}: {self.description}" if self.description else self.code


def cut_to_line(text: str, max_chars: int = _MAX_DESCRIPTION_CHARS) -> str:
    """Return `text` on one line of at most `max_chars` characters, without invisible characters."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text[: 10 * max_chars]).split())
    return line if len(line) <= max_chars else f"{line[: max_chars - 1]}…"


def _remove_secrets(text: object, secrets: Iterable[str]) -> str:
    found = text if isinstance(text, str) else ""
    for secret in secrets:
        # guard: refusal-secrets
        found = found.replace(secret, "…")
    return found
