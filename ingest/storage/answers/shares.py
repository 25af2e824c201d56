"""Creates, lists, opens and revokes links with which other users of a tenant can read a conversation or run.

A link gives access to questions and answers, not to documents. Readers see only the parts of an answer that are based
on documents they may see; see `redact_for_readers`.
"""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, func, insert, select

from ingest.storage.accounts.access import Readers, build_owner_condition
from ingest.storage.answers.conversations import load_conversation
from ingest.storage.answers.feedback_records import Share
from ingest.storage.answers.masking import mask_answers
from ingest.storage.answers.records import StoredAnswer
from ingest.storage.answers.redaction import redact_for_reader, remove_route
from ingest.storage.answers.run_log import load_run
from ingest.storage.audit.records import Action
from ingest.storage.audit.store import record_action
from ingest.storage.db.database import lock_tenant, read_transaction, write_transaction
from ingest.storage.db.schema import shares
from ingest.storage.documents.records import ROUTE_SUFFIX
from ingest.storage.documents.works import list_hidden_names, list_inaccessible_versions, load_document_names
from ingest.storage.errors import ShareNotFoundError

# Number of random bytes in the id of a link. The id also serves as the link's secret, so it must be hard to guess.
_ID_BYTES = 24


class Shares:
    """The links of all tenants.

    Each call accesses the links of a single tenant and, if `owner` is given, only that owner's links.
    """

    def __init__(self, engine: Engine, *, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock

    def create(
        self,
        tenant_id: str,
        creator: str,
        *,
        conversation_id: str | None = None,
        run_id: str | None = None,
        ends_at: float,
        owner: str | None = None,
    ) -> Share:
        """Create a link to a conversation or to a run.

        Raises `ConversationNotFoundError` or `RunNotFoundError` if it does not exist.
        """
        if (conversation_id is None) == (run_id is None):
            raise ValueError("exactly one of conversation_id and run_id must be set")
        identifier = secrets.token_urlsafe(_ID_BYTES)
        with write_transaction(self._engine) as connection:
            lock_tenant(connection, tenant_id)
            if conversation_id is not None:
                load_conversation(connection, tenant_id, conversation_id, owner)
            if run_id is not None:
                load_run(connection, tenant_id, run_id, owner)
            query = select(func.max(shares.c.sequence)).where(shares.c.tenant_id == tenant_id)
            values: dict[str, Any] = {
                "id": identifier,
                "sequence": (connection.execute(query).scalar() or 0) + 1,
                "tenant_id": tenant_id,
                "conversation_id": conversation_id,
                "run_id": run_id,
                "owner": creator,
                "created_at": self._clock(),
                "ends_at": ends_at,
            }
            connection.execute(insert(shares).values(**values))
            shared = f"conversation:{conversation_id}" if conversation_id else f"run:{run_id}"
            record_action(connection, Action.SHARE_CREATED, shared, tenant_id=tenant_id, ends_at=ends_at)
        return Share(**values)

    def list_shares(
        self,
        tenant_id: str,
        *,
        target_id: str | None = None,
        before: int | None = None,
        limit: int = 50,
        owner: str | None = None,
    ) -> list[Share]:
        """List the valid links with a `sequence` below `before`, newest first.

        If `target_id` is given, list only links to the conversation or run with this id.
        """
        query = select(shares).where(
            shares.c.tenant_id == tenant_id, shares.c.ends_at > self._clock(), build_owner_condition(shares, owner)
        )
        if target_id is not None:
            query = query.where((shares.c.conversation_id == target_id) | (shares.c.run_id == target_id))
        if before is not None:
            query = query.where(shares.c.sequence < before)
        with read_transaction(self._engine) as connection:
            rows = connection.execute(query.order_by(shares.c.sequence.desc()).limit(limit)).all()
        return [_build_share(row) for row in rows]

    def load_share(self, tenant_id: str, identifier: str) -> Share:
        """Load a link by its id, on behalf of any user of the tenant.

        Raises `ShareNotFoundError` if there is no such link.
        """
        query = select(shares).where(
            shares.c.id == identifier, shares.c.tenant_id == tenant_id, shares.c.ends_at > self._clock()
        )
        with read_transaction(self._engine) as connection:
            row = connection.execute(query).first()
        if row is None:
            raise _build_not_found_error(identifier)
        return _build_share(row)

    def revoke(self, tenant_id: str, identifier: str, owner: str | None = None) -> None:
        """Revoke a link now. Raises `ShareNotFoundError` if there is no such link."""
        mine = shares.c.id == identifier, shares.c.tenant_id == tenant_id, build_owner_condition(shares, owner)
        with write_transaction(self._engine) as connection:
            row = connection.execute(delete(shares).where(*mine).returning(shares)).first()
            if row is None:
                raise _build_not_found_error(identifier)
            shared = f"conversation:{row.conversation_id}" if row.conversation_id else f"run:{row.run_id}"
            record_action(connection, Action.SHARE_REVOKED, shared, tenant_id=tenant_id)

    def has_inaccessible_sources(self, readers: Readers, work_id: str) -> bool:
        """Return whether an answer or run used or saw a document that these readers may not see.

        Documents used only to choose a strategy count too.
        """
        ids = [work_id, work_id + ROUTE_SUFFIX]
        with read_transaction(self._engine) as connection:
            return bool(
                list_inaccessible_versions(connection, ids, readers) or list_hidden_names(connection, ids, readers)
            )

    def redact_for_readers(self, readers: Readers, stored_answers: Sequence[StoredAnswer]) -> list[StoredAnswer]:
        """Redact answers for readers other than the user who asked.

        A model may include text from any document in any sentence. If an answer used a document that the readers may
        not see, it keeps only the sentences that cite other documents, are supported by them and do not name the
        document. Of documents that it has only seen, the names are masked.
        """
        ids = [each.id for each in stored_answers]
        with read_transaction(self._engine) as connection:
            closed = list_inaccessible_versions(connection, [*ids, *(each + ROUTE_SUFFIX for each in ids)], readers)
            redacted = [_redact_answer(connection, each, closed) for each in stored_answers]
            return mask_answers(connection, readers, redacted)


def _redact_answer(
    connection: Connection, answer: StoredAnswer, inaccessible_versions: Mapping[str, Mapping[str, str]]
) -> StoredAnswer:
    # guard: shared-link-hides-closed
    if answer.id in inaccessible_versions:
        hidden = inaccessible_versions[answer.id]
        names = load_document_names(connection, hidden)
        return replace(
            answer,
            body=redact_for_reader(answer.body, hidden, answer.question, names),
            rows_behind=(),
            cells_behind=(),
        )
    if answer.id + ROUTE_SUFFIX in inaccessible_versions:  # the document was used only to choose a strategy
        return replace(answer, body=remove_route(answer.body))
    return answer


def _build_share(row: Row[Any]) -> Share:
    return Share(**row._mapping)


def _build_not_found_error(identifier: str) -> ShareNotFoundError:
    return ShareNotFoundError(f"The link {identifier[:64]!r} was not found or has expired.")
