"""The audit log: one chain, written with the changes it tells of, in which nothing can be altered unnoticed."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import Connection, Engine, delete, insert, select, update

from ingest.storage.accounts.keys import ApiKeys
from ingest.storage.audit.records import (
    Action,
    Actor,
    ActorKind,
    Anchor,
    AuditEntry,
    actor_context,
    compute_entry_hash,
    set_current_actor,
)
from ingest.storage.audit.store import Audit, AuditFilter, record_action
from ingest.storage.db.database import open_database, write_transaction
from ingest.storage.db.schema import audit, audit_chain
from ingest.storage.documents.catalog import Catalog
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.queue.records import JobKind
from tests.support.catalogs import arrival, arrive, at_once
from tests.support.postgres import disposed

WHOLE = AuditFilter(whole=True)
LAST = 7


def logged(engine: Engine, wanted: AuditFilter = WHOLE) -> list[AuditEntry]:
    return list(Audit(engine).iter_entries(wanted))


def note(engine: Engine, number: int) -> None:
    Audit(engine).record_action(Action.QUOTA_CHANGED, f"quota:{number}", tenant_id="ann", limit=number)


@pytest.fixture
def log(engine: Engine) -> Audit:
    """A log of seven entries: two tenants that were made, and five quotas."""
    for number in range(3, LAST + 1):
        note(engine, number)
    found = Audit(engine)
    assert (found.load_head().sequence, found.verify().faults) == (LAST, ())
    return found


def test_each_change_of_a_document_a_key_and_a_queue_leaves_one_entry(
    engine: Engine, catalog: Catalog, jobs: Jobs
) -> None:
    document = arrive(catalog, "first")
    arrive(catalog, "first")  # the same bytes again change nothing
    catalog.replace_document(arrival("second"), document.id, None)
    catalog.cancel_latest_version("ann", document.id)
    catalog.delete_document("ann", document.id)
    catalog.delete_document("ann", document.id)
    keys = ApiKeys(engine)
    key, secret = keys.issue_key("ann", "a reader")
    assert (keys.revoke_key("ann", key.id), keys.revoke_key("ann", key.id)) == (True, False)
    jobs.pause_kind(JobKind.EMBED)
    jobs.resume_kind(JobKind.EMBED)
    found = logged(engine)[2:]
    of_document, of_key = f"document:{document.id}", f"key:{key.id}"
    assert [(entry.tenant_id, entry.action, entry.object) for entry in found] == [
        ("ann", "document.uploaded", of_document),
        ("ann", "document.replaced", of_document),
        ("ann", "document.cancelled", of_document),
        ("ann", "document.deleted", of_document),
        ("ann", "key.created", of_key),
        ("ann", "key.revoked", of_key),
        (None, "queue.paused", "queue:embed"),
        (None, "queue.resumed", "queue:embed"),
    ]
    said = str([entry.to_json() for entry in found])
    assert all(secret not in said for secret in ("first", "second", secret, secret.split("_", 2)[2]))


def test_an_entry_says_who_acted_and_in_which_request(engine: Engine, catalog: Catalog) -> None:
    with actor_context(Actor(ActorKind.NOBODY), "request-1"):
        set_current_actor(Actor(ActorKind.CALLER, "0123", "ann@example.org"))
        arrive(catalog, "a")
    arrive(catalog, "b")
    by_caller, by_itself = logged(engine)[2:]
    assert (by_caller.actor, by_caller.request_id) == (Actor(ActorKind.CALLER, "0123", "ann@example.org"), "request-1")
    assert (by_itself.actor, by_itself.request_id) == (Actor(ActorKind.SERVICE), None)


def test_a_change_that_is_rolled_back_leaves_no_entry(engine: Engine) -> None:
    def fail() -> None:
        with write_transaction(engine) as connection:
            record_action(connection, Action.TENANT_CHANGED, "tenant:ann", tenant_id="ann")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    note(engine, 3)
    assert [entry.action for entry in logged(engine)[2:]] == ["quota.changed"]


def test_the_chain_stays_linear_while_several_processes_write(engine: Engine, catalog_url: str) -> None:
    """Each engine stands for a process: they share nothing but the database."""
    with disposed(open_database(catalog_url)) as other:
        catalogs = [Catalog(engine), Catalog(other)]

        def upload(catalog: Catalog, tenant: str) -> None:
            for number in range(10):
                arrive(catalog, f"{tenant} {number}", tenant=tenant)

        ends = at_once(*(partial(upload, catalog, tenant) for catalog in catalogs for tenant in ("ann", "bob")))
    assert ends == [None] * 4
    found = Audit(engine).verify()
    assert (found.entries, found.head.sequence, found.faults) == (22, 22, ())


def test_details_are_ids_and_figures_of_bounded_length(engine: Engine) -> None:
    audited = Audit(engine)
    audited.record_action(
        Action.QUOTA_CHANGED, "quota:" + "x" * 500, tenant_id="ann", text="y" * 500, many=list(range(500))
    )
    audited.record_action(Action.QUOTA_CHANGED, "quota:1", tenant_id="ann", text="a\0b\ud800", share=0.5, to={"b", "a"})
    with pytest.raises(TypeError):
        audited.record_action(Action.QUOTA_CHANGED, "quota:1", tenant_id="ann", share=float("nan"))
    long, odd = logged(engine)[2:]
    assert [len(long.object), len(long.details["text"]), len(long.details["many"])] == [200, 200, 200]
    assert odd.details == {"text": "a\N{REPLACEMENT CHARACTER}b?", "share": 0.5, "to": ["a", "b"]}
    assert audited.verify().faults == ()


def test_a_listing_shows_a_tenants_own_entries_newest_first_by_action_object_and_time(
    engine: Engine, log: Audit
) -> None:
    ours = log.list_latest(AuditFilter("ann"))
    assert [entry.sequence for entry in ours] == [7, 6, 5, 4, 3, 1]
    assert [entry.sequence for entry in log.list_latest(AuditFilter("ann"), before=6, limit=2)] == [5, 4]
    assert [entry.sequence for entry in log.list_latest(AuditFilter("bob"))] == [2]
    assert [entry.sequence for entry in log.list_latest(AuditFilter("ann", action="tenant.created"))] == [1]
    assert [entry.sequence for entry in log.list_latest(AuditFilter("ann", object="quota:4"))] == [4]
    at = ours[2].at
    assert [entry.sequence for entry in log.list_latest(AuditFilter("ann", since=at))][-1] == 5
    assert log.list_latest(AuditFilter("ann", until=at))[0].sequence == 4


def change(connection: Connection) -> None:
    connection.execute(update(audit).where(audit.c.sequence == 5).values(object="quota:9"))


def change_and_hash_again(connection: Connection) -> None:
    (entry,) = (entry for entry in _entries(connection) if entry.sequence == 5)
    changed = replace(entry, object="quota:9")
    of_entry = update(audit).where(audit.c.sequence == 5)
    connection.execute(of_entry.values(object="quota:9", hash=compute_entry_hash(changed)))


def remove(connection: Connection) -> None:
    connection.execute(delete(audit).where(audit.c.sequence == 5))


def swap(connection: Connection) -> None:
    for old, new in ((5, 99), (4, 5), (99, 4)):
        connection.execute(update(audit).where(audit.c.sequence == old).values(sequence=new))


def insert_beyond_the_end(connection: Connection) -> None:
    last = _entries(connection)[-1]
    forged = replace(last, sequence=LAST + 1, previous_hash=last.hash)
    _insert(connection, replace(forged, hash=compute_entry_hash(forged)))


def cut_off(connection: Connection) -> None:
    connection.execute(delete(audit).where(audit.c.sequence >= 6))


def cut_the_beginning(connection: Connection) -> None:
    connection.execute(delete(audit).where(audit.c.sequence <= 3))
    last = {entry.sequence: entry.previous_hash for entry in _entries(connection)}[4]
    connection.execute(update(audit_chain).values(trimmed_sequence=3, trimmed_hash=last))


@pytest.mark.parametrize(
    ("tamper", "found"),
    [
        (change, [5]),
        (change_and_hash_again, [6]),
        (remove, [5]),
        (swap, [4, 4, 5, 5, 6]),
        (insert_beyond_the_end, [8]),
        (cut_off, [6]),
        (cut_the_beginning, [3]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_was_done_to_the_log_is_found(
    engine: Engine, log: Audit, tamper: Callable[[Connection], None], found: list[int]
) -> None:
    with write_transaction(engine) as connection:
        tamper(connection)
    assert [fault.sequence for fault in log.verify().faults] == found


def test_an_end_that_was_cut_off_with_its_traces_is_found_by_an_anchor(engine: Engine, log: Audit) -> None:
    anchor = log.load_head()
    with write_transaction(engine) as connection:
        cut_off(connection)
        last = _entries(connection)[-1]
        connection.execute(update(audit_chain).values(sequence=last.sequence, hash=last.hash))
    assert log.verify().faults == ()
    assert [fault.sequence for fault in log.verify(anchor).faults] == [6]
    for number in range(6, 10):
        note(engine, number)  # others are written in their place
    assert [fault.sequence for fault in log.verify(anchor).faults] == [7]


def test_old_entries_go_in_good_order_and_the_rest_is_a_chain_still(engine: Engine, log: Audit) -> None:
    first, *_, last = logged(engine)
    assert log.trim_entries(last.at, max_entries=4) == 4
    assert log.trim_entries(last.at, max_entries=4) == 2
    assert log.trim_entries(last.at, max_entries=4) == 0
    left = logged(engine)
    assert [entry.action for entry in left] == ["quota.changed", "audit.trimmed", "audit.trimmed"]
    assert log.verify().faults == ()
    assert log.verify(Anchor(last.sequence, last.hash)).faults == ()
    assert [fault.sequence for fault in log.verify(Anchor(1, first.hash)).faults] == [1]


def test_an_anchor_reads_back_what_it_prints_and_nothing_else(log: Audit) -> None:
    assert Anchor.parse(f" {log.load_head()}\n") == log.load_head()
    for text in ("", "7", "7:", "x:" + "0" * 64, "7:" + "z" * 64):
        with pytest.raises(ValueError, match=r"sequence and a hash|invalid literal"):
            Anchor.parse(text)


def _entries(connection: Connection) -> list[AuditEntry]:
    found = []
    for row in connection.execute(select(audit).order_by(audit.c.sequence)).all():
        values = {name: value for name, value in row._mapping.items() if name not in ("actor", "key_id", "user")}
        found.append(AuditEntry(**values, actor=Actor(ActorKind(row.actor), row.key_id, row.user)))
    return found


def _insert(connection: Connection, entry: AuditEntry) -> None:
    values = {name: value for name, value in vars(entry).items() if name != "actor"}
    connection.execute(insert(audit).values(**values, actor=entry.actor.kind.value))
