"""Builds requests for suggestions from documents that the caller may read, and runs them."""

from collections.abc import Iterator

import structlog

from api.admission.access import get_account
from api.admission.services import Services
from api.answers.asking import build_visible_answer, require_collections
from api.answers.schemas import AnswerOut
from api.suggestions.schemas import SuggestionsIn
from ingest.storage.accounts.records import Principal
from ingest.storage.documents.filters import parse_conditions
from ingest.storage.errors import ContentChangedError
from rlm.answers import AnswerStatus
from rlm.errors import AnswerError
from rlm.requests import AnswerScope
from rlm.suggesting import (
    MAX_OFFERED_DOCUMENTS,
    Exchange,
    OfferedDocument,
    SuggestionRequest,
    request_first_questions,
    request_next_questions,
)

log = structlog.get_logger(__name__)


def build_suggestion_request(services: Services, caller: Principal, body: SuggestionsIn) -> SuggestionRequest | None:
    """Return the request for the model, or None if there is nothing to suggest or no capable model.

    Raises `AnswerNotFoundError`, `CollectionNotFoundError` and `FilterError`.
    """
    if body.answer is not None:
        stored = services.answers.conversations.load_answer(caller.tenant_id, body.answer, caller.visible_owner)
        exchange = _build_exchange(build_visible_answer(services, caller, stored))
        audience = AnswerScope(caller.tenant_id, readers=caller.readers).audience
        return None if exchange is None else request_next_questions(caller.tenant_id, audience, exchange)
    require_collections(services, caller, body.collections)
    scope, suggester = body.build_scope(caller), services.asking.suggester
    # Without a capable model, the documents need not be looked up.
    if suggester is None or suggester.acquire_model() is None:
        return None
    documents = list(_iter_offered_documents(services, scope))
    if not documents:
        return None
    return request_first_questions(scope.tenant_id, scope.audience, documents, language=body.language)


def suggest_questions(services: Services, caller: Principal, request: SuggestionRequest) -> list[str]:
    """Return the suggested questions, or none if the model fails. Raises `QuotaExceededError`."""
    suggester = services.asking.suggester
    if suggester is None:
        return []
    try:
        return services.admission.meter.wrap_suggester(get_account(caller), suggester).suggest(request)
    except AnswerError as error:
        # Only the code is logged, because a message may contain text of a document.
        log.warning("no questions suggested", reason=error.code)
        return []


def _build_exchange(answer: AnswerOut) -> Exchange | None:
    """Return the question and answer, or None if no question can lead on from the answer.

    The text of an answer may tell what a closed or deleted document says, so no question leads on from it.
    """
    # guard: suggestions-from-open-sources
    if any(each.deleted for each in answer.citations):
        return None
    if answer.status not in (AnswerStatus.ANSWERED, AnswerStatus.PARTIAL) or not answer.citations:
        return None
    passages = [
        f"{', '.join(filter(None, (each.title, each.place)))}: {text}"
        for each in answer.citations
        for text in each.quoted_texts
    ]
    versions = list(dict.fromkeys(each.version_id for each in answer.citations))
    return Exchange(answer.question, answer.text, passages, versions)


def _iter_offered_documents(services: Services, scope: AnswerScope) -> Iterator[OfferedDocument]:
    """Yield the latest documents in scope that searches find, with what their cards and tables tell about them."""
    contents = services.contents
    # guard: suggestions-about-readable-documents
    readers = scope.readers
    found = services.documents.catalog.list_active_documents(
        scope.tenant_id,
        collections=scope.collections,
        identifiers=scope.documents,
        conditions=parse_conditions(scope.filters),
        readers=readers,
        limit=MAX_OFFERED_DOCUMENTS,
        newest_first=True,
    )
    cards = contents.cards.load_document_cards(scope.tenant_id, [each.document_id for each in found], readers=readers)
    with_tables = contents.tables.select_versions_with_tables([each.version_id for each in found])
    for each in found:
        # A document without a card was closed or deleted a moment ago.
        if (card := cards.get(each.document_id)) is not None:
            tables = _load_columns(services, each.version_id) if each.version_id in with_tables else []
            yield OfferedDocument(each.version_id, each.title, each.name, card.fields, tables)


def _load_columns(services: Services, version_id: str) -> list[list[str]]:
    """Return the names of the columns of each table. A version whose tables cannot be read has none."""
    try:
        return [[column.name for column in table.columns] for table in services.contents.tables.load_tables(version_id)]
    except (KeyError, ValueError, ContentChangedError):
        return []
