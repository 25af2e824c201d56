"""Handles a caller's question: builds the request with its history, and stores the answer."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from api.admission.idempotency import ClaimedRequest
from api.admission.services import Services
from api.answers.forms import Form
from api.answers.rendering import render_answer
from api.answers.schemas import AnswerOut, QuestionIn, extract_cited_document_ids
from ingest.storage.accounts.records import Principal
from ingest.storage.answers.pending_records import AnswerLease
from ingest.storage.answers.records import NEW_CONVERSATION, StoredAnswer
from ingest.storage.documents.records import UsedVersions, Work, generate_work_id
from ingest.storage.errors import AnswerNotFoundError, IngestError
from ingest.storage.remarks import Remark
from rlm.answers import Answer, build_stored_answer
from rlm.conversation import mark_unproven_statements
from rlm.requests import AnswerOptions, AnswerRequest, EarlierMessage, StrategyName, normalize_question

log = structlog.get_logger(__name__)

# Maximum length of the history that is sent to a model: about 6,000 tokens, which fit in the smallest supported context
# window along with the question.
HISTORY_CHARS = 24_000


class CallerQuestion:
    """A caller's question. The constructor raises `QuestionError` and `ConversationNotFoundError`.

    If the request has a `claim`, the answer gets the claim's id. If `is_stored` is false, the answer is returned to the
    client but not stored. With a `lease`, the answer gets the lease's id, and is stored only while the lease is held.
    `asked` contains the members of the request that the protocol's replies repeat.
    """

    def __init__(
        self,
        services: Services,
        caller: Principal,
        body: QuestionIn,
        claim: ClaimedRequest | None = None,
        *,
        is_stored: bool = True,
        lease: AnswerLease | None = None,
        asked: Mapping[str, Any] | None = None,
    ) -> None:
        self._services = services
        self.asked = asked
        self._caller = caller
        self._claim = claim
        self._is_kept = is_stored
        self.lease = lease
        self._before: AnswerOut | None = None
        self._question = normalize_question(body.question_text)
        self._conversation_id = None if body.conversation == NEW_CONVERSATION else body.conversation
        self._forms = body.render
        self._is_new = body.conversation == NEW_CONVERSATION
        identifier = lease.answer_id if lease else claim.id if claim else generate_work_id()
        self.request = AnswerRequest(
            self._question,
            body.build_scope(caller),
            select_recent_messages(self._load_history(body)),
            self._build_answer_options(body),
            UsedVersions(identifier, self._load_used_versions()),
            body.output.to_form() if body.output else None,
        )

    def find_previous_answer(self) -> AnswerOut | None:
        """Return the answer to an earlier request with the same claim, limited to what the caller may see now, or None.

        Raises `AnswerNotFoundError` if that answer was deleted.
        """
        claim = self._claim
        if claim is None:
            return None
        # guard: replayed-answer-readers
        claim.shows_again = True
        if not claim.is_repeat:
            return None
        try:
            kept = self._services.answers.conversations.load_answer(
                self._caller.tenant_id, claim.id, self._caller.visible_owner
            )
        except AnswerNotFoundError:
            if claim.claim.is_done:
                raise
            return None
        claim.is_made = True
        self._before = render_in_formats(
            self._services, build_visible_answer(self._services, self._caller, kept), self._forms
        )
        return self._before

    def ensure_conversation(self) -> str | None:
        """Return the id of the answer's conversation. If the request asks for a new conversation, create one."""
        if self._is_new and self._conversation_id is None:
            self._conversation_id = self._services.answers.conversations.start_conversation(
                self._caller.tenant_id, self._question, self._caller.owner
            )
        return self._conversation_id

    def save_answer(self, answer: Answer) -> AnswerOut:
        """Store the answer and return it in its wire format. If it cannot be stored, a note in the answer says so.

        If the request is a repeat, return the answer that is already stored.
        """
        if self._before is not None:
            return self._before
        work = self.request.used.work
        # guard: unstored-response
        if not self._is_kept:
            return self._build_unsaved_answer(answer, work.id)
        try:
            conversation = self.ensure_conversation()
            kept_as = self._services.answers.conversations.store_answer(
                self._build_stored_answer(answer, work.id, conversation), work.versions, work.seen, self.lease
            )
            if self._claim is not None:
                self._claim.is_made = True
            return render_in_formats(self._services, AnswerOut.from_stored_answer(kept_as), self._forms)
        except (
            IngestError
        ) as error:  # The work is already charged, so the client gets the answer even though it could not be stored.
            log.warning("answer not stored", error=repr(error))
            noted = replace(answer, notes=(*answer.notes, Remark("answer_not_saved")))
            return self._build_unsaved_answer(noted, work.id)

    def _build_unsaved_answer(self, answer: Answer, identifier: str) -> AnswerOut:
        body = self._build_stored_answer(answer, identifier, None).body
        return render_in_formats(
            self._services, AnswerOut.from_body(body, identifier=None, conversation=None), self._forms
        )

    def _build_stored_answer(self, answer: Answer, identifier: str, conversation: str | None) -> StoredAnswer:
        caller = self._caller
        scope = self.request.scope
        return build_stored_answer(
            answer,
            identifier,
            caller.tenant_id,
            self._question,
            conversation,
            caller.owner,
            scope=scope,
            request=self.asked,
        )

    def _build_answer_options(self, body: QuestionIn) -> AnswerOptions:
        """Return the options of the answer.

        If the question names one collection and no strategy, the collection's default strategy is used.
        """
        wanted = body.build_options()
        # guard: named-strategy-wins
        if "strategy" in body.model_fields_set or len(body.collections) != 1:
            return wanted
        default = self._services.documents.collections.find_default_strategy(
            self._caller.tenant_id, body.collections[0]
        )
        return wanted if default is None else replace(wanted, strategy=StrategyName(default))

    def _load_used_versions(self) -> Work | None:
        """Return the document versions that were used or seen for earlier answers in the conversation."""
        if self._conversation_id is None:
            return None
        return self._services.answers.conversations.load_used_versions(self._caller.tenant_id, self._conversation_id)

    def _load_history(self, body: QuestionIn) -> Sequence[EarlierMessage]:
        if self._conversation_id is None:
            return body.earlier_messages
        found = self._services.answers.conversations.list_last_exchanges(
            self._caller.tenant_id,
            self._conversation_id,
            max_characters=HISTORY_CHARS,
            owner=self._caller.visible_owner,
            readers=self._caller.readers,
            render_answer=mark_unproven_statements,
        )
        if body.output is not None and body.output.results:
            # The results belong to this question, so its earlier calls are no history that could change its meaning.
            while found and found[-1].question == self._question:
                found.pop()
        said = {
            each.turn: [EarlierMessage("user", each.question), EarlierMessage("assistant", each.answer)]
            for each in found
        }
        return self._add_messages_of_programs(said)

    def _add_messages_of_programs(self, said: Mapping[int, Sequence[EarlierMessage]]) -> list[EarlierMessage]:
        """Return the messages of these turns in order, each followed by the messages that programs added after it."""
        conversation = self._services.answers.conversations.load_conversation(
            self._caller.tenant_id, self._conversation_id or "", self._caller.visible_owner
        )
        added: dict[int, list[EarlierMessage]] = {}
        for item in conversation.items:
            role, text = item.body.get("role"), item.body.get("text")
            if role in ("user", "assistant") and text:
                added.setdefault(item.turn, []).append(EarlierMessage(role, text))
        return [each for turn in sorted({*said, *added}) for each in (*said.get(turn, ()), *added.get(turn, ()))]


def require_collections(
    services: Services, caller: Principal, names: Collection[str], claim: ClaimedRequest | None = None
) -> None:
    """Raise `CollectionNotFoundError` if a collection does not exist or is not visible to the caller.

    Without this check, the answer would suggest that the documents do not cover the question. Repeated requests are not
    checked, because they get the stored answer.
    """
    # guard: unknown-collection-refused
    if names and (claim is None or not claim.is_repeat):
        services.documents.collections.require_collections(caller.tenant_id, names, readers=caller.readers)


def select_recent_messages(
    messages: Sequence[EarlierMessage], max_chars: int = HISTORY_CHARS
) -> tuple[EarlierMessage, ...]:
    """Return the last messages that fit in `max_chars`, oldest first. If the last one is too long, truncate it."""
    kept: list[EarlierMessage] = []
    for message in reversed(messages):
        if len(message.text) > max_chars:
            if not kept:
                kept.append(replace(message, text=message.text[:max_chars]))
            break
        kept.append(message)
        max_chars -= len(message.text)
    return tuple(reversed(kept))


def build_visible_answer(services: Services, caller: Principal, stored_answer: StoredAnswer) -> AnswerOut:
    """Return a stored answer without quotations from documents that were deleted or that the caller cannot read.

    Names of such documents are masked if the answer only saw the names.
    """
    # guard: answer-names-masked
    (masked,) = services.answers.conversations.mask_names(caller.readers, [stored_answer])
    named = extract_cited_document_ids(masked.body)
    return AnswerOut.from_stored_answer(
        masked, services.answers.conversations.list_withheld_documents(named, caller.readers)
    )


def render_in_formats(services: Services, answer: AnswerOut, formats: Sequence[Form]) -> AnswerOut:
    """Return the answer with its text also rendered in the requested formats."""
    return render_answer(answer, formats, services.settings.public_url) if formats else answer
