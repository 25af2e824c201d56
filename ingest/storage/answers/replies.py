"""A cache of language model replies, keyed by the content of the request, so that no request is paid for twice."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection, Engine, delete, func, select, update

from ingest.storage.audit.records import Action
from ingest.storage.audit.store import record_action
from ingest.storage.db.database import (
    build_upsert,
    iter_slices,
    lock_derived_content,
    read_transaction,
    write_transaction,
)
from ingest.storage.db.schema import replies
from ingest.storage.documents.records import Work
from ingest.storage.documents.works import record_versions
from ingest.storage.errors import IngestError

log = structlog.get_logger(__name__)

DEFAULT_MAX_BYTES = 512 * 1024**2
UNUSED_SECONDS = 30 * 24 * 3600.0
# Minimum time between two updates of a reply's `used_at`, so that repeated hits need no writes.
_TOUCH_SECONDS = 60.0
_EVICTIONS_AT_ONCE = 500
# Fractions of `max_bytes`: the total size after an eviction, the amount that is stored between two size checks (each
# check needs a query), and the maximum size of a stored reply.
_EVICTION_TARGET_SHARE = 0.9
_UNCHECKED_SHARE = 1 / 32
_MAX_REPLY_SHARE = 1 / 8


@dataclass(frozen=True)
class StoredReply:
    """A stored reply and its cost. `key` is the SHA-256 of the request in hexadecimal."""

    key: str
    text: str
    calls: int
    prompt_tokens: int
    completion_tokens: int

    @property
    def size_bytes(self) -> int:
        """The size of the reply, its key and its counts, in bytes."""
        return len(self.text.encode("utf-8", "surrogatepass")) + 200


class Replies:
    """Each tenant's cached replies, limited to about `max_bytes`. The least recently used replies are evicted first.

    The size is checked each time another thirty-second of `max_bytes` has been stored. Replies that have not been used
    for 30 days are also evicted. A reply larger than an eighth of `max_bytes` is not stored.
    """

    def __init__(
        self, engine: Engine, *, max_bytes: int = DEFAULT_MAX_BYTES, clock: Callable[[], float] = time.time
    ) -> None:
        self._engine = engine
        self._max_bytes = max_bytes
        self._clock = clock
        self._unchecked_bytes: dict[str, int] = {}

    def load_replies(self, tenant_id: str, keys: Collection[str]) -> Mapping[str, StoredReply]:
        """Load the cached replies to these requests. Requests without a cached reply are omitted.

        Loading a reply updates the time of its last use. If this write fails, the error is only logged.
        """
        now = self._clock()
        found: dict[str, StoredReply] = {}
        stale: list[str] = []
        with read_transaction(self._engine) as connection:
            for some in iter_slices(sorted(keys)):
                query = select(replies).where(replies.c.tenant_id == tenant_id, replies.c.key.in_(some))
                for row in connection.execute(query):
                    found[row.key] = StoredReply(row.key, row.text, row.calls, row.prompt_tokens, row.completion_tokens)
                    if row.used_at < now - _TOUCH_SECONDS:
                        stale.append(row.key)
        if stale:
            try:
                self._record_use(tenant_id, stale, now)
            except IngestError as error:  # the replies are already loaded, so this error must not fail the request
                log.warning("last use of replies not recorded", replies=len(stale), error=repr(error))
        return found

    def store_replies(self, tenant_id: str, new_replies: Sequence[StoredReply], work: Work | None = None) -> None:
        """Store replies. A reply that is already stored is not changed.

        If any version used for `work` is removed later, the replies are removed too. If one of these versions no longer
        exists, nothing is stored.
        """
        kept = [reply for reply in new_replies if reply.size_bytes <= self._max_bytes * _MAX_REPLY_SHARE]
        if not kept:
            return
        now = self._clock()
        with write_transaction(self._engine) as connection:
            lock_derived_content(connection, tenant_id)
            if work is not None and not record_versions(connection, work):
                return
            for some in iter_slices(sorted(kept, key=lambda reply: reply.key)):
                rows = [_build_row(tenant_id, reply, now, work) for reply in some]
                connection.execute(build_upsert(connection, replies).on_conflict_do_nothing(), rows)
            # On the first call in a process, the total size is unknown, so it is checked.
            unchecked = self._unchecked_bytes.get(tenant_id, self._max_bytes) + sum(reply.size_bytes for reply in kept)
            if unchecked > self._max_bytes * _UNCHECKED_SHARE:
                self._evict_replies(connection, tenant_id, now)
                unchecked = 0
        self._unchecked_bytes[tenant_id] = unchecked

    def measure_size(self, tenant_id: str) -> tuple[int, int]:
        """Return the number of a tenant's cached replies and their total size in bytes."""
        size = func.coalesce(func.sum(replies.c.size_bytes), 0)
        with read_transaction(self._engine) as connection:
            row = connection.execute(select(func.count(), size).where(replies.c.tenant_id == tenant_id)).one()
        return int(row[0]), int(row[1])

    def delete_replies(self, tenant_id: str) -> int:
        """Delete all cached replies of a tenant and return how many were deleted."""
        with write_transaction(self._engine) as connection:
            forgotten = connection.execute(delete(replies).where(replies.c.tenant_id == tenant_id)).rowcount
            record_action(
                connection, Action.REPLIES_FORGOTTEN, f"tenant:{tenant_id}", tenant_id=tenant_id, replies=forgotten
            )
        return forgotten

    def _record_use(self, tenant_id: str, keys: Sequence[str], now: float) -> None:
        with write_transaction(self._engine) as connection:
            for some in iter_slices(keys):
                changed = update(replies).where(replies.c.tenant_id == tenant_id, replies.c.key.in_(some))
                connection.execute(changed.values(used_at=now))

    def _evict_replies(self, connection: Connection, tenant_id: str, now: float) -> None:
        mine = replies.c.tenant_id == tenant_id
        connection.execute(delete(replies).where(mine, replies.c.used_at < now - UNUSED_SECONDS))
        size = connection.execute(select(func.coalesce(func.sum(replies.c.size_bytes), 0)).where(mine)).scalar_one()
        if size <= self._max_bytes:
            return
        while size > self._max_bytes * _EVICTION_TARGET_SHARE:
            oldest = select(replies.c.key, replies.c.size_bytes).where(mine).order_by(replies.c.used_at, replies.c.key)
            going: list[str] = []
            for row in connection.execute(oldest.limit(_EVICTIONS_AT_ONCE)):
                if size <= self._max_bytes * _EVICTION_TARGET_SHARE:
                    break
                going.append(row.key)
                size -= row.size_bytes
            if not going:
                return
            connection.execute(delete(replies).where(mine, replies.c.key.in_(going)))


def _build_row(tenant_id: str, reply: StoredReply, now: float, work: Work | None) -> Mapping[str, object]:
    return {
        "tenant_id": tenant_id,
        "key": reply.key,
        # A UTF-8 database accepts neither NUL nor lone surrogates, but a model's reply may contain both.
        "text": reply.text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode(),
        "calls": reply.calls,
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "size_bytes": reply.size_bytes,
        "created_at": now,
        "used_at": now,
        "work_id": None if work is None else work.id,
    }
