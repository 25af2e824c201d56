"""Sources on each database: managed by admins, synchronized by workers, and never emptied by a mistake."""

import itertools
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, update

from ingest.intake import UploadRequest
from ingest.sources.errors import ItemRefusedError, ItemUnavailableError, SourceRefusedError, SourceUnavailableError
from ingest.sources.port import SourceChanges, SourceItem
from ingest.sources.syncing import SyncInterruptedError
from ingest.storage.audit.records import Action
from ingest.storage.audit.store import Audit, AuditFilter
from ingest.storage.db.database import read_transaction, write_transaction
from ingest.storage.db.schema import jobs as job_rows
from ingest.storage.db.schema import sources as source_rows
from ingest.storage.documents.collections import Collections
from ingest.storage.errors import (
    LeaseLostError,
    SourceCredentialsError,
    SourceNotFoundError,
    SourcesFullError,
    SourceStateError,
)
from ingest.storage.operations.tenant_data import TenantData, iter_exported_rows
from ingest.storage.queue.records import Failure, JobKind
from ingest.storage.sources.credentials import CredentialCipher
from ingest.storage.sources.records import MAX_SOURCES, NewSource, SourceChange, SourceRecord, SourceTotals, SyncState
from ingest.storage.sources.store import Sources
from ingest.storage.webhooks.records import EventType
from ingest.storage.webhooks.store import Webhooks
from tests.contract.test_catalog_entries import ingested
from tests.support.scripted_source import ScriptedSource, SyncBench


@pytest.fixture
def bench(engine: Engine, tmp_path: Path) -> SyncBench:
    return SyncBench(engine, tmp_path)


@pytest.fixture
def record(bench: SyncBench) -> SourceRecord:
    return bench.create()


def fill(bench: SyncBench, count: int = 20) -> None:
    for number in range(count):
        bench.source.put(f"{number:02}", f"text {number}")


def upload(bench: SyncBench, content: str, *, readers: frozenset[str] | None = None) -> str:
    """Upload a file by hand, and return its document."""
    request = UploadRequest("ann", "default", "mine.txt", readers=readers, owner="user:bea")
    with bench.intake.receive_upload(request) as incoming:
        incoming.write(content.encode())
        return incoming.accept().document.id


# --- management ---------------------------------------------------------------------------------


def test_a_source_is_created_changed_and_listed_without_its_credentials(bench: SyncBench, record: SourceRecord) -> None:
    changed = bench.sources.change(
        "ann", record.id, SourceChange("new", {"at": "y"}, {"token": "t", "password": None}, 60.0)
    )
    assert (changed.name, changed.options, changed.credential_names) == ("new", {"at": "y"}, ("token",))
    assert changed.next_sync_at is not None
    assert bench.sources.list_sources("ann") == [changed] == [bench.sources.load("ann", record.id)]
    assert bench.sources.load_credentials("ann", record.id) == {"token": "t"}
    paused = bench.sources.change("ann", record.id, SourceChange(is_paused=True))
    assert (paused.is_paused, paused.next_sync_at) == (True, None)


def test_a_source_is_unknown_to_other_tenants(bench: SyncBench, record: SourceRecord) -> None:
    sources = bench.sources
    assert sources.list_sources("bob") == []
    for use in (
        lambda: sources.load("bob", record.id),
        lambda: sources.load_credentials("bob", record.id),
        lambda: sources.change("bob", record.id, SourceChange("x")),
        lambda: sources.delete("bob", record.id, removes_documents=True),
        lambda: sources.request_sync("bob", record.id),
        lambda: sources.approve_removals("bob", record.id, "x", 1),
        lambda: sources.cancel("bob", record.id),
        lambda: sources.list_syncs("bob", record.id),
        lambda: sources.list_items("bob", record.id),
    ):
        with pytest.raises(SourceNotFoundError):
            use()


def test_credentials_are_encrypted_for_their_source_and_never_exported(
    engine: Engine, bench: SyncBench, record: SourceRecord, tmp_path: Path
) -> None:
    with read_transaction(engine) as connection:
        sealed = connection.execute(select(source_rows.c.credentials_sealed)).scalar_one()
    assert "secret" not in sealed
    (exported,) = iter_exported_rows(engine, source_rows, "ann")
    assert "credentials_sealed" not in exported
    with pytest.raises(SourceCredentialsError):
        CredentialCipher(key_file=tmp_path / "key").decrypt("another", sealed)
    with pytest.raises(SourceCredentialsError):
        CredentialCipher(key_file=tmp_path / "lost").decrypt(record.id, sealed)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_without_a_key_no_credentials_are_stored(engine: Engine) -> None:
    with pytest.raises(SourceCredentialsError):
        Sources(engine).create("ann", NewSource("default", "x", "x", credentials={"password": "p"}))
    assert Sources(engine).list_sources("ann") == []


def test_a_tenant_has_a_limited_number_of_sources(bench: SyncBench) -> None:
    for number in range(MAX_SOURCES):
        bench.sources.create("ann", NewSource("default", "x", str(number)), syncs_now=False)
    with pytest.raises(SourcesFullError):
        bench.create()


def test_a_due_source_is_queued_once_and_only_one_of_its_syncs_is_in_progress(engine: Engine, bench: SyncBench) -> None:
    record = bench.create(interval_seconds=60.0)
    assert bench.sources.queue_due_syncs() == 0
    with write_transaction(engine) as connection:
        connection.execute(update(source_rows).values(next_sync_at=time.time() - 1))
    assert [bench.sources.queue_due_syncs() for _ in range(2)] == [1, 0]
    assert bench.sources.request_sync("ann", record.id).number == 1
    with write_transaction(engine) as connection:
        connection.execute(update(source_rows).values(next_sync_at=time.time() - 1))
    assert bench.sources.queue_due_syncs() == 0
    assert len(bench.sources.list_syncs("ann", record.id)) == 1
    assert (bench.sources.load("ann", record.id).next_sync_at or 0) > time.time()


def test_actions_on_sources_are_in_the_audit_log(engine: Engine, bench: SyncBench, record: SourceRecord) -> None:
    bench.sources.change("ann", record.id, SourceChange("new"))
    bench.sources.request_sync("ann", record.id)
    bench.sources.cancel("ann", record.id)
    bench.sources.delete("ann", record.id, removes_documents=False)
    told = [entry.action for entry in Audit(engine).list_latest(AuditFilter("ann", object=f"source:{record.id}"))]
    assert sorted(told) == sorted(
        [
            Action.SOURCE_CREATED,
            Action.SOURCE_CHANGED,
            Action.SOURCE_SYNC_REQUESTED,
            Action.SOURCE_SYNC_CANCELLED,
            Action.SOURCE_DELETED,
        ]
    )


# --- synchronization ----------------------------------------------------------------------------


def test_the_library_follows_the_source(bench: SyncBench, record: SourceRecord) -> None:
    fill(bench)
    first = bench.sync(record)
    assert (first.state, first.counts.added, bench.names()[:2]) == (SyncState.SUCCEEDED, 20, ["00.txt", "01.txt"])
    before = bench.document_of(record, "01")
    bench.source.put("01", "changed")
    bench.source.put("99", "new")
    bench.source.remove("02")
    bench.source.opened.clear()
    second = bench.sync(record)
    counts = second.counts
    assert (counts.added, counts.changed, counts.removed, counts.unchanged, counts.refused) == (1, 1, 1, 18, 0)
    assert sorted(bench.source.opened) == ["01", "99"]
    assert "02.txt" not in bench.names()
    assert "99.txt" in bench.names()
    assert bench.document_of(record, "01") == before  # replaced in place


def test_documents_of_a_slow_list_appear_before_it_ends(bench: SyncBench, record: SourceRecord) -> None:
    fill(bench, 3)
    bench.clock = itertools.count(step=60).__next__  # A minute passes for each item.
    seen = []
    bench.source.fault = lambda step, _: seen.append(bench.names()) if step == "list" else None
    assert bench.sync(record).counts.added == 3
    assert [len(names) for names in seen] == [0, 1, 2]


def test_the_credentials_reach_the_adapter(bench: SyncBench, record: SourceRecord) -> None:
    bench.sync(record)
    assert bench.started[0].options == {"at": "x", "password": "secret"}


def test_a_document_has_author_path_address_date_and_readers_of_its_item(
    bench: SyncBench, record: SourceRecord
) -> None:
    readers = frozenset({"user:ann"})
    described = {"author": "Ann", "url": "https://x.test/a", "modified_at": 0.0, "readers": readers}
    bench.source.put("a", "text", **described)
    bench.sync(record)
    document = bench.catalog.load_document("ann", str(bench.document_of(record, "a")))
    assert document.attributes == {
        "source_id": record.id,
        "source_path": "/a.txt",
        "source_url": "https://x.test/a",
        "source_author": "Ann",
        "source_modified_at": "1970-01-01T00:00:00+00:00",
    }
    assert document.readers == readers
    bench.source.opened.clear()
    bench.source.put("a", "text", readers=frozenset({"user:bea"}))
    bench.sync(record)
    document = bench.catalog.load_document("ann", document.id)
    assert (document.readers, document.attributes) == (
        frozenset({"user:bea"}),
        {"source_id": record.id, "source_path": "/a.txt"},
    )
    assert bench.source.opened == []


def test_new_content_is_never_shown_to_those_who_could_read_only_the_old_one(
    bench: SyncBench, record: SourceRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.source.put("a", "open")
    bench.sync(record)
    bench.source.put("a", "closed", readers=frozenset({"user:ann"}))
    bench.sources.request_sync("ann", record.id)
    job = bench.claim()
    bench.source.fault = lambda step, _: None
    accept = bench.intake.accept_upload
    seen: list[frozenset[str] | None] = []

    def note(*arguments: object) -> object:
        seen.append(bench.catalog.list_documents("ann")[0].readers)
        return accept(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(bench.intake, "accept_upload", note)
    bench.run(job)
    assert seen == [frozenset({"user:ann"})]


def test_equal_bytes_are_one_document_that_goes_with_the_last_of_its_items(
    bench: SyncBench, record: SourceRecord
) -> None:
    bench.source.put("a", "same")
    bench.source.put("b", "same")
    bench.sync(record)
    shared = bench.document_of(record, "a")
    assert (bench.names(), bench.document_of(record, "b")) == (["a.txt"], shared)
    bench.source.remove("a")
    bench.sync(record)
    assert (bench.names(), bench.document_of(record, "b")) == (["b.txt"], shared)
    bench.source.remove("b")
    bench.sync(record)
    assert bench.names() == []


def test_an_item_of_a_shared_document_that_changes_leaves_the_document_to_the_other(
    bench: SyncBench, record: SourceRecord
) -> None:
    bench.source.put("a", "same")
    bench.source.put("b", "same")
    bench.sync(record)
    shared = bench.document_of(record, "b")
    bench.source.put("a", "other")
    bench.sync(record)
    assert (bench.names(), bench.document_of(record, "b")) == (["a.txt", "b.txt"], shared)
    assert bench.document_of(record, "a") != shared
    bench.source.put("a", "same")
    bench.sync(record)
    assert (bench.names(), bench.document_of(record, "a")) == (["a.txt"], shared) or bench.names() == ["b.txt"]


def test_a_renamed_item_keeps_its_document_under_the_new_name(bench: SyncBench, record: SourceRecord) -> None:
    fill(bench)
    bench.sync(record)
    kept = bench.document_of(record, "03")
    bench.source.remove("03")
    bench.source.put("renamed", "text 3")
    bench.sync(record)
    assert bench.document_of(record, "renamed") == kept
    document = bench.catalog.load_document("ann", str(kept))
    assert (document.name, document.version.name) == ("renamed.txt", "renamed.txt")
    assert document.attributes["source_path"] == "/renamed.txt"


@pytest.mark.parametrize("is_first", [True, False])
def test_a_file_that_somebody_uploaded_stays_when_its_item_goes(
    bench: SyncBench, record: SourceRecord, is_first: bool
) -> None:
    if is_first:
        upload(bench, "text")
    bench.source.put("a", "text")
    bench.sync(record)
    if not is_first:
        upload(bench, "text")
    assert len(bench.names()) == 1
    bench.source.remove("a")
    bench.sync(record)
    assert len(bench.names()) == 1


def test_an_item_does_not_disappear_behind_a_private_upload(bench: SyncBench, record: SourceRecord) -> None:
    private = upload(bench, "text", readers=frozenset({"user:bea"}))
    bench.source.put("a", "text")
    bench.sync(record)
    assert bench.document_of(record, "a") != private
    assert len(bench.names()) == 2


def test_a_document_that_somebody_deleted_stays_deleted_until_its_item_changes(
    bench: SyncBench, record: SourceRecord
) -> None:
    bench.source.put("a", "text")
    bench.sync(record)
    bench.catalog.delete_document("ann", str(bench.document_of(record, "a")))
    assert [item.path for item in bench.sources.list_items("ann", record.id)] == [""]
    bench.sync(record)
    assert bench.names() == []
    bench.source.put("a", "new text")
    bench.sync(record)
    assert bench.names() == ["a.txt"]


def test_refused_items_have_a_reason_and_are_read_again_when_they_change(
    bench: SyncBench, record: SourceRecord
) -> None:
    bench.source.put("a", "text")
    bench.source.put("b", "\0\x01\x02binary\xff", name="b.exe")

    def refuse(step: str, item: str) -> None:
        if (step, item) == ("open", "a"):
            raise ItemRefusedError("No permission.")

    bench.source.fault = refuse
    result = bench.sync(record)
    assert (result.state, result.counts.refused) == (SyncState.SUCCEEDED, 2)
    refused = bench.sources.list_items("ann", record.id, only_refused=True)
    assert {item.failure.code for item in refused if item.failure} == {"source_item_refused", "unsupported_type"}
    assert bench.sources.load("ann", record.id).refused_count == 2
    bench.source.fault = lambda step, item: None
    bench.sync(record)
    assert bench.source.opened == ["b"]
    bench.source.put("a", "better")
    bench.sync(record)
    assert bench.names() == ["a.txt"]
    assert len(bench.sources.list_items("ann", record.id, only_refused=True)) == 1


def test_documents_that_fail_after_their_sync_are_counted_and_listed_with_the_reason(
    bench: SyncBench, record: SourceRecord
) -> None:
    for name, content in (("a", "broken"), ("b", "broken"), ("c", "whole"), ("d", "lost")):
        bench.source.put(name, content)
    bench.source.put("e", "broken, too")
    other = bench.create("another", tenant="bob")
    bench.sync(record)
    for job in bench.jobs.claim(JobKind.INGEST, limit=10):
        if job.document_id != bench.document_of(record, "c"):
            bench.jobs.fail(job, Failure("parse_failed", "The file is broken.", "Repair it."))
    lost = bench.document_of(record, "d")
    assert lost is not None
    bench.catalog.delete_document("ann", lost)
    assert bench.sources.load("ann", record.id).failed_count == 2  # Two items have one document.
    assert [each.failed_count for each in bench.sources.list_sources("ann")] == [2]
    assert bench.sources.load("bob", other.id).failed_count == 0
    assert bench.sources.count_totals().failed_documents == 2
    listed = bench.sources.list_items("ann", record.id)
    failed = bench.sources.list_items("ann", record.id, only_failed=True)
    assert [each for each in listed if each.document_failure is not None] == failed
    assert {each.item_id for each in failed} == {"a", "b", "e"}
    assert {each.document_failure and each.document_failure.detail for each in failed} == {"The file is broken."}
    pages = [bench.sources.list_items("ann", record.id, only_failed=True, limit=1)]
    while pages[-1]:
        after = pages[-1][0].key
        pages.append(bench.sources.list_items("ann", record.id, only_failed=True, after_key=after, limit=1))
    assert [each for page in pages for each in page] == failed
    bench.source.put("e", "repaired")
    bench.sync(record)
    assert bench.sources.load("ann", record.id).failed_count == 1
    bench.sources.delete("ann", record.id, removes_documents=True)
    assert bench.sources.count_totals().failed_documents == 0


def test_a_document_whose_new_version_failed_counts_as_failed(bench: SyncBench, record: SourceRecord) -> None:
    bench.source.put("a", "text")
    bench.sync(record)
    (job,) = bench.jobs.claim(JobKind.INGEST)
    ingested(bench.jobs, job)
    bench.source.put("a", "broken")
    bench.sync(record)
    (job,) = bench.jobs.claim(JobKind.INGEST)
    bench.jobs.fail(job, Failure("parse_failed", "The file is broken."))
    assert bench.sources.load("ann", record.id).failed_count == 1
    (item,) = bench.sources.list_items("ann", record.id, only_failed=True)
    assert item.document_failure == Failure("parse_failed", "The file is broken.")


def test_an_item_without_permission_is_tried_again_by_each_sync(bench: SyncBench, record: SourceRecord) -> None:
    def forbid(step: str, item: str) -> None:
        if step == "open":
            raise ItemUnavailableError("No permission.")

    bench.source.put("a", "text")
    bench.source.fault = forbid
    for _ in range(2):
        bench.sync(record)
        assert bench.sources.load("ann", record.id).refused_count == 1
    bench.source.fault = lambda step, item: None
    bench.sync(record)
    assert (bench.names(), bench.sources.load("ann", record.id).refused_count) == (["a.txt"], 0)


def test_an_item_that_is_larger_than_announced_is_refused_at_the_limit(engine: Engine, tmp_path: Path) -> None:
    bench = SyncBench(engine, tmp_path, max_bytes=100)
    record = bench.create()
    bench.source.put("a", "x" * 1_000, size_bytes=5)
    bench.source.put("b", "short", size_bytes=5)
    result = bench.sync(record)
    assert (result.counts.added, result.counts.refused, bench.names()) == (1, 1, ["b.txt"])


def test_a_full_backlog_is_waited_for(engine: Engine, tmp_path: Path) -> None:
    bench = SyncBench(engine, tmp_path, max_backlog=1)
    record = bench.create()
    bench.source.put("a", "one")
    bench.source.put("b", "two")
    bench.sources.request_sync("ann", record.id)
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        with write_transaction(engine) as connection:
            connection.execute(update(job_rows).where(job_rows.c.kind == JobKind.INGEST).values(state="done"))

    bench.run(bench.claim(), wait=wait)
    assert (len(waits), bench.names(), bench.source.opened) == (1, ["a.txt", "b.txt"], ["a", "b"])


@pytest.mark.parametrize("error", [SourceUnavailableError("Away."), SourceRefusedError("403.")])
def test_a_list_that_fails_removes_nothing(bench: SyncBench, record: SourceRecord, error: Exception) -> None:
    fill(bench)
    bench.sync(record)
    for number in range(10, 20):
        bench.source.remove(f"{number}")

    def fail(step: str, item: str) -> None:
        if (step, item) == ("list", "05"):
            raise error

    bench.source.fault = fail
    bench.sources.request_sync("ann", record.id)
    job = bench.claim()
    with pytest.raises(type(error)):
        bench.run(job)
    bench.jobs.fail(job, Failure("source_refused", "403."))
    (sync, *_) = bench.sources.list_syncs("ann", record.id)
    assert (sync.state, sync.failure and sync.failure.code) == (SyncState.FAILED, "source_refused")
    assert len(bench.names()) == 20


def test_a_source_that_loses_much_is_not_followed_until_somebody_approves_it(
    bench: SyncBench, record: SourceRecord
) -> None:
    fill(bench)
    bench.sync(record)
    bench.source.items.clear()
    assert bench.sources.list_items("ann", record.id, only_gone=True) == []
    asking = bench.sync(record)
    assert (asking.state, asking.pending_removals, len(bench.names())) == (SyncState.NEEDS_APPROVAL, 20, 20)
    assert len(bench.sources.list_items("ann", record.id, only_gone=True)) == 20
    with pytest.raises(SourceStateError):
        bench.sources.approve_removals("ann", record.id, asking.id, 19)
    bench.sources.approve_removals("ann", record.id, asking.id, 20)
    done = bench.work(record)
    assert (done.state, done.counts.removed, bench.names()) == (SyncState.SUCCEEDED, 20, [])
    assert bench.sources.list_items("ann", record.id, only_gone=True) == []
    with pytest.raises(SourceStateError):
        bench.sources.approve_removals("ann", record.id, asking.id, 20)


def test_an_approval_covers_no_larger_removal_of_a_later_round(bench: SyncBench, record: SourceRecord) -> None:
    fill(bench, 40)
    bench.sync(record)
    for number in range(20):
        bench.source.remove(f"{number:02}")
    asking = bench.sync(record)
    bench.source.items.clear()
    bench.sources.request_sync("ann", record.id)
    bench.sources.approve_removals("ann", record.id, asking.id, 20)
    later = bench.work(record)
    assert (later.state, later.pending_removals, len(bench.names())) == (SyncState.NEEDS_APPROVAL, 40, 40)


def test_a_renamed_folder_removes_no_documents_and_needs_no_approval(bench: SyncBench, record: SourceRecord) -> None:
    fill(bench)
    bench.sync(record)
    for number in range(20):
        bench.source.remove(f"{number:02}")
        bench.source.put(f"moved {number:02}", f"text {number}")
    result = bench.sync(record)
    assert (result.state, len(bench.names()), bench.names()[0]) == (SyncState.SUCCEEDED, 20, "moved 00.txt")


def test_an_interrupted_round_goes_on_and_reads_only_one_item_again(bench: SyncBench, record: SourceRecord) -> None:
    fill(bench)
    bench.sources.request_sync("ann", record.id)
    for number in (3, 9, 15):
        job = bench.claim()

        def die(step: str, item: str, at: str = f"{number:02}") -> None:
            if (step, item) == ("open", at):
                raise KeyboardInterrupt

        bench.source.fault = die
        with pytest.raises(KeyboardInterrupt):
            bench.run(job)
        assert bench.jobs.requeue_lost_jobs(include_all_running=True) == 1
    bench.source.fault = lambda step, item: None
    result = bench.work(record)
    assert (result.state, result.counts.added, result.counts.listed) == (SyncState.SUCCEEDED, 20, 20)
    assert len(bench.source.opened) == 20


def test_an_item_that_was_accepted_but_not_recorded_still_belongs_to_the_source(
    bench: SyncBench, record: SourceRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.source.put("a", "text")
    bench.sources.request_sync("ann", record.id)
    job = bench.claim()
    with monkeypatch.context() as patch:

        def die(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(bench.rounds, "record_item", die)
        with pytest.raises(KeyboardInterrupt):
            bench.run(job)
    bench.jobs.requeue_lost_jobs(include_all_running=True)
    bench.work(record)
    assert (bench.names(), bench.source.opened) == (["a.txt"], ["a", "a"])
    bench.source.remove("a")
    bench.sync(record)
    assert bench.names() == []


def test_a_worker_that_lost_its_job_records_nothing(bench: SyncBench, record: SourceRecord) -> None:
    fill(bench, 3)
    bench.sources.request_sync("ann", record.id)
    job = bench.claim()
    bench.sources.cancel("ann", record.id)
    with pytest.raises(LeaseLostError):
        bench.run(job)
    (sync,) = bench.sources.list_syncs("ann", record.id)
    assert (sync.state, sync.counts.added, bench.sources.list_items("ann", record.id)) == (SyncState.CANCELLED, 0, [])


def test_a_list_of_changes_is_followed_from_its_cursor(bench: SyncBench, record: SourceRecord) -> None:
    fill(bench)
    cursors: list[str] = []

    def list_all(cursor: str) -> SourceChanges:
        cursors.append(cursor)
        return SourceChanges(bench.source.list_items(), iter(()), "1")

    def list_changes(cursor: str) -> SourceChanges:
        cursors.append(cursor)
        return SourceChanges(iter([bench.source.items["01"]]), iter(["02", "unknown"]), "2")

    bench.source.changes = list_all
    bench.sync(record)
    bench.source.put("01", "changed")
    bench.source.changes = list_changes
    result = bench.sync(record)
    assert cursors == ["", "1"]
    assert (result.counts.changed, result.counts.removed, len(bench.names())) == (1, 1, 19)
    assert bench.started[-1].cursor == "1"


def test_an_item_that_must_be_tried_again_is_listed_again(
    engine: Engine, bench: SyncBench, record: SourceRecord
) -> None:
    bench.source.put("a", "text")
    with write_transaction(engine) as connection:
        from ingest.storage.db.schema import quota_limits

        limit = {"tenant_id": "ann", "key_id": "", "quota": "documents", "amount": 0}
        connection.execute(quota_limits.insert().values(**limit))
    from ingest.storage.documents.catalog import Catalog
    from ingest.storage.quotas.store import Quotas

    bench.intake._quotas = Quotas(engine)
    bench.intake._catalog = Catalog(engine, quotas=Quotas(engine).rules)
    bench.source.changes = lambda cursor: SourceChanges(bench.source.list_items(), iter(()), "1")
    assert bench.sync(record).counts.refused == 1
    with write_transaction(engine) as connection:
        connection.execute(quota_limits.delete())
    assert bench.source.opened == []
    assert bench.sync(record).counts.added == 1
    assert bench.started[-1].cursor == ""


def list_completely(bench: SyncBench, cursor: str) -> None:
    """Let the source answer with all of its items and a cursor."""
    bench.source.changes = lambda _: SourceChanges(bench.source.list_items(), iter(()), cursor, is_complete=True)


def test_a_complete_list_with_a_cursor_removes_items_that_it_lacks(bench: SyncBench, record: SourceRecord) -> None:
    fill(bench)
    list_completely(bench, "1")
    bench.sync(record)
    bench.source.remove("01")
    list_completely(bench, "2")
    assert bench.sync(record).counts.removed == 1
    bench.sync(record)
    assert [sync.cursor for sync in bench.started] == ["", "1", "2"]


def test_removals_without_an_approval_are_found_in_the_next_round(bench: SyncBench, record: SourceRecord) -> None:
    fill(bench, 40)
    list_completely(bench, "1")
    bench.sync(record)
    for number in range(30):
        bench.source.remove(f"{number:02}")

    def list_changes(cursor: str) -> SourceChanges:
        items = iter(()) if cursor == "2" else bench.source.list_items()
        return SourceChanges(items, iter(()), "2", is_complete=cursor != "2")

    bench.source.changes = list_changes
    for _ in range(2):
        waiting = bench.sync(record)
        assert (waiting.state, waiting.pending_removals) == (SyncState.NEEDS_APPROVAL, 30)
    bench.sources.approve_removals("ann", record.id, waiting.id, 30)
    bench.work(record)
    assert len(bench.names()) == 10


@pytest.mark.parametrize("is_complete", [True, False])
def test_a_round_that_was_interrupted_does_not_move_the_cursor(
    bench: SyncBench, record: SourceRecord, is_complete: bool
) -> None:
    """An item that was read before the interruption may have changed since, and is not read twice in one round."""
    fill(bench)
    list_completely(bench, "1")
    bench.sync(record)
    bench.source.put("00", "changed")

    def list_changes(cursor: str) -> SourceChanges:
        return SourceChanges(bench.source.list_items(), iter(()), "3", is_complete=is_complete)

    bench.source.changes = list_changes
    bench.sources.request_sync("ann", record.id)
    job = bench.claim()
    with pytest.raises(SyncInterruptedError):
        bench.run(job, is_interrupted=lambda: bench.source.opened[-1] == "00")
    bench.source.put("00", "changed again")
    bench.run(job)
    bench.sync(record)
    assert [sync.cursor for sync in bench.started] == ["", "1", "1", "" if is_complete else "1"]
    assert bench.source.opened[-2:] == ["00", "00"]


@pytest.mark.parametrize("removes_documents", [True, False])
def test_a_deleted_source_is_removed_with_or_without_its_documents(
    bench: SyncBench, record: SourceRecord, removes_documents: bool
) -> None:
    fill(bench)
    bench.sync(record)
    bench.sources.delete("ann", record.id, removes_documents=removes_documents)
    assert bench.sources.list_sources("ann") == []
    bench.run(bench.claim())
    assert len(bench.names()) == (0 if removes_documents else 20)
    if not removes_documents:
        assert {each.uploaded_by for each in bench.catalog.list_documents("ann")} == {"user:ann"}
    assert bench.jobs.claim(JobKind.SYNC) == []


def test_entries_of_a_container_that_remains_belong_to_the_creator_of_the_source(
    bench: SyncBench, record: SourceRecord
) -> None:
    bench.source.put("a", "a container")
    bench.sync(record)
    (job,) = bench.jobs.claim(JobKind.INGEST)
    ingested(bench.jobs, job, "within.txt")
    bench.sources.delete("ann", record.id, removes_documents=False)
    bench.run(bench.claim())
    found = bench.catalog.list_documents("ann")
    assert {each.name: each.uploaded_by for each in found} == {"a.txt": "user:ann", "a.txt/within.txt": "user:ann"}


def test_two_sources_with_one_document_keep_it_until_both_lost_it(bench: SyncBench, record: SourceRecord) -> None:
    other = bench.create("other")
    bench.source.put("a", "same")
    bench.sync(record)
    bench.sync(other)
    bench.source.remove("a")
    bench.sync(record)
    assert bench.names() == ["a.txt"]
    bench.sync(other)
    assert bench.names() == []


def test_webhooks_learn_of_the_end_of_a_sync(engine: Engine, bench: SyncBench, record: SourceRecord) -> None:
    hook, _ = Webhooks(engine).create("ann", "https://x.test", [EventType.SOURCE_SYNCED, EventType.SOURCE_FAILED])
    fill(bench)
    bench.sync(record)
    bench.source.items.clear()
    bench.sync(record)
    types = [each.type for each in Webhooks(engine).list_deliveries("ann", hook.id)]
    assert types == ["source.failed", "source.synced"]


def test_the_memory_of_a_round_does_not_grow_with_the_source(bench: SyncBench, record: SourceRecord) -> None:
    class Endless(ScriptedSource):
        def list_items(self) -> Iterator[SourceItem]:
            for number in range(self.count):
                if number % 1_000 == 999:
                    self.peaks.append(tracemalloc.get_traced_memory()[0])
                yield SourceItem(f"{number}", "x", "1", size_bytes=10**12)  # Nothing of this size is opened.

        count, peaks = 2_000, list[int]()

    source = Endless()
    tracemalloc.start()
    try:
        result = bench.sync(record, source=source)
    finally:
        tracemalloc.stop()
    assert (result.counts.listed, result.counts.refused) == (2_000, 2_000)
    assert source.peaks[-1] - source.peaks[0] < 1_000_000


def test_an_item_whose_text_cannot_be_stored_is_refused(bench: SyncBench, record: SourceRecord) -> None:
    bench.source.put("a", "text", path="/a\0.txt")
    bench.source.items["b"] = SourceItem("b\udcff", "b\udcff.txt", "1")
    result = bench.sync(record)
    assert (result.state, result.counts.refused) == (SyncState.SUCCEEDED, 2)


def test_totals_are_those_of_all_tenants(bench: SyncBench, record: SourceRecord) -> None:
    sources = bench.sources
    assert sources.count_totals() == SourceTotals({}, 0, 0, 0.0)

    def refuse_b(step: str, item: str) -> None:
        if (step, item) == ("open", "b"):
            raise ItemRefusedError("Not readable.")

    bench.source.put("a", "text")
    bench.source.put("b", "another")
    bench.source.fault = refuse_b
    bench.sync(record)
    sources.change("ann", record.id, SourceChange(interval_seconds=0.001))
    totals = sources.count_totals()
    assert (totals.states, totals.refused_items) == ({SyncState.SUCCEEDED: 1}, 1)
    assert 0.0 < totals.overdue_seconds < 600.0
    sources.change("ann", record.id, SourceChange(is_paused=True))
    assert sources.count_totals().overdue_seconds == 0.0


# --- deletion of what a source belongs to ---------------------------------------------------------


def test_the_sources_of_a_deleted_collection_end(engine: Engine, bench: SyncBench, record: SourceRecord) -> None:
    fill(bench)
    bench.sync(record)
    other = bench.sources.create("ann", NewSource("contracts", "scripted", "another"), syncs_now=False)
    bench.source.put("new", "text")
    bench.sources.request_sync("ann", record.id)
    job = bench.claim()
    Collections(engine).delete("ann", record.collection, owner="user:bea")
    assert [each.id for each in bench.sources.list_sources("ann")] == [other.id]
    with pytest.raises(LeaseLostError):
        bench.rounds.record_list_end(job, bench.started[-1])
    bench.run(bench.claim())
    assert (bench.names(), bench.jobs.claim(JobKind.SYNC)) == ([], [])
    with read_transaction(engine) as connection:
        assert connection.execute(select(source_rows.c.id)).scalars().all() == [other.id]


@pytest.mark.parametrize("removes_documents", [True, False])
def test_a_document_accepted_while_its_source_is_deleted_does_not_remain_with_it(
    bench: SyncBench, record: SourceRecord, removes_documents: bool
) -> None:
    bench.sources.delete("ann", record.id, removes_documents=removes_documents)
    request = UploadRequest("ann", record.collection, "late.txt", owner=f"source:{record.id}")
    with bench.intake.receive_upload(request) as incoming:
        incoming.write(b"late")
        incoming.accept()
    bench.run(bench.claim())
    assert [each.uploaded_by for each in bench.catalog.list_documents("ann")] == (
        [] if removes_documents else ["user:ann"]
    )


def test_the_sources_of_a_deleted_tenant_end(engine: Engine, bench: SyncBench, record: SourceRecord) -> None:
    fill(bench)
    bench.sync(record)
    bench.sources.change("ann", record.id, SourceChange(credentials={"token": "t"}, interval_seconds=0.001))
    bench.sources.request_sync("ann", record.id)
    job = bench.claim()
    TenantData(engine).delete("ann")
    assert bench.sources.list_sources("ann") == []
    assert bench.sources.queue_due_syncs() == 0
    with read_transaction(engine) as connection:
        assert connection.execute(select(source_rows.c.credentials_sealed)).scalars().all() == [None]
    with pytest.raises(LeaseLostError):
        bench.rounds.record_list_end(job, bench.started[-1])


def test_an_item_with_an_impossible_date_or_size_is_read_without_it(bench: SyncBench, record: SourceRecord) -> None:
    odd = {"past": -1e12, "future": 3e11, "endless": float("inf"), "none": float("nan")}
    for name, moment in odd.items():
        bench.source.put(name, name, modified_at=moment, size_bytes=-1)
    result = bench.sync(record)
    assert (result.state, result.counts.added) == (SyncState.SUCCEEDED, len(odd))
    for name, moment in odd.items():
        bench.source.put(name, name, modified_at=moment, size_bytes=10**30, path=f"/moved/{name}.txt")
    result = bench.sync(record)
    assert (result.state, result.counts.unchanged) == (SyncState.SUCCEEDED, len(odd))
    assert {each.modified_at for each in bench.sources.list_items("ann", record.id)} == {None}
