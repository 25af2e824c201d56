"""Stores, loads, lists and deletes answers and conversations, and removes expired ones."""

import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, delete, func, insert, null, select, update

from ingest.storage.accounts.access import Readers, build_owner_condition, list_withheld_documents
from ingest.storage.answers.conversation_search import search_conversations
from ingest.storage.answers.masking import load_masks, mask_answers
from ingest.storage.answers.pending import build_pending_condition, lock_conversation, require_answer_lease
from ingest.storage.answers.pending_records import AnswerLease
from ingest.storage.answers.records import (
    CellRanges,
    Conversation,
    ConversationItem,
    Exchange,
    FoundConversations,
    RowRanges,
    StoredAnswer,
)
from ingest.storage.answers.redaction import redact_gone_versions
from ingest.storage.audit.records import Action
from ingest.storage.audit.store import record_action
from ingest.storage.db.database import lock_derived_content, lock_tenant, read_transaction, write_transaction
from ingest.storage.db.schema import answers, conversations, pending_answers, runs
from ingest.storage.documents.records import Work
from ingest.storage.documents.works import list_gone_versions, load_conversation_work, record_versions
from ingest.storage.errors import AnswerNotFoundError, ConversationFullError, ConversationNotFoundError

_TITLE_CHARS = 200
# Maximum number of items that programs may add to a conversation, which are stored together.
MAX_ITEMS = 1_000
_EXCHANGES_AT_ONCE = 20
_RENDERED_MEMBERS = ("text", "sentences", "status", "table")


class Conversations:
    """The conversations and stored answers of all tenants. Each call accesses the data of a single tenant.

    If `owner` is given, a method finds only that owner's conversations and answers.
    """

    def __init__(self, engine: Engine, *, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock

    def start_conversation(
        self,
        tenant_id: str,
        question: str,
        owner: str | None = None,
        *,
        metadata: Mapping[str, str] | None = None,
        items: Sequence[ConversationItem] = (),
    ) -> str:
        """Create a conversation and return its id. It appears in listings once it has an answer or a pending answer."""
        identifier, now = str(uuid.uuid4()), self._clock()
        with write_transaction(self._engine) as connection:
            lock_tenant(connection, tenant_id)
            query = select(func.max(conversations.c.sequence)).where(conversations.c.tenant_id == tenant_id)
            last = connection.execute(query).scalar() or 0
            connection.execute(
                insert(conversations).values(
                    id=identifier,
                    sequence=last + 1,
                    tenant_id=tenant_id,
                    owner=owner,
                    title=clean_title(question),
                    turns=0,
                    created_at=now,
                    updated_at=now,
                    metadata=dict(metadata or {}),
                    items=[asdict(each) for each in items],
                )
            )
        return identifier

    def store_answer(
        self,
        answer: StoredAnswer,
        version_ids: frozenset[str] = frozenset(),
        seen: Mapping[str, frozenset[str]] | None = None,
        lease: AnswerLease | None = None,
    ) -> StoredAnswer:
        """Store an answer as the next turn of its conversation. Storing it again changes nothing.

        With a `lease`, raises `LeaseLostError` if it is no longer held, in which case nothing is stored.

        If the conversation has been deleted in the meantime, the answer is stored outside any conversation.
        `version_ids` are the document versions given to the model for the answer. If one of them no longer exists, the
        answer is redacted. `seen` maps versions of which the model was only shown names to these names, which are
        masked if the document no longer exists. Returns the answer as stored, with its turn.
        """
        work = Work(answer.id, version_ids, seen or {})
        with write_transaction(self._engine) as connection:
            lock_derived_content(connection, answer.tenant_id)
            if lease is not None:
                if answer.conversation_id is not None:
                    lock_conversation(connection, answer.conversation_id)
                # guard: answer-stored-under-lease
                require_answer_lease(connection, lease)
            if not record_versions(connection, work):
                gone = list_gone_versions(connection, work)
                answer = replace(answer, body=redact_gone_versions(answer.body, gone, answer.question))
            return store_answer(connection, answer)

    def load_used_versions(self, tenant_id: str, identifier: str) -> Work:
        """Return the document versions that a conversation's answers used or saw, except versions that are gone."""
        with read_transaction(self._engine) as connection:
            return load_conversation_work(connection, tenant_id, identifier)

    def mask_names(self, readers: Readers, stored_answers: Sequence[StoredAnswer]) -> list[StoredAnswer]:
        """Mask names of documents that answers have only seen and that these readers may not see now.

        Call this before showing stored answers.
        """
        with read_transaction(self._engine) as connection:
            return mask_answers(connection, readers, stored_answers)

    def load_answer(self, tenant_id: str, identifier: str, owner: str | None = None) -> StoredAnswer:
        """Load an answer. Raises `AnswerNotFoundError` if it does not exist or belongs to another tenant or owner."""
        with read_transaction(self._engine) as connection:
            return load_answer(connection, tenant_id, identifier, owner)

    def delete_answer(self, tenant_id: str, identifier: str, owner: str | None = None) -> None:
        """Delete an answer, and remove it from its conversation and from the run that produced it.

        Raises `AnswerNotFoundError` if it does not exist.
        """
        with write_transaction(self._engine) as connection:
            mine = answers.c.tenant_id == tenant_id, answers.c.id == identifier, build_owner_condition(answers, owner)
            if not connection.execute(delete(answers).where(*mine)).rowcount:
                raise AnswerNotFoundError(f"Answer {identifier!r} not found.")
            of_run = runs.c.tenant_id == tenant_id, runs.c.id == identifier
            connection.execute(update(runs).where(*of_run).values(answer=null()))
            record_action(connection, Action.ANSWER_DELETED, f"answer:{identifier}", tenant_id=tenant_id)

    def load_conversation(self, tenant_id: str, identifier: str, owner: str | None = None) -> Conversation:
        """Load a conversation.

        Raises `ConversationNotFoundError` if it does not exist or belongs to another tenant or owner.
        """
        with read_transaction(self._engine) as connection:
            return load_conversation(connection, tenant_id, identifier, owner)

    def list_conversations(
        self, tenant_id: str, *, before: int | None = None, limit: int = 50, owner: str | None = None
    ) -> list[Conversation]:
        """List conversations that have questions and a `sequence` below `before`, newest first."""
        query = _build_conversations_query(tenant_id, owner, before)
        with read_transaction(self._engine) as connection:
            rows = connection.execute(query.limit(limit)).all()
        return [Conversation.from_row(row._mapping) for row in rows]

    def search_conversations(
        self,
        tenant_id: str,
        words: str,
        *,
        before: int | None = None,
        limit: int = 50,
        owner: str | None = None,
        readers: Readers = None,
    ) -> FoundConversations:
        """Find conversations with these words in their titles, questions or answers, newest first.

        Names of documents that these readers may not see are not found in answers that only saw the names. Each call
        searches a limited number of conversations; continue with `before` from `searched_to`.
        """
        query = _build_conversations_query(tenant_id, owner, before)
        with read_transaction(self._engine) as connection:
            return search_conversations(connection, query, readers, words, limit)

    def rename_conversation(
        self, tenant_id: str, identifier: str, title: str, owner: str | None = None
    ) -> Conversation:
        """Change the title of a conversation. Raises `ConversationNotFoundError` if it does not exist."""
        with write_transaction(self._engine) as connection:
            load_conversation(connection, tenant_id, identifier, owner)
            of_conversation = conversations.c.id == identifier, conversations.c.tenant_id == tenant_id
            connection.execute(update(conversations).where(*of_conversation).values(title=clean_title(title)))
            return load_conversation(connection, tenant_id, identifier, owner)

    def replace_metadata(
        self, tenant_id: str, identifier: str, metadata: Mapping[str, str], owner: str | None = None
    ) -> Conversation:
        """Replace a conversation's metadata. Raises `ConversationNotFoundError` if it does not exist."""
        return self._change_row(tenant_id, identifier, owner, lambda _: {"metadata": dict(metadata)})

    def add_items(
        self, tenant_id: str, identifier: str, items: Sequence[ConversationItem], owner: str | None = None
    ) -> Conversation:
        """Add items after the last answer of a conversation, which then counts as used now.

        Raises `ConversationNotFoundError` if it does not exist, and `ConversationFullError` if it would have more than
        `MAX_ITEMS` items.
        """

        def append(known: Conversation) -> dict[str, Any]:
            every = [*known.items, *(replace(each, turn=known.turns) for each in items)]
            if len(every) > MAX_ITEMS:
                raise ConversationFullError(f"A conversation has at most {MAX_ITEMS:,} added items.")
            return {"items": [asdict(each) for each in every], "updated_at": self._clock()}

        return self._change_row(tenant_id, identifier, owner, append)

    def delete_item(
        self, tenant_id: str, identifier: str, item_id: str, owner: str | None = None
    ) -> Conversation | None:
        """Delete an added item. Return the conversation, or None if it has no such item.

        Raises `ConversationNotFoundError` if the conversation does not exist.
        """
        known = self.load_conversation(tenant_id, identifier, owner)
        if all(each.id != item_id for each in known.items):
            return None
        return self._change_row(
            tenant_id,
            identifier,
            owner,
            lambda found: {"items": [asdict(each) for each in found.items if each.id != item_id]},
        )

    def _change_row(
        self, tenant_id: str, identifier: str, owner: str | None, compute: Callable[[Conversation], dict[str, Any]]
    ) -> Conversation:
        with write_transaction(self._engine) as connection:
            lock_tenant(connection, tenant_id)
            known = load_conversation(connection, tenant_id, identifier, owner)
            of_conversation = conversations.c.id == identifier, conversations.c.tenant_id == tenant_id
            connection.execute(update(conversations).where(*of_conversation).values(**compute(known)))
            return load_conversation(connection, tenant_id, identifier, owner)

    def list_turns(
        self, tenant_id: str, identifier: str, *, after: int = 0, limit: int = 50, owner: str | None = None
    ) -> list[StoredAnswer]:
        """List the answers of a conversation with a `turn` above `after`, in order.

        Raises `ConversationNotFoundError` if the conversation does not exist.
        """
        query = _build_answers_query(tenant_id).where(answers.c.conversation_id == identifier, answers.c.turn > after)
        with read_transaction(self._engine) as connection:
            load_conversation(connection, tenant_id, identifier, owner)
            rows = connection.execute(query.order_by(answers.c.turn).limit(limit)).all()
        return [_build_answer(row) for row in rows]

    def list_last_exchanges(
        self,
        tenant_id: str,
        identifier: str,
        *,
        max_characters: int,
        owner: str | None = None,
        readers: Readers = None,
        render_answer: Callable[[Mapping[str, Any]], str] = itemgetter("text"),
    ) -> list[Exchange]:
        """List the most recent exchanges of a conversation, oldest first.

        `render_answer` returns the text of an answer, given its members `text`, `sentences`, `status` and `table`.
        Returns as many exchanges as fit in `max_characters` characters, plus one more. Names of documents that the
        answers have only seen and that these readers may not see are masked. Raises `ConversationNotFoundError` if the
        conversation does not exist.
        """
        query = (
            select(
                answers.c.id,
                answers.c.turn,
                answers.c.question,
                *(answers.c.answer[name].as_json().label(name) for name in _RENDERED_MEMBERS),
            )
            .where(answers.c.tenant_id == tenant_id, answers.c.conversation_id == identifier)
            .order_by(answers.c.turn.desc())
            .limit(_EXCHANGES_AT_ONCE)
        )
        found: list[Exchange] = []
        with read_transaction(self._engine) as connection:
            before = load_conversation(connection, tenant_id, identifier, owner).turns + 1
            while max_characters > 0 and (rows := connection.execute(query.where(answers.c.turn < before)).all()):
                before = rows[-1].turn
                masks = load_masks(connection, readers, [row.id for row in rows])
                for row in rows:
                    if max_characters > 0:
                        text = render_answer({name: getattr(row, name) for name in _RENDERED_MEMBERS})
                        # guard: history-names-masked
                        said = masks[row.id].mask_text(text)
                        found.append(Exchange(row.question, said, row.turn))
                        max_characters -= len(row.question) + len(said)
        return found[::-1]

    def delete_conversation(self, tenant_id: str, identifier: str, owner: str | None = None) -> None:
        """Delete a conversation with all its answers. Raises `ConversationNotFoundError` if it does not exist."""
        with write_transaction(self._engine) as connection:
            load_conversation(connection, tenant_id, identifier, owner)
            _delete_conversations(connection, [identifier])
            record_action(connection, Action.CONVERSATION_DELETED, f"conversation:{identifier}", tenant_id=tenant_id)

    def list_recent_times(self, limit: int = 60) -> list[tuple[str, str | None, float]]:
        """List the strategies, models and seconds of the latest stored answers of all tenants, newest first."""
        body = answers.c.answer
        query = (
            select(body["strategy"].as_string(), body["model"].as_string(), body["timings_ms"]["total"].as_float())
            .order_by(answers.c.created_at.desc())
            .limit(limit)
        )
        with read_transaction(self._engine) as connection:
            rows = connection.execute(query).all()
        return [(row[0], row[1], row[2] / 1000) for row in rows if row[0] is not None and row[2] is not None]

    def list_withheld_documents(self, identifiers: Collection[str], readers: Readers = None) -> set[str]:
        """List the documents that these readers must not see: deleted ones, and documents they may not access."""
        with read_transaction(self._engine) as connection:
            return list_withheld_documents(connection, identifiers, readers)


def clean_title(text: str) -> str:
    """Return a text as the title of a conversation: on one line, and of at most 200 characters."""
    return " ".join(text.split())[:_TITLE_CHARS]


def _build_conversations_query(tenant_id: str, owner: str | None, before: int | None) -> Select[Any]:
    """Select conversations that have answers or pending answers, newest first."""
    mine = conversations.c.tenant_id == tenant_id, build_owner_condition(conversations, owner)
    has_questions = (conversations.c.turns > 0) | build_pending_condition()
    query = select(conversations).where(*mine, has_questions).order_by(conversations.c.sequence.desc())
    return query if before is None else query.where(conversations.c.sequence < before)


def store_answer(connection: Connection, answer: StoredAnswer) -> StoredAnswer:
    """Store an answer within the caller's transaction. See `Conversations.store_answer`."""
    known = _find_answer(connection, answer.tenant_id, answer.id)
    if known is not None:
        return known
    conversation_id, turn = answer.conversation_id, None
    if conversation_id is not None:
        mine = conversations.c.id == conversation_id, conversations.c.tenant_id == answer.tenant_id
        # The update locks the conversation's row so that concurrent answers get different turns.
        counted = (
            update(conversations).where(*mine).values(turns=conversations.c.turns + 1, updated_at=answer.created_at)
        )
        if connection.execute(counted).rowcount:
            turn = connection.execute(select(conversations.c.turns).where(*mine)).scalar_one()
        else:
            conversation_id = None
    connection.execute(
        insert(answers).values(
            id=answer.id,
            tenant_id=answer.tenant_id,
            conversation_id=conversation_id,
            turn=turn,
            owner=answer.owner,
            question=answer.question,
            answer=answer.body,
            rows_behind=_encode_rows(answer),
            created_at=answer.created_at,
        )
    )
    connection.execute(delete(pending_answers).where(pending_answers.c.id == answer.id))
    return replace(answer, conversation_id=conversation_id, turn=turn)


def _delete_conversations(connection: Connection, identifiers: Collection[str]) -> None:
    for identifier in identifiers:
        connection.execute(delete(answers).where(answers.c.conversation_id == identifier))
        connection.execute(delete(conversations).where(conversations.c.id == identifier))


def load_conversation(
    connection: Connection, tenant_id: str, identifier: str, owner: str | None = None
) -> Conversation:
    """Load a conversation.

    Raises `ConversationNotFoundError` if it does not exist or belongs to another owner.
    """
    mine = conversations.c.id == identifier, conversations.c.tenant_id == tenant_id
    query = select(conversations).where(*mine, build_owner_condition(conversations, owner))
    row = connection.execute(query).first()
    if row is None:
        raise ConversationNotFoundError(f"Conversation {identifier!r} not found.")
    return Conversation.from_row(row._mapping)


def load_answer(connection: Connection, tenant_id: str, identifier: str, owner: str | None = None) -> StoredAnswer:
    """Load an answer. Raises `AnswerNotFoundError` if it does not exist or belongs to another tenant or owner."""
    found = _find_answer(connection, tenant_id, identifier, owner)
    if found is None:
        raise AnswerNotFoundError(f"Answer {identifier!r} not found.")
    return found


def _build_answers_query(tenant_id: str) -> Select[Any]:
    return select(answers).where(answers.c.tenant_id == tenant_id)


def _find_answer(
    connection: Connection, tenant_id: str, identifier: str, owner: str | None = None
) -> StoredAnswer | None:
    # guard: answer-owner
    query = _build_answers_query(tenant_id).where(answers.c.id == identifier, build_owner_condition(answers, owner))
    row = connection.execute(query).first()
    return None if row is None else _build_answer(row)


def _encode_rows(answer: StoredAnswer) -> Any:  # noqa: ANN401 - JSON
    """Encode an answer's source rows as JSON: a list of rows, or an object with `rows` and `cells`.

    Cells refer to elements of `rows` by index, so that document and version ids are stored only once.
    """
    if not answer.cells_behind:
        return [[*each.table_key, each.ranges] for each in answer.rows_behind]
    ranges = {each.table_key: each.ranges for each in answer.rows_behind}
    named = (rows.table_key for cell in answer.cells_behind for rows in cell.parts)
    parts = list(dict.fromkeys([*ranges, *named]))
    places = {part: at for at, part in enumerate(parts)}
    cells = [
        [cell.row, cell.column, [[places[rows.table_key], rows.ranges] for rows in cell.parts]]
        for cell in answer.cells_behind
    ]
    return {"rows": [[*part, ranges.get(part, ())] for part in parts], "cells": cells}


def _decode_rows(value: Any) -> tuple[tuple[RowRanges, ...], tuple[CellRanges, ...]]:  # noqa: ANN401 - JSON
    rows, cells = (value, ()) if isinstance(value, list) else (value["rows"], value["cells"])
    parts = [RowRanges(document, version, table, _decode_pairs(found)) for document, version, table, found in rows]
    named = (
        CellRanges(row, column, tuple(replace(parts[at], ranges=_decode_pairs(found)) for at, found in own))
        for row, column, own in cells
    )
    return tuple(each for each in parts if each.ranges), tuple(named)


def _decode_pairs(pairs: Iterable[Sequence[int]]) -> tuple[tuple[int, int], ...]:
    return tuple((first, last) for first, last in pairs)


def _build_answer(row: Row[Any]) -> StoredAnswer:
    rows, cells = _decode_rows(row.rows_behind)
    return StoredAnswer(
        row.id,
        row.tenant_id,
        row.conversation_id,
        row.turn,
        row.question,
        row.answer,
        rows,
        row.created_at,
        row.owner,
        cells,
    )
