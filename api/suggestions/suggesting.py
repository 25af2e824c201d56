"""Builds requests for suggestions from documents that the caller may read, and runs them."""

from collections.abc import Callable, Iterator

import structlog

from api.admission.access import get_account
from api.admission.services import Services
from api.answers.asking import build_visible_answer, require_collections
from api.answers.schemas import AnswerOut
from api.http.problems import AnswersFullError
from api.http.threads import AnswerThreads
from api.suggestions.schemas import SuggestionsIn
from ingest.storage.accounts.records import Principal
from ingest.storage.documents.filters import parse_conditions
from ingest.storage.errors import ContentChangedError
from rlm.answers import AnswerStatus
from rlm.conversation import mark_unproven_statements
from rlm.errors import AnswerError
from rlm.labelling import Label, request_label
from rlm.requests import AnswerScope
from rlm.suggesting import (
    MAX_CITED_DOCUMENTS,
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
    suggester = services.asking.suggester
    # Without a capable model, the documents need not be looked up.
    is_capable = suggester is not None and suggester.acquire_model() is not None
    if body.answer is not None:
        stored = services.answers.conversations.load_answer(caller.tenant_id, body.answer, caller.visible_owner)
        answer = build_visible_answer(services, caller, stored)
        return _build_next_request(services, caller, answer) if is_capable else None
    require_collections(services, caller, body.collections)
    scope = body.build_scope(caller)
    if not is_capable:
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


def label_conversation(services: Services, caller: Principal, label: Label, conversation: str) -> list[str]:
    """Return a label of a conversation, or nothing without a capable model. Raises `QuotaExceededError`."""
    scope = AnswerScope(caller.tenant_id, readers=caller.readers)
    return suggest_questions(services, caller, request_label(scope.tenant_id, scope.audience, label, conversation))


async def start_suggestion(threads: AnswerThreads, tenant_id: str, suggest: Callable[[], list[str]]) -> list[str]:
    """Return suggestions that a thread of `threads` makes, or none if all are busy."""
    try:
        return await threads.start_answer(tenant_id, suggest)
    except AnswersFullError:
        log.info("no questions suggested", reason=AnswersFullError.code)
        return []


def _build_next_request(services: Services, caller: Principal, answer: AnswerOut) -> SuggestionRequest | None:
    """Return the request for questions after an answer, or None if no question can lead on from it.

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
    cited = tuple(dict.fromkeys(each.document_id for each in answer.citations))[:MAX_CITED_DOCUMENTS]
    scope = AnswerScope(caller.tenant_id, documents=cited, readers=caller.readers)
    documents = list(_iter_offered_documents(services, scope))
    text = mark_unproven_statements(answer.model_dump(mode="json"))
    exchange = Exchange(answer.question, text, passages, versions, documents)
    return request_next_questions(scope.tenant_id, scope.audience, exchange)


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
            tables = _load_tables(services, each.version_id) if each.version_id in with_tables else []
            yield OfferedDocument(each.version_id, each.title, each.name, card.fields, tables)


def _load_tables(services: Services, version_id: str) -> list[tuple[str, list[str]]]:
    """Return the name of each table and its columns. A version whose tables cannot be read has none."""
    try:
        found = services.contents.tables.load_tables(version_id)
    except (KeyError, ValueError, ContentChangedError):
        return []
    return [(each.name, [column.name for column in each.columns]) for each in found]
