"""The records of document cards."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CardDraft:
    """A card for a version, before it is stored.

    `maker` identifies the rules that made the card. `language` is the language of the terms. `terms` are the terms on
    the first page, packed by `retrieval.search.cards`; the catalog stores them without interpreting them.
    """

    maker: str
    language: str
    terms: bytes


@dataclass(frozen=True)
class StoredCard:
    """A stored card: the language and the packed terms."""

    language: str
    terms: bytes


@dataclass(frozen=True)
class LackingVersion:
    """A searchable version without a card by the current rules, with its tenant and its document."""

    version_id: str
    tenant_id: str
    document_id: str
