"""Makes the card of a version: its terms for search, and its fields."""

from dataclasses import replace

from ingest.describing.fields import DescribedText, describe_document
from ingest.storage.documents.cards.records import CardDraft
from retrieval.index.bm25 import SparseEncoder
from retrieval.search.cards import draft_card


def make_card(described: DescribedText, encoder: SparseEncoder) -> CardDraft:
    """Make the card of a version. The language is detected from the beginning of its text."""
    draft = draft_card(described.text, encoder)
    source, rules = describe_document(replace(described, language=draft.rules.language))
    return replace(draft, source=source, rules=rules)
