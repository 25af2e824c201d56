"""The audit log in the catalog: one chain of entries for the installation.

Entries are appended in the transaction of the change that they record. Appending locks the only row of the chain until
the commit, so the chain stays linear with any number of processes. A transaction takes this lock last: entries are
appended just before the commit, after all other statements.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, delete, func, insert, select, update

from ingest.storage.audit.records import (
    GENESIS,
    Action,
    Actor,
    ActorKind,
    Anchor,
    AuditEntry,
    ChainFault,
    ChainVerification,
    compute_entry_hash,
    get_actor_context,
)
from ingest.storage.db.database import insert_row_if_absent, read_transaction, run_before_commit, write_transaction
from ingest.storage.db.schema import audit, audit_chain
from ingest.storage.remarks import Remark

_CHAIN_ROW = audit_chain.c.id == 1
_MAX_TEXT_CHARS = 200
_MAX_MEMBERS = 200
_AT_ONCE = 1_000
_MAX_FAULTS = 20


def record_action(
    connection: Connection,
    action: Action,
    subject: str,
    *,
    tenant_id: str | None,
    result: str = "done",
    **details: Any,  # noqa: ANN401 - JSON
) -> None:
    """Append an entry to the audit log when the current `write_transaction` commits.

    `subject` is the `kind:id` of the object. The actor is the one set by `ingest.storage.audit.records.actor_context`.
    `details` contains ids, names and figures; its strings are truncated to 200 characters. Raises `TypeError` if a
    value cannot be represented as JSON.
    """
    now = get_actor_context()
    entry = AuditEntry(
        sequence=0,
        at=round(time.time(), 6),
        tenant_id=tenant_id,
        actor=now.actor,
        request_id=now.request_id,
        action=action.value,
        object=_clean_text(subject),
        result=_clean_text(result),
        details={name: _truncate_value(value) for name, value in details.items()},
        previous_hash="",
        hash="",
    )
    run_before_commit(connection, partial(_append_entry, entry=entry))


@dataclass(frozen=True)
class AuditFilter:
    """Conditions on listed entries. An empty condition matches all entries.

    If `whole` is true, the entries of all tenants and of the installation are listed. `by` is the id of the actor's key
    or the name of the actor's user.
    """

    tenant_id: str | None = None
    whole: bool = False
    action: str | None = None
    object: str | None = None
    by: str | None = None
    since: float | None = None
    until: float | None = None

    def filter_query(self, query: Select[Any]) -> Select[Any]:
        if not self.whole:
            query = query.where(audit.c.tenant_id == self.tenant_id)
        if self.action is not None:
            query = query.where(audit.c.action == self.action)
        if self.object is not None:
            query = query.where(audit.c.object == self.object)
        if self.by is not None:
            query = query.where((audit.c.key_id == self.by) | (audit.c.user == self.by))
        if self.since is not None:
            query = query.where(audit.c.at >= self.since)
        return query if self.until is None else query.where(audit.c.at < self.until)


class Audit:
    """Reads, verifies and trims the log, and records events that are not part of a catalog transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record_action(
        self,
        action: Action,
        subject: str,
        *,
        tenant_id: str | None,
        result: str = "done",
        **details: Any,  # noqa: ANN401 - JSON
    ) -> None:
        """Append an entry in its own transaction, for an action that does not change the catalog."""
        with write_transaction(self._engine) as connection:
            record_action(connection, action, subject, tenant_id=tenant_id, result=result, **details)

    def list_latest(self, filters: AuditFilter, *, before: int | None = None, limit: int = 50) -> list[AuditEntry]:
        """List entries with a `sequence` below `before`, newest first."""
        query = filters.filter_query(select(audit)).order_by(audit.c.sequence.desc()).limit(limit)
        if before is not None:
            query = query.where(audit.c.sequence < before)
        with read_transaction(self._engine) as connection:
            return [_build_entry(row) for row in connection.execute(query).all()]

    def iter_entries(
        self, filters: AuditFilter, *, after: int = 0, last_sequence: int | None = None
    ) -> Iterator[AuditEntry]:
        """Yield the entries after sequence number `after` and up to `last_sequence`, oldest first.

        The entries are read from the database in batches of a thousand.
        """
        query = filters.filter_query(select(audit)).order_by(audit.c.sequence).limit(_AT_ONCE)
        if last_sequence is not None:
            query = query.where(audit.c.sequence <= last_sequence)
        while True:
            with read_transaction(self._engine) as connection:
                rows = connection.execute(query.where(audit.c.sequence > after)).all()
            yield from map(_build_entry, rows)
            if len(rows) < _AT_ONCE:
                return
            after = rows[-1].sequence

    def load_head(self) -> Anchor:
        """Return the anchor of the last entry."""
        return self._load_chain().head

    def load_tenant_head(self, tenant_id: str) -> Anchor:
        """Return the anchor of a tenant's last entry, or the start of the log if the tenant has no entry."""
        latest = self.list_latest(AuditFilter(tenant_id), limit=1)
        return Anchor(latest[0].sequence, latest[0].hash) if latest else Anchor(0, GENESIS)

    def verify_for_tenant(self, tenant_id: str, anchor: Anchor | None = None) -> ChainVerification:
        """Check the whole log in the same way as `verify`, but report only the tenant's entries.

        `anchor` must be one of the tenant's entries. The result does not reveal how active other tenants are.
        """
        found = self.verify()
        of_tenant = audit.c.tenant_id == tenant_id
        noted = Anchor(0, GENESIS) if anchor is None else anchor
        with read_transaction(self._engine) as connection:
            entries = connection.execute(select(func.count()).select_from(audit).where(of_tenant)).scalar_one()
            known = select(audit.c.hash).where(of_tenant, audit.c.sequence == noted.sequence)
            is_known = noted.sequence == 0 or connection.execute(known).scalar() == noted.hash
        gone = ChainFault(noted.sequence, Remark("audit_anchor_unknown"))
        faults = found.faults if is_known else (*found.faults, gone)
        # guard: audit-counts-own
        return ChainVerification(entries, self.load_tenant_head(tenant_id), faults)

    def verify(self, anchor: Anchor | None = None) -> ChainVerification:
        """Find entries that were changed, removed, reordered or inserted, and entries missing at the end.

        The chain's row shows whether entries are missing at the end, unless that row was changed too. An `anchor`,
        recorded outside the log, reveals missing entries in any case. Entries may be appended during the check.
        """
        begun = self._load_chain()
        check = _ChainChecker(begun, anchor)
        for entry in self.iter_entries(AuditFilter(whole=True)):
            check.check_entry(entry)
        ended = self._load_chain()
        return self.verify(anchor) if ended.start != begun.start else check.build_result(ended.head)

    def trim_entries(self, cutoff_time: float, *, max_entries: int = 5_000, last_sequence: int | None = None) -> int:
        """Remove up to `max_entries` entries older than `cutoff_time`, oldest first, and return how many were removed.

        If `last_sequence` is given, no entry above that sequence is removed. The new start of the log is recorded as an
        entry.
        """
        with write_transaction(self._engine) as connection:
            start = _lock_chain(connection).start
            in_order = select(audit).order_by(audit.c.sequence)
            kept = connection.execute(in_order.where(audit.c.at >= cutoff_time).limit(1)).first()
            last = start.sequence + max_entries
            old = in_order.where(audit.c.sequence <= (last if last_sequence is None else min(last, last_sequence)))
            if kept is not None:
                old = old.where(audit.c.sequence < kept.sequence)
            row = connection.execute(old.order_by(None).order_by(audit.c.sequence.desc()).limit(1)).first()
            if row is None:
                return 0
            removed = connection.execute(delete(audit).where(audit.c.sequence <= row.sequence)).rowcount
            moved = {"trimmed_sequence": row.sequence, "trimmed_hash": row.hash}
            connection.execute(update(audit_chain).where(_CHAIN_ROW).values(**moved))
            begins = {"sequence": row.sequence, "hash": row.hash}
            record_action(connection, Action.AUDIT_TRIMMED, "audit:log", tenant_id=None, entries=removed, **begins)
        return removed

    def load_oldest_time(self) -> float:
        """Return the time of the first entry, or infinity if the log is empty."""
        with read_transaction(self._engine) as connection:
            first = connection.execute(select(audit.c.at).order_by(audit.c.sequence).limit(1)).scalar()
        return math.inf if first is None else first

    def _load_chain(self) -> "_Chain":
        with read_transaction(self._engine) as connection:
            return _build_chain(connection.execute(select(audit_chain).where(_CHAIN_ROW)).first())


@dataclass(frozen=True)
class _Chain:
    """The row of the chain: the last entry, and the last entry removed because of its age."""

    head: Anchor
    start: Anchor


class _ChainChecker:
    """Checks entries in order: each must continue the chain from the previous one."""

    def __init__(self, chain: _Chain, anchor: Anchor | None) -> None:
        self._start = chain.start
        self._anchor = anchor
        self._noted = (chain.head,) if anchor is None else (chain.head, anchor)
        self._last = chain.start
        self._entries = 0
        self._explained = chain.start.sequence == 0
        self._faults: list[ChainFault] = []

    def check_entry(self, entry: AuditEntry) -> None:
        self._entries += 1
        number, expected = entry.sequence, self._last.sequence + 1
        if number != expected:
            self._add_fault(expected, Remark("audit_entries_missing", first=expected, last=number - 1))
        # guard: audit-hash-chain
        elif entry.previous_hash != self._last.hash:
            self._add_fault(number, Remark("audit_previous_hash_differs"))
        # guard: audit-entry-hash
        if entry.hash != compute_entry_hash(entry):
            self._add_fault(number, Remark("audit_entry_changed"))
        elif any(noted.sequence == number and noted.hash != entry.hash for noted in self._noted):
            self._add_fault(number, Remark("audit_entry_differs"))
        if entry.action == Action.AUDIT_TRIMMED and entry.details.get("hash") == self._start.hash:
            self._explained = True
        self._last = Anchor(number, entry.hash)

    def build_result(self, head: Anchor) -> ChainVerification:
        """Compare the last entry with `head`, which is the head at the start of the check, and with the anchor."""
        last, noted = self._last.sequence, max(noted.sequence for noted in self._noted)
        # guard: audit-truncation
        if last < noted:
            self._add_fault(last + 1, Remark("audit_entries_missing_at_end", first=last + 1, last=noted))
        if last > head.sequence:
            self._add_fault(head.sequence + 1, Remark("audit_entry_beyond_end"))
        if not self._explained:
            self._add_fault(self._start.sequence, Remark("audit_removal_unrecorded"))
        if self._anchor is not None and self._anchor.sequence < self._start.sequence:
            self._add_fault(self._anchor.sequence, Remark("audit_anchor_removed"))
        return ChainVerification(self._entries, self._last, tuple(self._faults))

    def _add_fault(self, sequence: int, detail: Remark) -> None:
        if len(self._faults) < _MAX_FAULTS:
            self._faults.append(ChainFault(sequence, detail))


def _append_entry(connection: Connection, entry: AuditEntry) -> None:
    head = _lock_chain(connection).head
    linked = replace(entry, sequence=head.sequence + 1, previous_hash=head.hash)
    linked = replace(linked, hash=compute_entry_hash(linked))
    connection.execute(
        insert(audit).values(
            sequence=linked.sequence,
            at=linked.at,
            tenant_id=linked.tenant_id,
            actor=linked.actor.kind.value,
            key_id=linked.actor.key_id,
            user=linked.actor.user,
            request_id=linked.request_id,
            action=linked.action,
            object=linked.object,
            result=linked.result,
            details=linked.details,
            previous_hash=linked.previous_hash,
            hash=linked.hash,
        )
    )
    connection.execute(update(audit_chain).where(_CHAIN_ROW).values(sequence=linked.sequence, hash=linked.hash))


def _lock_chain(connection: Connection) -> _Chain:
    """Lock the row of the chain until the commit. The first entry creates the row."""
    # guard: audit-single-appender
    query = select(audit_chain).where(_CHAIN_ROW).with_for_update()
    row = connection.execute(query).first()
    if row is None:
        none = {"sequence": 0, "hash": GENESIS, "trimmed_sequence": 0, "trimmed_hash": GENESIS}
        insert_row_if_absent(connection, audit_chain, id=1, **none)
        row = connection.execute(query).first()
    return _build_chain(row)


def _build_chain(row: Row[Any] | None) -> _Chain:
    if row is None:
        return _Chain(Anchor(0, GENESIS), Anchor(0, GENESIS))
    return _Chain(Anchor(row.sequence, row.hash), Anchor(row.trimmed_sequence, row.trimmed_hash))


def _build_entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(
        sequence=row.sequence,
        at=row.at,
        tenant_id=row.tenant_id,
        actor=Actor(ActorKind(row.actor), row.key_id, row.user),
        request_id=row.request_id,
        action=row.action,
        object=row.object,
        result=row.result,
        details=row.details,
        previous_hash=row.previous_hash,
        hash=row.hash,
    )


def _truncate_value(value: object) -> object:
    """Truncate the strings and lists in a value of `details` to their limits, and return the result.

    Raises `TypeError` if the value cannot be represented as JSON.
    """
    match value:
        case None | bool() | int():
            return value
        case float() if math.isfinite(value):
            return value
        case str():
            return _clean_text(value)
        case Mapping():
            return {_clean_text(str(name)): _truncate_value(each) for name, each in islice(value.items(), _MAX_MEMBERS)}
        case Sequence() | Set():
            each_in_order = sorted(value) if isinstance(value, Set) else value
            return [_truncate_value(each) for each in islice(each_in_order, _MAX_MEMBERS)]
        case _:
            raise TypeError(f"An audit entry cannot contain a {type(value).__name__}.")


def _clean_text(text: str) -> str:
    """Truncate a string to 200 characters and replace the characters that a database does not accept."""
    return text[:_MAX_TEXT_CHARS].replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
