"""Links by which others of a tenant may read a conversation or a run: made, listed, opened and revoked.

A link opens nothing but what was said. Whoever reads by it sees an answer as far as every document that the answer was
given is open to that reader: see `as_read_by`.
"""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Engine, Row, delete, func, insert, select

from ingest.storage.accounts.access import Readers, build_owner_condition
from ingest.storage.answers.conversations import load_conversation
from ingest.storage.answers.feedback_records import Share
from ingest.storage.answers.records import StoredAnswer
from ingest.storage.answers.redaction import redact_for_reader, remove_route
from ingest.storage.answers.run_log import load_run
from ingest.storage.audit.records import Action
from ingest.storage.audit.store import record_action
from ingest.storage.db.database import lock_tenant, read_transaction, write_transaction
from ingest.storage.db.schema import shares
from ingest.storage.documents.records import ROUTE_SUFFIX
from ingest.storage.documents.works import list_closed_versions
from ingest.storage.errors import ShareNotFoundError

_ID_BYTES = 24


class Shares:
    """The links of every tenant; no method sees another tenant's. With `owner`, no method sees another owner's."""

    def __init__(self, engine: Engine, *, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock

    def create(
        self,
        tenant_id: str,
        maker: str,
        *,
        conversation_id: str | None = None,
        run_id: str | None = None,
        ends_at: float,
        owner: str | None = None,
    ) -> Share:
        """Make a link to one of the two. Raises `ConversationNotFoundError` or `RunNotFoundError`."""
        if (conversation_id is None) == (run_id is None):
            raise ValueError("a link leads to a conversation or to a run")
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
                "owner": maker,
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
        of: str | None = None,
        before: int | None = None,
        limit: int = 50,
        owner: str | None = None,
    ) -> list[Share]:
        """List links that have not ended, newest first, with a `sequence` below `before`.

        `of` is the id of a conversation or a run.
        """
        query = select(shares).where(
            shares.c.tenant_id == tenant_id, shares.c.ends_at > self._clock(), build_owner_condition(shares, owner)
        )
        if of is not None:
            query = query.where((shares.c.conversation_id == of) | (shares.c.run_id == of))
        if before is not None:
            query = query.where(shares.c.sequence < before)
        with read_transaction(self._engine) as connection:
            rows = connection.execute(query.order_by(shares.c.sequence.desc()).limit(limit)).all()
        return [_build_share(row) for row in rows]

    def load_share(self, tenant_id: str, identifier: str) -> Share:
        """Return the link by its id, for whoever of the tenant has it. Raises `ShareNotFoundError`."""
        query = select(shares).where(
            shares.c.id == identifier, shares.c.tenant_id == tenant_id, shares.c.ends_at > self._clock()
        )
        with read_transaction(self._engine) as connection:
            row = connection.execute(query).first()
        if row is None:
            raise _build_not_found_error(identifier)
        return _build_share(row)

    def revoke(self, tenant_id: str, identifier: str, owner: str | None = None) -> None:
        """End a link at once. Raises `ShareNotFoundError`."""
        mine = shares.c.id == identifier, shares.c.tenant_id == tenant_id, build_owner_condition(shares, owner)
        with write_transaction(self._engine) as connection:
            row = connection.execute(delete(shares).where(*mine).returning(shares)).first()
            if row is None:
                raise _build_not_found_error(identifier)
            shared = f"conversation:{row.conversation_id}" if row.conversation_id else f"run:{row.run_id}"
            record_action(connection, Action.SHARE_REVOKED, shared, tenant_id=tenant_id)

    def is_closed(self, readers: Readers, work_id: str) -> bool:
        """True if a work was given something that is closed to these readers, if only to choose how to answer."""
        with read_transaction(self._engine) as connection:
            return bool(list_closed_versions(connection, [work_id, work_id + ROUTE_SUFFIX], readers))

    def redact_for_readers(self, readers: Readers, kept: Sequence[StoredAnswer]) -> list[StoredAnswer]:
        """Return answers as these readers may see them, who did not ask.

        A model may have written what it read into any sentence. So of an answer that was given a document which is
        closed to the readers, those sentences stay that cite other documents and were found to rest on these.
        """
        ids = [each.id for each in kept]
        with read_transaction(self._engine) as connection:
            closed = list_closed_versions(connection, [*ids, *(each + ROUTE_SUFFIX for each in ids)], readers)
        return [_redact_answer(each, closed) for each in kept]


def _redact_answer(kept: StoredAnswer, closed: Mapping[str, Mapping[str, str]]) -> StoredAnswer:
    # guard: shared-link-hides-closed
    if kept.id in closed:
        return replace(
            kept, body=redact_for_reader(kept.body, closed[kept.id], kept.question), rows_behind=(), cells_behind=()
        )
    if kept.id + ROUTE_SUFFIX in closed:  # seen for the choice of a strategy alone
        return replace(kept, body=remove_route(kept.body))
    return kept


def _build_share(row: Row[Any]) -> Share:
    return Share(**row._mapping)


def _build_not_found_error(identifier: str) -> ShareNotFoundError:
    return ShareNotFoundError(f"There is no link {identifier[:64]!r}, or it has ended.")
