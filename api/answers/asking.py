"""Carries a caller's question to the core and back: the messages before it, and the answer to keep."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import structlog

from api.admission.idempotency import ClaimedRequest
from api.admission.services import Services
from api.answers.forms import Form
from api.answers.rendering import render_answer
from api.answers.schemas import AnswerOut, QuestionIn, extract_cited_documents
from ingest.storage.accounts.records import Principal
from ingest.storage.answers.records import NEW_CONVERSATION, StoredAnswer
from ingest.storage.documents.records import UsedVersions, generate_work_id
from ingest.storage.errors import AnswerNotFoundError, IngestError
from rlm.answers import Answer, build_kept_answer
from rlm.requests import AnswerOptions, AnswerRequest, EarlierMessage, StrategyName, check_question

log = structlog.get_logger(__name__)

# Conversation shown to a model: about 6,000 tokens, which fit the smallest window served beside the question.
HISTORY_CHARS = 24_000


class CallerQuestion:
    """One question of one caller. Making it raises `QuestionError`, and `ConversationNotFoundError`.

    What is made of it has the id of the request's `claim`, if it has one. An answer that is not `kept` is sent to who
    waits for it, and is found by nobody afterwards.
    """

    def __init__(
        self,
        served: Services,
        caller: Principal,
        body: QuestionIn,
        claim: ClaimedRequest | None = None,
        *,
        kept: bool = True,
    ) -> None:
        self._served = served
        self._caller = caller
        self._claim = claim
        self._is_kept = kept
        self._before: AnswerOut | None = None
        self._question = check_question(body.asked)
        self._conversation_id = None if body.conversation == NEW_CONVERSATION else body.conversation
        self._forms = body.render
        self._is_new = body.conversation == NEW_CONVERSATION
        self.request = AnswerRequest(
            self._question,
            body.build_scope(caller),
            select_recent_messages(self._load_history(body)),
            self._build_options(body),
            UsedVersions(claim.id if claim else generate_work_id(), self._load_used_versions()),
        )

    def find_previous_answer(self) -> AnswerOut | None:
        """Return the answer that the request got when it was sent before, as the caller may see it by now.

        Raises `AnswerNotFoundError` if that was deleted since.
        """
        claim = self._claim
        if claim is None:
            return None
        # guard: replayed-answer-readers
        claim.shows_again = True
        if not claim.is_repeat:
            return None
        try:
            kept = self._served.answers.conversations.load_answer(
                self._caller.tenant_id, claim.id, self._caller.visible_owner
            )
        except AnswerNotFoundError:
            if claim.claim.is_done:
                raise
            return None
        claim.is_made = True
        self._before = render_in_forms(
            self._served, build_visible_answer(self._served, self._caller, kept), self._forms
        )
        return self._before

    def ensure_conversation(self) -> str | None:
        """Return the id of the answer's conversation, which is made if a new one is wanted."""
        if self._is_new and self._conversation_id is None:
            self._conversation_id = self._served.answers.conversations.start(
                self._caller.tenant_id, self._question, self._caller.owner
            )
        return self._conversation_id

    def save_answer(self, answer: Answer) -> AnswerOut:
        """Keep the answer, and return it as it is sent: an answer that could not be kept has a note that says so.

        Of a request that was answered before, that answer is returned.
        """
        if self._before is not None:
            return self._before
        identifier, versions = self.request.used.work.id, self.request.used.work.versions
        # guard: unstored-response
        if not self._is_kept:
            return self._build_unsaved_answer(answer, identifier)
        try:
            conversation = self.ensure_conversation()
            kept_as = self._served.answers.conversations.store_answer(
                self._build_kept_answer(answer, identifier, conversation), versions
            )
            if self._claim is not None:
                self._claim.is_made = True
            return render_in_forms(self._served, AnswerOut.from_kept_answer(kept_as), self._forms)
        except IngestError as error:  # it was paid for, and the waiting client should get it
            log.warning("an answer was not kept", error=repr(error))
            noted = replace(answer, notes=(*answer.notes, "This answer could not be kept."))
            return self._build_unsaved_answer(noted, identifier)

    def _build_unsaved_answer(self, answer: Answer, identifier: str) -> AnswerOut:
        body = self._build_kept_answer(answer, identifier, None).body
        return render_in_forms(self._served, AnswerOut.from_body(body, identifier=None, conversation=None), self._forms)

    def _build_kept_answer(self, answer: Answer, identifier: str, conversation: str | None) -> StoredAnswer:
        caller = self._caller
        return build_kept_answer(answer, identifier, caller.tenant_id, self._question, conversation, caller.owner)

    def _build_options(self, body: QuestionIn) -> AnswerOptions:
        """Return what is wanted; a question to one collection that names no strategy is answered by its default."""
        wanted = body.build_options()
        # guard: named-strategy-wins
        if "strategy" in body.model_fields_set or len(body.collections) != 1:
            return wanted
        default = self._served.documents.collections.find_default_strategy(self._caller.tenant_id, body.collections[0])
        return wanted if default is None else replace(wanted, strategy=StrategyName(default))

    def _load_used_versions(self) -> frozenset[str]:
        """Return the versions that what is said before in the kept conversation rests on."""
        if self._conversation_id is None:
            return frozenset()
        return self._served.answers.conversations.list_versions(self._caller.tenant_id, self._conversation_id)

    def _load_history(self, body: QuestionIn) -> Sequence[EarlierMessage]:
        if self._conversation_id is None:
            return body.said_before
        found = self._served.answers.conversations.list_last_exchanges(
            self._caller.tenant_id,
            self._conversation_id,
            characters=HISTORY_CHARS,
            owner=self._caller.visible_owner,
        )
        return [
            message
            for each in found
            for message in (EarlierMessage("user", each.question), EarlierMessage("assistant", each.answer))
        ]


def require_collections(
    served: Services, caller: Principal, names: Collection[str], claim: ClaimedRequest | None = None
) -> None:
    """Refuse a question to a collection that is not there, which would read as one that the documents leave open.

    A request that was sent before is answered as it was. Raises `CollectionNotFoundError`, also for a collection that
    is closed to the caller.
    """
    # guard: unknown-collection-refused
    if names and (claim is None or not claim.is_repeat):
        served.documents.collections.require_collections(caller.tenant_id, names, readers=caller.readers)


def select_recent_messages(
    messages: Sequence[EarlierMessage], characters: int = HISTORY_CHARS
) -> tuple[EarlierMessage, ...]:
    """Return the last messages within `characters`, oldest first; one that alone is longer is cut to its beginning."""
    kept: list[EarlierMessage] = []
    for message in reversed(messages):
        if len(message.text) > characters:
            if not kept:
                kept.append(replace(message, text=message.text[:characters]))
            break
        kept.append(message)
        characters -= len(message.text)
    return tuple(reversed(kept))


def build_visible_answer(served: Services, caller: Principal, kept: StoredAnswer) -> AnswerOut:
    """Return a kept answer, without quotations from documents that were deleted since or closed to the caller."""
    named = extract_cited_documents(kept.body)
    return AnswerOut.from_kept_answer(kept, served.answers.conversations.list_withheld_documents(named, caller.readers))


def render_in_forms(served: Services, answer: AnswerOut, forms: Sequence[Form]) -> AnswerOut:
    """Return the answer in the forms that were asked for, too."""
    return render_answer(answer, forms, served.settings.public_url) if forms else answer
