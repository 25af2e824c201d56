"""The lines that name documents, as in prompts: title, file name, periods and dates."""

from collections.abc import Collection

from api.admission.services import Services
from ingest.storage.accounts.records import Principal
from ingest.storage.documents.cards.records import CardFields
from ingest.storage.documents.listing import DocumentFilter
from ingest.storage.documents.records import Document
from ingest.storage.texts.normalize import remove_invisible_characters
from rlm.untrusted import format_document_line


def load_card_lines(services: Services, caller: Principal, document_ids: Collection[str]) -> dict[str, str]:
    """Load the lines of documents, keyed by document id. Documents that the caller may not see are omitted."""
    identifiers = list(dict.fromkeys(document_ids))
    if not identifiers:
        return {}
    found = services.documents.catalog.list_documents(
        caller.tenant_id, DocumentFilter(identifiers=identifiers), limit=len(identifiers), readers=caller.readers
    )
    return format_card_lines(services, caller, found)


def format_card_lines(services: Services, caller: Principal, documents: Collection[Document]) -> dict[str, str]:
    """Return the lines of loaded documents, keyed by document id."""
    cards = services.contents.cards.load_document_cards(
        caller.tenant_id, [document.id for document in documents], readers=caller.readers
    )
    return {
        each.id: _format_line(each, cards[each.id].fields if each.id in cards else CardFields()) for each in documents
    }


def _format_line(document: Document, fields: CardFields) -> str:
    line = format_document_line(
        document.title or "", document.name, periods=fields.periods or (), dates=fields.dates or ()
    )
    return remove_invisible_characters(line)
