"""The lines that name documents: title, file name, and what else tells a document apart."""

from collections.abc import Collection

from api.admission.services import Services
from ingest.storage.accounts.records import Principal
from ingest.storage.documents.cards.records import CardFields
from ingest.storage.documents.listing import DocumentFilter
from ingest.storage.documents.records import Document
from ingest.storage.texts.normalize import remove_invisible_characters
from rlm.untrusted import format_document_line, to_one_line


def format_card_line(document: Document, fields: CardFields) -> str:
    """Return the line of a document: "Annual report (Brandt_2022.pdf) · report · 2022-Q3 · 2022-11-03"."""
    lists = (fields.periods or (), fields.dates or ())
    parts = [fields.kind or "", fields.version or "", *(", ".join(values) for values in lists)]
    line = format_document_line(document.title or "", document.name)
    return remove_invisible_characters(" · ".join([line, *filter(None, map(to_one_line, parts))]))


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
    fields = {identifier: card.fields for identifier, card in cards.items()}
    return {each.id: format_card_line(each, fields.get(each.id, CardFields())) for each in documents}
